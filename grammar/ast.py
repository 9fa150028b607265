"""The syntax tree: frozen nodes, each with the span of the text it came from.

Names are stored as they mean, not as they were typed: an unquoted `views` is "VIEWS", a quoted
`` `views` `` is "views". Spans do not take part in equality, so that a tree that was printed and
read again equals the first one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streamsql.errors import Span

_NOWHERE = Span(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Anything in the tree. `span` counts characters in the text given to the parser."""

    span: Span = field(default=_NOWHERE, compare=False, repr=False)


# --- types as written ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TypeNode(Node):
    """A type as written."""


@dataclass(frozen=True, slots=True)
class NamedType(TypeNode):
    """`BIGINT`, `DECIMAL(10, 2)`, `VARCHAR(STRING)` (parameter dropped), or a custom type's name.

    name        upper case for built-in types, with synonyms resolved: INT -> INTEGER, STRING -> VARCHAR
    parameters  only DECIMAL keeps them: (precision, scale)
    """

    name: str
    parameters: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ArrayType(TypeNode):
    element: TypeNode


@dataclass(frozen=True, slots=True)
class MapType(TypeNode):
    key: TypeNode
    value: TypeNode


@dataclass(frozen=True, slots=True)
class StructType(TypeNode):
    fields: tuple[tuple[str, TypeNode], ...]


# --- expressions --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expression(Node):
    """Anything with a value."""


@dataclass(frozen=True, slots=True)
class StringLiteral(Expression):
    value: str


@dataclass(frozen=True, slots=True)
class IntegerLiteral(Expression):
    """Digits that fit 64 bits, with the sign where the grammar allows a signed literal."""

    value: int


@dataclass(frozen=True, slots=True)
class DecimalLiteral(Expression):
    """`1.50`: the text decides precision and scale; kept without a sign unless written as a literal."""

    text: str


@dataclass(frozen=True, slots=True)
class DoubleLiteral(Expression):
    value: float


@dataclass(frozen=True, slots=True)
class BooleanLiteral(Expression):
    value: bool


@dataclass(frozen=True, slots=True)
class NullLiteral(Expression):
    pass


@dataclass(frozen=True, slots=True)
class ColumnRef(Expression):
    """`name` or `qualifier.name`."""

    name: str
    qualifier: str | None = None


@dataclass(frozen=True, slots=True)
class FieldRef(Expression):
    """`base->field`."""

    base: Expression
    field: str


@dataclass(frozen=True, slots=True)
class Subscript(Expression):
    """`base[index]`: array element (1-based) or map value."""

    base: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class FunctionCall(Expression):
    """`name(args)`; `COUNT(*)` has is_star. A bare time unit argument is a TimeUnit."""

    name: str
    arguments: tuple[Expression, ...] = ()
    is_star: bool = False


@dataclass(frozen=True, slots=True)
class TimeUnit(Expression):
    """A bare time unit as an argument, singular and upper case: MILLISECOND, SECOND, ... DAY."""

    unit: str


@dataclass(frozen=True, slots=True)
class Lambda(Expression):
    """`(a, b) => body`; parameters are folded like identifiers."""

    parameters: tuple[str, ...]
    body: Expression


@dataclass(frozen=True, slots=True)
class Unary(Expression):
    """op: '-' or '+'."""

    op: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Expression):
    """op: '+', '-', '*', '/', '%' or '||'."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Comparison(Expression):
    """op: '=', '<>', '<', '<=', '>', '>=', 'IS DISTINCT FROM' or 'IS NOT DISTINCT FROM'."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Logical(Expression):
    """op: 'AND' or 'OR'."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Not(Expression):
    operand: Expression


@dataclass(frozen=True, slots=True)
class Between(Expression):
    value: Expression
    low: Expression
    high: Expression
    negated: bool = False


@dataclass(frozen=True, slots=True)
class In(Expression):
    value: Expression
    items: tuple[Expression, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Like(Expression):
    value: Expression
    pattern: Expression
    escape: str | None = None
    negated: bool = False


@dataclass(frozen=True, slots=True)
class IsNull(Expression):
    operand: Expression
    negated: bool = False


@dataclass(frozen=True, slots=True)
class When(Node):
    condition: Expression
    result: Expression


@dataclass(frozen=True, slots=True)
class Case(Expression):
    """operand is None in the searched form, `CASE WHEN`."""

    whens: tuple[When, ...]
    default: Expression | None = None
    operand: Expression | None = None


@dataclass(frozen=True, slots=True)
class Cast(Expression):
    operand: Expression
    type: TypeNode


@dataclass(frozen=True, slots=True)
class AtTimeZone(Expression):
    operand: Expression
    zone: Expression


@dataclass(frozen=True, slots=True)
class ArrayConstructor(Expression):
    elements: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class MapConstructor(Expression):
    entries: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True, slots=True)
class StructConstructor(Expression):
    fields: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class ScalarSubquery(Expression):
    query: Query


@dataclass(frozen=True, slots=True)
class InSubquery(Expression):
    value: Expression
    query: Query
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Exists(Expression):
    query: Query


@dataclass(frozen=True, slots=True)
class OrderItem(Node):
    """nulls: 'FIRST', 'LAST' or None for the default (last when ascending)."""

    expression: Expression
    descending: bool = False
    nulls: str | None = None


@dataclass(frozen=True, slots=True)
class WindowFunction(Expression):
    """`call OVER (PARTITION BY .. ORDER BY .. [frame])`, pull queries only.

    frame  the text of a ROWS/RANGE clause with single blanks and upper case, or None
    """

    call: FunctionCall
    partition_by: tuple[Expression, ...] = ()
    order_by: tuple[OrderItem, ...] = ()
    frame: str | None = None


# --- queries ------------------------------------------------------------------------------------


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


# --- statements ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Statement(Node):
    """One statement; its span ends before the ';'."""


@dataclass(frozen=True, slots=True)
class Property(Node):
    """`NAME = literal` in a WITH list. The name is upper case unless it was a string; the value a literal."""

    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class ColumnDefinition(Node):
    """A column of CREATE STREAM/TABLE.

    role    '' (value), 'KEY', 'PRIMARY KEY', 'HEADERS' or 'HEADER'
    header  the header's name, for HEADER('name')
    """

    name: str
    type: TypeNode
    role: str = ""
    header: str | None = None


@dataclass(frozen=True, slots=True)
class CreateSource(Statement):
    """CREATE STREAM/TABLE over a topic. kind: STREAM or TABLE."""

    kind: str
    name: str
    columns: tuple[ColumnDefinition, ...] = ()
    properties: tuple[Property, ...] = ()
    or_replace: bool = False
    if_not_exists: bool = False
    is_source: bool = False


@dataclass(frozen=True, slots=True)
class CreateAsSelect(Statement):
    """CREATE STREAM/TABLE .. AS SELECT. kind: STREAM or TABLE."""

    kind: str
    name: str
    query: Query
    properties: tuple[Property, ...] = ()
    or_replace: bool = False
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class InsertSelect(Statement):
    target: str
    query: Query
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class InsertValues(Statement):
    """columns is None where no list was given."""

    target: str
    values: tuple[Expression, ...]
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class QueryStatement(Statement):
    """A push query (with EMIT) or a pull query."""

    query: Query


@dataclass(frozen=True, slots=True)
class DropSource(Statement):
    kind: str
    name: str
    if_exists: bool = False
    delete_topic: bool = False


@dataclass(frozen=True, slots=True)
class AlterSource(Statement):
    kind: str
    name: str
    columns: tuple[ColumnDefinition, ...]


@dataclass(frozen=True, slots=True)
class AlterTopic(Statement):
    """`topic` keeps its case."""

    topic: str
    properties: tuple[Property, ...]


@dataclass(frozen=True, slots=True)
class CreateType(Statement):
    name: str
    type: TypeNode
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropType(Statement):
    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class CreateConnector(Statement):
    """kind: SOURCE or SINK."""

    kind: str
    name: str
    properties: tuple[Property, ...] = ()
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropConnector(Statement):
    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class Show(Statement):
    """SHOW/LIST of one kind of thing.

    what         STREAMS, TABLES, TOPICS, QUERIES, FUNCTIONS, PROPERTIES, TYPES, VARIABLES, CONNECTORS,
                 SOURCE CONNECTORS, SINK CONNECTORS, CONNECTOR PLUGINS, CONSUMER GROUPS
    is_all       SHOW ALL TOPICS
    """

    what: str
    is_extended: bool = False
    is_all: bool = False


@dataclass(frozen=True, slots=True)
class Describe(Statement):
    """kind: SOURCE (a stream or table), FUNCTION, CONNECTOR, STREAMS or TABLES (then name is '')."""

    kind: str
    name: str
    is_extended: bool = False


@dataclass(frozen=True, slots=True)
class Explain(Statement):
    """Either a statement or the id of a running query."""

    statement: Statement | None = None
    query_id: str | None = None


@dataclass(frozen=True, slots=True)
class PrintTopic(Statement):
    """`topic` keeps its case."""

    topic: str
    from_beginning: bool = False
    interval: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class SetProperty(Statement):
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class UnsetProperty(Statement):
    name: str


@dataclass(frozen=True, slots=True)
class AlterSystem(Statement):
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Define(Statement):
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Undefine(Statement):
    name: str


@dataclass(frozen=True, slots=True)
class QueryControl(Statement):
    """action: TERMINATE, PAUSE or RESUME; query_id is None for ALL."""

    action: str
    query_id: str | None


@dataclass(frozen=True, slots=True)
class RunScript(Statement):
    path: str


@dataclass(frozen=True, slots=True)
class AssertTopic(Statement):
    """`topic` keeps its case."""

    topic: str
    properties: tuple[Property, ...] = ()
    timeout: Duration | None = None
    exists: bool = True


@dataclass(frozen=True, slots=True)
class AssertSchema(Statement):
    subject: str | None = None
    schema_id: int | None = None
    timeout: Duration | None = None
    exists: bool = True


@dataclass(frozen=True, slots=True)
class AssertValues(Statement):
    """is_tombstone: ASSERT NULL VALUES .. KEY (..), then columns and values are the key's."""

    source: str
    values: tuple[Expression, ...]
    columns: tuple[str, ...] | None = None
    is_tombstone: bool = False


@dataclass(frozen=True, slots=True)
class AssertSource(Statement):
    """ASSERT STREAM/TABLE name (columns) WITH (..). kind: STREAM or TABLE."""

    kind: str
    name: str
    columns: tuple[ColumnDefinition, ...] = ()
    properties: tuple[Property, ...] = ()
