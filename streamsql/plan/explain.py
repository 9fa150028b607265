"""EXPLAIN: the operator graph and what was inferred."""

from __future__ import annotations

from streamsql.grammar.printer import to_sql
from streamsql.plan.persistent import PersistentPlan
from streamsql.plan.pull import PullPlan
from streamsql.plan.pull_from import PullSource
from streamsql.plan.push import PushPlan
from streamsql.result import Result, counted, rows
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
        ("topic", f"{sink.topic} ({counted(plan.partitions, 'partition')})"),
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


def explain_pull(plan: PullPlan) -> Result:
    """A pull query: its columns, how each source is read, and the statement."""
    facts = [("result", ", ".join(f"{c.name} {c.type}" for c in plan.columns))]
    facts += [(f"reads {source.feed}", _read(plan, source)) for source in plan.sources]
    is_looked_up = plan.lookup is not None and plan.lookup.moves is not None
    facts.append(("statement", "none: the rows found are the answer" if is_looked_up else plan.sql))
    return rows(_COLUMNS, facts)


def _read(plan: PullPlan, source: PullSource) -> str:
    info, parts = source.info, []
    if plan.lookup is not None:
        keys = len(plan.lookup.keys)
        parts.append(f"{keys} key{'s' if keys > 1 else ''} looked up")
    if source.as_of is not None:
        parts.append(f"as of {source.as_of.kind} {to_sql(source.as_of.value.node)}")
    bounds = plan.lookup.bounds if plan.lookup is not None else source.bounds
    parts += [f"{bound.column} {bound.op} {to_sql(bound.value.node)}" for bound in bounds]
    if not info.is_table:
        used = [c.name for c in info.schema.columns if c.name in source.columns]
        parts.append(f"columns {', '.join(used) or 'none'}")
    return ", ".join([info.title, *(parts or ["all rows"])])


def _graph(text: str) -> list[tuple[str, str]]:
    return [("graph" if i == 0 else "", line) for i, line in enumerate(text.splitlines())]
