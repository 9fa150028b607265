"""What holds for every scalar function: its documentation, its example, nulls, batches of any size.

Arguments are made from the signature: a handful of values per type, so that a row fails now and then.
"""

from __future__ import annotations

import datetime
import itertools
import math
import os
import random
from decimal import Decimal as D
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from streamsql.engine.kernel import Workspace
from streamsql.functions import SCALARS, TABLE_FUNCTIONS
from streamsql.functions.call import print_call
from streamsql.functions.cast import cast_sql, is_castable
from streamsql.functions.registry import Scalar
from streamsql.functions.resolve import LambdaArgument, UnitArgument, resolve
from streamsql.functions.signature import Lambda, Parameter, Unit, Variable, parse_signature
from streamsql.grammar.parser import parse_expression
from streamsql.plan.environment import Environment
from streamsql.plan.expressions import compile_expression
from streamsql.plan.scope import Scope
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    TIME,
    TIMESTAMP,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
)
from tests.functions.evaluate import Evaluator, Sql, Value

# `make check-long` takes the larger one.
LARGE = 100_000 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 10_000
IDS = [f"{row.name}{row.signature}" for row in SCALARS]
every_scalar = pytest.mark.parametrize("row", SCALARS, ids=IDS)

# --- documentation ------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [*SCALARS, *TABLE_FUNCTIONS], ids=lambda row: f"{row.name}{row.signature}")
def test_every_function_is_documented(row: Any) -> None:
    assert row.name == row.name.upper()
    assert row.category
    assert row.says.endswith(".") and len(row.says) > 10
    assert row.example and row.gives != ""
    assert str(parse_signature(row.signature)) == row.signature
    assert (row.sql is None) != (row.python is None)


def test_no_two_overloads_are_the_same() -> None:
    shapes = [
        (row.name, tuple(str(p.type) for p in parse_signature(row.signature).parameters)) for row in SCALARS
    ]
    assert len(set(shapes)) == len(shapes)


@cache
def workspace() -> Workspace:
    return Workspace()


@every_scalar
def test_the_example_gives_what_it_says(row: Scalar) -> None:
    compiled = compile_expression(parse_expression(row.example), Scope(()), Environment())
    printed = cast_sql(compiled.sql, compiled.type, VARCHAR)
    batch = pa.record_batch({"x": [1]})
    kernel = workspace().kernel(
        f"SELECT {printed.sql} AS r FROM {{i}}",
        {"i": batch.schema},
        (*compiled.functions, *printed.functions),
    )
    found = kernel.run(i=batch).column("r")[0].as_py()
    assert ("null" if found is None else found) == row.gives


# --- nulls and batches ---------------------------------------------------------------------------

VALUES: dict[SqlType, list[Any]] = {
    BOOLEAN: [True, False],
    INTEGER: [0, 1, 2, -3, 7, 2**31 - 1],
    BIGINT: [0, 1, -2, 2**40, -(2**63)],
    DOUBLE: [0.0, 1.0, -2.5, 1e300, math.nan, 0.3],
    Decimal(6, 2): [D("0.00"), D("1.50"), D("-2.25")],
    VARCHAR: ["", "a", "A-b,c", "utf8", "hex", "2024-02-29", "é😀", '{"a": [1]}', "ASC", "x=1;y=2"],
    BYTES: [b"", b"ab", b"\x00\xff\xfe\x80", bytes(16)],
    DATE: [datetime.date(1970, 1, 1), datetime.date(2024, 2, 29)],
    TIME: [datetime.time(0, 0), datetime.time(23, 59, 59, 999000)],
    TIMESTAMP: [datetime.datetime(1970, 1, 1), datetime.datetime(2024, 2, 29, 12, 30)],
}


NAMED: dict[str, list[Any]] = {
    # Texts that mean something to the parameter of the name.
    "pattern": ["yyyy-MM-dd", "HH:mm:ss", "yyyy-MM-dd HH:mm", "[a-z]+", "("],
    "zone": ["UTC", "Europe/Paris", "+02:00", "nowhere"],
    "from": ["UTC", "Europe/Paris"],
    "to": ["America/New_York", "+02:00"],
    "encoding": ["utf8", "hex", "base64", "utf16"],
    "json": ['{"a": [1, null]}', '[1, 2.5, "x"]', "1", "{"],
    "url": ["https://u@h.example:80/p?a=b&c=%20#f", "a b"],
    "byte_order": ["BIG_ENDIAN", "LITTLE_ENDIAN", "MIDDLE"],
}


def _concrete(t: SqlType) -> SqlType:
    """The type with its variables replaced by ones that print their values in any order."""
    match t:
        case Variable():
            return Decimal(6, 2) if t.is_decimal else VARCHAR if t.name in "K" else INTEGER
        case Array(element):
            return Array(_concrete(element))
        case Map(key, inner):
            return Map(_concrete(key), _concrete(inner))
        case Struct(fields):
            return Struct(tuple((name, _concrete(part)) for name, part in fields))
    return t


def _some(t: SqlType, chance: random.Random) -> Any:
    match t:
        case Array(element):
            return [_some(element, chance) for _ in range(chance.randrange(4))]
        case Map(key, inner):
            keys = dict.fromkeys(_some(key, chance) for _ in range(chance.randrange(4)))
            return [(key, _some(inner, chance)) for key in keys]
        case Struct(fields):
            return {name: _some(part, chance) for name, part in fields}
    return chance.choice(VALUES[t])


def _argument(parameter: Parameter, rows: int, chance: random.Random, nulls: float) -> Value | Sql:
    match parameter.type:
        case Unit():
            return Sql(UnitArgument("DAY"), "DAY")
        case Lambda(parameters, body):
            names = ", ".join(f"p{i}" for i in range(len(parameters)))
            if body == BOOLEAN:
                return Sql(
                    LambdaArgument(len(parameters), lambda types: BOOLEAN), f"lambda {names}: p0 IS NOT NULL"
                )
            return Sql(LambdaArgument(len(parameters), lambda types: types[0]), f"lambda {names}: p0")
    t = _concrete(parameter.type)
    named = NAMED.get(parameter.name, []) if t == VARCHAR else []
    return Value(
        t,
        [
            None if chance.random() < nulls else chance.choice(named) if named else _some(t, chance)
            for _ in range(rows)
        ],
    )


def _arguments(row: Scalar, rows: int, nulls: float) -> list[Value | Sql]:
    chance = random.Random(row.signature)
    parameters = parse_signature(row.signature).parameters
    # A row of SIZE 2^31 - 1 or a series that long is what the function is asked for, and no test.
    if row.name in ("LPAD", "RPAD", "GENERATE_SERIES"):
        small = [Value(_concrete(p.type), [chance.randrange(-3, 4) for _ in range(rows)]) for p in parameters]
        others = [_argument(p, rows, chance, nulls) for p in parameters]
        return [s if o.type in (INTEGER, BIGINT) else o for s, o in zip(small, others, strict=True)]  # type: ignore[union-attr]
    repeated = itertools.chain.from_iterable([p, p] if p.is_variadic else [p] for p in parameters)
    return [_argument(p, rows, chance, nulls) for p in repeated]


@cache
def _evaluator() -> Evaluator:
    return Evaluator()


def _run(row: Scalar, arguments: list[Value | Sql], rows: int) -> pa.Array:  # type: ignore[type-arg]
    """The call under TRY, as a batch with failing rows is run."""
    evaluator = _evaluator()
    return evaluator.column(row.name, *arguments, rows=rows, guarded=not row.volatile)


NEVER_NULL = {
    # Those that say something about a null, or skip it.
    "ARRAY_CONTAINS", "CONCAT", "CONCAT_WS", "FIELD", "GREATEST", "INSTR", "IS_JSON_STRING", "LEAST",
    "JSON_ARRAY_CONTAINS", "TO_JSON_STRING", "COALESCE", "IFNULL", "ARRAY_JOIN", "ARRAY_CONCAT", "MAP_UNION",
    "ARRAY_REMOVE", "ELT", "SLICE", "REDUCE", "NULLIF", "MASK", "MASK_LEFT", "MASK_RIGHT", "MASK_KEEP_LEFT",
    "MASK_KEEP_RIGHT", "GEO_DISTANCE",
}  # fmt: skip


@every_scalar
def test_a_null_in_any_argument_is_null(row: Scalar) -> None:
    arguments = _arguments(row, 8, nulls=0.0)
    for place, argument in enumerate(arguments):
        if not isinstance(argument, Value) or row.name in NEVER_NULL:
            continue
        with_null = [*arguments]
        with_null[place] = Value(argument.type, [None] * 8)
        assert _run(row, with_null, 8).null_count == 8, f"argument {place + 1}"


@every_scalar
def test_batches_of_any_size_give_the_same(row: Scalar) -> None:
    if row.volatile or not parse_signature(row.signature).parameters:
        return  # there is nothing to compare: it may give another value every time
    few = _arguments(row, 40, nulls=0.15)

    def chosen(places: list[int]) -> list[Value | Sql]:
        return [Value(a.type, [a.rows[i] for i in places]) if isinstance(a, Value) else a for a in few]

    empty = _run(row, chosen([]), 0)
    assert len(empty) == 0
    small = _run(row, few, 40).to_pylist()
    assert _same([_run(row, chosen([i]), 1).to_pylist()[0] for i in range(3)], small[:3])
    # Rows that may have failed are slow, row by row under TRY, so the large batch has few of them.
    nulls = [i for i, x in enumerate(small) if x is None]
    usual = [i for i, x in enumerate(small) if x is not None]
    places = [usual[i % len(usual)] for i in range(LARGE)] if usual else nulls
    for i in range(500, len(places), 5_000):
        places[i] = (nulls or usual)[0]
    large = _run(row, chosen(places), len(places))
    assert large.type == empty.type
    assert _same(large.to_pylist(), [small[i] for i in places])


def _same(a: list[Any], b: list[Any]) -> bool:
    return repr(a) == repr(b)


@every_scalar
def test_only_a_call_that_says_so_can_fail(row: Scalar) -> None:
    """`can_fail` decides whether a batch is tried again under TRY: a wrong False would stop a query."""
    arguments = _arguments(row, 400, nulls=0.1)
    try:
        _evaluator().column(row.name, *arguments, rows=400)
    except duckdb.Error as error:
        texts = [f'"A{i}"' if isinstance(a, Value) else a.sql for i, a in enumerate(arguments)]
        types = [a.type if isinstance(a, Value) else a.argument for a in arguments]
        overloads = _evaluator().registry.overloads(row.name)
        _, _, can_fail = print_call(resolve(row.name, overloads, types), texts)
        assert can_fail, error


def test_what_the_walk_leaves_out_exists() -> None:
    assert NEVER_NULL <= {row.name for row in SCALARS}
    assert all(is_castable(t, VARCHAR) for t in VALUES if t != BYTES)
