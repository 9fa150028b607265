"""Values of several types in one expression: which type they come to, and which values, as a query keeps them."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from streamsql.database import Database

ROWS = (
    "CREATE STREAM s (id INT KEY, x INT, a DECIMAL(6, 2), b DECIMAL(4, 1), d DOUBLE);"
    "INSERT INTO s VALUES (1, 2, 10.00, 3.0, 1.5);"
    "INSERT INTO s VALUES (2, -7, -0.05, 0.0, 0.1);"
    "INSERT INTO s VALUES (3, NULL, NULL, 2.5, NULL);"
)

ARITHMETIC: dict[str, tuple[str, list[Any]]] = {
    "a + b": ("DECIMAL(7, 2)", [D("13.00"), D("-0.05"), None]),
    "a - b": ("DECIMAL(7, 2)", [D("7.00"), D("-0.05"), None]),
    "a * b": ("DECIMAL(11, 3)", [D("30.000"), D("0.000"), None]),
    # Division is rounded half up; by zero it fails its row.
    "a / b": ("DECIMAL(12, 7)", [D("3.3333333"), None, None]),
    "a / x": ("DECIMAL(17, 13)", [D("5.0000000000000"), D("0.0071428571429"), None]),
    "x / b": ("DECIMAL(17, 6)", [D("0.666667"), None, None]),
    "a % b": ("DECIMAL(5, 2)", [D("1.00"), None, None]),
    "-a": ("DECIMAL(6, 2)", [D("-10.00"), D("0.05"), None]),
    "a * d": ("DOUBLE", [15.0, -0.05 * 0.1, None]),
}
CONSTRUCTED: dict[str, tuple[str, Any]] = {
    "ARRAY[1, 2.5]": ("ARRAY<DECIMAL(11, 1)>", [D("1.0"), D("2.5")]),
    "ARRAY[1, 2E0]": ("ARRAY<DOUBLE>", [1.0, 2.0]),
    "ARRAY[NULL, 1]": ("ARRAY<INTEGER>", [None, 1]),
    # A text beside numbers or booleans is read as one, and a first text makes texts of all.
    "ARRAY[1, '2']": ("ARRAY<INTEGER>", [1, 2]),
    "ARRAY[1, '3000000000']": ("ARRAY<BIGINT>", [1, 3_000_000_000]),
    "ARRAY[1.5, '2.25']": ("ARRAY<DECIMAL(3, 2)>", [D("1.50"), D("2.25")]),
    "ARRAY[true, 'yes']": ("ARRAY<BOOLEAN>", [True, True]),
    "ARRAY['true', true, 1E0]": ("ARRAY<VARCHAR>", ["true", "true", "1.0"]),
    "MAP('a' := 1, 'b' := 2.5)": ("MAP<VARCHAR, DECIMAL(11, 1)>", {"a": D("1.0"), "b": D("2.5")}),
    "ARRAY[ARRAY[1], ARRAY[2.5]]": ("ARRAY<ARRAY<DECIMAL(11, 1)>>", [[D("1.0")], [D("2.5")]]),
    "ARRAY[MAP('k' := 1), MAP('k' := 2E0)]": ("ARRAY<MAP<VARCHAR, DOUBLE>>", [{"k": 1.0}, {"k": 2.0}]),
    "ARRAY[STRUCT(p := 1), STRUCT(p := 2.5)]": (
        "ARRAY<STRUCT<P DECIMAL(11, 1)>>",
        [{"P": D("1.0")}, {"P": D("2.5")}],
    ),
    "ARRAY[STRUCT(p := 1), STRUCT(q := 'x')]": (
        "ARRAY<STRUCT<P INTEGER, Q VARCHAR>>",
        [{"P": 1, "Q": None}, {"P": None, "Q": "x"}],
    ),
    "COALESCE(CAST(NULL AS INT), 2.5)": ("DECIMAL(11, 1)", D("2.5")),
}
ALL = {**ARITHMETIC, **{text: (t, [value] * 3) for text, (t, value) in CONSTRUCTED.items()}}


@pytest.mark.parametrize(("expression", "expected"), ALL.items(), ids=ALL)
def test_an_expression_of_several_types_gives(
    db: Database, expression: str, expected: tuple[str, list[Any]]
) -> None:
    db.execute(ROWS + f"CREATE STREAM kept AS SELECT id, {expression} AS v FROM s;")
    t, values = expected
    for query in (f"SELECT {expression} AS v FROM s;", "SELECT v FROM kept;"):
        found = db.execute(query)
        assert str(found.columns[0].type) == t
        assert [row[0] for row in found.fetchall()] == values
