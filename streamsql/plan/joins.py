"""Joins: from `A JOIN B ON ..` to join operators, left-deep and in the order of the text.

Inside a join every column is called ALIAS_COLUMN. The join's own key, the value both sides agree on, is a
column of its own; the columns that are equal to it are *viable* to stand for the key of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from streamsql.catalog import STREAM, TABLE, SourceInfo
from streamsql.engine.batch import WINDOW_END, WINDOW_START
from streamsql.engine.operators.foreign_key_join import ForeignKeyJoin
from streamsql.engine.operators.stream_stream_join import StreamStreamJoin
from streamsql.engine.operators.stream_table_join import StreamTableJoin
from streamsql.engine.operators.table_table_join import TableTableJoin
from streamsql.engine.windowed_keys import WindowedKey
from streamsql.engine.windows import default_grace_ms
from streamsql.errors import NotSupportedError
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.printer import to_sql
from streamsql.plan.expressions import Compiled, compile_filter
from streamsql.plan.items import KeyColumn
from streamsql.plan.join_conditions import Condition, Side, take_apart
from streamsql.plan.properties import duration_ms
from streamsql.plan.rewrite import walk as nodes
from streamsql.plan.scope import Scope, ScopeColumn, at, column_sql, physical
from streamsql.plan.stages import Output
from streamsql.types import BIGINT, duckdb_name

if TYPE_CHECKING:
    from streamsql.plan.select import Flow, SelectPlanner

JOIN_KEY = "KSQL_JOIN_KEY"
_BOUNDS = (WINDOW_START, WINDOW_END)


def plan_join(planner: SelectPlanner, join: ast.Join, query: ast.Select) -> Flow:
    """The flow of a join, its columns named ALIAS_COLUMN."""
    relations = _flatten(join)
    aliases = [r.alias or r.name for r in relations]
    for number, (relation, alias) in enumerate(zip(relations, aliases, strict=True)):
        if alias in aliases[:number]:
            raise at(
                relation.span, f"{quote_name(alias)} stands in FROM twice", "PLAN-JOIN", "give one an alias"
            )
        if relation.name in [r.name for r in relations[:number]]:
            raise at(
                relation.span,
                f"{quote_name(relation.name)} cannot be joined with itself",
                "PLAN-SELF-JOIN",
                "declare it a second time over the same topic, under another name",
            )
    return _joined(planner, join, query)


def _flatten(relation: ast.Relation) -> list[ast.SourceRef]:
    match relation:
        case ast.Join(left=left, right=right):
            return [*_flatten(left), *_flatten(right)]
        case ast.SourceRef():
            return [relation]
    raise NotSupportedError("a subquery in FROM of a query that keeps running", span=relation.span)


def _joined(planner: SelectPlanner, relation: ast.Relation, query: ast.Select) -> Flow:
    if not isinstance(relation, ast.Join):
        assert isinstance(relation, ast.SourceRef)
        return _named(planner.source_flow(relation, query), relation)
    left = _joined(planner, relation.left, query)
    right = _joined(planner, relation.right, query)
    right = _moved(left, right)
    _check_kinds(planner, relation, left, right)
    condition = take_apart(relation, left.scope, right.scope, planner.env)
    if left.kind == STREAM and right.kind == STREAM:
        flow = _stream_stream(planner, relation, left, right, condition)
    elif left.kind == STREAM:
        flow = _stream_table(planner, relation, left, right, condition)
    else:
        flow = _table_table(planner, relation, left, right, condition, query)
    for rest in condition.rest:
        flow.builder.filter(compile_filter(rest, flow.scope.in_clause("JOIN ON"), planner.env))
        flow.titles.append(f"filter {to_sql(rest)}")
    return flow


def _named(flow: Flow, relation: ast.SourceRef) -> Flow:
    """The flow of one source with its columns called ALIAS_COLUMN, pseudo columns that it has included."""
    alias = relation.alias or relation.name
    outputs: list[Output] = []
    columns: list[ScopeColumn] = []
    available = set(flow.builder.schema.names)
    for column in flow.scope.columns:
        source = column.sql
        if not column.is_hidden and column.sql.startswith('"') and physical(column.name) not in available:
            continue
        if column.is_hidden and column.sql.strip('"') not in available:
            continue
        name = f"{alias}_{column.short}"
        ref = ast.ColumnRef(column.short, alias)
        outputs.append(Output(physical(name), Compiled(source, source, column.type, ref)))
        columns.append(replace(column, name=name, sql=column_sql(name)))
    flow.builder.project(outputs)
    flow.titles.append(f"as {quote_name(alias)}")
    flow.scope = Scope(tuple(columns))
    flow.key = tuple(KeyColumn(ast.ColumnRef(f"{alias}_{k.name}"), f"{alias}_{k.name}") for k in flow.key)
    return flow


def _moved(left: Flow, right: Flow) -> Flow:
    """The right flow as part of the left one's graph."""
    shift = len(left.graph.nodes)
    for node in right.graph.nodes:
        left.graph.add(node.spec, *(i + shift for i in node.inputs))
    right.graph = left.graph
    right.node += shift
    return right


def _check_kinds(planner: SelectPlanner, join: ast.Join, left: Flow, right: Flow) -> None:
    span = join.span
    if left.kind == TABLE and right.kind == STREAM:
        raise at(span, "a table cannot be joined with a stream on its right", "PLAN-JOIN", "swap the sides")
    both_streams = left.kind == STREAM and right.kind == STREAM
    if both_streams and join.within is None:
        raise at(span, "a join of two streams needs WITHIN", "PLAN-JOIN", "JOIN .. WITHIN 1 HOUR ON ..")
    if not both_streams and join.within is not None:
        raise at(join.within.span, "WITHIN is for joins of two streams", "PLAN-JOIN")
    if left.kind == STREAM and right.kind == TABLE and join.kind in ("RIGHT", "FULL"):
        raise at(span, f"a stream and a table cannot be {join.kind} joined: only INNER and LEFT", "PLAN-JOIN")
    if (left.window is None) != (right.window is None):
        raise at(span, "a windowed source can only be joined with a windowed one", "PLAN-JOIN")
    if left.window and right.window and left.window.is_session != right.window.is_session:
        raise at(span, "session windows can only be joined with session windows", "PLAN-JOIN")
    for name in (left.sources[-1], right.sources[0]):
        info: SourceInfo = planner.env.catalog.source(name)
        if info.value_format.name == "KAFKA":
            raise at(
                span,
                f"{info.title} has KAFKA values: it cannot be joined",
                "PLAN-JOIN",
                "use another VALUE_FORMAT",
            )


def _is_primary_key(flow: Flow, side: Side) -> bool:
    """Whether a table is joined on its key: the key column itself, or one that is equal to it."""
    return len(flow.key) == 1 and (
        side.expression == flow.key[0].expression or side.expression in flow.joined_on
    )


def _with_keys(
    flow: Flow, sides: Sequence[Side], names: Sequence[str], window: WindowedKey | None = None
) -> int:
    """Add what is joined on as columns of these names; gives the node to join.

    window  of the other side: time windows are equal if they begin together, whatever their sizes
    """
    passing = [
        f for f in flow.builder.schema if not f.name.startswith("$") and not f.name.startswith(JOIN_KEY)
    ]
    keys = [Output(name, side.value) for name, side in zip(names, sides, strict=True)]
    outputs = [
        Output(
            f.name,
            Compiled(duckdb_name(f.name), duckdb_name(f.name), flow.type_of(f.name), sides[0].expression),
        )
        for f in passing
    ]
    meta: list[Output] = []
    if window is not None and window.size_ms is not None:
        end = f"{duckdb_name(WINDOW_START)} + {window.size_ms}"
        meta.append(Output(WINDOW_END, Compiled(end, end, BIGINT, sides[0].expression)))
    flow.builder.project([*keys, *outputs], meta=meta)
    flow.titles.append(f"join key {', '.join(to_sql(side.expression) for side in sides)}")
    return flow.close_stage()


def _key_names(count: int) -> tuple[str, ...]:
    return (JOIN_KEY, *(f"{JOIN_KEY}_{number}" for number in range(1, count)))


def _joined_on(kind: str, left: Flow, sides: tuple[Side, Side]) -> tuple[ast.Expression, ...]:
    """What is equal to the result's key, in source order; after a FULL join nothing is."""
    if kind == "FULL":
        return ()
    before = left.joined_on if sides[0].expression in left.joined_on else ()
    return tuple(dict.fromkeys((*before, sides[0].expression, sides[1].expression)))


def _result(
    planner: SelectPlanner,
    join: ast.Join,
    left: Flow,
    right: Flow,
    node: int,
    kind: str,
    sides: tuple[Side, Side],
) -> Flow:
    """The flow after a join: columns of both sides, and the join key as a column of its own.

    kind  STREAM or TABLE
    """
    columns = [c for c in (*left.scope.columns, *right.scope.columns) if c.name != JOIN_KEY]
    left.joined_on = _joined_on(join.kind, left, sides)
    left.equal_to_key = tuple(e for e in left.joined_on if isinstance(e, ast.ColumnRef))
    left.sources = (*left.sources, *right.sources)
    synthetic = _synthetic_name(planner, left.sources)
    is_synthetic = not left.equal_to_key
    key = ScopeColumn(
        JOIN_KEY,
        column_sql(JOIN_KEY),
        sides[0].value.type,
        None,
        synthetic if is_synthetic else "",
        is_key=True,
        is_hidden=not is_synthetic,
    )
    left.scope = Scope((key, *columns) if is_synthetic else (*columns, key))
    left.kind = kind
    left.take(node, left.graph.nodes[node].spec.output)
    left.key = (KeyColumn(ast.ColumnRef(JOIN_KEY), synthetic),)
    left.has_old_rows = kind == TABLE
    left.is_join = True
    return left


def _synthetic_name(planner: SelectPlanner, sources: Sequence[str]) -> str:
    """ROWKEY, or ROWKEY_1 and so on if a source has a column of that name."""
    taken = {c.name for name in sources for c in planner.env.catalog.source(name).schema.columns}
    names = ("ROWKEY" if number == 0 else f"ROWKEY_{number}" for number in range(len(taken) + 1))
    return next(name for name in names if name not in taken)


def _stream_table(
    planner: SelectPlanner, join: ast.Join, left: Flow, right: Flow, condition: Condition
) -> Flow:
    sides = _with_primary_key_first(join, left, right, condition)
    left_keys, right_keys = _key_names(len(sides)), tuple(f"KSQL_TABLE_KEY_{n}" for n in range(len(sides)))
    left_node = _with_keys(left, [s[0] for s in sides], left_keys)
    right_node = _with_keys(right, [s[1] for s in sides], right_keys, left.window)
    bounds = _BOUNDS if left.window else ()
    spec = StreamTableJoin(
        left.builder.schema,
        right.builder.schema,
        left_keys + bounds,
        right_keys + bounds,
        keeps_unmatched=join.kind == "LEFT",
    )
    node = left.graph.add(spec, left_node, right_node)
    return _result(planner, join, left, right, node, STREAM, sides[0])


def _table_table(
    planner: SelectPlanner,
    join: ast.Join,
    left: Flow,
    right: Flow,
    condition: Condition,
    query: ast.Select,
) -> Flow:
    sides = _with_primary_key_first(join, left, right, condition)
    if len(sides) > 1:
        raise NotSupportedError("a join of tables on several columns", span=join.condition.span)
    if not _is_primary_key(left, sides[0][0]):
        is_counted = query.group_by is not None or any(planner.is_aggregate(n) for n in nodes(query.items))
        return _foreign_key(join, left, right, sides[0], is_counted=is_counted)
    left_node = _with_keys(left, [sides[0][0]], (JOIN_KEY,))
    right_node = _with_keys(right, [sides[0][1]], (JOIN_KEY,), left.window)
    bounds = _BOUNDS if left.window else ()
    keys = (JOIN_KEY, *bounds)
    spec = TableTableJoin(left.builder.schema, right.builder.schema, keys, join.kind, emit_old=True)
    node = left.graph.add(spec, left_node, right_node)
    return _result(planner, join, left, right, node, TABLE, sides[0])


def _foreign_key(
    join: ast.Join, left: Flow, right: Flow, sides: tuple[Side, Side], *, is_counted: bool
) -> Flow:
    """A join of tables in which the left rows keep their key.

    is_counted  an aggregation follows
    """
    span = join.condition.span
    if join.kind in ("RIGHT", "FULL"):
        raise at(
            span, f"a {join.kind} join on a foreign key is not possible: only INNER and LEFT", "PLAN-JOIN"
        )
    if left.window or right.window:
        raise at(span, "windowed tables cannot be joined on a foreign key", "PLAN-JOIN")
    if left.is_join:
        raise at(
            span,
            "a join on a foreign key must be the first of several joins",
            "PLAN-JOIN",
            "write the first joins' result into a table of its own, and join that",
        )
    left_node = _with_keys(left, [sides[0]], (JOIN_KEY,))
    right_node = _with_keys(right, [sides[1]], ("KSQL_TABLE_KEY",))
    assert all(isinstance(k.expression, ast.ColumnRef) for k in left.key)
    spec = ForeignKeyJoin(
        left.builder.schema,
        right.builder.schema,
        tuple(physical(k.name) for k in left.key),
        JOIN_KEY,
        "KSQL_TABLE_KEY",
        keeps_unmatched=join.kind == "LEFT",
        tells_all_deletes=not is_counted,
    )
    node = left.graph.add(spec, left_node, right_node)
    left.scope = Scope((*left.scope.columns, *right.scope.columns))
    left.sources = (*left.sources, *right.sources)
    left.take(node, spec.output)
    left.has_old_rows = True
    left.is_join = True
    return left


def _with_primary_key_first(
    join: ast.Join, left: Flow, right: Flow, condition: Condition
) -> tuple[tuple[Side, Side], ...]:
    """The equalities that cover the right table's primary key.

    raises  PlanError if they do not, or if others are there as well
    """
    keys = [k.expression for k in right.key]
    covering = [s for s in condition.equalities if s[1].expression in keys or _is_primary_key(right, s[1])]
    names = ", ".join(to_sql(k) for k in keys)
    if len(covering) < max(1, len(keys)):
        given = ", ".join(to_sql(s[1].expression) for s in condition.equalities)
        raise at(
            join.condition.span,
            f"the table on the right is joined on its primary key, {names}, not on {given}",
            "PLAN-JOIN",
        )
    if len(covering) < len(condition.equalities):
        raise NotSupportedError(
            f"a join with a table on its primary key, {names}, and on other columns",
            span=join.condition.span,
            hint="put the rest into WHERE",
        )
    return tuple(covering)


def _stream_stream(
    planner: SelectPlanner, join: ast.Join, left: Flow, right: Flow, condition: Condition
) -> Flow:
    assert join.within is not None
    before, after = duration_ms(join.within.before), duration_ms(join.within.after)
    grace = None if join.within.grace is None else duration_ms(join.within.grace)
    sides = condition.equalities
    for flow, side in ((left, sides[0][0]), (right, sides[0][1])):
        if flow.window is not None and not _is_primary_key(flow, side):
            raise at(
                side.expression.span,
                "a windowed source is joined on its key: it cannot be re-keyed",
                "PLAN-JOIN",
            )
    names = _key_names(len(sides))
    left_node = _with_keys(left, [s[0] for s in sides], names)
    right_node = _with_keys(right, [s[1] for s in sides], names, left.window)
    if join.kind == "RIGHT":
        # ksqlDB runs a RIGHT JOIN as a LEFT JOIN with the sides, but not the window, turned around.
        before, after = after, before
    spec = StreamStreamJoin(
        left.builder.schema,
        right.builder.schema,
        names + (_BOUNDS if left.window else ()),
        join.kind,
        before,
        after,
        default_grace_ms(before + after) if grace is None else grace,
        is_eager=grace is None,
    )
    node = left.graph.add(spec, left_node, right_node)
    return _result(planner, join, left, right, node, STREAM, sides[0])
