"""Which member of a group reads what: even, one owner each, and little moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.engine.log.assignment import Assign, Assignment, by_range, sticky
from streamsql.engine.log.log import TopicPartition

WANTED = st.dictionaries(st.sampled_from("abcde"), st.sets(st.sampled_from("tuv")), max_size=5)
COUNTS = st.dictionaries(st.sampled_from("tuv"), st.integers(1, 7))


def owners(found: Assignment) -> dict[TopicPartition, str]:
    pairs = [(place, member) for member, places in found.items() for place in places]
    assert len(dict(pairs)) == len(pairs), "a partition has two owners"
    return dict(pairs)


@pytest.mark.parametrize("assign", [by_range, sticky])
@given(steps=st.lists(st.tuples(WANTED, COUNTS), min_size=1, max_size=4))
def test_every_partition_that_is_wanted_has_one_owner_who_wants_it(
    assign: Assign, steps: list[tuple[dict[str, set[str]], dict[str, int]]]
) -> None:
    before: Assignment = {}
    for wanted, counts in steps:
        found = assign(wanted, counts, before)
        assert found.keys() == wanted.keys()
        owner = owners(found)
        wanted_topics = {topic for topics in wanted.values() for topic in topics}
        assert owner.keys() == {(t, p) for t, n in counts.items() if t in wanted_topics for p in range(n)}
        assert all(place.topic in wanted[member] for place, member in owner.items())
        before = found


@given(members=st.lists(st.sampled_from("abcdef"), unique=True, min_size=1), counts=COUNTS)
def test_members_with_the_same_topics_differ_by_one_at_most(
    members: list[str], counts: dict[str, int]
) -> None:
    sizes = [len(places) for places in sticky({m: "tuv" for m in members}, counts, {}).values()]
    assert max(sizes) - min(sizes) <= 1


@given(members=st.lists(st.sampled_from("abcdef"), unique=True, min_size=2), counts=COUNTS)
def test_only_what_must_move_moves(members: list[str], counts: dict[str, int]) -> None:
    before = sticky({m: "tuv" for m in members}, counts, {})
    gone, *stay = members
    after = sticky({m: "tuv" for m in stay}, counts, before)
    assert all(before[member] <= after[member] for member in stay)
    again = sticky({m: "tuv" for m in members}, counts, after)
    assert all(again[member] <= after[member] for member in stay)


def test_a_range_brings_equal_numbers_of_topics_together() -> None:
    found = by_range({m: "tu" for m in "abc"}, {"t": 7, "u": 7}, {})
    assert [sorted(p for t, p in found[m] if t == "t") for m in "abc"] == [[0, 1, 2], [3, 4], [5, 6]]
    for places in found.values():
        assert {p for t, p in places if t == "t"} == {p for t, p in places if t == "u"}
