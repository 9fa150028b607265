"""Printing a call: casts of arguments, each argument evaluated once, rows that fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.failures import Failures
from streamsql.engine.kernel import ArrowFunction, Workspace
from streamsql.errors import DataError
from streamsql.functions import SCALARS
from streamsql.functions.arrow import or_note, or_null, with_arity, without_errors
from streamsql.functions.call import literal_integer, print_call
from streamsql.functions.registry import BoundCall, Registry, Scalar
from streamsql.functions.resolve import Argument, LambdaArgument, UnitArgument, resolve
from streamsql.tolerance import attempts, errors_noted, reject
from streamsql.types import BIGINT, DATE, DOUBLE, INTEGER, NULL, VARCHAR, Array, Decimal
from tests.functions.evaluate import Evaluator

ECHO = Scalar("ECHO", "(x T, others T...) -> T", "", sql="echo({x}, {others})")
TWICE = Scalar("TWICE", "(x DOUBLE) -> DOUBLE", "", sql="{x} + {x}")
EACH = Scalar("EACH", "(a ARRAY<T>, x T) -> ARRAY<T>", "", sql="list_filter({a}, lambda y: y = {x})")
HELD = Scalar("HELD", "(a ARRAY<T>, f (T) => U) -> ARRAY<U>", "", sql="list_transform({a}, {f})")
UNITS = Scalar("UNITS", "(u UNIT, n INTEGER) -> DATE", "", sql="add('{u}', {n})")
registry = Registry((ECHO, TWICE, EACH, HELD, UNITS))

PRINTED: list[tuple[str, list[Argument], list[str], str]] = [
    # Casts to the parameter's type.
    ("TWICE", [DOUBLE], ['"A"'], '"A" + "A"'),
    ("ECHO", [INTEGER, BIGINT], ['"A"', '"B"'], 'echo(CAST("A" AS BIGINT), "B")'),
    ("ECHO", [NULL, VARCHAR], ["NULL", "'it''s'"], "echo(CAST(NULL AS VARCHAR), 'it''s')"),
    ("ECHO", [Decimal(3, 1), Decimal(4, 2)], ['"A"', '"B"'], 'echo(CAST("A" AS DECIMAL(4,2)), "B")'),
    # What stands once is put in, in parentheses where it is not a call.
    ("ECHO", [INTEGER, INTEGER], ['"A" + 1', "f(1) + f(2)"], 'echo(("A" + 1), (f(1) + f(2)))'),
    ("ECHO", [INTEGER, INTEGER], ["f(')', \"A)\")", '"X"."Y z"'], 'echo(f(\')\', "A)"), "X"."Y z")'),
    # What stands twice, or inside a lambda, is bound to a name.
    ("TWICE", [DOUBLE], ["f(x)"], 'list_transform([f(x)], lambda "$0": "$0" + "$0")[1]'),
    ("TWICE", [DOUBLE], ['"A" + 1'], 'list_transform(["A" + 1], lambda "$0": "$0" + "$0")[1]'),
    (
        "EACH",
        [Array(INTEGER), INTEGER],
        ["g()", "f(x)"],
        'list_transform([f(x)], lambda "$1": list_filter(g(), lambda y: y = "$1"))[1]',
    ),
    # A name that an argument uses is not taken.
    ("TWICE", [DOUBLE], ['f("$0")'], 'list_transform([f("$0")], lambda "$$0": "$$0" + "$$0")[1]'),
    ("UNITS", [UnitArgument("DAYS"), INTEGER], ["DAYS", "1"], "add('DAYS', 1)"),
    (
        "HELD",
        [Array(DATE), LambdaArgument(1, lambda types: types[0])],
        ['"A"', "lambda x: g(x, x)"],
        'list_transform("A", lambda x: g(x, x))',
    ),
]


@pytest.mark.parametrize(("name", "arguments", "texts", "expected"), PRINTED)
def test_printed(name: str, arguments: list[Argument], texts: list[str], expected: str) -> None:
    match = resolve(name, registry.overloads(name), arguments)
    assert print_call(match, texts) == (expected, (), False)


def test_nested_calls_grow_by_their_depth_only() -> None:
    sql = '"A"'
    for _ in range(12):
        sql, *_ = print_call(resolve("TWICE", [TWICE], [DOUBLE]), [sql])
    assert len(sql) < 2_000
    workspace = Workspace()
    batch = pa.record_batch({"A": [1.0]})
    kernel = workspace.kernel(f"SELECT {sql} AS r FROM {{i}}", {"i": batch.schema})
    assert kernel.run(i=batch).column("r").to_pylist() == [4096.0]


def test_a_random_argument_is_drawn_once() -> None:
    evaluate = Evaluator(Registry((*SCALARS, TWICE)))
    random_sql, *_ = print_call(resolve("RANDOM", evaluate.registry.overloads("RANDOM"), []), [])
    for name in ("TWICE", "ROUND", "POWER"):
        types: list[Argument] = [DOUBLE] * (2 if name == "POWER" else 1)
        match = resolve(name, evaluate.registry.overloads(name), types)
        sql, *_ = print_call(match, [random_sql, "2.5"][: len(types)])
        assert sql.count("random()") == 1


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("0", 0),
        ("-12", -12),
        ("CAST(5 AS INTEGER)", 5),
        ("CAST(-5 AS BIGINT)", -5),
        ("CAST(5 AS DOUBLE)", None),
    ],
)
def test_literal_integers(sql: str, expected: int | None) -> None:
    assert literal_integer(sql) == expected


# --- rows that fail ------------------------------------------------------------------------------


def _half(column: Any) -> Any:
    """Fails as a vector if any number is odd."""
    if pc.any(pc.equal(pc.bit_wise_and(column, 1), 1)).as_py():
        raise DataError("odd")
    return pc.divide(column, 2)


def _half_rows(column: Any) -> Any:
    def one(x: int | None) -> int | None:
        if x is not None and x % 2:
            raise DataError("odd")
        return None if x is None else x // 2

    return pa.array(attempts(one, zip(column.to_pylist())), pa.int64())


HALF = ArrowFunction("half", ("BIGINT",), "BIGINT", _half)
HALF_ROWS = ArrowFunction("half_rows", ("BIGINT",), "BIGINT", _half_rows)


@given(st.lists(st.none() | st.integers(0, 9), max_size=70))
def test_the_twin_gives_null_for_just_the_rows_that_fail(numbers: list[int | None]) -> None:
    column = pa.chunked_array([pa.array(numbers, pa.int64())])
    expected = [None if x is None or x % 2 else x // 2 for x in numbers]
    for function in (HALF, HALF_ROWS):
        assert or_null(function).run(column).to_pylist() == expected


def test_a_vector_is_not_run_row_by_row_for_one_bad_row() -> None:
    calls: list[int] = []

    def counted(column: Any) -> Any:
        calls.append(len(column))
        return _half(column)

    column = pa.chunked_array([pa.array([0] * 2000 + [1] + [0] * 47, pa.int64())])
    found = or_null(ArrowFunction("counted", ("BIGINT",), "BIGINT", counted)).run(column)
    assert found.null_count == 1
    assert len(calls) < 30


def test_in_a_kernel_the_twin_stands_for_the_function_under_try() -> None:
    row = Scalar("HALF", "(x BIGINT) -> BIGINT", "", python=lambda call: HALF, can_fail=True)
    match = resolve("HALF", [row], [BIGINT])
    plain, functions, can_fail = print_call(match, ['"A"'])
    safe, twins, _ = print_call(match, ['"A"'], is_safe=True)
    assert (plain, safe, can_fail) == ('half("A")', 'half_or_null("A")', True)
    batch = pa.record_batch({"A": [*range(3000)]})
    workspace = Workspace()
    kernels = [
        workspace.kernel(f"SELECT {sql} AS r FROM {{i}}", {"i": batch.schema}, (*functions, *twins))
        for sql in (f"TRY({plain})", safe)
    ]
    results = [kernel.run(i=batch).column("r").to_pylist() for kernel in kernels]
    assert results[0] == results[1] == [x // 2 if x % 2 == 0 else None for x in range(3000)]


def test_a_call_that_cannot_fail_keeps_its_functions() -> None:
    row = Scalar("HALF", "(x BIGINT) -> BIGINT", "", python=lambda call: HALF)
    match = resolve("HALF", [row], [BIGINT])
    assert print_call(match, ['"A"'], is_safe=True) == ('half("A")', (HALF,), False)


def test_an_argument_that_calls_the_same_function_is_left_alone() -> None:
    """A lambda's body must raise, to null the whole result and not one element."""
    row = Scalar("HALF", "(x BIGINT) -> BIGINT", "", python=lambda call: HALF, can_fail=True)
    match = resolve("HALF", [row], [BIGINT])
    sql, functions, _ = print_call(match, ["list_transform(a, lambda x: half(x))[1]"], is_safe=True)
    assert sql == "half_or_null((list_transform(a, lambda x: half(x))[1]))"
    assert functions == (or_null(HALF),)


def test_only_calls_are_replaced() -> None:
    sql = "half(x) + other_half(x) || 'half(' || \"half(\" || half"
    assert without_errors(sql, [HALF])[0] == "half_or_null(x) + other_half(x) || 'half(' || \"half(\" || half"
    assert without_errors(sql, []) == (sql, ())


def test_errors_are_noted_only_where_so_asked() -> None:
    calls = [("7",), ("x",), ("y",)]
    with pytest.raises(ValueError, match="'x'"):
        attempts(int, calls)
    with errors_noted() as errors:
        assert attempts(int, calls) == [7, None, None]
        reject([1, 5], DataError("late"))
        with pytest.raises(MemoryError):
            attempts(_out_of_memory, [()])
    assert [(row, type(error)) for row, error in errors.items()] == [
        (1, ValueError),
        (2, ValueError),
        (5, DataError),
    ]
    with pytest.raises(ValueError):
        attempts(int, calls)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=70), st.integers(0, 3))
def test_the_twin_of_a_stage_notes_which_rows_fail_and_why(numbers: list[int], expression: int) -> None:
    rows = pa.array([100 + i for i in range(len(numbers))])
    for function in (HALF, HALF_ROWS):
        failures = Failures()
        or_note(function).run(failures, rows, pa.array([expression] * len(numbers)), pa.array(numbers))
        assert _listed(failures) == [(100 + i, expression, "odd") for i, x in enumerate(numbers) if x % 2]
        assert _listed(failures) == []


def test_what_failed_is_told_once_for_each_row_and_expression_with_the_last_reason() -> None:
    failures = Failures()
    failures.note(np.array([5, 2]), 1)
    failures.note(np.array([2, 2]), 0, pa.array(["first", "last"]))
    failures.note(np.array([2, 5]), 1, pa.array(["why", None]))
    failures.note(np.array([2]), 1)
    assert _listed(failures) == [(2, 0, "last"), (2, 1, "why"), (5, 1, None)]


def _listed(failures: Failures) -> list[tuple[int, int, str | None]]:
    failed = failures.take()
    return list(
        zip(failed.rows.tolist(), failed.expressions.tolist(), failed.reasons.to_pylist(), strict=True)
    )


def _out_of_memory() -> None:
    raise MemoryError


def test_a_function_of_any_number_of_columns_is_registered_with_its_number() -> None:
    def together(*columns: Any) -> Any:
        return pc.binary_join_element_wise(*columns, "+")

    def function(call: BoundCall) -> ArrowFunction:
        count = len(call.variadic)
        return ArrowFunction(
            f"together_{count}", ("VARCHAR",) * count, "VARCHAR", with_arity(together, count)
        )

    row = Scalar("TOGETHER", "(parts VARCHAR...) -> VARCHAR", "", python=function)
    batch = pa.record_batch({"A": ["x"]})
    for count in (1, 3):
        sql, functions, _ = print_call(resolve("TOGETHER", [row], [VARCHAR] * count), ['"A"'] * count)
        kernel = Workspace().kernel(f"SELECT {sql} AS r FROM {{i}}", {"i": batch.schema}, functions)
        assert kernel.run(i=batch).column("r").to_pylist() == ["+".join("x" * count)]
