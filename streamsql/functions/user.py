"""Functions that users write in Python.

    @udf("taxed(price DECIMAL(10, 2), rate DOUBLE) -> DOUBLE", says="The price with tax.")
    def taxed(price, rate):
        return float(price) * (1 + rate)

The decorator gives the function back, with its rows as an attribute: a list to hand to
`streamsql.connect(udfs=[taxed])`, or a file to load. Decorating one function, or several of one name,
more than once makes overloads. Signatures are written as in signature.py: generic, variadic and optional
parameters and time units work as for built-in functions.

A row-wise function gets one Python value per argument and gives one:

    BOOLEAN bool · INTEGER, BIGINT int · DOUBLE float · DECIMAL decimal.Decimal · VARCHAR str · BYTES bytes
    DATE datetime.date · TIME datetime.time · TIMESTAMP datetime.datetime (UTC, without a zone)
    ARRAY list · MAP, STRUCT dict · a time unit str, such as "DAY" · null None

Fields of a STRUCT are in upper case unless declared in backticks, as in SQL: STRUCT<a INT> is {"A": 1}.

With vectorised=True it gets an Arrow array per argument, of one length, and gives one of that length;
nulls are its own business. An exception in a row-wise function is that row's: it gives null there and is
logged, the other rows are kept.
"""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import sys
import traceback
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from streamsql.distinct import Column
from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import (
    DataError,
    ExternalError,
    NotSupportedError,
    PlanError,
    StreamSQLError,
)
from streamsql.functions.arrow import with_arity
from streamsql.functions.registry import BoundCall, Fragment, Overload, Scalar, TableFunction
from streamsql.functions.signature import Lambda, Signature, Unit
from streamsql.functions.user_declaration import check_declaration, read_declaration
from streamsql.tolerance import attempts
from streamsql.types import BIGINT, INTEGER, Array, Map, SqlType, Struct, duckdb_string, walk

ROWS = "__streamsql_rows__"
"""The attribute of a decorated function that holds its rows."""

_CATEGORY = "User-defined"
_serials = itertools.count()
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


def udf(
    declaration: str,
    *,
    says: str = "",
    vectorised: bool = False,
    takes_nulls: bool = False,
    volatile: bool = False,
    example: str = "",
    gives: str = "",
    author: str = "",
) -> Callable[[AnyFunction], AnyFunction]:
    """Make a Python function a scalar function: `name(parameters) -> type`.

    takes_nulls  False: a null argument gives null without a call; vectorised functions always see nulls
    volatile     gives another value for the same arguments
    raises       PlanError (PLAN-UDF) if the declaration does not read or the function cannot take so many
                 arguments; NotSupportedError for lambda parameters
    """
    check_declaration(declaration, "udf")

    def decorate(function: AnyFunction) -> AnyFunction:
        name, signature = _declared(declaration, function)
        bridge = _Bridge(name, signature, function, vectorised, takes_nulls, volatile)
        row = Scalar(
            name,
            str(signature),
            says or inspect.getdoc(function) or "",
            sql=bridge.scalar,
            can_fail=True,
            volatile=volatile,
            example=example,
            gives=gives,
            category=_CATEGORY,
            author=author,
        )
        return attach(function, row)

    return decorate


def udtf(
    declaration: str,
    *,
    says: str = "",
    vectorised: bool = False,
    takes_nulls: bool = False,
    example: str = "",
    gives: str = "",
    author: str = "",
) -> Callable[[AnyFunction], AnyFunction]:
    """Make a Python function a table function: `name(parameters) -> type of a row's value`.

    It gives an iterable per call, each item of which is a row; None gives no rows. A vectorised one gives
    a list array. All else is as for udf.
    """
    check_declaration(declaration, "udtf")

    def decorate(function: AnyFunction) -> AnyFunction:
        name, signature = _declared(declaration, function)
        bridge = _Bridge(name, signature, function, vectorised, takes_nulls, False)
        row = TableFunction(
            name,
            str(signature),
            says or inspect.getdoc(function) or "",
            sql=bridge.table,
            can_fail=True,
            example=example,
            gives=gives,
            category=_CATEGORY,
            author=author,
        )
        return attach(function, row)

    return decorate


def attach(function: AnyFunction, row: Overload) -> AnyFunction:
    """The function with one more row of its own."""
    setattr(function, ROWS, (*rows_of(function), row))
    return function


def rows_of(function: object) -> tuple[Overload, ...]:
    """The rows that decorators left on a function, in the order the decorators ran."""
    found: tuple[Overload, ...] = getattr(function, ROWS, ())
    return found


def load_udf_file(path: str | Path) -> tuple[Overload, ...]:
    """Run a Python file and give the rows of the decorated functions it defines.

    raises  ExternalError if the file cannot be read; PlanError (PLAN-UDF) if running it raises or it
            defines no function
    """
    path = Path(path)
    if not path.is_file():
        raise ExternalError(f"there is no file {path} of user-defined functions", code="UDF-FILE")
    module_name = f"streamsql_udf_{zlib.crc32(str(path.resolve()).encode()):08x}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ExternalError(f"{path} is not a Python file", code="UDF-FILE", hint="its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    # Registered while it runs: dataclasses and pickling look a class's module up by name.
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        place = _place_in(path, error)
        if isinstance(error, StreamSQLError):
            raise PlanError(f"{place}: {error.message}", code=error.code, hint=error.hint) from error
        raise PlanError(
            f"the user-defined functions of {place} cannot be loaded: {type(error).__name__}: {error}",
            code="PLAN-UDF",
        ) from error
    functions = {id(f): f for f in vars(module).values() if rows_of(f)}
    if not functions:
        raise PlanError(
            f"{path} defines no function for SQL",
            code="PLAN-UDF",
            hint='put @streamsql.udf("name(x BIGINT) -> BIGINT") above one',
        )
    return tuple(row for function in functions.values() for row in rows_of(function))


def _place_in(path: Path, error: Exception) -> str:
    """The file, and the line of it that an error came from if it is known."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if Path(f.filename).resolve() == path.resolve()]
    return f"{path}, line {lines[-1]}" if lines else str(path)


def _declared(declaration: str, function: Callable[..., Any]) -> tuple[str, Signature]:
    """Name and signature of a declaration, checked against the function."""
    name, signature = read_declaration(declaration, "function")
    if any(isinstance(p.type, Lambda) for p in signature.parameters):
        raise NotSupportedError(f"lambda parameters in function {name}, which is written in Python")
    try:
        inspect.signature(function).bind(*signature.parameters)
    except TypeError as error:
        raise PlanError(
            f"function {name} declares {len(signature.parameters)} parameters that its Python function"
            f" does not take: {error}",
            code="PLAN-UDF",
        ) from error
    return name, signature


class _Bridge:
    """Prints calls of one Python function and runs it over Arrow columns."""

    def __init__(
        self,
        name: str,
        signature: Signature,
        function: Callable[..., Any],
        is_vectorised: bool,
        takes_nulls: bool,
        is_volatile: bool,
    ) -> None:
        self._name = name
        self._signature = signature
        self._function = function
        self._is_vectorised = is_vectorised
        self._takes_nulls = takes_nulls
        self._is_volatile = is_volatile
        self._serial = next(_serials)

    def scalar(self, call: BoundCall) -> Fragment:
        return self._printed(call, call.result)

    def table(self, call: BoundCall) -> Fragment:
        return self._printed(call, Array(call.result))

    def _printed(self, call: BoundCall, result: SqlType) -> Fragment:
        arguments: list[str] = []
        types: list[SqlType | None] = []
        for parameter in self._signature.parameters:
            sql, t = call.arguments.get(parameter.name), call.types.get(parameter.name)
            if sql is None or t is None:
                continue
            given = list(call.variadic) if parameter.is_variadic else [sql]
            is_unit = isinstance(t, Unit)
            arguments += [duckdb_string(unit) for unit in given] if is_unit else given
            types += [None if is_unit else t] * len(given)
        return self._call(arguments, types, result)

    def _call(self, arguments: list[str], types: list[SqlType | None], result: SqlType) -> Fragment:
        if not arguments:
            # DuckDB learns the number of rows from a function's columns: one that nobody reads will do.
            arguments, duckdb_types = ["TRUE"], ["BOOLEAN"]
        else:
            duckdb_types = ["VARCHAR" if t is None else t.duckdb for t in types]
        shape = zlib.crc32(repr((duckdb_types, result.duckdb)).encode())
        run = self._run_columns if self._is_vectorised else self._run_rows
        function = ArrowFunction(
            f"udf_{self._name.lower()}_{self._serial}_{shape:08x}",
            tuple(duckdb_types),
            result.duckdb,
            with_arity(lambda *columns: run(columns, types, result), len(arguments)),
            self._is_volatile,
        )
        return Fragment(f"{function.name}({', '.join(arguments)})", (function,))

    def _run_rows(self, columns: Sequence[Column], types: Sequence[SqlType | None], result: SqlType) -> Any:
        # A Python loop over rows: what a row-wise function is.
        used = columns[: len(types)]
        values = [_to_python(c.to_pylist(), t) for c, t in zip(used, types, strict=True)]
        rows = zip(*values, strict=True) if values else ((),) * len(columns[0])
        has_fields = any(isinstance(part, Struct) for part in walk(result))
        given = attempts(partial(self._call_row, result if has_fields else None), rows)
        try:
            if result in (INTEGER, BIGINT):
                # Asked for integers at once, pyarrow cuts a float without a word; a cast refuses to.
                return pa.array(given).cast(result.arrow)
            return pa.array(_from_python(given, result), result.arrow)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            # Of several rows this is thrown away: each is tried alone.
            what = f"{type(given[0]).__name__} {given[0]!r:.80}" if len(given) == 1 else "a value"
            raise DataError(f"function {self._name} gave {what}, which is no {result}") from error

    def _call_row(self, fields_of: SqlType | None, *row: Any) -> object:
        if not self._takes_nulls and any(x is None for x in row):
            return None
        try:
            value: object = self._function(*row)
        except Exception as error:
            raise DataError(f"function {self._name} failed: {type(error).__name__}: {error}") from error
        unknown = _unknown_field(value, fields_of)
        if unknown is not None:
            raise DataError(f"function {self._name} gave a field {unknown!r}, which {fields_of} has not")
        return value

    def _run_columns(
        self, columns: Sequence[Column], types: Sequence[SqlType | None], result: SqlType
    ) -> Any:
        arrays = [c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in columns]
        given: Any
        try:
            given = self._function(*arrays[: len(types)])
        except Exception as error:
            raise DataError(f"function {self._name} failed: {type(error).__name__}: {error}") from error
        if not isinstance(given, pa.Array | pa.ChunkedArray) or len(given) != len(columns[0]):
            found = len(given) if isinstance(given, pa.Array | pa.ChunkedArray) else type(given).__name__
            raise DataError(
                f"function {self._name} must give an Arrow array of {len(columns[0])} values, gave {found}"
            )
        found_type = given.type
        try:
            return given if found_type == result.arrow else given.cast(result.arrow)
        except pa.ArrowException as error:
            raise DataError(f"function {self._name} gave {found_type}, which is no {result}") from error


# Values -------------------------------------------------------------------------------------------------


def _unknown_field(value: Any, t: SqlType | None) -> str | None:
    """A key of a dict that stands for a STRUCT, if the STRUCT has no such field: Arrow would pass over it."""
    match t, value:
        case Struct(fields), dict():
            unknown = next((key for key in value if key not in dict(fields)), None)
            inside = (_unknown_field(value.get(name), part) for name, part in fields)
            return str(unknown) if unknown is not None else next(filter(None, inside), None)
        case Array(element), list():
            return next(filter(None, (_unknown_field(x, element) for x in value)), None)
        case Map(_, item), dict():
            return next(filter(None, (_unknown_field(x, item) for x in value.values())), None)
    return None


def _has_map(t: SqlType | None) -> bool:
    return t is not None and any(isinstance(part, Map) for part in walk(t))


def _to_python(values: list[Any], t: SqlType | None) -> list[Any]:
    """Arrow's Python values, maps as dicts instead of lists of pairs."""
    return [_mapped(x, t, dict) for x in values] if t is not None and _has_map(t) else values


def _from_python(values: list[Any], t: SqlType) -> list[Any]:
    """The reverse; any iterable stands for an ARRAY."""
    if isinstance(t, Array) and not _has_map(t):
        return [x if x is None or isinstance(x, list) else list(x) for x in values]
    return [_mapped(x, t, lambda m: list(dict(m).items())) for x in values] if _has_map(t) else values


def _mapped(value: Any, t: SqlType, convert: Callable[[Any], Any]) -> Any:
    """The value with every map in it converted."""
    if value is None or not _has_map(t):
        return value
    match t:
        case Array(element):
            return [_mapped(x, element, convert) for x in value]
        case Map(_, inner):
            return convert([(k, _mapped(x, inner, convert)) for k, x in dict(value).items()])
        case Struct(fields):
            return {name: _mapped(value.get(name), part, convert) for name, part in fields}
    return value
