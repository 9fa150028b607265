"""Functions about null, and AS_VALUE."""

from __future__ import annotations

from streamsql.functions.registry import BoundCall, Scalar


def _coalesce(call: BoundCall) -> str:
    return f"coalesce({', '.join((call.arguments['first'], *call.variadic))})"


NULLS = (
    Scalar(
        "COALESCE",
        "(first T, others T...) -> T",
        says="The first argument that is not null.",
        sql=_coalesce,
        example="COALESCE(NULL, 'a', 'b')",
        gives="a",
    ),
    Scalar(
        "IFNULL",
        "(x T, instead T) -> T",
        says="The first argument, or the second where the first is null.",
        sql="coalesce({x}, {instead})",
        example="IFNULL(NULL, 7)",
        gives="7",
    ),
)
