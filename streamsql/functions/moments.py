"""Means, variances and covariances as SQL that merges and un-merges without losing digits.

A state is (n, mean of each variable, sum of squared deviations of each, sum of products of deviations);
two states combine by the pairwise update of Chan, Golub and LeVeque, "Updating formulae and a pairwise
algorithm for computing sample variances" (1979); taking rows back is the same formula solved for the
other side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamsql.functions.aggregate import State


@dataclass(frozen=True, slots=True)
class Side:
    """SQL of one state: count, means by variable, products of deviations by pair of variables."""

    n: str
    mean: dict[str, str]
    product: dict[str, str]


def moment_states(partials: Side, variables: Sequence[str]) -> tuple[State, ...]:
    """State columns over a stream: rows only ever come in."""
    merged = _merged(_side("old", variables), _side("new", variables), variables)
    return _columns("", partials, merged, variables)


def reversible_moment_states(arriving: Side, leaving: Side, variables: Sequence[str]) -> tuple[State, ...]:
    """State columns over a table: the partial has the rows put in and, apart, those taken back.

    The columns for rows taken back are always zero in a state; they only carry a partial.
    """
    gained = _merged(_side("old", variables), _side("new", variables), variables)
    merged = _without(gained, _side("new", variables, "gone_"), variables)
    nothing = Side("0", dict.fromkeys(variables, "0"), dict.fromkeys(pairs_of(variables), "0"))
    return (
        *_columns("", arriving, merged, variables),
        *_columns("gone_", leaving, nothing, variables),
    )


def variance_partials(argument: str, where: str = "") -> Side:
    """Partials of one variable x; `where` is a FILTER clause."""
    count = f"count({argument}){where}"
    mean = f"coalesce(avg({argument}){where}, 0)"
    product = f"coalesce(var_pop({argument}){where} * {count}, 0)"
    return Side(count, {"x": mean}, {"xx": product})


def covariance_partials(x: str, y: str, where: str = "") -> Side:
    """Partials of two variables over the pairs without a null."""
    names = {"x": "regr_avgx", "y": "regr_avgy"}
    products = {"xx": "regr_sxx", "xy": "regr_sxy", "yy": "regr_syy"}
    return Side(
        f"regr_count({y}, {x}){where}::BIGINT",
        {v: f"coalesce({f}({y}, {x}){where}, 0)" for v, f in names.items()},
        {p: f"coalesce({f}({y}, {x}){where}, 0)" for p, f in products.items()},
    )


def pairs_of(variables: Sequence[str]) -> list[str]:
    """Each variable with itself and with those after it: of x and y xx, xy, yy."""
    return [a + b for i, a in enumerate(variables) for b in variables[i:]]


def _side(name: str, variables: Sequence[str], prefix: str = "") -> Side:
    return Side(
        f"{{{name}.{prefix}n}}",
        {v: f"{{{name}.{prefix}mean_{v}}}" for v in variables},
        {p: f"{{{name}.{prefix}dev_{p}}}" for p in pairs_of(variables)},
    )


def _merged(a: Side, b: Side, variables: Sequence[str]) -> Side:
    """Both sides' rows together."""
    n = f"({a.n} + {b.n})"
    # With no rows on either side the shares are null, and the sums below fall back to what there is.
    share = f"coalesce({b.n}::DOUBLE / nullif({n}, 0), 0)"
    apart = {v: f"({b.mean[v]} - {a.mean[v]})" for v in variables}
    mean = {v: f"({a.mean[v]} + {apart[v]} * {share})" for v in variables}
    product = {
        p: f"({a.product[p]} + {b.product[p]} + {apart[p[0]]} * {apart[p[1]]} * {a.n} * {share})"
        for p in pairs_of(variables)
    }
    return Side(n, mean, product)


def _without(whole: Side, gone: Side, variables: Sequence[str]) -> Side:
    """The rows of `whole` that are not in `gone`; nothing left is all zeros, whatever was rounded."""
    n = f"({whole.n} - {gone.n})"
    share = f"({gone.n}::DOUBLE / nullif({n}, 0))"
    apart = {v: f"({whole.mean[v]} - {gone.mean[v]})" for v in variables}
    mean = {v: f"coalesce({whole.mean[v]} + {apart[v]} * {share}, 0)" for v in variables}
    product = {
        p: f"coalesce({whole.product[p]} - {gone.product[p]}"
        f" - {apart[p[0]]} * {apart[p[1]]} * {whole.n} * {share}, 0)"
        for p in pairs_of(variables)
    }
    return Side(n, mean, product)


def _columns(prefix: str, partials: Side, merged: Side, variables: Sequence[str]) -> tuple[State, ...]:
    return (
        State(f"{prefix}n", "BIGINT", "0", partials.n, merged.n),
        *(State(f"{prefix}mean_{v}", "DOUBLE", "0", partials.mean[v], merged.mean[v]) for v in variables),
        *(
            State(f"{prefix}dev_{p}", "DOUBLE", "0", partials.product[p], merged.product[p])
            for p in pairs_of(variables)
        ),
    )
