"""GEO_DISTANCE."""

from __future__ import annotations

import math

import duckdb
import pytest

from tests.functions.evaluate import Evaluator, double, integer, text

PALO_ALTO, LONDON, CAPE_TOWN, SYDNEY = (
    (37.4439, -122.1663),
    (51.5257, -0.1122),
    (-33.9323, 18.4197),
    (-33.8666, 151.1),
)


@pytest.fixture(scope="module")
def evaluate() -> Evaluator:
    return Evaluator()


@pytest.mark.parametrize(
    ("start", "end", "kilometres"),
    [
        (PALO_ALTO, LONDON, 8634.659796579544),
        (LONDON, CAPE_TOWN, 9673.40421197142),
        (CAPE_TOWN, SYDNEY, 11005.23304055582),
        ((39.18660374, -76.73262144), (39.18660374, -76.73222145), 0.03447366811448324),
        ((0.0, 0.0), (0.0, 180.0), math.pi * 6371),
        ((90.0, 0.0), (-90.0, 77.0), math.pi * 6371),
        ((5.0, 5.0), (5.0, 5.0), 0.0),
    ],
)
def test_distance(
    evaluate: Evaluator, start: tuple[float, float], end: tuple[float, float], kilometres: float
) -> None:
    points = [double(x) for x in (*start, *end)]
    assert evaluate.one("GEO_DISTANCE", *points) == pytest.approx(kilometres, rel=1e-12)
    for unit in ("km", "Kilometer", "KILOMETRES", None, "", "  "):
        assert evaluate.one("GEO_DISTANCE", *points, text(unit)) == pytest.approx(kilometres, rel=1e-12)
    for unit in ("MI", "mile", "Miles"):
        miles = kilometres / 6371 * 3959
        assert evaluate.one("GEO_DISTANCE", *points, text(unit)) == pytest.approx(miles, rel=1e-12)


def test_nulls_and_whole_numbers(evaluate: Evaluator) -> None:
    points = [0.0, 0.0, 1.0, 1.0]
    for place in range(4):
        arguments = [double(None if i == place else x) for i, x in enumerate(points)]
        assert evaluate.one("GEO_DISTANCE", *arguments) is None
        assert evaluate.one("GEO_DISTANCE", *arguments, text("parsec")) is None
    whole = evaluate.one("GEO_DISTANCE", integer(0), integer(0), double(1.0), integer(1))
    assert whole == evaluate.one("GEO_DISTANCE", *map(double, points))
    assert math.isnan(evaluate.one("GEO_DISTANCE", double(math.nan), *map(double, points[1:])))


@pytest.mark.parametrize(
    ("points", "unit", "message"),
    [
        ((90.1, 0.0, 0.0, 0.0), "km", "latitude"),
        ((0.0, 0.0, -90.1, 0.0), "km", "latitude"),
        ((0.0, 180.1, 0.0, 0.0), "km", "longitude"),
        ((0.0, 0.0, 0.0, -180.1), "km", "longitude"),
        ((0.0, 0.0, 0.0, 0.0), "parsec", "'parsec'"),
    ],
)
def test_what_fails(evaluate: Evaluator, points: tuple[float, ...], unit: str, message: str) -> None:
    arguments = [*map(double, points), text(unit)]
    with pytest.raises(duckdb.Error, match=message):
        evaluate.one("GEO_DISTANCE", *arguments)
    assert evaluate.one("GEO_DISTANCE", *arguments, guarded=True) is None
