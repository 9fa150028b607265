"""Hypothesis strategies for syntax trees: every node kind, with names and literals that are hard to print.

Only trees that the grammar can make are built: joins lean left, sides of set operations have no frame,
and so on; the depth is small, the variety large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from streamsql.grammar import ast
from streamsql.grammar.names import RESERVED, UNIT_FUNCTIONS

T = TypeVar("T")

# Words that are keywords somewhere, odd letters, quotes and digits: all are names when quoted.
NAMES = st.one_of(
    st.sampled_from(
        ["A", "B", "PAGE", "USER_ID", "X@1", "_", "1ST", "1E5", "12", "00", "2E", "é", "a", "Mixed"]
    ),
    st.sampled_from(sorted(RESERVED)),
    st.sampled_from(
        """EMIT CHANGES FINAL PARTITION ORDER UNION INTERSECT EXCEPT OFFSET OVER NULLS ESCAPE SESSION
        ARRAY MAP STRUCT IF KEY PRIMARY HEADERS HEADER COLUMN ADD TABLES FUNCTION SHOW ALTER
        EXPLAIN SET DEFINE ASSERT OF TIMESTAMP TIME ZONE DAY HOUR MINUTE SECOND MONTH YEAR
        INTERVAL ID SUBJECT TIMEOUT GRACE PERIOD ROWS RANGE GROUPS ASC DESC FIRST LAST SCHEMA
        SYSTEM TYPE SOURCE SINK INT STRING""".split()
    ),
    st.text(min_size=1, max_size=4),
)
TEXTS = st.one_of(
    st.text(max_size=6), st.sampled_from(["'", "''", "--", "/*", ";", "${x}", "\n", "\\", "🙂"])
)
COUNTS = st.integers(0, 2**63 - 1)


def named(strategy: SearchStrategy[T]) -> SearchStrategy[T]:
    """The same strategy with a short repr: hypothesis warns of those that spell out all they hold."""

    @st.composite
    def drawn(draw: st.DrawFn) -> T:
        return draw(strategy)

    return drawn()


def several(of: SearchStrategy[T], least: int = 0, most: int = 2) -> SearchStrategy[tuple[T, ...]]:
    return st.lists(of, min_size=least, max_size=most).map(tuple)


def maybe(of: SearchStrategy[T]) -> SearchStrategy[T | None]:
    return st.one_of(st.none(), of)


# --- types --------------------------------------------------------------------------------------

# The parser resolves synonyms, so a tree never holds them.
NAMED_TYPES = st.one_of(
    st.sampled_from(["INTEGER", "VARCHAR", "BOOLEAN"]), NAMES.filter(lambda n: n not in ("INT", "STRING"))
).map(ast.NamedType)
DECIMALS = st.tuples(st.integers(1, 40), st.integers(0, 40)).map(lambda p: ast.NamedType("DECIMAL", p))
TYPES: SearchStrategy[ast.TypeNode] = named(
    st.recursive(
        st.one_of(NAMED_TYPES, DECIMALS),
        lambda inner: st.one_of(
            inner.map(ast.ArrayType),
            st.builds(ast.MapType, inner, inner),
            several(st.tuples(NAMES, inner)).map(ast.StructType),
        ),
        max_leaves=4,
    )
)


# --- literals -----------------------------------------------------------------------------------

DECIMAL_TEXTS = st.from_regex(r"-?(?:[0-9]{1,5}\.[0-9]{0,5}|\.[0-9]{1,5})", fullmatch=True)
LITERALS: SearchStrategy[ast.Expression] = st.one_of(
    TEXTS.map(ast.StringLiteral),
    st.integers(-(2**63), 2**63 - 1).map(ast.IntegerLiteral),
    DECIMAL_TEXTS.map(ast.DecimalLiteral),
    st.floats(allow_nan=False, allow_infinity=False).map(ast.DoubleLiteral),
    st.booleans().map(ast.BooleanLiteral),
    st.just(ast.NullLiteral()),
)
COLUMNS = st.builds(ast.ColumnRef, NAMES, maybe(NAMES))

# --- expressions, queries -----------------------------------------------------------------------

UNITS = st.sampled_from(["MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY"])
DURATIONS = st.builds(ast.Duration, COUNTS, UNITS)
COMPARISONS = ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]
FRAMES = ["ROWS 3 PRECEDING", "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", "GROUPS CURRENT ROW"]

Expressions = SearchStrategy[ast.Expression]


def calls(inner: Expressions) -> SearchStrategy[ast.FunctionCall]:
    argument = st.one_of(
        inner,
        st.builds(ast.Lambda, several(NAMES, 1), inner),
        st.sampled_from(["DAY", "HOUR", "MONTH", "YEAR"]).map(ast.TimeUnit),
    )
    return st.one_of(
        st.builds(ast.FunctionCall, NAMES, several(argument)),
        # In these a bare DAY is a unit, so a column DAY must be told apart.
        st.builds(ast.FunctionCall, st.sampled_from(sorted(UNIT_FUNCTIONS)), several(argument)),
        NAMES.map(lambda name: ast.FunctionCall(name, (), True)),
    )


def order_items(inner: Expressions) -> SearchStrategy[ast.OrderItem]:
    return st.builds(ast.OrderItem, inner, st.booleans(), st.sampled_from([None, "FIRST", "LAST"]))


def operators(inner: Expressions) -> Expressions:
    """Everything one level above `inner` that holds no query."""
    flag = st.booleans()
    return st.one_of(
        st.builds(ast.FieldRef, inner, NAMES),
        st.builds(ast.Subscript, inner, inner),
        calls(inner),
        # The parser reads a minus before digits as a part of the literal, never as an operator.
        st.builds(ast.Unary, st.sampled_from(["-", "+"]), inner),
        st.builds(ast.Binary, st.sampled_from(["+", "-", "*", "/", "%", "||"]), inner, inner),
        st.builds(ast.Comparison, st.sampled_from(COMPARISONS), inner, inner),
        st.builds(ast.Logical, st.sampled_from(["AND", "OR"]), inner, inner),
        st.builds(ast.Not, inner),
        st.builds(ast.Between, inner, inner, inner, flag),
        st.builds(ast.In, inner, several(inner, 1), flag),
        st.builds(ast.Like, inner, inner, maybe(st.characters(codec="utf-8")), flag),
        st.builds(ast.IsNull, inner, flag),
        st.builds(ast.Case, several(st.builds(ast.When, inner, inner), 1), maybe(inner), maybe(inner)),
        st.builds(ast.Cast, inner, TYPES),
        st.builds(ast.AtTimeZone, inner, inner),
        several(inner).map(ast.ArrayConstructor),
        several(st.tuples(inner, inner)).map(ast.MapConstructor),
        several(st.tuples(NAMES, inner)).map(ast.StructConstructor),
        st.builds(
            ast.WindowFunction,
            calls(inner),
            several(inner),
            several(order_items(inner)),
            st.sampled_from([None, *FRAMES]),
        ),
    )


SIMPLE: Expressions = named(st.recursive(st.one_of(LITERALS, COLUMNS), operators, max_leaves=4))


def joins(sources: SearchStrategy[ast.Relation]) -> SearchStrategy[ast.Relation]:
    """One source, or up to three joined from the left."""
    step = st.tuples(
        st.sampled_from(["INNER", "LEFT", "RIGHT", "FULL"]),
        sources,
        SIMPLE,
        maybe(st.builds(ast.Within, DURATIONS, DURATIONS, maybe(DURATIONS))),
    )

    def fold(
        parts: tuple[ast.Relation, Sequence[tuple[str, ast.Relation, ast.Expression, ast.Within | None]]],
    ) -> ast.Relation:
        relation, steps = parts
        for kind, right, condition, within in steps:
            relation = ast.Join(kind, relation, right, condition, within)
        return relation

    return st.tuples(sources, st.lists(step, max_size=2)).map(fold)


WINDOWS = st.one_of(
    st.builds(
        ast.Window,
        st.sampled_from(["TUMBLING", "SESSION"]),
        DURATIONS,
        st.none(),
        maybe(DURATIONS),
        maybe(DURATIONS),
        maybe(NAMES),
    ),
    st.builds(
        ast.Window, st.just("HOPPING"), DURATIONS, DURATIONS, maybe(DURATIONS), maybe(DURATIONS), maybe(NAMES)
    ),
)


def bodies(sources: SearchStrategy[ast.Relation], expressions: Expressions) -> SearchStrategy[ast.Query]:
    """SELECTs without a frame, and set operations of them."""
    item: SearchStrategy[ast.SelectItem] = st.one_of(
        st.builds(ast.SelectExpression, expressions, maybe(NAMES)),
        maybe(NAMES).map(ast.SelectAll),
        expressions.map(ast.SelectStructAll),
    )
    selects: SearchStrategy[ast.Query] = st.builds(
        ast.Select,
        items=several(item, 1),
        relation=joins(sources),
        window=maybe(WINDOWS),
        where=maybe(expressions),
        group_by=maybe(several(expressions)),
        partition_by=maybe(several(expressions)),
        having=maybe(expressions),
        is_distinct=st.booleans(),
    )
    return st.recursive(
        selects,
        lambda side: st.builds(
            ast.SetOperation,
            op=st.sampled_from(["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]),
            left=side,
            right=side,
        ),
        max_leaves=3,
    )


def framed(
    body: SearchStrategy[ast.Query], ctes: SearchStrategy[tuple[ast.CommonTable, ...]]
) -> SearchStrategy[ast.Query]:
    def frame(
        query: ast.Query,
        tables: tuple[ast.CommonTable, ...],
        order_by: tuple[ast.OrderItem, ...],
        emit: str | None,
        limit: int | None,
        offset: int | None,
    ) -> ast.Query:
        return replace(query, ctes=tables, order_by=order_by, emit=emit, limit=limit, offset=offset)

    emits = st.sampled_from([None, "CHANGES", "FINAL"])
    return st.builds(frame, body, ctes, several(order_items(SIMPLE)), emits, maybe(COUNTS), maybe(COUNTS))


SOURCES: SearchStrategy[ast.Relation] = st.builds(
    ast.SourceRef,
    NAMES,
    maybe(NAMES),
    maybe(st.builds(ast.AsOf, st.sampled_from(["TIMESTAMP", "OFFSET"]), SIMPLE)),
)
FLAT = named(framed(bodies(SOURCES, SIMPLE), st.just(())))
WITH_SUBQUERIES: Expressions = st.one_of(
    SIMPLE,
    FLAT.map(ast.ScalarSubquery),
    FLAT.map(ast.Exists),
    st.builds(ast.InSubquery, SIMPLE, FLAT, st.booleans()),
)
EXPRESSIONS: Expressions = named(st.one_of(WITH_SUBQUERIES, operators(WITH_SUBQUERIES)))
QUERIES = named(
    framed(
        bodies(st.one_of(SOURCES, st.builds(ast.SubqueryRef, FLAT, maybe(NAMES))), EXPRESSIONS),
        several(st.builds(ast.CommonTable, NAMES, FLAT), most=2),
    )
)

# --- statements ---------------------------------------------------------------------------------

KINDS = st.sampled_from(["STREAM", "TABLE"])
# A string keeps its case, and so can be any text; most are plain words.
PROPERTY = st.builds(ast.Property, st.one_of(NAMES, st.text()), LITERALS)
PROPERTIES = several(PROPERTY)
VALUES = several(EXPRESSIONS)
FLAG = st.booleans()


def columns(kind: str) -> SearchStrategy[tuple[ast.ColumnDefinition, ...]]:
    key = "KEY" if kind == "STREAM" else "PRIMARY KEY"
    plain = st.builds(ast.ColumnDefinition, NAMES, TYPES, st.sampled_from(["", key, "HEADERS"]))
    header = st.builds(ast.ColumnDefinition, NAMES, TYPES, st.just("HEADER"), TEXTS)
    return several(st.one_of(plain, header))


def create_source(kind: str) -> SearchStrategy[ast.Statement]:
    return st.builds(ast.CreateSource, st.just(kind), NAMES, columns(kind), PROPERTIES, FLAG, FLAG, FLAG)


def assert_source(kind: str) -> SearchStrategy[ast.Statement]:
    return st.builds(ast.AssertSource, st.just(kind), NAMES, columns(kind), PROPERTIES)


TIMEOUTS = maybe(DURATIONS)
PLAIN_COLUMNS = st.builds(ast.ColumnDefinition, NAMES, TYPES)

STATEMENTS: dict[type[ast.Statement], SearchStrategy[ast.Statement]] = {
    ast.AlterSource: st.builds(ast.AlterSource, KINDS, NAMES, several(PLAIN_COLUMNS, 1)),
    ast.AlterSystem: st.builds(ast.AlterSystem, TEXTS, TEXTS),
    ast.AlterTopic: st.builds(ast.AlterTopic, st.one_of(NAMES, TEXTS), several(PROPERTY, 1)),
    ast.AssertSchema: st.one_of(
        st.builds(ast.AssertSchema, TEXTS, maybe(COUNTS), TIMEOUTS, FLAG),
        st.builds(ast.AssertSchema, st.none(), COUNTS, TIMEOUTS, FLAG),
    ),
    ast.AssertSource: KINDS.flatmap(assert_source),
    ast.AssertTopic: st.builds(ast.AssertTopic, st.one_of(NAMES, TEXTS), PROPERTIES, TIMEOUTS, FLAG),
    ast.AssertValues: st.builds(ast.AssertValues, NAMES, VALUES, maybe(several(NAMES, 1)), FLAG),
    ast.CreateAsSelect: st.builds(ast.CreateAsSelect, KINDS, NAMES, FLAT, PROPERTIES, FLAG, FLAG),
    ast.CreateConnector: st.builds(
        ast.CreateConnector, st.sampled_from(["SOURCE", "SINK"]), NAMES, PROPERTIES, FLAG
    ),
    ast.CreateSource: KINDS.flatmap(create_source),
    ast.CreateType: st.builds(ast.CreateType, NAMES, TYPES, FLAG),
    ast.Define: st.builds(ast.Define, NAMES, TEXTS),
    ast.Describe: st.one_of(
        st.builds(ast.Describe, st.just("SOURCE"), NAMES, FLAG),
        st.builds(ast.Describe, st.sampled_from(["FUNCTION", "CONNECTOR"]), NAMES),
        st.builds(ast.Describe, st.sampled_from(["STREAMS", "TABLES"]), st.just(""), FLAG),
    ),
    ast.DropConnector: st.builds(ast.DropConnector, NAMES, FLAG),
    ast.DropSource: st.builds(ast.DropSource, KINDS, NAMES, FLAG, FLAG),
    ast.DropType: st.builds(ast.DropType, NAMES, FLAG),
    ast.InsertSelect: st.builds(ast.InsertSelect, NAMES, FLAT, PROPERTIES),
    ast.InsertValues: st.builds(ast.InsertValues, NAMES, several(VALUES, 1), maybe(several(NAMES, 1))),
    ast.PrintTopic: st.builds(ast.PrintTopic, st.one_of(NAMES, TEXTS), FLAG, maybe(COUNTS), maybe(COUNTS)),
    ast.QueryControl: st.builds(
        ast.QueryControl, st.sampled_from(["TERMINATE", "PAUSE", "RESUME"]), maybe(NAMES)
    ),
    ast.QueryStatement: QUERIES.map(ast.QueryStatement),
    ast.RunScript: TEXTS.map(ast.RunScript),
    ast.SetProperty: st.builds(ast.SetProperty, TEXTS, TEXTS),
    ast.Show: st.one_of(
        st.builds(ast.Show, st.sampled_from(["STREAMS", "TABLES", "QUERIES"]), FLAG),
        st.builds(ast.Show, st.just("TOPICS"), FLAG, FLAG),
        st.builds(
            ast.Show,
            st.sampled_from(
                ["FUNCTIONS", "PROPERTIES", "TYPES", "VARIABLES", "CONNECTORS", "SOURCE CONNECTORS"]
                + ["SINK CONNECTORS", "CONNECTOR PLUGINS", "CONSUMER GROUPS"]
            ),
        ),
    ),
    ast.Undefine: NAMES.map(ast.Undefine),
    ast.UnsetProperty: TEXTS.map(ast.UnsetProperty),
}
STATEMENTS[ast.Explain] = st.one_of(
    st.one_of(*STATEMENTS.values()).map(ast.Explain), NAMES.map(lambda name: ast.Explain(None, name))
)

SCRIPTS = named(st.lists(st.one_of(*STATEMENTS.values()), max_size=3))
