"""Opening a log: commits and partitions are brought to where they were at the last commit.

A topic whose settings or files are damaged, cannot be read, or are of a later version stays closed: whoever
uses it is told why, and the others go on. Only the file of commits has to be whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streamsql.engine.failpoints import fail_point
from streamsql.engine.log import commits, topic_files
from streamsql.engine.log.commits import CommitFile, State
from streamsql.engine.log.files import Handles
from streamsql.engine.log.partition import Partition
from streamsql.engine.log.recovery import Recovery, recover
from streamsql.engine.log.topic_files import TopicFiles
from streamsql.errors import DataError, ExternalError

NewPartition = Callable[[TopicFiles, int, Recovery], Partition]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of an open log.

    problem  why it could not be opened; it has no partitions then
    notes    what was cut off or found damaged, as sentences
    """

    files: TopicFiles
    partitions: tuple[Partition, ...]
    problem: DataError | ExternalError | None = None
    notes: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise why it could not be opened: a new error each time, as whoever gets it adds to it."""
        if self.problem is not None:
            problem = self.problem
            raise type(problem)(problem.message, code=problem.code, hint=problem.hint) from problem


def open_topics(
    root: Path, handles: Handles, commit_file: CommitFile, new_partition: NewPartition, notes: list[str]
) -> tuple[dict[str, Topic], State]:
    """All topics by name, and what the commits so far come to.

    notes   takes what was cut off or found damaged, as sentences
    raises  DataError LOG-CORRUPT if commits are missing or cannot be read, ExternalError
    """
    found = commits.load(root / "commits.log", notes)
    proven = commits.state_of(found, only_synced=True).ends
    topics: dict[str, Topic] = {}
    recoveries: dict[str, list[Recovery]] = {}
    for files in topic_files.find_topics(root / "topics"):
        topics[files.name] = Topic(files, (), files.problem)
        if files.problem is None:
            try:
                recoveries[files.name] = [
                    recover(*files.place(number), handles, proven.get((files.id, number), 0))
                    for number in range(files.config.partitions)
                ]
            except (DataError, ExternalError) as problem:
                topics[files.name] = Topic(files, (), problem)
    reached = {
        (topics[name].files.id, number): recovery.end_offset
        for name, parts in recoveries.items()
        for number, recovery in enumerate(parts)
    }
    state = commits.state_of(commits.without_lost(found, reached, notes))
    is_whole = not notes
    for name, parts in recoveries.items():
        for number, recovery in enumerate(parts):
            recovery.drop_uncommitted(state.ends.get((topics[name].files.id, number), 0))
    fail_point("open.before_cut")
    for name, parts in recoveries.items():
        files = topics[name].files
        try:
            opened = [new_partition(files, number, recovery) for number, recovery in enumerate(parts)]
        except (DataError, ExternalError) as problem:
            topics[name] = Topic(files, (), problem)
        else:
            said = tuple(note for recovery in parts for note in recovery.notes)
            topics[name] = Topic(files, tuple(opened), notes=said)
            notes += said
    closed = [topic for topic in topics.values() if topic.problem is not None]
    notes += [f"topic {t.files.name} cannot be used: {t.problem.message}" for t in closed if t.problem]
    # All that is there now is on the disk and counts: if it is ever missing, that is known.
    now = {part.key: part.end_offset for topic in topics.values() for part in topic.partitions}
    # Topics that are gone are forgotten; one that is closed may be mended, and its id may not be known.
    state.ends = {**state.ends, **now} if closed else now
    fail_point("open.before_commits")
    try:
        commit_file.replace(state)
    except ExternalError as problem:
        # What is there can be read all the same, and space be made: the old file says the same.
        if problem.code != "LOG-DISK-FULL" or not is_whole:
            raise
        commit_file.go_on()
        notes.append(problem.message)
    return topics, state
