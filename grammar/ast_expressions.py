"""Nodes of the syntax tree: what all have, types as written, and expressions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamsql.errors import Span

if TYPE_CHECKING:
    from streamsql.grammar.ast_queries import Query

_NOWHERE = Span(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Anything in the tree. `span` counts characters in the text given to the parser."""

    span: Span = field(default=_NOWHERE, compare=False, repr=False)


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
