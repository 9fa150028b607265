"""The benchmarks that compare results find them equal, over few events."""

from __future__ import annotations

import pytest

from benchmarks import malformed, nexmark
from benchmarks.nexmark_data import events
from benchmarks.nexmark_queries import QUERIES, Query

EVENTS = 3_000


@pytest.mark.parametrize("query", QUERIES, ids=lambda q: q.name)
def test_nexmark_gives_what_duckdb_gives(query: Query) -> None:
    found = nexmark.measure(query, (events(EVENTS // 3), events(EVENTS)), EVENTS - EVENTS // 3, rounds=1)
    assert found.is_equal
    assert found.rows > 0


@pytest.mark.parametrize("name", malformed.FORMATS)
def test_every_good_record_comes_out_and_every_bad_one_is_in_the_processing_log(name: str) -> None:
    assert malformed.measure(name, bad=60, rounds=1).is_complete
