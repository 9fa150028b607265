"""Whether a directory holds what another one does, as far as the contract promises (see the package)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamsql.database import connect
from streamsql.engine.log.log import Log, TopicPartition
from streamsql.processing_log import STREAM_INFO
from tests.crash import workload

_SHOWN = 3
_READ_ROWS = 1 << 16
Record = tuple[Any, Any, int]
"""Key, value, timestamp."""


@dataclass(frozen=True, slots=True)
class Contents:
    """All that is compared of a directory.

    records  of every partition that has a name: inputs and outputs
    starts   the offset of the first record of each; later ones where retention has taken some
    ends     the offset after the last record of each
    tables   rows of every table, sorted
    bad      the entries of the processing log that name a record
    late     late rows by query
    topics   names, with the internal ones
    """

    records: dict[TopicPartition, list[Record]]
    starts: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]
    tables: dict[str, list[tuple[Any, ...]]]
    bad: Counter[tuple[Any, ...]]
    late: Counter[str]
    topics: list[str]


def contents(data: Path) -> Contents:
    """Read a directory that nobody is using; queries finish what they have not."""
    with connect(data) as db:
        db.wait_idle()
        topics = db.log.topics()
        places = [
            TopicPartition(topic, partition)
            for topic in topics
            if not topic.startswith("_")
            for partition in range(db.log.topic_config(topic).partitions)
        ]
        tables = {
            query.name: sorted(db.execute(f"SELECT * FROM {query.name};").fetchall(), key=repr)
            for query in workload.QUERIES
            if query.is_table
        }
        entries = db.execute(f"SELECT * FROM {STREAM_INFO.name};").fetchall()
        # The number in a query's id tells when it was made.
        named = [(re.sub(r"_\d+$", "", entry[0]), *entry[1:]) for entry in entries]
        late: Counter[str] = Counter()
        for query, kind, reason, *_ in named:
            if kind == "LATE" and "FLEETING" not in query:
                late[query] += int(reason.split(" ", 1)[0])
        bad = Counter(entry for entry in named if entry[1] != "LATE" and "FLEETING" not in entry[0])
        records = {place: _records(db.log, place) for place in places}
        starts = {place: db.log.start_offset(*place) for place in places}
        return Contents(records, starts, db.log.end_offsets(places), tables, bad, late, topics)


def _records(log: Log, place: TopicPartition) -> list[Record]:
    found: list[Record] = []
    offset, end = log.start_offset(*place), log.end_offset(*place)
    while offset < end and (batches := log.read(*place, offset, _READ_ROWS)):
        found += workload.as_rows(batches)
        offset = batches[-1].column("offset")[-1].as_py() + 1
    return found


def differences(seed: int, killed: Contents, whole: Contents) -> Iterator[str]:
    """What is wrong with the directory whose lives were killed, in sentences."""
    for place, sent in workload.inputs(seed, killed.ends):
        yield from _not_equal(f"input {place}", killed.records[place], sent)
        if killed.ends[place] != len(sent):
            yield f"input {place}: {killed.ends[place]} records were stored, {len(sent)} sent"
    for query in workload.QUERIES:
        for place in sorted(place for place in whole.records if place.topic == query.name):
            mine, theirs = killed.records.get(place, []), whole.records[place]
            if query.is_table:
                yield from _not_told_alike(f"output {place}", mine, theirs)
            else:
                yield from _not_equal(f"output {place}", mine, theirs[killed.starts[place] :])
        if query.is_table:
            yield from _not_equal(f"table {query.name}", killed.tables[query.name], whole.tables[query.name])
    if killed.bad != whole.bad:
        yield f"bad records: {killed.bad - whole.bad} too many, {whole.bad - killed.bad} missing"
    if killed.late != whole.late:
        yield f"late rows: {killed.late} instead of {whole.late}"
    if killed.topics != whole.topics:
        yield f"topics: {sorted(set(killed.topics) ^ set(whole.topics))} are in one only"


def _not_equal(what: str, mine: Sequence[Any], theirs: Sequence[Any]) -> Iterator[str]:
    if mine == theirs:
        return
    place = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), None)
    if place is None:
        place = min(len(mine), len(theirs))
    around = slice(max(0, place - 1), place + _SHOWN)
    yield (
        f"{what}: {len(mine)} rows instead of {len(theirs)}; they part at {place}: "
        f"{list(mine[around])} instead of {list(theirs[around])}"
    )


def _not_told_alike(what: str, mine: Sequence[Record], theirs: Sequence[Record]) -> Iterator[str]:
    """Each key's records must be some of the other's, in their order, and end with the last of them."""
    told, all_told = _by_key(mine), _by_key(theirs)
    for key in sorted(told.keys() | all_told.keys()):
        some, every = told.get(key, []), all_told.get(key, [])
        left = iter(every)
        strange = next((record for record in some if not any(record == other for other in left)), None)
        if strange is not None:
            yield f"{what}: key {key} has {strange}, out of place in {every[-_SHOWN:]}"
        elif every and (some[-1:] != every[-1:]) and not (every[-1][0] is None and not some):
            yield f"{what}: key {key} ends with {some[-1:]} instead of {every[-1]}"


def _by_key(records: Sequence[Record]) -> dict[str, list[tuple[Any, int | None]]]:
    found: defaultdict[str, list[tuple[Any, int | None]]] = defaultdict(list)
    for key, value, timestamp in records:
        # A row leaves a filtered table with the change that is told, which need not be the first without it.
        found[repr(key)].append((value, timestamp if value is not None else None))
    return found
