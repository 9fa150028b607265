"""All the functions a session knows: the built-in ones and those its user added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streamsql.errors import PlanError
from streamsql.functions import SCALARS, TABLE_FUNCTIONS
from streamsql.functions.aggregate import AggregateFunction
from streamsql.functions.aggregates import AGGREGATES
from streamsql.functions.registry import Overload, Registry, Scalar, TableFunction, unknown_function
from streamsql.functions.user import ROWS
from streamsql.functions.windows import WINDOW_FUNCTIONS, WindowFunction


@dataclass(slots=True)
class Library:
    """Scalar, table, aggregate and window functions by name."""

    scalars: Registry[Scalar] = field(default_factory=lambda: Registry(SCALARS))
    tables: Registry[TableFunction] = field(
        default_factory=lambda: Registry(TABLE_FUNCTIONS, "table function")
    )
    aggregates: Registry[AggregateFunction] = field(
        default_factory=lambda: Registry(AGGREGATES, "aggregate function")
    )
    windows: Registry[WindowFunction] = field(
        default_factory=lambda: Registry(WINDOW_FUNCTIONS, "window function")
    )

    def __contains__(self, name: str) -> bool:
        return any(name in kind for kind in (self.scalars, self.tables, self.aggregates, self.windows))

    def add_user(self, *functions: Callable[..., Any]) -> None:
        """Add what udf, udtf or udaf made of Python functions; those of one name are overloads.

        raises  PlanError PLAN-UDF if one was not decorated, PLAN-FUNCTION-EXISTS if the name is in use
        """
        rows: list[Overload] = []
        for function in functions:
            own = getattr(function, ROWS, None)
            if own is None:
                raise PlanError(
                    f"{getattr(function, '__name__', function)} is not a user-defined function",
                    code="PLAN-UDF",
                    hint='decorate it: @streamsql.udf("name(x BIGINT) -> BIGINT")',
                )
            rows += own
        self.scalars.add([r for r in rows if isinstance(r, Scalar)], self.__contains__)
        self.tables.add([r for r in rows if isinstance(r, TableFunction)], self.__contains__)
        self.aggregates.add([r for r in rows if isinstance(r, AggregateFunction)], self.__contains__)

    def names(self) -> list[str]:
        """Every name of every kind, sorted."""
        kinds = (self.scalars, self.tables, self.aggregates, self.windows)
        return sorted({name for kind in kinds for name in kind.names()})

    def scalar(self, name: str) -> tuple[Scalar, ...]:
        """The overloads of a scalar function.

        raises  PlanError PLAN-UNKNOWN-FUNCTION, with near names of any kind
        """
        if name in self.windows:
            raise PlanError(
                f"{name} needs an OVER clause",
                code="PLAN-WINDOW-FUNCTION",
                hint=f"{name}(..) OVER (PARTITION BY .. ORDER BY ..)",
            )
        if name in self.tables:
            raise PlanError(
                f"{name} is a table function: it stands in a SELECT list without GROUP BY",
                code="PLAN-TABLE-FUNCTION",
            )
        if name not in self.scalars:
            raise unknown_function(name, self.names())
        return self.scalars.overloads(name)
