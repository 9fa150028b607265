"""`streamsql check`: what it finds, what a repair leaves, and that queries give the right answer after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import streamsql
from streamsql.engine.log.check import check
from streamsql.repl.app import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A database with a stream, a table that counts it, and a stream made of it."""
    with streamsql.connect(tmp_path / "data") as db:
        db.execute(
            "CREATE STREAM a (v VARCHAR) WITH (KAFKA_TOPIC='a', PARTITIONS=1);"
            "CREATE TABLE counts AS SELECT v, COUNT(*) AS n FROM a GROUP BY v;"
            "CREATE STREAM copy AS SELECT v FROM a WHERE v <> 'z';"
        )
        for _ in range(5):
            db.append("a", [{"V": "x"}, {"V": "y"}, {"V": "z"}])
            db.wait_idle()
    return tmp_path / "data"


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, object]], str]:
    """Exit status, the rows, and what was said besides."""
    code = main(["check", *arguments, "--output", "json"])
    out, said = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], said


def flip(path: Path, place: int) -> None:
    changed = bytearray(path.read_bytes())
    changed[place] ^= 0x40
    path.write_bytes(changed)


def segment(data: Path, topic: str) -> Path:
    (found,) = (p for p in (data / "topics").iterdir() if p.name == topic or f"-{topic}_" in p.name)
    (path,) = (found / "0").glob("*.log")
    return path


def test_a_whole_database_is_looked_through(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    code, rows, said = checked(capsys, str(data))
    assert (code, said) == (0, f"{data}: no damage\n")
    assert {row["TOPIC"]: row["RECORDS"] for row in rows}["a"] == 15
    assert all(row["DAMAGE"] == 0 for row in rows)
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before
    assert main(["check", "--data", str(data)]) == 0
    assert "│ RECORDS │" in capsys.readouterr().out


def test_progress_counts_every_file_that_is_looked_through(data: Path) -> None:
    told: list[tuple[int, int]] = []
    check(data, lambda done, total: told.append((done, total)))
    sizes = {path: path.stat().st_size for path in data.rglob("*") if path.is_file()}
    looked_at = sum(size for path, size in sizes.items() if path.suffix in (".log", ".index"))
    total = sum(sizes.values())
    assert told == sorted(told)
    assert told[-2:] == [(looked_at, total), (total, total)]


def test_damage_is_named_with_its_place_and_nothing_is_changed(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(segment(data, "a"), -30)
    code, rows, said = checked(capsys, str(data))
    assert code == 1
    (damage,) = (row for row in rows if row.get("KIND") == "damage")
    assert damage["FILE"] == f"topics/a/0/{0:020d}.log"
    assert [damage[name] for name in ("TOPIC", "PARTITION", "FIRST_OFFSET", "END_OFFSET")] == ["a", 0, 12, 15]
    assert said == (
        f"{data}: 1 place of damage\n"
        f"streamsql check {data} --repair copies the database, then takes out what is damaged\n"
    )
    assert checked(capsys, str(data))[0] == 1
    assert len(list(data.parent.iterdir())) == 1


# What is damaged, and how many of the 15 records of the stream are there after the repair.
DAMAGE: dict[str, tuple[Callable[[Path], object], int]] = {
    "a byte of a segment": (lambda data: flip(segment(data, "a"), -30), 12),
    "a segment that is missing": (lambda data: segment(data, "a").unlink(), 0),
    "an index that leads astray": (
        lambda data: segment(data, "a").with_suffix(".index").write_bytes(b"sQLi"),
        15,
    ),
    "settings that are missing": (lambda data: (data / "topics/a/topic.json").unlink(), 15),
    "the version": (lambda data: flip(data / "version.json", 12), 15),
    "the file of commits": (lambda data: (data / "commits.log").unlink(), 15),
    "both snapshots of the commits": (
        lambda data: [
            flip(data / "commits.log", at) for at in (30, data.joinpath("commits.log").stat().st_size // 3)
        ],
        15,
    ),
    "the last commits": (
        lambda data: (data / "commits.log").write_bytes((data / "commits.log").read_bytes()[:-900]),
        15,
    ),
    "a state": (lambda data: flip(segment(data, "CTAS_COUNTS"), -30), 15),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_repaired_database_opens_and_its_queries_are_right(
    data: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, left = DAMAGE[damage]
    spoil(data)
    backup = data.parent / "copy"
    damaged = {path.relative_to(data): path.read_bytes() for path in data.rglob("*") if path.is_file()}
    code, rows, said = checked(capsys, str(data), "--repair", "--backup", str(backup))
    if "no damage" not in said:
        assert f"the database as it was is in {backup}\n" in said
        copied = {path.relative_to(backup): path.read_bytes() for path in backup.rglob("*") if path.is_file()}
        assert copied == damaged
        assert any("DONE" in row for row in rows)
        assert said.endswith("repaired\n")
    assert code == 0
    with streamsql.connect(data) as db:
        db.wait_idle()
        found = [v for (v,) in db.execute("SELECT v FROM a;").fetchall()]
        assert len(found) == left
        if left == 15:
            # Nothing twice: state, offsets and output belong together.
            copied_rows = [v for (v,) in db.execute("SELECT v FROM copy;").fetchall()]
            assert (copied_rows.count("x"), copied_rows.count("y")) == (5, 5)
            if damage != "a state":
                counted = dict(db.execute("SELECT v, n FROM counts;").fetchall())
                assert counted == {"x": 5, "y": 5, "z": 5}
        db.append("a", [{"V": "new"}])
        assert ("new",) in db.execute("SELECT v FROM copy;").fetchall()


@pytest.mark.parametrize(
    ("lost", "kept"), [(["topic.json"], 3_600_000), (["topic.json", "topic-copy.json"], None)]
)
def test_settings_that_are_lost_come_back_from_their_copy(
    data: Path, lost: list[str], kept: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with streamsql.connect(data) as db:
        db.execute("ALTER TOPIC a WITH (RETENTION_MS=3600000);")
    for file in lost:
        (data / "topics" / "a" / file).unlink()
    assert checked(capsys, str(data), "--repair")[0] == 0
    with streamsql.connect(data) as db:
        assert db.log.topic_config("a").retention_ms == kept
        assert len(db.execute("SELECT v FROM a;").fetchall()) == 15


def test_a_repair_needs_a_place_for_the_copy(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(segment(data, "a"), -30)
    code, _, said = checked(capsys, str(data), "--repair", "--backup", str(data / "inside"))
    assert code == 1
    assert "LOG-FILE-EXISTS" in said
    assert checked(capsys, str(data))[0] == 1
    assert checked(capsys, str(data), "--repair")[0] == 0
    (backup,) = (path for path in data.parent.iterdir() if path != data)
    assert backup.name.startswith("data.backup-")


def test_what_is_in_use_or_no_database_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with streamsql.connect(data):
        assert main(["check", str(data)]) == 1
        assert "LOG-LOCKED" in capsys.readouterr().err
    assert main(["check", str(data.parent)]) == 1
    assert "there is no database in" in capsys.readouterr().err
