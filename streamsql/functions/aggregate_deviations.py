"""Aggregates of how numbers vary: STDDEV_SAMPLE, STDDEV_SAMP, CORRELATION.

Over a stream means and deviations are kept (`moments.py`), over a table exact sums (`exact_moments.py`), so
that rows that were taken back leave nothing over. Doubles have no exact sums that would be small; theirs
are kept by means and deviations over a table too, and exact sums of their bits say whether they vary at all.
"""

from __future__ import annotations

from collections.abc import Mapping

from streamsql.functions.aggregate import AggregateFunction, State
from streamsql.functions.exact_moments import BITS, count_state, exact_deviation, exact_states
from streamsql.functions.moments import (
    Side,
    covariance_partials,
    moment_states,
    pairs_of,
    reversible_moment_states,
    variance_partials,
)

_NUMBERS = ("INTEGER", "BIGINT", "DOUBLE")
_PUT_IN = ' FILTER (WHERE "$weight" > 0)'
_TAKEN_BACK = ' FILTER (WHERE "$weight" < 0)'


def _reversible(t: str, arguments: Mapping[str, str], arriving: Side, leaving: Side) -> tuple[State, ...]:
    """State columns over a table; `arriving` and `leaving` are what a batch puts in and takes back."""
    if t != "DOUBLE":
        return (count_state(arguments), *exact_states(arguments, pairs_of(tuple(arguments))))
    bits = {variable: f"{{bits}}({sql})" for variable, sql in arguments.items()}
    return (
        *reversible_moment_states(arriving, leaving, tuple(arguments)),
        *exact_states(bits, [v + v for v in arguments]),
    )


def _deviation_of(t: str, pair: str) -> str:
    """SQL over those: the sum of products of deviations, not below zero where it is of squares."""
    if t != "DOUBLE":
        return exact_deviation(pair)
    kept = f"{{dev_{pair}}}"
    if pair[0] != pair[1]:
        return kept
    # Where all are the same, what is kept is no deviation but what rounding has left over.
    varies = f"{exact_deviation(pair)} > 0"
    return f"CASE WHEN isnan({kept}) THEN {kept} WHEN {varies} THEN greatest({kept}, 0) ELSE 0 END"


def _deviation(name: str, says: str, root: str, gives: str, t: str) -> AggregateFunction:
    def value(deviation: str) -> str:
        return f"CASE WHEN {{n}} < 2 THEN 0.0::DOUBLE ELSE {root}({deviation} / ({{n}} - 1)) END"

    return AggregateFunction(
        name,
        f"(x {t}) -> DOUBLE",
        says,
        state=moment_states(variance_partials("{x}"), "x"),
        value=value("greatest({dev_xx}, 0)"),
        on_table=_reversible(
            t, {"x": "{x}"}, variance_partials("{x}", _PUT_IN), variance_partials("{x}", _TAKEN_BACK)
        ),
        table_value=value(_deviation_of(t, "xx")),
        functions={"bits": lambda b: BITS} if t == "DOUBLE" else {},
        example=f"{name}(x) of 1, 5, NULL, 9",
        gives=gives,
    )


def _correlation(t: str) -> AggregateFunction:
    def value(xx: str, xy: str, yy: str) -> str:
        # Null without a variance.
        coefficient = f"({xy} / sqrt(nullif({xx}, 0)) / sqrt(nullif({yy}, 0)))"
        clamped = f"greatest(-1, least(1, {coefficient}))"
        return f"CASE WHEN isfinite({coefficient}) THEN {clamped} ELSE 'NaN'::DOUBLE END"

    return AggregateFunction(
        "CORRELATION",
        f"(x {t}, y {t}) -> DOUBLE",
        "Pearson's coefficient of the pairs without a null; NaN if there are none or a side does not vary.",
        state=moment_states(covariance_partials("{x}", "{y}"), "xy"),
        value=value("{dev_xx}", "{dev_xy}", "{dev_yy}"),
        on_table=_reversible(
            t,
            {"x": "{x}", "y": "{y}"},
            covariance_partials("{x}", "{y}", _PUT_IN),
            covariance_partials("{x}", "{y}", _TAKEN_BACK),
        ),
        table_value=value(*(_deviation_of(t, pair) for pair in ("xx", "xy", "yy"))),
        functions={"bits": lambda b: BITS} if t == "DOUBLE" else {},
        example="CORRELATION(x, y) of (1, 1), (2, 4), (NULL, 1), (3, 7)",
        gives="1.0",
    )


_SAMPLE = ("STDDEV_SAMPLE", "Sample standard deviation; 0.0 for fewer than two values.", "sqrt", "4.0")
_SAMP = ("STDDEV_SAMP", "Sample variance (no root is taken); 0.0 for fewer than two values.", "", "16.0")

DEVIATIONS = (
    *(_deviation(*row, t) for row in (_SAMPLE, _SAMP) for t in _NUMBERS),
    *map(_correlation, _NUMBERS),
)
