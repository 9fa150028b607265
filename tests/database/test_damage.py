"""A database with damaged files: it opens, those who need what is damaged are told, the others go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import streamsql
from streamsql.errors import DataError, ExternalError, StreamSQLError

TOPICS = Path("topics")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with streams a and b, and a table counting each."""
    with streamsql.connect(tmp_path) as db:
        for name in "ab":
            db.execute(f"CREATE STREAM {name} (v VARCHAR) WITH (KAFKA_TOPIC='{name}', PARTITIONS=1);")
            db.execute(f"CREATE TABLE {name}_counts AS SELECT v, COUNT(*) AS n FROM {name} GROUP BY v;")
            db.append(name, [{"V": "x"}, {"V": "x"}, {"V": "y"}])
        db.wait_idle()
    return tmp_path


def flip(path: Path, place: int) -> None:
    changed = bytearray(path.read_bytes())
    changed[place] ^= 0x40
    path.write_bytes(changed)


def segment(data: Path, topic: str) -> Path:
    (path,) = (data / TOPICS / topic / "0").glob("*.log")
    return path


def changelog(data: Path, topic: str) -> str:
    (name,) = (p.name for p in (data / TOPICS).iterdir() if f"CTAS_{topic}_COUNTS" in p.name)
    return name


DAMAGE: dict[str, Callable[[Path], object]] = {
    "settings that do not read": lambda data: flip(data / TOPICS / "a" / "topic.json", 30),
    "settings that are missing": lambda data: (data / TOPICS / "a" / "topic.json").unlink(),
    "a partition that is missing": lambda data: (data / TOPICS / "a" / "0").rename(data / "elsewhere"),
    "a segment that is missing": lambda data: segment(data, "a").unlink(),
    "a flipped byte in a segment": lambda data: flip(segment(data, "a"), -30),
    "a segment that is too short": lambda data: segment(data, "a").write_bytes(b"sQLf"),
    "a changelog with a flipped byte": lambda data: flip(segment(data, changelog(data, "A")), -30),
    "a changelog that is missing": lambda data: segment(data, changelog(data, "A")).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_topic_fails_those_who_read_it_and_nobody_else(data: Path, damage: str) -> None:
    DAMAGE[damage](data)
    with streamsql.connect(data) as db:
        db.append("b", [{"V": "y"}])
        assert db.execute("SELECT * FROM b_counts;").fetchall() == [("x", 2), ("y", 2)]
        statement = "PRINT a FROM BEGINNING;" if "changelog" not in damage else "SELECT * FROM a_counts;"
        with pytest.raises(DataError) as found:
            db.execute(statement).fetchall()
        assert found.value.code == "LOG-CORRUPT"
        assert found.value.hint is not None
        shown = {row[0]: row[1] for row in db.execute("SHOW QUERIES;").fetchall()}
        assert shown["CTAS_B_COUNTS_3"] == "RUNNING"
        db.execute("SHOW ALL TOPICS;").fetchall()
    # What was damaged stays so, and what was not is still there.
    with streamsql.connect(data) as db:
        assert db.execute("SELECT * FROM b_counts;").fetchall() == [("x", 2), ("y", 2)]


def test_a_damaged_topic_can_be_given_up(data: Path) -> None:
    flip(data / TOPICS / "a" / "topic.json", 30)
    with streamsql.connect(data) as db:
        listed = {row[0]: row[3] for row in db.execute("SHOW TOPICS;").fetchall()}
        assert listed["a"].startswith("damaged: file ")
        for use in ("CREATE STREAM c AS SELECT * FROM a;", "INSERT INTO a VALUES ('z');", "PRINT a;"):
            with pytest.raises(DataError, match="is damaged"):
                db.execute(use).fetchall()
        db.execute("DROP TABLE a_counts; DROP STREAM a DELETE TOPIC;")
        db.execute("CREATE STREAM a (v VARCHAR) WITH (KAFKA_TOPIC='a'); INSERT INTO a VALUES ('z');")
    with streamsql.connect(data) as db:
        assert db.execute("SELECT v FROM a;").fetchall() == [("z",)]


def test_files_of_a_later_version_are_named(data: Path) -> None:
    path = segment(data, "a")
    # Only the checksum tells a later version from damage: it is made good again.
    import zlib

    from streamsql.engine.log.topic_files import read_topic

    frame = bytearray(path.read_bytes())
    frame[4] = 99
    seed = read_topic(data / TOPICS / "a").seed(0)
    frame[8:12] = zlib.crc32(frame[12:88], zlib.crc32(frame[:8], seed)).to_bytes(4, "little")
    path.write_bytes(frame)
    path.with_suffix(".index").unlink()
    with streamsql.connect(data) as db:
        with pytest.raises(ExternalError, match="written in format 99") as found:
            db.execute("PRINT a FROM BEGINNING;").fetchall()
        assert found.value.code == "LOG-NEWER-FORMAT"
        assert len(db.execute("SELECT * FROM b;").fetchall()) == 3


@pytest.mark.parametrize("file", ["commits.log", "version.json"])
def test_what_belongs_to_all_of_it_is_refused_with_what_to_do(data: Path, file: str) -> None:
    size = (data / file).stat().st_size
    # The commits begin with two copies of what they came to.
    for place in (30, size // 3) if file == "commits.log" else (12,):
        flip(data / file, place)
    with pytest.raises(StreamSQLError) as found:
        streamsql.connect(data)
    assert (found.value.code, str(data / file) in found.value.message) == ("LOG-CORRUPT", True)
