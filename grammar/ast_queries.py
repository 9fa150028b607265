"""Nodes of the syntax tree: SELECTs, what stands in their clauses, and what they are put together to."""

from __future__ import annotations

from dataclasses import dataclass

from streamsql.grammar.ast_expressions import Expression, Node, OrderItem


@dataclass(frozen=True, slots=True)
class SelectItem(Node):
    """One entry of the SELECT list."""


@dataclass(frozen=True, slots=True)
class SelectExpression(SelectItem):
    expression: Expression
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class SelectAll(SelectItem):
    """`*` or `qualifier.*`."""

    qualifier: str | None = None


@dataclass(frozen=True, slots=True)
class SelectStructAll(SelectItem):
    """`expression->*`."""

    base: Expression


@dataclass(frozen=True, slots=True)
class Relation(Node):
    """Something in FROM."""


@dataclass(frozen=True, slots=True)
class AsOf(Node):
    """`AS OF TIMESTAMP '..'` or `AS OF OFFSET n` after a source and its alias. kind: TIMESTAMP or OFFSET."""

    kind: str
    value: Expression


@dataclass(frozen=True, slots=True)
class SourceRef(Relation):
    name: str
    alias: str | None = None
    as_of: AsOf | None = None


@dataclass(frozen=True, slots=True)
class SubqueryRef(Relation):
    query: Query
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Duration(Node):
    """`n unit`: as written, but the unit singular and upper case: DAY, HOUR, MINUTE, SECOND, MILLISECOND."""

    amount: int
    unit: str


@dataclass(frozen=True, slots=True)
class Within(Node):
    """WITHIN n unit (before == after) or WITHIN (before, after), with GRACE PERIOD or None."""

    before: Duration
    after: Duration
    grace: Duration | None = None


@dataclass(frozen=True, slots=True)
class Join(Relation):
    """`left kind JOIN right [WITHIN] ON condition`; left-deep. kind: INNER, LEFT, RIGHT or FULL."""

    kind: str
    left: Relation
    right: Relation
    condition: Expression
    within: Within | None = None


@dataclass(frozen=True, slots=True)
class Window(Node):
    """WINDOW clause. kind: TUMBLING, HOPPING or SESSION.

    size     length of a time window, or the gap of a session
    advance  only HOPPING
    """

    kind: str
    size: Duration
    advance: Duration | None = None
    retention: Duration | None = None
    grace: Duration | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class CommonTable(Node):
    """`name AS (query)` in a WITH list."""

    name: str
    query: Query


@dataclass(frozen=True, slots=True)
class Query(Node):
    """A SELECT or a set operation of several.

    emit  'CHANGES', 'FINAL' or None (a pull query when it stands alone)
    """

    emit: str | None = None
    order_by: tuple[OrderItem, ...] = ()
    limit: int | None = None
    offset: int | None = None
    ctes: tuple[CommonTable, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Select(Query):
    items: tuple[SelectItem, ...]
    relation: Relation
    window: Window | None = None
    where: Expression | None = None
    group_by: tuple[Expression, ...] | None = None
    partition_by: tuple[Expression, ...] | None = None
    having: Expression | None = None
    is_distinct: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOperation(Query):
    """op: 'UNION', 'UNION ALL', 'INTERSECT' or 'EXCEPT'. The sides carry no EMIT, ORDER BY or LIMIT."""

    op: str
    left: Query
    right: Query
