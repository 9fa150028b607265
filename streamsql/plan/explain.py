"""EXPLAIN: the operator graph and what was inferred."""

from __future__ import annotations

from streamsql.plan.persistent import PersistentPlan
from streamsql.plan.push import PushPlan
from streamsql.result import Result, rows
from streamsql.schema import Column
from streamsql.types import VARCHAR

_COLUMNS = (Column("WHAT", VARCHAR), Column("VALUE", VARCHAR))


def explain_persistent(plan: PersistentPlan, state: str | None) -> Result:
    """A persistent query: its result, formats, topic and graph."""
    sink = plan.sink
    word = "PRIMARY KEY" if sink.is_table else "KEY"
    facts = [
        ("result", f"{sink.kind} {sink.schema.describe(word)}"),
        ("reads", ", ".join(plan.reads)),
        ("topic", f"{sink.topic} ({plan.partitions} partitions)"),
        ("formats", f"key {sink.key_format.name}, value {sink.value_format.name}"),
    ]
    if sink.window:
        facts.append(("window", sink.window.kind))
    if state is not None:
        facts.append(("state", state))
    return rows(_COLUMNS, [*facts, *_graph(plan.graph.explain())])


def explain_push(plan: PushPlan) -> Result:
    """A push query: its columns and graph."""
    columns = ", ".join(f"{c.name} {c.column.type}" for c in plan.columns)
    facts = [("result", f"changes of {'a table' if plan.is_table else 'a stream'}: {columns}")]
    return rows(_COLUMNS, [*facts, ("reads", ", ".join(plan.sources)), *_graph(plan.graph.explain())])


def _graph(text: str) -> list[tuple[str, str]]:
    return [("graph" if i == 0 else "", line) for i, line in enumerate(text.splitlines())]
