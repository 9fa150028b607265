"""Putting the checker around the operators of a task."""

from __future__ import annotations

from collections.abc import Sequence

from streamsql.engine.check import CheckedOperator
from streamsql.engine.graph import Graph
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.drop_unchanged import DropUnchanged
from streamsql.engine.operators.foreign_key_join import ForeignKeyJoin
from streamsql.engine.operators.materialise import Materialise
from streamsql.engine.operators.sink import Collect, Sink
from streamsql.engine.operators.source import Source
from streamsql.engine.operators.stateless import Stateless
from streamsql.engine.operators.stream_stream_join import StreamStreamJoin
from streamsql.engine.operators.stream_table_join import StreamTableJoin
from streamsql.engine.operators.table_table_join import TableTableJoin
from streamsql.engine.operators.union import Union
from streamsql.engine.task import Task
from tests.workspaces import kept_workspace


def checked_task(graph: Graph, threads: int = 1) -> Task:
    """A task with the checker around its operators, in a workspace for all that have as many threads."""
    task = Task(graph, workspace=kept_workspace(threads))
    check_operators(task)
    return task


def check_operators(task: Task) -> None:
    """Put the checker around every operator that reads a topic or keeps a state.

    raises  AssertionError for a kind of operator of which nobody has said how to check it
    """
    for number, node in enumerate(task.graph.nodes):
        keys: Sequence[str] = ()
        takes_back_old = deletes_unknown = False
        match node.spec:
            case Sink() | Collect() | Stateless():
                continue
            case Source(is_table=True, key=key):
                keys, deletes_unknown = [f.name for f in key], True
            case Source() | StreamStreamJoin() | StreamTableJoin() | Union():
                pass
            case TableTableJoin(keys=keys, emit_old=takes_back_old):
                pass
            case ForeignKeyJoin(left_keys=keys, tells_all_deletes=deletes_unknown):
                takes_back_old = True
            case Aggregate(keys=keys, emit_old=takes_back_old):
                pass
            case DropUnchanged(input=schema):
                keys, takes_back_old = [n for n in schema.names if not n.startswith("$")], True
            case Materialise(keys=keys, emit_old=takes_back_old, forward_unknown_deletes=deletes_unknown):
                deletes_unknown = deletes_unknown or not takes_back_old
            case other:
                raise AssertionError(f"nobody has said how to check {other}")
        task.operators[number] = CheckedOperator(
            task.operators[number], node.spec.output, keys, takes_back_old, deletes_unknown
        )
