"""Which overload a call means, and which types its parts then have.

Two passes: first every argument must have exactly the parameter's type; if no overload matches so, the
second pass lets arguments widen (types.widens). Within a pass an overload without a variadic parameter
beats one with, and one with fewer generic parameters beats one with more; where that leaves several, the
call is ambiguous, whatever the order of declaration. A NULL literal matches any parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from streamsql.errors import PlanError
from streamsql.functions.registry import Overload
from streamsql.functions.signature import Lambda, Parameter, Signature, Unit, Variable, parse_signature
from streamsql.types import (
    NULL,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
    as_decimal,
    common_numeric,
    is_numeric,
    widens,
    wider_decimal,
)

Row = TypeVar("Row", bound=Overload)


@dataclass(frozen=True, slots=True)
class LambdaArgument:
    """A lambda in a call.

    type_body  the type of the body, given the types of the parameters; raises PlanError
    """

    parameter_count: int
    type_body: Callable[[tuple[SqlType, ...]], SqlType]


@dataclass(frozen=True, slots=True)
class UnitArgument:
    """A bare time unit in a call: DAYS."""

    unit: str


Argument = SqlType | LambdaArgument | UnitArgument


@dataclass(frozen=True, slots=True)
class Match(Generic[Row]):
    """A call with its overload.

    parameters  for each argument the parameter it goes to, with the type it has in this call: no type
                variables are left; a lambda's is a signature.Lambda, a unit's a signature.Unit
    arguments   the arguments as they were resolved
    result      the call's type
    """

    overload: Row
    parameters: tuple[Parameter, ...]
    arguments: tuple[Argument, ...]
    result: SqlType

    @property
    def types(self) -> tuple[SqlType, ...]:
        """For each argument the type that its parameter has in this call."""
        return tuple(p.type for p in self.parameters)

    @property
    def lambda_types(self) -> dict[int, tuple[SqlType, ...]]:
        """Place of each lambda argument -> the types of its parameters."""
        return {i: t.parameters for i, t in enumerate(self.types) if isinstance(t, Lambda)}


def resolve(
    name: str, overloads: Sequence[Row], arguments: Sequence[Argument], *, widening: bool = True
) -> Match[Row]:
    """The overload of `name` that takes `arguments`.

    widening  False for aggregates, whose arguments must have the exact types
    raises    PlanError: PLAN-NO-SUCH-OVERLOAD, PLAN-AMBIGUOUS-CALL, or what a lambda's body raises
    """
    for is_exact in (True, False) if widening else (True,):
        found = _best([m for row in overloads if (m := _match(row, arguments, is_exact))])
        if len(found) > 1:
            raise _ambiguous(name, found, arguments)
        if found:
            return found[0]
    raise _no_such_overload(name, overloads, arguments)


def _best(matches: list[Match[Row]]) -> list[Match[Row]]:
    def rank(m: Match[Row]) -> tuple[bool, int]:
        signature = parse_signature(m.overload.signature)
        return signature.is_variadic, signature.variable_count

    best = min(map(rank, matches), default=None)
    return [m for m in matches if rank(m) == best]


def _match(row: Row, arguments: Sequence[Argument], is_exact: bool) -> Match[Row] | None:
    signature = parse_signature(row.signature)
    parameters = signature.arranged(len(arguments))
    if parameters is None:
        return None
    types = _Binding(is_exact).bind(signature, parameters, arguments)
    if types is None:
        return None
    *bound, result = types
    if row.result is not None:
        result = row.result(bound)
    placed = tuple(
        Parameter(p.name, t, p.is_variadic, p.is_optional, p.is_literal)
        for p, t in zip(parameters, bound, strict=True)
    )
    return Match(row, placed, tuple(arguments), result)


class _Binding:
    """What the type variables of one signature stand for, found argument by argument."""

    def __init__(self, is_exact: bool) -> None:
        self._is_exact = is_exact
        self._variables: dict[str, SqlType] = {}

    def bind(
        self, signature: Signature, parameters: Sequence[Parameter], arguments: Sequence[Argument]
    ) -> list[SqlType] | None:
        """The type of each parameter and of the result, or None if the arguments do not fit."""
        pairs = list(zip(parameters, arguments, strict=True))
        # Lambdas come last: the types of their parameters follow from the other arguments.
        ordinary = [(p, a) for p, a in pairs if not isinstance(a, LambdaArgument)]
        lambdas = [(p, a) for p, a in pairs if isinstance(a, LambdaArgument)]
        if not all(self._takes(p.type, a) for p, a in ordinary):
            return None
        if any(
            not isinstance(p.type, Lambda) or len(p.type.parameters) != a.parameter_count for p, a in lambdas
        ):
            return None
        if not all(self._takes_lambda(p.type, a) for p, a in lambdas):
            return None
        types = [self._final(p.type) for p in parameters]
        fits = all(
            isinstance(t, Lambda | Unit) or isinstance(a, LambdaArgument | UnitArgument) or self._fits(a, t)
            for t, a in zip(types, arguments, strict=True)
        )
        return [*types, self._final(signature.result)] if fits else None

    def _fits(self, source: SqlType, target: SqlType) -> bool:
        if self._is_exact and not isinstance(target, Decimal):
            return source in (target, NULL)
        return widens(source, target)

    def _takes(self, pattern: SqlType, argument: Argument) -> bool:
        if isinstance(pattern, Unit) or isinstance(argument, UnitArgument):
            return isinstance(pattern, Unit) and isinstance(argument, UnitArgument)
        if isinstance(pattern, Lambda) or isinstance(argument, LambdaArgument):
            return False
        return argument == NULL or self._unify(pattern, argument)

    def _takes_lambda(self, pattern: SqlType, argument: LambdaArgument) -> bool:
        assert isinstance(pattern, Lambda)
        body = argument.type_body(tuple(self._final(t, unbound=NULL) for t in pattern.parameters))
        if body == NULL:
            return True
        if isinstance(pattern.body, Variable) and pattern.body.name in self._variables:
            # A fold's body must have the type of what it folds into: a lambda's result never widens.
            return self._variables[pattern.body.name] == body
        return self._unify(pattern.body, body)

    def _unify(self, pattern: SqlType, found: SqlType) -> bool:
        """Bind the pattern's variables so that `found` fits it; widening is checked at the end."""
        match pattern, found:
            case Variable(), _:
                return self._set(pattern, found)
            case Array(inner), Array(element):
                return element == NULL or self._unify(inner, element)
            case Map(key, value), Map(found_key, found_value):
                return self._unify(key, found_key) and (
                    found_value == NULL or self._unify(value, found_value)
                )
            case Struct(fields), Struct(found_fields):
                same = [n for n, _ in fields] == [n for n, _ in found_fields]
                return same and all(
                    self._unify(a, b) for (_, a), (_, b) in zip(fields, found_fields, strict=True)
                )
        return found == pattern if self._is_exact else widens(found, pattern)

    def _set(self, variable: Variable, found: SqlType) -> bool:
        if (
            variable.is_decimal
            and not self._is_exact
            and is_numeric(found)
            and widens(found, as_decimal(found))
        ):
            found = as_decimal(found)
        if not variable.admits(found):
            return False
        bound = self._variables.get(variable.name)
        common = found if bound is None else self._common(bound, found, variable.is_decimal)
        if common is None:
            return False
        self._variables[variable.name] = common
        return True

    def _common(self, a: SqlType, b: SqlType, is_decimal: bool) -> SqlType | None:
        """The type that holds the values of both, or None."""
        if a == b:
            return a
        if is_decimal:
            return wider_decimal(as_decimal(a), as_decimal(b))
        if self._is_exact:
            return None
        return _common_type(a, b)

    def _final(self, pattern: SqlType, unbound: SqlType = VARCHAR) -> SqlType:
        """The pattern with its variables replaced; one that only NULLs were given for is VARCHAR."""
        match pattern:
            case Variable():
                fallback = Decimal(38, 0) if pattern.is_decimal else unbound
                return self._variables.get(pattern.name, fallback)
            case Array(element):
                return Array(self._final(element, unbound))
            case Map(key, value):
                return Map(self._final(key, unbound), self._final(value, unbound))
            case Struct(fields):
                return Struct(tuple((name, self._final(t, unbound)) for name, t in fields))
            case Lambda(parameters, body):
                return Lambda(tuple(self._final(t, unbound) for t in parameters), self._final(body, unbound))
        return pattern


def _common_type(a: SqlType, b: SqlType) -> SqlType | None:
    if is_numeric(a) and is_numeric(b):
        return common_numeric(a, b)
    match a, b:
        case Array(x), Array(y):
            element = _common_type(x, y)
            return Array(element) if element else None
        case Map(kx, vx), Map(ky, vy) if kx == ky:
            value = _common_type(vx, vy)
            return Map(kx, value) if value else None
    if widens(a, b):
        return b
    return a if widens(b, a) else None


def _shown(arguments: Sequence[Argument]) -> str:
    """The arguments' types, as a message writes them.

    >>> _shown([VARCHAR, LambdaArgument(2, lambda types: VARCHAR), UnitArgument("DAYS")])
    '(VARCHAR, lambda of 2, DAYS)'
    """

    def one(argument: Argument) -> str:
        match argument:
            case LambdaArgument(count):
                return f"lambda of {count}"
            case UnitArgument(unit):
                return unit
        return str(argument)

    return f"({', '.join(map(one, arguments))})"


def _no_such_overload(name: str, rows: Sequence[Row], arguments: Sequence[Argument]) -> PlanError:
    listed = "; ".join(f"{name.upper()}{row.signature}" for row in rows)
    return PlanError(
        f"function {name.upper()} does not take {_shown(arguments)}; its signatures: {listed}",
        code="PLAN-NO-SUCH-OVERLOAD",
        hint="CAST an argument to the type a signature asks for",
    )


def _ambiguous(name: str, found: Sequence[Match[Row]], arguments: Sequence[Argument]) -> PlanError:
    listed = " and ".join(f"{name.upper()}{m.overload.signature}" for m in found)
    return PlanError(
        f"function call {name.upper()}{_shown(arguments)} is ambiguous: {listed} match equally well",
        code="PLAN-AMBIGUOUS-CALL",
        hint="CAST the arguments to the types of one signature",
    )
