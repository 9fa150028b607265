"""A topic on disk: a directory, made and removed in one step, with its settings and its partitions.

    topics/<name, escaped>/topic.json        name, id, settings; replaced whole
    topics/<name, escaped>/topic-copy.json   the same once more: for a repair, should the first be lost
    topics/<name, escaped>/<partition>/      segments
    topics/.making-*, topics/.gone-*         what a crash left of making or removing one; removed at open

The id, 32 hex digits, is new for every topic made, so that nothing written for a topic can be taken for
part of a later one of the same name.
"""

from __future__ import annotations

import os
import shutil
import uuid
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from streamsql.engine.failpoints import fail_point
from streamsql.engine.log.files import directory_name, explained, read_json, sync_directory, write_json
from streamsql.engine.log.log import TopicConfig
from streamsql.errors import DataError, ExternalError

MAKING, GONE = ".making-", ".gone-"
SETTINGS, COPY = "topic.json", "topic-copy.json"


@dataclass(frozen=True, slots=True)
class TopicFiles:
    """Where a topic is, and what its file of settings says.

    problem  why that could not be read; `id` and `config` say nothing then
    """

    directory: Path
    name: str
    id: str
    config: TopicConfig
    problem: DataError | ExternalError | None = None

    def place(self, number: int) -> tuple[Path, str, int]:
        """Directory, name for messages, and seed of a partition."""
        return self.partition_directory(number), f"topic {self.name} partition {number}", self.seed(number)

    def partition_directory(self, number: int) -> Path:
        return self.directory / str(number)

    def seed(self, number: int) -> int:
        """Where the CRCs of frame headers of a partition begin."""
        return zlib.crc32(f"{self.id}/{number}".encode())


def make_topic(topics: Path, name: str, config: TopicConfig) -> TopicFiles:
    """A new topic, durable on return. ExternalError."""
    files = TopicFiles(topics / directory_name(name), name, uuid.uuid4().hex, config)
    draft = topics / f"{MAKING}{files.id}"
    with explained("make the topic directory", files.directory):
        try:
            draft.mkdir()
            _make_partitions(draft, range(config.partitions))
            _write(draft, files)
            fail_point("topic.before_rename")
            os.rename(draft, files.directory)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        sync_directory(topics)
    return files


def change_topic(files: TopicFiles, config: TopicConfig) -> TopicFiles:
    """Other settings; partitions that are new are made first. ExternalError."""
    changed = TopicFiles(files.directory, files.name, files.id, config)
    with explained("change the topic in", files.directory):
        _make_partitions(files.directory, range(files.config.partitions, config.partitions))
        _write(files.directory, changed)
    return changed


def bury_topic(files: TopicFiles) -> Path:
    """Take the topic away for good, in one step; gives what is left to be cleared. ExternalError."""
    grave = files.directory.with_name(f"{GONE}{uuid.uuid4().hex}")
    with explained("delete the topic directory", files.directory):
        os.rename(files.directory, grave)
        fail_point("topic.after_burial")
        sync_directory(grave.parent)
    return grave


def clear(grave: Path) -> None:
    """Give the space of a buried topic back. ExternalError; the next open tries again."""
    with explained("clear", grave):
        shutil.rmtree(grave)


def find_topics(topics: Path) -> list[TopicFiles]:
    """All topics, by name; leftovers are removed. ExternalError."""
    found = []
    with explained("open", topics):
        for directory in sorted(topics.iterdir()):
            if directory.name.startswith((MAKING, GONE)):
                shutil.rmtree(directory)
            elif directory.is_dir():
                try:
                    found.append(read_topic(directory))
                except (DataError, ExternalError) as problem:
                    found.append(TopicFiles(directory, topic_name(directory), "", TopicConfig(), problem))
    return sorted(found, key=lambda files: files.name)


def topic_name(directory: Path) -> str:
    """The name of the topic in a directory, whatever its settings say."""
    return unquote(directory.name, errors="replace")


def read_topic(directory: Path) -> TopicFiles:
    """What the directory's settings say; DataError LOG-CORRUPT if it lacks a partition, else as below."""
    files = read_settings(directory)
    for number in range(files.config.partitions):
        if not files.partition_directory(number).is_dir():
            raise _damaged(directory, f"partition {number} is missing")
    return files


def read_settings(directory: Path, file: str = SETTINGS) -> TopicFiles:
    """What topic.json says, or its copy.

    raises  DataError LOG-CORRUPT if it cannot be read or belongs elsewhere; ExternalError LOG-NEWER-FORMAT,
            LOG-READ-ONLY, ..
    """
    path = directory / file
    with explained("read", path):
        if not path.exists():
            raise _damaged(directory, f"the file {path.name} is missing")
        said = read_json(path)
    if directory_name(said["name"]) != directory.name:
        raise _damaged(directory, f"its settings belong to topic {said['name']}")
    unknown = said["config"].keys() - {field.name for field in fields(TopicConfig)}
    if unknown:
        raise ExternalError(
            f"the topic directory {directory} has a setting this version does not know: {min(unknown)}",
            code="LOG-NEWER-FORMAT",
            hint="use a newer version of streamsql",
        )
    return TopicFiles(directory, said["name"], said["id"], TopicConfig(**said["config"]))


def write_topic(files: TopicFiles) -> None:
    """Write the settings, and make the partitions that are not there. ExternalError."""
    with explained("write the settings of the topic in", files.directory):
        _make_partitions(files.directory, range(files.config.partitions))
        _write(files.directory, files)


def _write(directory: Path, files: TopicFiles) -> None:
    config: dict[str, Any] = {field.name: getattr(files.config, field.name) for field in fields(files.config)}
    config["properties"] = dict(files.config.properties)
    said = {"name": files.name, "id": files.id, "config": config}
    write_json(directory / SETTINGS, said)
    write_json(directory / COPY, said, durable=False)


def _make_partitions(directory: Path, numbers: range) -> None:
    for number in numbers:
        (directory / str(number)).mkdir(exist_ok=True)
    sync_directory(directory)


def _damaged(directory: Path, why: str) -> DataError:
    return DataError(
        f"the topic directory {directory} is damaged: {why}",
        code="LOG-CORRUPT",
        hint="restore it from a copy, or remove the directory to give the topic up",
    )
