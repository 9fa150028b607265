"""Checks that formats share: which types, how many columns, which properties."""

from __future__ import annotations

from collections.abc import Sequence

from streamsql.errors import PlanError
from streamsql.formats.format import Layout
from streamsql.schema import Column
from streamsql.types import VARCHAR, Map, walk


class ColumnRefused(PlanError):
    """A format cannot hold one of the columns, for its type or its name."""

    def __init__(
        self, message: str, column: str, hint: str | None = None, *, code: str = "PLAN-FORMAT-TYPE"
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.column = column


def refuse_properties(name: str, known: frozenset[str], layout: Layout) -> None:
    """A property that the format does not have.

    raises  PlanError naming the first one
    """
    side = "KEY" if layout.is_key else "VALUE"
    for given in layout.properties:
        if given not in known:
            raise PlanError(f"format {name} has no property {side}_{given}", code="PLAN-FORMAT-PROPERTY")


def cannot_hold(name: str, column: Column) -> PlanError:
    """The error for a column whose type the format has no bytes for."""
    kind = str(column.type).partition("<")[0].partition("(")[0]
    return ColumnRefused(
        f"format {name} cannot hold type {kind}, which column {column.name} has",
        column.name,
        "formats JSON and ARROW can",
    )


def require_text_keys(name: str, layout: Layout) -> None:
    """Maps whose keys are not VARCHAR, at any depth.

    raises  PlanError naming the column
    """
    for column in layout.columns:
        if any(isinstance(t, Map) and t.key != VARCHAR for t in walk(column.type)):
            found = f"column {column.name} is {column.type}"
            raise ColumnRefused(
                f"format {name} only has maps with VARCHAR keys, {found}",
                column.name,
                "format ARROW has others",
            )


def require_columns(name: str, layout: Layout) -> None:
    """At least one column: an empty record has no bytes of its own.

    raises  PlanError
    """
    if not layout.columns:
        side = "key" if layout.is_key else "value"
        raise PlanError(f"format {name} needs at least one {side} column", code="PLAN-FORMAT-COLUMNS")


def wanted_columns(layout: Layout, wanted: Sequence[str]) -> tuple[Column, ...]:
    """The layout's columns of the given names, in the order of the names."""
    by_name = {column.name: column for column in layout.columns}
    return tuple(by_name[name] for name in wanted)


def is_record(layout: Layout) -> bool:
    """Whether a payload is a record of fields, not one bare value."""
    return len(layout.columns) != 1 or (layout.is_wrapped and not layout.is_key)
