"""Aggregates written in Python: over streams, over tables, with a state of their own, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.errors import DataError, PlanError
from streamsql.functions.aggregate import AggregateFunction
from streamsql.functions.library import Library
from streamsql.functions.resolve import resolve
from streamsql.functions.user_aggregates import udaf
from streamsql.types import BIGINT, INTEGER, VARCHAR, Array, SqlType
from tests.functions.test_aggregates import run


@udaf("longest(text VARCHAR) -> VARCHAR", says="The longest text.")
class Longest:
    def initialize(self):
        return ""

    def aggregate(self, state, text):
        return text if len(text) > len(state) else state

    def merge(self, state, other):
        return other if len(other) > len(state) else state


@udaf("spread(x BIGINT, least INTEGER literal) -> BIGINT", state="MAP<VARCHAR, BIGINT>")
class Spread:
    """Largest minus smallest of the values from `least` on; rows may be taken back."""

    def __init__(self, least):
        self.least = least

    def initialize(self):
        return {}

    def aggregate(self, state, x):
        return {**state, str(x): state.get(str(x), 0) + 1} if x >= self.least else state

    def undo(self, state, x):
        counts = {**state, str(x): state.get(str(x), 0) - 1}
        return {k: n for k, n in counts.items() if n > 0}

    def merge(self, state, other):
        return {k: state.get(k, 0) + other.get(k, 0) for k in {*state, *other}}

    def map(self, state):
        values = [int(k) for k in state]
        return max(values) - min(values) if values else None


@udaf("last_of(x T, more T...) -> ARRAY<T>", takes_nulls=True)
class LastOf:
    def initialize(self):
        return []

    def aggregate(self, state, *values):
        return list(values)

    def merge(self, state, other):
        return other


LIBRARY = Library()
LIBRARY.add_user(Longest, Spread, LastOf)


def find(name: str, *types: SqlType):
    return resolve(name, LIBRARY.aggregates.overloads(name), types, widening=False)


@given(texts=st.lists(st.none() | st.text("ab", max_size=4), min_size=1), cuts=st.tuples(st.integers(0, 9)))
def test_a_class_aggregates_however_the_rows_are_cut(texts, cuts):
    known = [t for t in texts if t is not None]
    expected = max(known, key=len, default="")
    assert run(find("LONGEST", VARCHAR), [(t,) for t in texts], cuts=cuts) == expected


@pytest.mark.parametrize("cuts", [(), (1, 2, 3, 4)])
def test_rows_are_taken_back_by_undo(cuts):
    match = find("SPREAD", BIGINT, INTEGER)
    rows = [(5,), (90,), (7,), (1,), (90,)]
    assert run(match, rows[:4], (3,), cuts=cuts) == 85
    assert run(match, rows, (3,), cuts=cuts, weights=[1, 1, 1, 1, -1]) == 2
    assert run(match, [(1,)], (3,), cuts=cuts) is None


def test_generic_and_variadic_parameters_and_nulls():
    match = find("LAST_OF", Array(INTEGER), Array(INTEGER), Array(INTEGER))
    assert str(match.result) == "ARRAY<ARRAY<INTEGER>>"
    rows = [([1], None, [2]), ([3], [], None)]
    assert run(match, rows, cuts=(1,)) == [[3], [], None]


def test_what_the_class_raises_ends_the_query_by_name():
    @udaf("fussy(x BIGINT) -> BIGINT")
    class Fussy(Longest):
        def aggregate(self, state, x):
            raise ValueError("no such number")

    library = Library()
    library.add_user(Fussy)
    assert "LONGEST" not in library.aggregates, "a subclass is a function of its own"
    (row,) = library.aggregates.overloads("FUSSY")
    match = resolve("FUSSY", [row], [BIGINT], widening=False)
    with pytest.raises(DataError, match="aggregate FUSSY failed: ValueError: no such number"):
        run(match, [(1,)])


class Nothing:
    def initialize(self):
        return 0


@pytest.mark.parametrize(
    ("declaration", "state", "python_class", "message"),
    [
        ("x BIGINT", None, Longest, "does not begin with name"),
        ("f(x BIGINT) -> NOTHING", None, Longest, "no type NOTHING"),
        ("f(x BIGINT) -> BIGINT", None, Nothing, "class Nothing of aggregate F lacks aggregate and merge"),
        ("f(x BIGINT) -> BIGINT", "ARRAY<T>", Longest, "names type T, which no parameter has"),
        ("f(x BIGINT) -> BIGINT", "ARRAY<", Longest, "the state of aggregate F"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(declaration, state, python_class, message):
    fresh = type(python_class.__name__, (python_class,), {})
    with pytest.raises(PlanError, match=message) as caught:
        udaf(declaration, state=state)(fresh)
    assert caught.value.code == "PLAN-UDF"


def test_rows_of_a_decorated_class_describe_it():
    (row,) = LIBRARY.aggregates.overloads("LONGEST")
    assert isinstance(row, AggregateFunction)
    assert (row.says, row.signature) == ("The longest text.", "(text VARCHAR) -> VARCHAR")
    (spread,) = LIBRARY.aggregates.overloads("SPREAD")
    assert spread.says.startswith("Largest minus smallest")


@udaf("weighed(x BIGINT, words VARCHAR... literal) -> BIGINT")
class Weighed:
    def __init__(self, *words):
        self.weight = sum(map(len, words))

    def initialize(self):
        return 0

    def aggregate(self, state, x):
        return state + x * self.weight

    def merge(self, state, other):
        return state + other


def test_all_of_several_literals_arrive():
    library = Library()
    library.add_user(Weighed)
    overloads = library.aggregates.overloads("WEIGHED")
    match = resolve("WEIGHED", overloads, [BIGINT, VARCHAR, VARCHAR], widening=False)
    assert run(match, [(10,)], ("ab", "c")) == 30
