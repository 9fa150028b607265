"""CREATE OR REPLACE: what may take the place of a stream, a table, or the query behind one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from streamsql.catalog import SourceInfo
from streamsql.engine.graph import Graph
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.base import Spec
from streamsql.engine.operators.materialise import Materialise
from streamsql.engine.operators.sink import Sink
from streamsql.engine.operators.source import Source
from streamsql.engine.operators.stateless import Stateless
from streamsql.errors import PlanError, Span
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.parser import parse
from streamsql.grammar.places import place_of
from streamsql.plan.persistent import PersistentPlan
from streamsql.plan.scope import at, key_place, result_place

_HINT = "CREATE another one beside it, or DROP this one first"


Replacing = ast.CreateSource | ast.CreateAsSelect


def check_source_replacement(old: SourceInfo, new: SourceInfo, statement: Replacing) -> None:
    """What is on the topic stays readable: the same topic, formats, key and time; columns only added.

    raises  PlanError PLAN-REPLACE
    """
    for what, before, after, properties in (
        ("kind", old.kind, new.kind, ()),
        ("topic", old.topic, new.topic, ("KAFKA_TOPIC",)),
        ("key format", old.key_format, new.key_format, ("KEY_FORMAT", "FORMAT")),
        ("value format", old.value_format.name, new.value_format.name, ("VALUE_FORMAT", "FORMAT")),
        ("value format's properties", old.value_format.properties, new.value_format.properties, ()),
        ("window", old.window, new.window, ("WINDOW_TYPE", "WINDOW_SIZE")),
        ("timestamp column", old.timestamp, new.timestamp, ("TIMESTAMP",)),
    ):
        if before != after:
            given = (p for name in properties for p in statement.properties if p.name.upper() == name)
            place = place_of(statement.kind if what == "kind" else next(given, statement.name))
            raise _refused(old, f"its {what} would change", place)
    if old.schema.key != new.schema.key:
        raise _refused(old, "its key would change", _key_place(statement))
    if old.schema.headers != new.schema.headers:
        raise _refused(old, "its header columns would change", _columns_place(statement))
    kept = len(old.schema.value)
    if new.schema.value[:kept] != old.schema.value:
        lost = [c.name for c in old.schema.value if c not in new.schema.value]
        why = f"column {quote_name(lost[0])} would change" if lost else "its columns would change places"
        raise _refused(old, f"{why}; new columns go to the end", _columns_place(statement, lost))


def _key_place(statement: Replacing) -> Span | None:
    """Where a statement says what the key is."""
    if isinstance(statement, ast.CreateSource):
        keys = [c for c in statement.columns if c.role in ("KEY", "PRIMARY KEY")]
        return place_of(*keys) or place_of(*statement.columns) or place_of(statement.name)
    return key_place(statement.query)


def _columns_place(statement: Replacing, names: Sequence[str] = ()) -> Span | None:
    """Where a statement says which columns there are, or one of these, if it stands there."""
    if isinstance(statement, ast.CreateAsSelect):
        return result_place(statement.query)
    named = [c for c in statement.columns if c.name in names[:1]]
    return place_of(*named) or place_of(*statement.columns) or place_of(statement.name)


def check_query_replacement(old: PersistentPlan, new: PersistentPlan, statement: ast.CreateAsSelect) -> None:
    """The new query goes on from the old one's offsets and state, so the state must mean the same.

    raises  PlanError PLAN-REPLACE
    """
    check_source_replacement(old.sink, new.sink, statement)
    span = place_of(statement.query)
    sources = place_of(statement.query.relation) if isinstance(statement.query, ast.Select) else span
    if old.sink.name in new.reads:
        raise _refused(old.sink, "it would read itself", sources)
    if old.graph.topics() != new.graph.topics():
        raise _refused(old.sink, "it would read other topics", sources)
    before, after = _stateful(old.graph), _stateful(new.graph)
    if [(n, type(spec)) for n, spec in before] != [(n, type(spec)) for n, spec in after]:
        raise _refused(old.sink, "its query would keep other state", span)
    reads_tables = any(source.is_table for _, source in old.graph.sources())
    if any(isinstance(spec, Aggregate) for _, spec in before):
        if _without_where(old.sink.sql) != _without_where(new.sink.sql):
            raise _refused(old.sink, "only the WHERE of an aggregation can change", span)
    for (_, mine), (_, theirs) in zip(before, after, strict=True):
        if not _upgradeable(mine, theirs, reads_tables):
            raise _refused(old.sink, _what_stays(mine, reads_tables), span)


def _stateful(graph: Graph) -> list[tuple[int, Spec]]:
    """The nodes with state by number, which their changelogs are named after."""
    return [
        (number, node.spec)
        for number, node in enumerate(graph.nodes)
        if not isinstance(node.spec, Source | Stateless | Sink)
    ]


def _without_where(sql: str) -> ast.Query:
    """The query of a CREATE .. AS SELECT without its WHERE."""
    (statement,) = parse(sql + ";")
    assert isinstance(statement, ast.CreateAsSelect)
    query = statement.query
    return replace(query, where=None) if isinstance(query, ast.Select) else query


def _upgradeable(old: Spec, new: Spec, reads_tables: bool) -> bool:
    match old, new:
        case Aggregate(), Aggregate():
            # A changed WHERE is in the stage; what is kept per group is not.
            return not reads_tables and old.window is None and replace(old, stage=new.stage) == new
        case Materialise(), Materialise():
            return old == new
    return False


def _what_stays(spec: Spec, reads_tables: bool) -> str:
    """Why a step with state cannot become another one."""
    match spec:
        case Aggregate(window=window) if window is not None:
            return "nothing can change in an aggregation with windows"
        case Aggregate() if reads_tables:
            return "nothing can change in an aggregation over a table"
        case Aggregate():
            return "only the WHERE of an aggregation can change"
        case Materialise():
            return "what it keeps of each key would change"
    return "nothing can change in a query that joins"


def _refused(info: SourceInfo, why: str, span: Span | None) -> PlanError:
    return at(span, f"{info.title} cannot be replaced: {why}", "PLAN-REPLACE", _HINT)
