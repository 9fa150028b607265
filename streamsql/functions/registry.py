"""What a function is: a row with a name, a signature, an implementation, a sentence and an example.

Rows live as plain tuples in the files beside this one; SHOW FUNCTIONS, DESCRIBE FUNCTION, completion and
docs/functions.md print them. The planner asks `resolve` which row a call means (resolve.py) and prints
the chosen one as DuckDB SQL (call.py). How signatures are written: signature.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import PlanError
from streamsql.grammar.places import place_of
from streamsql.types import SqlType

ResultType = Callable[[Sequence[SqlType]], SqlType]


@dataclass(frozen=True, slots=True)
class BoundCall:
    """A call with its overload chosen: what an implementation may ask about it.

    arguments  parameter name -> DuckDB SQL, already cast to the parameter's type and safe to put
               anywhere in an expression; literals and plain columns stand as they are, anything longer
               as a name that the call is later bound to, so that it is evaluated once. A variadic
               parameter's arguments stand as one text joined by ", ", a lambda as `lambda a, b: body`,
               a unit as its word, and a missing optional parameter is absent
    types      parameter name -> SQL type (of a variadic parameter: of its elements; of a lambda: of its
               body)
    result     SQL type of the call
    variadic   the arguments of the variadic parameter, one SQL text each
    """

    arguments: Mapping[str, str]
    types: Mapping[str, SqlType]
    result: SqlType
    variadic: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fragment:
    """Printed SQL and what it needs.

    functions  the Arrow functions it calls by name
    can_fail   whether a row can raise; None: what the function's row says
    coarse     further SQL over the same arguments, for grouping: equal for two rows where `sql` is and only
               there, null where it is, for less to compute. It may raise where it cannot tell
    """

    sql: str
    functions: tuple[ArrowFunction, ...] = ()
    can_fail: bool | None = None
    coarse: str | None = None


SqlTemplate = str | Callable[[BoundCall], str | Fragment]


class Overload(Protocol):
    """What resolving and documenting need of a row, be it scalar, table function or aggregate."""

    @property
    def name(self) -> str: ...
    @property
    def signature(self) -> str: ...
    @property
    def says(self) -> str: ...
    @property
    def result(self) -> ResultType | None: ...
    @property
    def example(self) -> str: ...
    @property
    def gives(self) -> str: ...
    @property
    def category(self) -> str: ...
    @property
    def author(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Scalar:
    """One overload of a scalar function.

    sql       DuckDB SQL with {parameter} places (`{{` for a brace), or a function that prints it from
              the bound call. It follows the function's null rules, and a row that fails raises
    python    instead of sql: makes the Arrow function to call with all arguments in order
    result    computes the result type from the bound parameter types, where the signature cannot say it;
              raises PlanError if there is none
    can_fail  whether a row can raise; such a call is retried under TRY, which gives NULL for that row
    volatile  gives another value for the same arguments (DuckDB has no TRY around such a call)
    example   an expression over literals, and what it gives as text; a test runs it
    """

    name: str
    signature: str
    says: str
    sql: SqlTemplate | None = None
    python: Callable[[BoundCall], ArrowFunction] | None = None
    result: ResultType | None = None
    can_fail: bool = False
    volatile: bool = False
    example: str = ""
    gives: str = ""
    category: str = ""
    author: str = "streamsql"


@dataclass(frozen=True, slots=True)
class TableFunction:
    """One overload of a table function: its SQL gives a list per row, which the planner unnests.

    The signature's result is the type of one element; a null or empty list gives no rows. All else is
    as in Scalar.
    """

    name: str
    signature: str
    says: str
    sql: SqlTemplate | None = None
    python: Callable[[BoundCall], ArrowFunction] | None = None
    result: ResultType | None = None
    can_fail: bool = False
    volatile: bool = False
    example: str = ""
    gives: str = ""
    category: str = ""
    author: str = "streamsql"


Row = TypeVar("Row", bound=Overload)


class Registry(Generic[Row]):
    """The functions of one kind by name, built-in rows and those users add.

    Names compare in upper case.
    """

    def __init__(self, rows: Iterable[Row], kind: str = "function") -> None:
        self._kind = kind
        self._rows: dict[str, tuple[Row, ...]] = {}
        for row in rows:
            self._rows[row.name] = (*self._rows.get(row.name, ()), row)

    def __contains__(self, name: str) -> bool:
        return name.upper() in self._rows

    def names(self) -> list[str]:
        """Every name once, sorted."""
        return sorted(self._rows)

    def rows(self) -> list[Row]:
        """Every row, by name, a name's overloads in the order they were declared."""
        return [row for name in self.names() for row in self._rows[name]]

    def overloads(self, name: str) -> tuple[Row, ...]:
        """The rows of one name.

        raises  PlanError (PLAN-UNKNOWN-FUNCTION) with near names as a hint
        """
        found = self._rows.get(name.upper())
        if found is None:
            raise unknown_function(name, self._rows, self._kind)
        return found

    def add(self, rows: Iterable[Row], taken: Callable[[str], bool] = lambda name: False) -> None:
        """Add a user's rows, all or none.

        taken   whether a name belongs to a function of another kind
        raises  PlanError (PLAN-FUNCTION-EXISTS) if a name is in use
        """
        new = list(rows)
        for row in new:
            if row.name in self._rows or taken(row.name):
                raise PlanError(
                    f"function {row.name} exists already; a user-defined function needs a name of its own",
                    code="PLAN-FUNCTION-EXISTS",
                )
        for row in new:
            self._rows[row.name] = (*self._rows.get(row.name, ()), row)


def unknown_function(name: str, known: Iterable[str], kind: str = "function") -> PlanError:
    """The error for a name that no function has, with what may have been meant."""
    near = difflib.get_close_matches(name.upper(), list(known), n=3, cutoff=0.6)
    hint = "did you mean " + " or ".join(near) + "?" if near else "SHOW FUNCTIONS lists all functions"
    return PlanError(
        f"there is no {kind} {name.upper()}", code="PLAN-UNKNOWN-FUNCTION", span=place_of(name), hint=hint
    )
