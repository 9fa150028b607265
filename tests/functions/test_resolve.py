"""Which overload a call means: exact before widened, fixed before variadic, concrete before generic."""

from __future__ import annotations

from typing import Any

import pytest

from streamsql.errors import PlanError
from streamsql.functions.registry import Registry, Scalar
from streamsql.functions.resolve import Argument, LambdaArgument, UnitArgument, resolve
from streamsql.functions.signature import parse_signature
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    NULL,
    TIMESTAMP,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
)


def rows(*signatures: str) -> tuple[Scalar, ...]:
    return tuple(Scalar("F", signature, "Says.", sql="1") for signature in signatures)


def body(*gives: SqlType, count: int = 1) -> LambdaArgument:
    return LambdaArgument(count, lambda types: gives[0])


# signatures, the chosen one first; arguments; the types its parameters get (None: not compared); result
Case = tuple[tuple[str, ...], list[Argument], list[Any], SqlType]
D42, D51, D62 = Decimal(4, 2), Decimal(5, 1), Decimal(6, 2)
LONGS, DOUBLES, DATES = Array(BIGINT), Array(DOUBLE), Array(DATE)
TEXT_TO_DATE = Map(VARCHAR, DATE)

CHOSEN: list[Case] = [
    # Exact before widened.
    (("(x BIGINT) -> BIGINT", "(x INTEGER) -> INTEGER"), [BIGINT], [BIGINT], BIGINT),
    (("(x VARCHAR) -> INTEGER", "(x BYTES) -> BIGINT"), [VARCHAR], [VARCHAR], INTEGER),
    (("(x DOUBLE) -> DOUBLE",), [INTEGER], [DOUBLE], DOUBLE),
    (("(x DOUBLE) -> DOUBLE",), [D42], [DOUBLE], DOUBLE),
    (("(x TIMESTAMP) -> BIGINT",), [VARCHAR], [TIMESTAMP], BIGINT),
    # Fixed before variadic, concrete before generic.
    (("(x VARCHAR) -> DATE", "(x VARCHAR...) -> BIGINT"), [VARCHAR], [VARCHAR], DATE),
    (("(x VARCHAR) -> DATE", "(x T) -> T"), [VARCHAR], [VARCHAR], DATE),
    (("(x VARCHAR, y U) -> U", "(x T, y T) -> T"), [VARCHAR, VARCHAR], [VARCHAR, VARCHAR], VARCHAR),
    (("(x T) -> T", "(x VARCHAR...) -> BIGINT"), [VARCHAR], [VARCHAR], VARCHAR),
    # NULL fits everywhere.
    (("(x VARCHAR, y INTEGER) -> DATE",), [NULL, NULL], [VARCHAR, INTEGER], DATE),
    (("(x INTEGER) -> DATE", "(x VARCHAR...) -> DATE"), [NULL], [INTEGER], DATE),
    (("(x T, y T) -> T",), [NULL, DATE], [DATE, DATE], DATE),
    (("(x T, y T) -> T",), [NULL, NULL], [VARCHAR, VARCHAR], VARCHAR),
    (("(x ARRAY<T>) -> T",), [NULL], [Array(VARCHAR)], VARCHAR),
    # A generic takes the common type of its arguments.
    (("(x T, y T) -> T",), [INTEGER, BIGINT], [BIGINT, BIGINT], BIGINT),
    (("(x T, y T) -> T",), [D42, D51], [D62, D62], D62),
    (("(x T, y T) -> T",), [D42, DOUBLE], [DOUBLE, DOUBLE], DOUBLE),
    (("(x T, y T) -> T",), [VARCHAR, DATE], [DATE, DATE], DATE),
    (("(x T, y T) -> T",), [Array(INTEGER), DOUBLES], [DOUBLES, DOUBLES], DOUBLES),
    (("(x T, y T...) -> T",), [INTEGER, NULL, BIGINT], [BIGINT] * 3, BIGINT),
    (("(a ARRAY<T>, x T) -> T",), [Array(INTEGER), BIGINT], [LONGS, BIGINT], BIGINT),
    (("(a ARRAY<T>, x T) -> T",), [LONGS, INTEGER], [LONGS, BIGINT], BIGINT),
    (("(m MAP<K, V>) -> ARRAY<V>",), [TEXT_TO_DATE], [TEXT_TO_DATE], DATES),
    # D: decimals only, as wide as all of them.
    (("(x D) -> D", "(x DOUBLE) -> DOUBLE"), [D42], [D42], D42),
    (("(x D) -> D",), [INTEGER], [Decimal(10, 0)], Decimal(10, 0)),
    (("(x D, y D...) -> D", "(x DOUBLE, y DOUBLE...) -> DOUBLE"), [D42, D51], [D62, D62], D62),
    (("(x DECIMAL(6, 2)) -> DATE",), [D42], [D62], DATE),
    # Optional parameters and units.
    (("(x VARCHAR, [n INTEGER]) -> DATE",), [VARCHAR], [VARCHAR], DATE),
    (("(x VARCHAR, [n INTEGER]) -> DATE",), [VARCHAR, INTEGER], [VARCHAR, INTEGER], DATE),
    (("(u UNIT) -> DATE", "(u VARCHAR) -> BIGINT"), [UnitArgument("DAYS")], [None], DATE),
    # A variadic parameter may take nothing, and may stand in the middle.
    (("(x INTEGER, y VARCHAR...) -> DATE",), [INTEGER], [INTEGER], DATE),
    (("(x VARCHAR..., z DATE) -> DATE",), [VARCHAR, VARCHAR, DATE], [VARCHAR, VARCHAR, DATE], DATE),
    # Lambdas bind what is left, and their number of parameters tells overloads apart.
    (("(a ARRAY<T>, f (T) => U) -> ARRAY<U>",), [LONGS, body(DATE)], [LONGS, None], DATES),
    (
        ("(m MAP<K, V>, f (K, V) => BOOLEAN) -> V", "(a ARRAY<T>, f (T) => BOOLEAN) -> T"),
        [TEXT_TO_DATE, body(BOOLEAN, count=2)],
        [TEXT_TO_DATE, None],
        DATE,
    ),
]


@pytest.mark.parametrize(("signatures", "arguments", "types", "result"), CHOSEN)
def test_the_chosen_overload(
    signatures: tuple[str, ...], arguments: list[Argument], types: list[Any], result: SqlType
) -> None:
    for order in (signatures, signatures[::-1]):  # the order of declaration wins nothing
        match = resolve("f", rows(*order), arguments)
        assert match.overload.signature == signatures[0]
        assert [t if wanted else None for t, wanted in zip(match.types, types, strict=True)] == types
        assert match.result == result


REFUSED: list[tuple[tuple[str, ...], list[Argument]]] = [
    (("(x INTEGER) -> DATE",), []),
    (("(x INTEGER) -> DATE",), [INTEGER, INTEGER]),
    (("(x INTEGER) -> DATE",), [BIGINT]),
    (("(x INTEGER) -> DATE",), [VARCHAR]),
    (("(x VARCHAR) -> DATE",), [INTEGER]),
    (("(x D) -> D",), [DOUBLE]),
    (("(x D) -> D",), [VARCHAR]),
    (("(x DECIMAL(4, 2)) -> DATE",), [Decimal(5, 2)]),
    (("(x T, y T) -> T",), [INTEGER, VARCHAR]),
    (("(x T cmp) -> T",), [Array(INTEGER)]),
    (("(x ARRAY<T cmp>) -> T",), [Array(Struct((("A", INTEGER),)))]),
    (("(x ARRAY<T>) -> T",), [INTEGER]),
    (("(m MAP<VARCHAR, T>) -> T",), [Map(INTEGER, INTEGER)]),
    (("(u UNIT) -> DATE",), [VARCHAR]),
    (("(x VARCHAR) -> DATE",), [UnitArgument("DAYS")]),
    (("(x VARCHAR) -> DATE",), [body(DATE)]),
    (("(a ARRAY<T>, f (T) => BOOLEAN) -> T",), [Array(DATE), body(DATE)]),
    (("(a ARRAY<T>, f (T) => BOOLEAN) -> T",), [Array(DATE), body(BOOLEAN, count=2)]),
    (("(a ARRAY<T>, f (T) => U) -> U",), [Array(DATE), VARCHAR]),
    (("(a ARRAY<T>, s S, f (S, T) => S) -> S",), [Array(DATE), INTEGER, body(BIGINT, count=2)]),
]


@pytest.mark.parametrize(("signatures", "arguments"), REFUSED)
def test_what_no_overload_takes(signatures: tuple[str, ...], arguments: list[Argument]) -> None:
    with pytest.raises(PlanError) as caught:
        resolve("f", rows(*signatures), arguments)
    assert caught.value.code == "PLAN-NO-SUCH-OVERLOAD"
    assert all(f"F{signature}" in caught.value.message for signature in signatures)


AMBIGUOUS: list[tuple[tuple[str, ...], list[Argument]]] = [
    (("(x INTEGER) -> DATE", "(x VARCHAR) -> DATE"), [NULL]),
    (("(x BIGINT, y BIGINT) -> DATE", "(x DOUBLE, y DOUBLE) -> DATE"), [INTEGER, BIGINT]),
    (("(x D, n INTEGER) -> D", "(x DOUBLE, n INTEGER) -> DOUBLE"), [INTEGER, INTEGER]),
    (("(x VARCHAR...) -> DATE", "(x BYTES...) -> DATE"), []),
]


@pytest.mark.parametrize(("signatures", "arguments"), AMBIGUOUS)
def test_what_several_take_equally_well(signatures: tuple[str, ...], arguments: list[Argument]) -> None:
    with pytest.raises(PlanError, match="is ambiguous") as caught:
        resolve("f", rows(*signatures), arguments)
    assert caught.value.code == "PLAN-AMBIGUOUS-CALL"
    assert caught.value.hint is not None


def test_aggregates_take_nothing_wider() -> None:
    average = rows("(x INTEGER) -> DOUBLE", "(x DOUBLE) -> DOUBLE")
    assert resolve("avg", average, [INTEGER], widening=False).types == (INTEGER,)
    with pytest.raises(PlanError, match=r"AVG does not take \(DECIMAL\(4, 2\)\)"):
        resolve("avg", average, [D42], widening=False)


def test_lambda_parameters_have_the_types_of_the_other_arguments() -> None:
    seen: list[tuple[SqlType, ...]] = []

    def of(types: tuple[SqlType, ...]) -> SqlType:
        seen.append(types)
        return types[0]

    match = resolve(
        "reduce",
        rows("(a ARRAY<T>, s S, f (S, T) => S) -> S"),
        [Array(DATE), BYTES, LambdaArgument(2, of)],
    )
    assert match.lambda_types == {2: (BYTES, DATE)}
    assert set(seen) == {(BYTES, DATE)}


def test_an_error_in_a_lambda_is_the_calls_error() -> None:
    def of(types: tuple[SqlType, ...]) -> SqlType:
        raise PlanError("column X does not exist", code="PLAN-UNKNOWN-COLUMN")

    with pytest.raises(PlanError, match="column X does not exist"):
        resolve("f", rows("(a ARRAY<T>, f (T) => U) -> U"), [Array(DATE), LambdaArgument(1, of)])


def test_messages_name_what_was_given_and_what_is_there() -> None:
    with pytest.raises(PlanError) as caught:
        resolve("len", rows("(text VARCHAR) -> INTEGER"), [DATE, UnitArgument("DAYS"), body(DATE)])
    assert caught.value.message == (
        "function LEN does not take (DATE, DAYS, lambda of 1); its signatures: LEN(text VARCHAR) -> INTEGER"
    )


def test_unknown_names_get_near_ones() -> None:
    registry = Registry(rows("(x INTEGER) -> DATE") + (Scalar("SUBSTRING", "() -> DATE", ""),))
    with pytest.raises(PlanError, match="there is no function SUBSTR") as caught:
        registry.overloads("substr")
    assert caught.value.code == "PLAN-UNKNOWN-FUNCTION"
    assert caught.value.hint == "did you mean SUBSTRING?"
    with pytest.raises(PlanError) as caught:
        registry.overloads("completely_else")
    assert caught.value.hint == "SHOW FUNCTIONS lists all functions"


def test_a_users_function_needs_a_name_of_its_own() -> None:
    registry = Registry(rows("(x INTEGER) -> DATE"))
    mine = Scalar("MINE", "(x INTEGER) -> DATE", "")
    with pytest.raises(PlanError, match="function F exists already"):
        registry.add([mine, *rows("(x DATE) -> DATE")])
    assert "MINE" not in registry, "all or none"
    registry.add([mine])
    assert registry.overloads("Mine") == (mine,)
    with pytest.raises(PlanError, match="function SUM exists already"):
        registry.add([Scalar("SUM", "() -> DATE", "")], taken=lambda name: name == "SUM")


@pytest.mark.parametrize(
    "text",
    [
        "() -> DOUBLE",
        "(a ARRAY<MAP<K, V>>, [b D], [c DECIMAL(4, 2)]) -> STRUCT<K VARCHAR, V ARRAY<V>>",
        "(unit UNIT, n INTEGER literal, x T cmp...) -> T",
        "(f (K, V, T) => ARRAY<U>) -> U",
    ],
)
def test_signatures_print_as_they_are_written(text: str) -> None:
    assert str(parse_signature(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(x INTEGER)", "-> expected, found the end"),
        ("(x INTEGER) -> NUMBER", "no type NUMBER"),
        ("(x INTEGER, x DATE) -> DATE", "two parameters of one name"),
        ("(x DATE..., y DATE...) -> DATE", "two variadic parameters"),
        ("(f (A, B, C, E) => T) -> DATE", "a lambda has at most three parameters"),
        ("(x INTEGER) -> DATE DATE", "DATE after the result type"),
        ("(x INTEGER; y DATE) -> DATE", "unreadable characters"),
        ("([x DATE], y DATE...) -> DATE", "y follows an optional parameter"),
        ("(y DATE..., [x DATE]) -> DATE", "variadic and optional"),
    ],
)
def test_a_signature_that_does_not_read(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_signature(text)
