"""The key of a join: what both sides agree on, as columns to join by, and as the key of the result."""

from __future__ import annotations

from collections.abc import Sequence

from streamsql.engine.batch import WINDOW_END, WINDOW_START
from streamsql.engine.windowed_keys import WindowedKey
from streamsql.grammar import ast
from streamsql.grammar.printer import to_sql
from streamsql.plan.compiled import Compiled
from streamsql.plan.flow import Flow, first_free, source_names
from streamsql.plan.items import KeyColumn
from streamsql.plan.join_conditions import Equality, Side
from streamsql.plan.scope import Scope, ScopeColumn, column_sql
from streamsql.plan.stages import Output
from streamsql.types import BIGINT, duckdb_name

JOIN_KEY = "KSQL_JOIN_KEY"
BOUNDS = (WINDOW_START, WINDOW_END)


def key_names(count: int) -> tuple[str, ...]:
    """What the key columns of a join are called."""
    return (JOIN_KEY, *(f"{JOIN_KEY}_{number}" for number in range(1, count)))


def with_keys(
    flow: Flow,
    sides: Sequence[Side],
    names: Sequence[str],
    window: WindowedKey | None = None,
    *,
    keeps_key: bool = False,
) -> int:
    """Add what is joined on as columns of these names; gives the node to join.

    window     of the other side: time windows are equal if they begin together, whatever their sizes
    keeps_key  the key of an earlier join stays
    """
    passing = [n for n in flow.passing if keeps_key or not n.startswith(JOIN_KEY)]
    node = sides[0].expression
    outputs = [Output(name, side.value) for name, side in zip(names, sides, strict=True)]
    outputs += [
        Output(name, Compiled(duckdb_name(name), duckdb_name(name), flow.type_of(name), node))
        for name in passing
    ]
    meta: list[Output] = []
    if window is not None and window.size_ms is not None and flow.window is not None:
        end = f"{duckdb_name(WINDOW_START)} + {window.size_ms}"
        meta.append(Output(WINDOW_END, Compiled(end, end, BIGINT, node)))
    flow.builder.project(outputs, meta=meta)
    flow.titles.append(f"join key {', '.join(to_sql(side.expression) for side in sides)}")
    return flow.close_stage()


def joined(join: ast.Join, left: Flow, right: Flow, node: int, kind: str, pairs: Sequence[Equality]) -> Flow:
    """The flow after a join: columns of both sides, and the join's key as columns of their own.

    kind   STREAM or TABLE
    pairs  what the key of the result consists of
    """
    names = left.names | right.names
    keys = [_key(join, left, pair, name) for pair, name in zip(pairs, key_names(len(pairs)), strict=True)]
    taken = set(names)
    columns: list[ScopeColumn] = []
    for number, (pair, key) in enumerate(zip(pairs, keys, strict=True)):
        synthetic = first_free("ROWKEY", taken)
        taken.add(synthetic)
        keys[number] = KeyColumn(key.expression, synthetic, key.equal, key.viable)
        columns.append(
            ScopeColumn(
                key.column,
                column_sql(key.column),
                pair.left.value.type,
                None,
                "" if key.viable else synthetic,
                is_key=True,
                is_hidden=bool(key.viable),
            )
        )
    others = [c for c in (*left.scope.columns, *right.scope.columns) if not c.name.startswith(JOIN_KEY)]
    shown = [c for c in columns if not c.is_hidden]
    left.scope = Scope((*shown, *others, *(c for c in columns if c.is_hidden)))
    left.key = tuple(keys)
    left.sources, left.names = source_names((left, right)), names
    left.kind, left.has_old_rows, left.is_final = kind, kind == "TABLE", False
    left.is_spread = True
    left.take(node, left.graph.nodes[node].spec.output)
    return left


def _key(join: ast.Join, left: Flow, pair: Equality, name: str) -> KeyColumn:
    """A key column of the result: which expressions are equal to it, and which columns may stand for it."""
    ours, theirs = pair.left.expression, pair.right.expression
    before = next((k for k in left.key if ours in (*k.viable, *k.equal)), None)
    viable: tuple[ast.Expression, ...] = ()
    if join.kind != "FULL":
        found = (*(before.viable if before else ()), ours, theirs)
        viable = tuple(dict.fromkeys(e for e in found if isinstance(e, ast.ColumnRef)))
    of_left = (ours, *(before.equal if before and before.is_given_by(ours) else ()))
    equal = {
        "INNER": (*of_left, theirs),
        "LEFT": of_left,
        "RIGHT": (theirs,),
        "FULL": (_coalesced(ours, theirs), _coalesced(theirs, ours)),
    }[join.kind]
    return KeyColumn(ast.ColumnRef(name), name, tuple(dict.fromkeys(equal)), viable)


def _coalesced(first: ast.Expression, second: ast.Expression) -> ast.Expression:
    """What the key of a FULL join is in terms of its sides."""
    parts: list[ast.Expression] = []
    for part in (first, second):
        is_coalesced = isinstance(part, ast.FunctionCall) and part.name == "COALESCE"
        parts += part.arguments if is_coalesced and isinstance(part, ast.FunctionCall) else [part]
    return ast.FunctionCall("COALESCE", tuple(parts))
