"""Functions about null, and AS_VALUE."""

from __future__ import annotations

from streamsql.functions.registry import BoundCall, Scalar


def _coalesce(call: BoundCall) -> str:
    return f"coalesce({', '.join((call.arguments['first'], *call.variadic))})"


NULLS: tuple[Scalar, ...] = (
    Scalar(
        "AS_VALUE",
        "(column T) -> T",
        "The argument itself; it puts a copy of a key column into the value.",
        sql="{column}",
        example="AS_VALUE('a')",
        gives="a",
    ),
    Scalar(
        "COALESCE",
        "(first T, others T...) -> T",
        "The first argument that is not null.",
        sql=_coalesce,
        example="COALESCE(NULL, 'a', 'b')",
        gives="a",
    ),
    Scalar(
        "IFNULL",
        "(x T, instead T) -> T",
        "The first argument, or the second where the first is null.",
        sql="coalesce({x}, {instead})",
        example="IFNULL(NULL, 7)",
        gives="7",
    ),
    Scalar(
        "NULLIF",
        "(x T, unwanted T) -> T",
        "The first argument, or null where the two are equal.",
        sql="CASE WHEN {x} IS DISTINCT FROM {unwanted} THEN {x} END",
        example="NULLIF('n/a', 'n/a')",
        gives="null",
    ),
)
