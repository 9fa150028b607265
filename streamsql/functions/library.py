"""All the functions a session knows: the built-in ones and those its user added."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamsql.functions import SCALARS, TABLE_FUNCTIONS
from streamsql.functions.aggregates import AGGREGATES, AggregateFunction
from streamsql.functions.registry import Registry, Scalar, TableFunction, unknown_function


@dataclass(slots=True)
class Library:
    """Scalar, table and aggregate functions by name."""

    scalars: Registry[Scalar] = field(default_factory=lambda: Registry(SCALARS))
    tables: Registry[TableFunction] = field(
        default_factory=lambda: Registry(TABLE_FUNCTIONS, "table function")
    )
    aggregates: Registry[AggregateFunction] = field(
        default_factory=lambda: Registry(AGGREGATES, "aggregate function")
    )

    def __contains__(self, name: str) -> bool:
        return name in self.scalars or name in self.tables or name in self.aggregates

    def names(self) -> list[str]:
        """Every name of every kind, sorted."""
        return sorted({*self.scalars.names(), *self.tables.names(), *self.aggregates.names()})

    def scalar(self, name: str) -> tuple[Scalar, ...]:
        """The overloads of a scalar function.

        raises  PlanError PLAN-UNKNOWN-FUNCTION, with near names of any kind
        """
        if name not in self.scalars:
            raise unknown_function(name, self.names())
        return self.scalars.overloads(name)
