"""Expressions: typed by KSQL's rules and printed as DuckDB SQL.

What comes out is `Compiled`: the expression as SQL that may raise, and as SQL that never does.

KSQL's logic is two-valued: a comparison with a null is FALSE. In a filter that makes no difference,
so there comparisons are printed bare; elsewhere they are wrapped in coalesce(.., false).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from streamsql.errors import DataError, NotSupportedError, PlanError
from streamsql.functions.call import converted, print_call
from streamsql.functions.cast_text import read_timestamp
from streamsql.functions.resolve import LambdaArgument, UnitArgument, resolve
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.printer import to_sql
from streamsql.plan import typing
from streamsql.plan.arithmetic import binary, unary, without_nan
from streamsql.plan.compiled import Compiled, coerce, combine, constant, convert, with_type
from streamsql.plan.constructors import array, case, map_, struct, unify
from streamsql.plan.environment import Environment
from streamsql.plan.like import like
from streamsql.plan.nested import filled
from streamsql.plan.scope import Scope, at, physical
from streamsql.plan.type_names import resolve_type
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    NULL,
    TIMESTAMP,
    VARCHAR,
    Array,
    Map,
    SqlType,
    Struct,
    duckdb_name,
    duckdb_string,
    widens,
)


def compile_expression(node: ast.Expression, scope: Scope, env: Environment) -> Compiled:
    """Type and print an expression.

    raises  PlanError with the span of the part that is wrong; NotSupportedError
    """
    compiler = _Compiler(scope, env)
    return compiler.with_nested(compiler.compile(node))


def compile_filter(node: ast.Expression, scope: Scope, env: Environment) -> Compiled:
    """Type and print a condition that only needs to be TRUE or not; it must be BOOLEAN."""
    compiler = _Compiler(scope, env)
    compiled = compiler.with_nested(compiler.condition(node))
    if compiled.type != BOOLEAN:
        raise at(
            node.span,
            f"the {scope.clause} condition must be BOOLEAN, but {to_sql(node)} is {compiled.type}",
            "PLAN-NOT-BOOLEAN",
        )
    return compiled


_NESTED = {
    ast.ScalarSubquery: "a subquery",
    ast.InSubquery: "IN (SELECT ..)",
    ast.Exists: "EXISTS",
    ast.WindowFunction: "OVER",
}
_TIME_PSEUDO_COLUMNS = {"ROWTIME", "WINDOWSTART", "WINDOWEND"}


class _Compiler:
    """nested  subqueries and window functions met so far, each with the name that stands for it meanwhile"""

    def __init__(
        self, scope: Scope, env: Environment, nested: dict[ast.Expression, tuple[str, Compiled]] | None = None
    ) -> None:
        self._scope = scope
        self._env = env
        self._nested = {} if nested is None else nested

    def compile(self, node: ast.Expression) -> Compiled:
        match node:
            case ast.NullLiteral():
                return constant("NULL", NULL, node)
            case ast.BooleanLiteral(value=value):
                return constant(str(value).lower(), BOOLEAN, node)
            case ast.StringLiteral(value=value):
                return constant(duckdb_string(value), VARCHAR, node)
            case ast.IntegerLiteral(value=value):
                t = INTEGER if -(2**31) <= value < 2**31 else BIGINT
                return constant(f"CAST({value} AS {t.duckdb})", t, node)
            case ast.DoubleLiteral(value=value):
                return constant(f"CAST('{value!r}' AS DOUBLE)", DOUBLE, node)
            case ast.DecimalLiteral(text=text):
                decimal = typing.decimal_literal(text)
                return constant(f"CAST('{text}' AS {decimal.duckdb})", decimal, node)
            case ast.ColumnRef():
                return self._column(node)
            case ast.FieldRef():
                return self._field(node)
            case ast.Subscript():
                return self._subscript(node)
            case ast.FunctionCall():
                return self._call(node)
            case ast.Unary(operand=operand):
                return unary(node, self.compile(operand))
            case ast.Binary():
                return self._binary(node)
            case ast.Cast():
                return self._cast(node)
            case ast.Case():
                return self._case(node)
            case ast.ArrayConstructor(elements=elements):
                return array(node, self._all(elements))
            case ast.MapConstructor(entries=entries):
                return map_(node, self._all(k for k, _ in entries), self._all(v for _, v in entries))
            case ast.StructConstructor(fields=fields):
                return struct(node, self._all(value for _, value in fields))
            case ast.Comparison() | ast.Between() | ast.In() | ast.Like():
                found = self.condition(node)
                return replace(
                    found, sql=f"coalesce({found.sql}, false)", safe=f"coalesce({found.safe}, false)"
                )
            case ast.Logical() | ast.Not() | ast.IsNull():
                return self.condition(node, bare=False)
            case ast.AtTimeZone():
                return self._at_time_zone(node)
            case ast.TimeUnit():
                raise at(node.span, f"{node.unit} is a time unit and not a value", "PLAN-TIME-UNIT")
            case ast.Lambda():
                raise at(
                    node.span,
                    "a lambda can only be an argument of TRANSFORM, FILTER or REDUCE",
                    "PLAN-LAMBDA",
                )
            case ast.ScalarSubquery() | ast.InSubquery() | ast.Exists() | ast.WindowFunction():
                return self._nested_query(node)
        raise AssertionError(node)

    def _all(self, nodes: Iterable[ast.Expression]) -> list[Compiled]:
        return [self.compile(node) for node in nodes]

    # --- subqueries and window functions --------------------------------------------------------

    def _nested_query(self, node: ast.Expression) -> Compiled:
        """What holds a query or a window: as it is, and where DuckDB cannot have that, a name for it."""
        if self._scope.nested is None:
            raise NotSupportedError(
                f"{_NESTED[type(node)]} in a query that keeps running",
                span=node.span,
                hint="it works in pull queries",
            )
        if node not in self._nested:
            found = self._scope.nested(node, replace(self._scope, parameters={}))
            self._nested[node] = (f"nested_{len(self._nested)}", found)
        name, found = self._nested[node]
        return replace(found, sql=name, safe=name)

    def with_nested(self, compiled: Compiled) -> Compiled:
        """The whole expression, its subqueries and window functions in their places."""
        if not self._nested:
            return compiled
        plain = {name: found.sql for name, found in self._nested.values()}
        safe = {name: found.safe for name, found in self._nested.values()}
        return replace(compiled, sql=filled(compiled.sql, plain), safe=filled(compiled.safe, safe))

    # --- conditions -----------------------------------------------------------------------------

    def condition(self, node: ast.Expression, *, bare: bool = True) -> Compiled:
        """A boolean; where `bare`, null may stand for FALSE."""
        operand: Callable[[ast.Expression], Compiled] = self.condition if bare else self.compile
        match node:
            case ast.Logical(op=op, left=left, right=right):
                sides = [self._boolean(operand(left), op), self._boolean(operand(right), op)]
                return combine(node, BOOLEAN, f"({{}} {op} {{}})", sides)
            case ast.Not(operand=inner):
                return combine(node, BOOLEAN, "(NOT {})", [self._boolean(self.compile(inner), "NOT")])
            case ast.IsNull(operand=inner, negated=negated):
                return combine(
                    node, BOOLEAN, f"({{}} IS {'NOT ' if negated else ''}NULL)", [self.compile(inner)]
                )
            case ast.Comparison():
                return self._comparison(node)
            case ast.Between(value=value, low=low, high=high, negated=negated):
                above = ast.Comparison(">=", value, low, span=node.span)
                below = ast.Comparison("<=", value, high, span=node.span)
                found = combine(
                    node, BOOLEAN, "({} AND {})", [self._comparison(above), self._comparison(below)]
                )
                return self._negated(found) if negated else found
            case ast.In():
                return self._in(node)
            case ast.Like(value=value, pattern=pattern, negated=negated):
                found = like(node, self.compile(value), self.compile(pattern))
                return self._negated(found) if negated else found
        return self.compile(node)

    def _boolean(self, side: Compiled, op: str) -> Compiled:
        if side.type not in (BOOLEAN, NULL):
            raise at(
                side.node.span,
                f"{op} needs BOOLEAN, but {to_sql(side.node)} is {side.type}",
                "PLAN-NOT-BOOLEAN",
            )
        return side

    def _negated(self, found: Compiled) -> Compiled:
        """NOT of a comparison: a null counts as FALSE, so its negation is TRUE."""
        return replace(
            found, sql=f"(NOT coalesce({found.sql}, false))", safe=f"(NOT coalesce({found.safe}, false))"
        )

    def _comparison(self, node: ast.Comparison) -> Compiled:
        left, right = self.compile(node.left), self.compile(node.right)
        left, right = self._pseudo_time(left, right), self._pseudo_time(right, left)
        target = typing.comparison_type(left.type, right.type, node.op)
        if target is None:
            raise at(
                node.span,
                f"cannot compare {to_sql(node.left)} ({left.type}) to {to_sql(node.right)} ({right.type}) "
                f"with {node.op}",
                "PLAN-COMPARE",
                _comparable(left.type, right.type),
            )
        sides = [convert(side, target) for side in (left, right)]
        found = combine(node, BOOLEAN, f"({{}} {node.op} {{}})", sides)
        return without_nan(found, node.op, sides) if target == DOUBLE else found

    def _pseudo_time(self, side: Compiled, other: Compiled) -> Compiled:
        """A text literal next to ROWTIME or a window bound is a time, in milliseconds."""
        if not isinstance(side.node, ast.StringLiteral) or not isinstance(other.node, ast.ColumnRef):
            return side
        column = self._scope.named(other.node.name)
        if column is None or not column.is_hidden or column.short not in _TIME_PSEUDO_COLUMNS:
            return side
        try:
            moment = read_timestamp(side.node.value)
        except DataError as error:
            raise at(
                side.node.span,
                f"{to_sql(side.node)} is compared with {to_sql(other.node)}, and is no time",
                "PLAN-TIMESTAMP",
                "write 2024-01-31, 2024-01-31T12:30 or 2024-01-31T12:30:00.000+0100, say",
            ) from error
        ms = (moment - datetime(1970, 1, 1)) // timedelta(milliseconds=1)
        return constant(f"CAST({ms} AS BIGINT)", BIGINT, side.node)

    def _in(self, node: ast.In) -> Compiled:
        value, *items = unify(self._all([node.value, *node.items]), node)
        items = [item for item in items if item.type != NULL]
        if not items:
            return constant("false" if not node.negated else "true", BOOLEAN, node)
        places = ", ".join("{}" for _ in items)
        found = combine(node, BOOLEAN, f"({{}} IN ({places}))", [value, *items])
        return self._negated(found) if node.negated else found

    # --- values ---------------------------------------------------------------------------------

    def _column(self, node: ast.ColumnRef) -> Compiled:
        if node.qualifier is None and node.name in self._scope.parameters:
            sql, t = self._scope.parameters[node.name]
            return Compiled(sql, sql, t, node)
        column = self._scope.named(node.name) if node.qualifier is None else None
        if column is None:
            column = self._scope.resolve(node)
        return Compiled(column.sql, column.sql, column.type, node)

    def _field(self, node: ast.FieldRef) -> Compiled:
        base = self.compile(node.base)
        if not isinstance(base.type, Struct):
            raise at(
                node.span,
                f"{to_sql(node.base)} is {base.type} and not a STRUCT: it has no fields",
                "PLAN-FIELD",
            )
        t = base.type.field(node.field)
        if t is None:
            names = ", ".join(quote_name(name) for name, _ in base.type.fields)
            raise at(
                node.span,
                f"{to_sql(node.base)} has no field {quote_name(node.field)}",
                "PLAN-FIELD",
                f"its fields are {names}",
            )
        return combine(node, t, f"struct_extract({{}}, {duckdb_string(node.field)})", [base])

    def _subscript(self, node: ast.Subscript) -> Compiled:
        base, index = self.compile(node.base), self.compile(node.index)
        match base.type:
            case Array(element):
                if index.type not in (INTEGER, BIGINT):
                    raise at(
                        node.index.span, f"an ARRAY is indexed by INTEGER, not {index.type}", "PLAN-SUBSCRIPT"
                    )
                return combine(node, element, "list_extract({}, {})", [base, index])
            case Map(key, value):
                if not widens(index.type, key):
                    raise at(node.index.span, f"this MAP has {key} keys, not {index.type}", "PLAN-SUBSCRIPT")
                return combine(node, value, "map_extract_value({}, {})", [base, coerce(index, key)])
            case Struct():
                hint = f"write {to_sql(node.base)}->field"
                raise at(
                    node.span, "a STRUCT's fields are reached with ->, not with [ ]", "PLAN-SUBSCRIPT", hint
                )
        raise at(
            node.span,
            f"{to_sql(node.base)} is {base.type}: only an ARRAY or a MAP takes [ ]",
            "PLAN-SUBSCRIPT",
        )

    def _binary(self, node: ast.Binary) -> Compiled:
        if node.op == "||":
            return self._call(ast.FunctionCall("CONCAT", (node.left, node.right), span=node.span))
        return binary(node, self.compile(node.left), self.compile(node.right))

    def _cast(self, node: ast.Cast) -> Compiled:
        operand = self.compile(node.operand)
        target = resolve_type(node.type, self._env.type)
        if operand.type == NULL:
            sql = f"CAST(NULL AS {target.duckdb})"
            return Compiled(sql, sql, target, node)
        if operand.type == target:
            return replace(operand, node=node)
        try:
            return replace(with_type(operand, target, converted), node=node)
        except PlanError as error:
            error.span = node.span
            raise

    def _case(self, node: ast.Case) -> Compiled:
        conditions = [self.condition(_when(when, node.operand)) for when in node.whens]
        results = [self.compile(when.result) for when in node.whens]
        default = None if node.default is None else self.compile(node.default)
        return case(node, conditions, results, default)

    def _at_time_zone(self, node: ast.AtTimeZone) -> Compiled:
        """A TIMESTAMP is an instant, read as UTC: what the clocks of the zone show then."""
        operand = self.compile(node.operand)
        if operand.type not in (TIMESTAMP, NULL):
            raise at(
                node.span,
                f"AT TIME ZONE needs a TIMESTAMP, but {to_sql(node.operand)} is {operand.type}",
                "PLAN-TIME-ZONE",
                "PARSE_TIMESTAMP or FROM_UNIXTIME give one",
            )
        utc = ast.StringLiteral("UTC", span=node.span)
        return self._call(ast.FunctionCall("CONVERT_TZ", (node.operand, utc, node.zone), span=node.span))

    # --- functions ------------------------------------------------------------------------------

    def _call(self, node: ast.FunctionCall) -> Compiled:
        if node.is_star:
            raise at(node.span, f"{node.name} takes no *: that is for COUNT", "PLAN-STAR")
        try:
            overloads = self._env.library.scalar(node.name)
            compiled: list[Compiled | None] = []
            arguments: list[SqlType | LambdaArgument | UnitArgument] = []
            for argument in node.arguments:
                match argument:
                    case ast.Lambda():
                        arguments.append(self._lambda(argument))
                        compiled.append(None)
                    case ast.TimeUnit():
                        arguments.append(UnitArgument(argument.unit))
                        compiled.append(None)
                    case _:
                        found = self.compile(argument)
                        compiled.append(found)
                        arguments.append(found.type)
            match_ = resolve(node.name, overloads, arguments)
        except PlanError as error:
            if error.span is None:
                error.span = node.span
            raise
        plain: list[str] = []
        safe: list[str] = []
        lambda_bodies: list[Compiled] = []
        for place, (argument, value) in enumerate(zip(node.arguments, compiled, strict=True)):
            if isinstance(argument, ast.Lambda):
                body = self._lambda_body(argument, match_.lambda_types[place])
                names = ", ".join(_parameter_sql(p) for p in argument.parameters)
                plain.append(f"lambda {names}: {body.sql}")
                safe.append(f"lambda {names}: {body.sql}")
                lambda_bodies.append(body)
            elif isinstance(argument, ast.TimeUnit):
                plain.append(argument.unit)
                safe.append(argument.unit)
            else:
                assert value is not None
                plain.append(value.sql)
                safe.append(value.safe)
        lambdas_can_fail = any(body.can_fail for body in lambda_bodies)
        try:
            sql, functions, can_fail = print_call(match_, plain, lambdas_can_fail=lambdas_can_fail)
            safe_sql, safe_functions, _ = print_call(
                match_, safe, is_safe=True, lambdas_can_fail=lambdas_can_fail
            )
        except PlanError as error:
            if error.span is None:
                error.span = node.span
            raise
        parts = (*(value for value in compiled if value is not None), *lambda_bodies)
        return Compiled(
            sql,
            safe_sql,
            match_.result,
            node,
            can_fail or any(part.can_fail for part in parts),
            tuple(dict.fromkeys((*functions, *safe_functions, *(f for p in parts for f in p.functions)))),
        )

    def _lambda(self, node: ast.Lambda) -> LambdaArgument:
        for name in node.parameters:
            if any(name in (c.short, c.name) for c in self._scope.columns):
                raise at(
                    node.span, f"lambda parameter {quote_name(name)} has the name of a column", "PLAN-LAMBDA"
                )
            if name in self._scope.parameters or node.parameters.count(name) > 1:
                raise at(node.span, f"lambda parameter {quote_name(name)} is already in use", "PLAN-LAMBDA")
        return LambdaArgument(len(node.parameters), lambda types: self._lambda_body(node, types).type)

    def _lambda_body(self, node: ast.Lambda, types: Sequence[SqlType]) -> Compiled:
        parameters = {name: (_parameter_sql(name), t) for name, t in zip(node.parameters, types, strict=True)}
        return _Compiler(self._scope.with_parameters(parameters), self._env, self._nested).compile(node.body)


def _when(when: ast.When, operand: ast.Expression | None) -> ast.Expression:
    """What must be TRUE for a branch; `CASE x WHEN v` compares: a null x is equal to no v."""
    if operand is None:
        return when.condition
    return ast.Comparison("=", operand, when.condition, span=when.condition.span)


def _comparable(left: SqlType, right: SqlType) -> str:
    """What to write instead of a comparison that there is not."""
    if NULL in (left, right):
        return "use IS NULL or IS NOT NULL"
    return "they can only be compared with = and <>" if left == right else "CAST one side"


def _parameter_sql(name: str) -> str:
    """A lambda's parameter; no column is called so."""
    return duckdb_name(physical(name) + "~p")
