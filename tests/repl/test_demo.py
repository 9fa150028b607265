"""The tour, and the example it is made of."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from program import ENVIRONMENT, Done

from streamsql.connectors import generate
from streamsql.database import Database

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "clickstream"


def tour(folder: Path) -> Done:
    line = [sys.executable, "-m", "streamsql.repl.demo", "--data", str(folder / "demo"), "--seconds", "1"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=folder, env=ENVIRONMENT, timeout=120)
    return Done(done.returncode, done.stdout, done.stderr)


def test_the_tour_shows_pages_and_says_how_to_go_on(tmp_path: Path) -> None:
    done = tour(tmp_path).good()
    assert "20,000 clicks · /page/0 " in done.out
    assert "│ VIEWS │ ERRORS │ PERCENT_BAD" in done.out
    assert f"streamsql --data {tmp_path / 'demo'}" in done.out
    again = tour(tmp_path)
    assert (again.code, "[DEMO-DATA]" in again.err) == (1, True)


def test_the_example_counts_what_was_clicked(db: Database) -> None:
    for script in sorted(EXAMPLE.glob("*.sql")):
        db.execute(script.read_text("utf-8"))
    writer = db.topic_writer("clicks")
    generate.send(generate.batches(generate.TEMPLATES["clickstream"], 50_000, batch_rows=9_999), writer)
    writer.close()
    (clicks,) = generate.batches(generate.TEMPLATES["clickstream"], 50_000)
    pages, statuses = clicks.rows.column("PAGE").to_pylist(), clicks.rows.column("STATUS").to_pylist()

    views = Counter(pages)
    errors = Counter(p for p, s in zip(pages, statuses, strict=True) if s >= 400)
    found = db.execute("SELECT page, views, errors FROM pages;").fetchall()
    assert {page: n for page, n, _ in found} == views
    assert {page: n for page, _, n in found if n} == errors

    per_window = db.execute("SELECT page, SUM(views) AS views FROM pages_per_10s GROUP BY page;").fetchall()
    assert {page: int(n) for page, n in per_window} == views
    (seen,) = db.execute("SELECT COUNT(*) AS n FROM problems WHERE browser <> '';").fetchall()
    assert seen == (sum(errors.values()),)
