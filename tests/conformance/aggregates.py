"""The aggregates that the corpus takes for granted, as its appendix describes them."""

from __future__ import annotations

from typing import Any

from streamsql.functions.user_aggregates import udaf


def aggregates() -> tuple[type, ...]:
    """The classes: overloads of TEST_UDAF, and the rest by name."""
    return (
        *(_declared(Sum, f"TEST_UDAF(x {t}) -> {r}") for t, r in _SUMS),
        _declared(TextSum, "TEST_UDAF(x VARCHAR, init VARCHAR literal) -> BIGINT"),
        _declared(PairSum, "TEST_UDAF(x STRUCT<A INTEGER, B INTEGER>) -> STRUCT<A INTEGER, B INTEGER>"),
        _declared(Lengths, "VAR_ARG(x BIGINT, rest VARCHAR...) -> BIGINT"),
        *(_declared(Lengths, f"{name} -> BIGINT") for name in _WITH_START),
        _declared(
            MiddleLengths,
            "MID_VAR_ARG(x BIGINT, rest VARCHAR..., m INTEGER literal, n INTEGER literal) -> BIGINT",
        ),
        _declared(First, "GENERIC_VAR_ARG(x T, y U, rest V...) -> ARRAY<T>"),
        _declared(First, "OBJ_COL_ARG(x INTEGER) -> ARRAY<INTEGER>"),
        _declared(
            First,
            "OBJ_COL_ARG(x INTEGER, a BIGINT, b BOOLEAN, c T, d INTEGER, e U) -> ARRAY<INTEGER>",
        ),
    )


_SUMS = (("BIGINT", "BIGINT"), ("INTEGER", "BIGINT"), ("DOUBLE", "DOUBLE"))
_WITH_START = (
    "MULTI_ARG(x BIGINT, a VARCHAR, n INTEGER literal, rest VARCHAR... literal)",
    "FOUR_ARG(x BIGINT, a VARCHAR, b VARCHAR, c VARCHAR, n INTEGER literal, rest VARCHAR... literal)",
    "FIVE_ARG(x BIGINT, a VARCHAR, b VARCHAR, c VARCHAR, d INTEGER, n INTEGER literal, rest VARCHAR... literal)",
)


def _declared(base: type, declaration: str) -> type:
    """A subclass of its own, so that one class may be several functions."""
    own: type = type(base.__name__, (base,), {})
    return udaf(declaration, takes_nulls=True)(own)


def _size(value: Any) -> int:
    """What a value adds: a number itself, a text its length, a null nothing."""
    return 0 if value is None else len(value) if isinstance(value, str) else value


class Sum:
    def initialize(self) -> Any:
        return 0

    def aggregate(self, state: Any, x: Any) -> Any:
        return state + _size(x)

    def undo(self, state: Any, x: Any) -> Any:
        return state - _size(x)

    def merge(self, state: Any, other: Any) -> Any:
        return state + other


class TextSum:
    """Total length, starting at the literal's length."""

    def __init__(self, start: str) -> None:
        self._start = len(start)

    def initialize(self) -> int:
        return self._start

    def aggregate(self, state: int, x: str | None) -> int:
        return state + _size(x)

    def merge(self, state: int, other: int) -> int:
        return state + other - self._start


class PairSum:
    def initialize(self) -> dict[str, int]:
        return {"A": 0, "B": 0}

    def aggregate(self, state: dict[str, int], x: dict[str, int | None] | None) -> dict[str, int]:
        return state if x is None else {name: state[name] + _size(x[name]) for name in state}

    def merge(self, state: dict[str, int], other: dict[str, int]) -> dict[str, int]:
        return {name: state[name] + other[name] for name in state}


class Lengths:
    """Sum of numbers and lengths; the literals are where it starts."""

    def __init__(self, *start: int | str) -> None:
        self._start = sum(map(_size, start))

    def initialize(self) -> int:
        return self._start

    def aggregate(self, state: int, *values: Any) -> int:
        return state + sum(map(_size, values))

    def merge(self, state: int, other: int) -> int:
        return state + other - self._start


class MiddleLengths:
    """Sum of the number and the lengths; the literals are added to the result, not to the state."""

    def __init__(self, *added: int) -> None:
        self._added = sum(added)

    def initialize(self) -> int:
        return 0

    def aggregate(self, state: int, *values: Any) -> int:
        return state + sum(map(_size, values))

    def merge(self, state: int, other: int) -> int:
        return state + other

    def map(self, state: int) -> int:
        return state + self._added


class First:
    """The first arguments of the rows in which no argument is null."""

    def initialize(self) -> list[Any]:
        return []

    def aggregate(self, state: list[Any], *values: Any) -> list[Any]:
        return state if None in values else [*state, values[0]]

    def merge(self, state: list[Any], other: list[Any]) -> list[Any]:
        return state + other
