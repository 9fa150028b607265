"""Aggregates that users write in Python.

    @udaf("longest(text VARCHAR) -> VARCHAR", says="The longest text.")
    class Longest:
        def initialize(self):
            return ""

        def aggregate(self, state, text):
            return text if len(text) > len(state) else state

        def merge(self, state, other):
            return other if len(other) > len(state) else state

The class has

    initialize(self) -> state             before any row
    aggregate(self, state, *args) -> state  after one more row
    merge(self, state, other) -> state    both together; `other` is of later rows, or of a later session
    map(self, state) -> result            what the state means; left out, the state is the result
    undo(self, state, *args) -> state     without that row; left out, the aggregate works on streams only

An instance is made per query, with the call's literal parameters as arguments. A state is a value of the
SQL type that `state` names (the result's if it is left out); it is stored as one, so that it can be read
back by any later version of the class. None is no state: it stands for what `initialize` gives.

Values are those of scalar functions (user.py). An exception ends the query, as for any aggregate.
"""

from __future__ import annotations

import inspect
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from streamsql.distinct import Column
from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import DataError, NotSupportedError, PlanError
from streamsql.functions.aggregate import AggregateBinding, AggregateFunction, State, state_type
from streamsql.functions.signature import Lambda, Signature, Unit, Variable, parse_signature
from streamsql.functions.user import ROWS, attach
from streamsql.functions.user_declaration import check_declaration, read_declaration
from streamsql.types import BIGINT, Array, SqlType, Struct, walk

_REQUIRED = ("initialize", "aggregate", "merge")
_serials = itertools.count()
AnyClass = TypeVar("AnyClass", bound=type)


def udaf(
    declaration: str,
    *,
    state: str | None = None,
    says: str = "",
    takes_nulls: bool = False,
    example: str = "",
    gives: str = "",
    author: str = "",
) -> Callable[[AnyClass], AnyClass]:
    """Make a Python class an aggregate function: `name(parameters) -> type`.

    state        SQL type of the state; it may name the signature's type variables
    takes_nulls  False: rows with a null argument are passed over
    raises       PlanError (PLAN-UDF) if the declaration does not read or the class lacks a method;
                 NotSupportedError for lambda parameters
    """
    check_declaration(declaration, "udaf")

    def decorate(python_class: AnyClass) -> AnyClass:
        name, signature = _declared(declaration, python_class)
        kept = _state_text(name, signature, state)
        serial = next(_serials)

        def code(binding: AggregateBinding) -> _Code:
            return _Code(name, serial, python_class, kept, binding, takes_nulls)

        if ROWS not in vars(python_class):
            # A subclass of a decorated class is another function.
            setattr(python_class, ROWS, ())
        return attach(
            python_class,
            AggregateFunction(
                name,
                str(signature),
                says or inspect.getdoc(python_class) or "",
                state=_stream_states(kept),
                value="{show}({kept})",
                on_table=_table_states(kept) if hasattr(python_class, "undo") else None,
                functions={
                    "fold": lambda binding: code(binding).fold(),
                    "merge": lambda binding: code(binding).merge(),
                    "show": lambda binding: code(binding).show(),
                },
                is_ordered=True,
                uses_seq=True,
                example=example,
                gives=gives,
                category="User-defined",
                author=author,
            ),
        )

    return decorate


def _declared(declaration: str, python_class: type) -> tuple[str, Signature]:
    """Name and signature of a declaration, checked against the class."""
    name, signature = read_declaration(declaration, "aggregate")
    if any(isinstance(p.type, Lambda | Unit) for p in signature.parameters):
        raise NotSupportedError(f"lambdas and units as parameters of aggregate {name}, written in Python")
    missing = [method for method in _REQUIRED if not hasattr(python_class, method)]
    if missing:
        raise PlanError(
            f"class {python_class.__name__} of aggregate {name} lacks {' and '.join(missing)}",
            code="PLAN-UDF",
            hint="an aggregate needs the methods initialize, aggregate and merge",
        )
    return name, signature


def _state_text(name: str, signature: Signature, state: str | None) -> str:
    text = str(signature.result) if state is None else state
    try:
        kept = parse_signature(f"() -> {text}").result
    except ValueError as error:
        raise PlanError(f"the state of aggregate {name}: {error}", code="PLAN-UDF") from error
    known = {v.name for p in signature.parameters for v in _variables(p.type)}
    unknown = [v.name for v in _variables(kept) if v.name not in known]
    if unknown:
        raise PlanError(
            f"the state of aggregate {name} names type {unknown[0]}, which no parameter has", code="PLAN-UDF"
        )
    return text


def _variables(t: SqlType) -> list[Variable]:
    return [part for part in walk(t) if isinstance(part, Variable)]


def _stream_states(kept: str) -> Callable[[AggregateBinding], tuple[State, ...]]:
    def states(binding: AggregateBinding) -> tuple[State, ...]:
        rows = _rows_sql(binding, "1")
        return (State("kept", kept, "NULL", f"{{fold}}(NULL, {rows})", "{merge}({old.kept}, {new.kept})"),)

    return states


def _table_states(kept: str) -> Callable[[AggregateBinding], tuple[State, ...]]:
    """Over a table a partial is the rows themselves: what is taken back may be in the state only."""

    def states(binding: AggregateBinding) -> tuple[State, ...]:
        return (
            State("kept", kept, "NULL", "NULL", "{fold}({old.kept}, {new.rows})"),
            State("rows", str(_rows_type(binding)), "[]", _rows_sql(binding, '"$weight"'), "[]"),
        )

    return states


def _flat(literals: Iterable[Any]) -> Iterator[Any]:
    """The literals one by one, those of a variadic parameter too."""
    for value in literals:
        yield from value if isinstance(value, tuple) else (value,)


def _row_fields(binding: AggregateBinding) -> list[tuple[str, SqlType]]:
    return [(f"a{number}", t) for number, (_, t) in enumerate(binding.columns)]


def _rows_type(binding: AggregateBinding) -> Array:
    return Array(Struct((*_row_fields(binding), ("n", BIGINT))))


def _rows_sql(binding: AggregateBinding, weight: str) -> str:
    """A group's rows as a list of their arguments and weights, in order; braces doubled for a template."""
    arguments = "".join(
        f"'a{number}': {sql}, ".replace("{", "{{").replace("}", "}}")
        for number, (sql, _) in enumerate(binding.columns)
    )
    return f"coalesce(list({{{{{arguments}'n': {weight}::BIGINT}}}} ORDER BY \"$seq\"), [])"


@dataclass(frozen=True, slots=True)
class _Code:
    """The class's methods over columns of states and rows, for one call."""

    name: str
    serial: int
    python_class: type
    kept: str
    binding: AggregateBinding
    takes_nulls: bool

    def fold(self) -> ArrowFunction:
        """(state, rows) -> state"""
        state, own, skips = self._state(), self._instance(), not self.takes_nulls
        fields = [name for name, _ in _row_fields(self.binding)]

        def one(kept: Any, rows: list[dict[str, Any]] | None) -> Any:
            kept = own.initialize() if kept is None else kept
            for row in rows or ():
                arguments = [row[f] for f in fields]
                if not (skips and None in arguments):
                    kept = (own.aggregate if row["n"] > 0 else own.undo)(kept, *arguments)
            return kept

        return self._function("fold", (state, _rows_type(self.binding)), state, one)

    def merge(self) -> ArrowFunction:
        """(state, state) -> state"""
        state, own = self._state(), self._instance()

        def one(old: Any, new: Any) -> Any:
            return new if old is None else old if new is None else own.merge(old, new)

        return self._function("merge", (state, state), state, one)

    def show(self) -> ArrowFunction:
        """state -> result"""
        own = self._instance()
        show = getattr(own, "map", lambda state: state)

        def one(kept: Any) -> Any:
            return show(own.initialize() if kept is None else kept)

        return self._function("map", (self._state(),), self.binding.result, one)

    def _state(self) -> SqlType:
        return state_type(self.kept, self.binding.variables)

    def _instance(self) -> Any:
        try:
            return self.python_class(*_flat(self.binding.literals.values()))
        except Exception as error:
            raise PlanError(
                f"aggregate {self.name} cannot be made: {type(error).__name__}: {error}", code="PLAN-UDF"
            ) from error

    def _function(
        self, what: str, takes: Sequence[SqlType], gives: SqlType, one: Callable[..., Any]
    ) -> ArrowFunction:
        def each(columns: Sequence[Column]) -> Any:
            # A Python loop over groups and their rows: what an aggregate written in Python is.
            values = [c.to_pylist(maps_as_pydicts="strict") for c in columns]
            try:
                return pa.array([one(*group) for group in zip(*values, strict=True)], gives.arrow)
            except Exception as error:
                raise DataError(f"aggregate {self.name} failed: {type(error).__name__}: {error}") from error

        # Spelled out, since DuckDB counts the parameters it can see.
        run = (lambda a: each((a,))) if len(takes) == 1 else (lambda a, b: each((a, b)))
        call = repr((str(gives), *map(str, takes), tuple(self.binding.literals.items())))
        name = f"udaf_{self.name.lower()}_{self.serial}_{what}_{zlib.crc32(call.encode()):08x}"
        return ArrowFunction(name, tuple(t.duckdb for t in takes), gives.duckdb, run)
