"""Distances on the globe."""

from __future__ import annotations

from streamsql.functions.registry import BoundCall, Fragment, Scalar
from streamsql.sqltext import FAIL, cannot, fail, once

_KILOMETRES = ("KM", "KILOMETER", "KILOMETERS", "KILOMETRE", "KILOMETRES")
_MILES = ("MI", "MILE", "MILES")
_RADIUS_KM, _RADIUS_MILES = "6371e0", "3959e0"


def _distance(call: BoundCall) -> Fragment:
    """The haversine formula; the sum under the root may pass 1 by rounding."""
    a = call.arguments
    lat1, lon1, lat2, lon2 = (f"({a[name]})" for name in ("lat1", "lon1", "lat2", "lon2"))

    def squared_half_sine(angle: str) -> str:
        return f"pow(sin(radians({angle}) / 2), 2)"

    square = (
        f"{squared_half_sine(f'{lat2} - {lat1}')} + {squared_half_sine(f'{lon2} - {lon1}')}"
        f" * cos(radians({lat1})) * cos(radians({lat2}))"
    )
    # DuckDB holds NaN larger than any number; here it passes and comes out as NaN.
    arc = once(square, lambda s: f"2 * asin(sqrt(CASE WHEN {s} > 1 AND NOT isnan({s}) THEN 1 ELSE {s} END))")
    beyond = " OR ".join(
        f"(abs({angle}) > {limit} AND NOT isnan({angle}))"
        for angle, limit in ((lat1, 90), (lat2, 90), (lon1, 180), (lon2, 180))
    )
    range_error = fail("'a latitude is from -90 to 90, a longitude from -180 to 180'", "DOUBLE")
    radius = _radius(a["unit"]) if "unit" in a else _RADIUS_KM
    known = " AND ".join(f"{angle} IS NOT NULL" for angle in (lat1, lon1, lat2, lon2))
    return Fragment(
        f"CASE WHEN {known} THEN CASE WHEN {beyond} THEN {range_error} ELSE {arc} * {radius} END END",
        (FAIL,),
        True,
    )


def _radius(unit: str) -> str:
    kilometres, miles = (", ".join(f"'{name}'" for name in names) for names in (_KILOMETRES, _MILES))
    return (
        f"CASE WHEN {unit} IS NULL OR trim({unit}) = '' OR upper({unit}) IN ({kilometres}) THEN {_RADIUS_KM}"
        f" WHEN upper({unit}) IN ({miles}) THEN {_RADIUS_MILES}"
        f" ELSE {cannot('measure a distance in', unit, 'DOUBLE')} END"
    )


GEO = (
    Scalar(
        "GEO_DISTANCE",
        "(lat1 DOUBLE, lon1 DOUBLE, lat2 DOUBLE, lon2 DOUBLE, [unit VARCHAR]) -> DOUBLE",
        says="The great-circle distance between two points given in degrees, in KM (default) or MILES.",
        sql=_distance,
        can_fail=True,
        example="ROUND(GEO_DISTANCE(37.4439, -122.1663, 51.5257, -0.1122))",
        gives="8635",
    ),
)
