"""The access-log example: raw lines to counts, whichever comes first, in as many pieces and restarts as one likes."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from pathlib import Path

import pytest

from streamsql.connectors.files import load
from streamsql.database import connect

QUERIES = Path(__file__).resolve().parents[2] / "examples" / "access_log" / "queries.sql"

PAGES = ["/", "/blog/?page=2", "/style.css", "/favicon.ico", "/images/a.png", "/about"]
AGENTS = ["Mozilla/5.0 (X11; Linux)", "Googlebot/2.1 (+http://www.google.com/bot.html)", "-"]


def line(number: int) -> str:
    status = (200, 200, 304, 404)[number % 4]
    page = PAGES[number % 6]
    when = f"{17 + number // 60}/May/2015:{number % 24:02}:{number % 60:02}:03 +0000"
    size = "-" if status == 304 else str(100 + number)
    return (
        f'10.0.0.{number % 7} - - [{when}] "GET {page} HTTP/1.1" {status} {size} "-" "{AGENTS[number % 3]}"'
    )


GOOD = [line(n) for n in range(120)]
CUT_OFF = '10.0.0.9 - - [17/May/2015:12:05:17 +0000] "GET /cut HTTP/1.1" 200 5 "-" "Mozilla/5.0 (compatible'
LINES = [*GOOD[:50], CUT_OFF, "not a log line at all", *GOOD[50:]]


def expected_pages() -> dict[str, int]:
    pages = Counter(m[1] for text in LINES if (m := re.search(r'"[A-Z]+ (\S+)', text)))
    return dict(pages)


@pytest.mark.parametrize("pieces", [1, 10])
@pytest.mark.parametrize("queries_first", [True, False])
def test_the_tables_say_what_the_log_says(tmp_path: Path, pieces: int, queries_first: bool) -> None:
    folder = tmp_path / "data"
    size = -(-len(LINES) // pieces)
    parts = [LINES[i : i + size] for i in range(0, len(LINES), size)]
    if queries_first:
        with connect(folder) as db:
            db.execute(QUERIES.read_text())
    for number, part in enumerate(parts):
        file = tmp_path / f"{number}.log.gz"
        file.write_bytes(gzip.compress("\n".join([*part, ""]).encode()))
        with connect(folder) as db:
            load(db, "access_raw", [str(file)], "lines")
    with connect(folder) as db:
        if not queries_first:
            db.execute(QUERIES.read_text())
        assert dict(db.execute("SELECT page, views FROM views_per_page;").fetchall()) == expected_pages()
        hits = dict(db.execute("SELECT status, hits FROM hits_per_status;").fetchall())
        assert hits == {200: 61, 304: 30, 404: 30}
        assert dict(db.execute("SELECT quality, lines FROM line_quality;").fetchall()) == {
            "good": 120,
            "bad": 2,
        }
        assert len(db.execute("SELECT line FROM bad_lines;").fetchall()) == 2
        visits = db.execute("SELECT COUNT(*) AS n FROM visits;").fetchall()[0][0]
        by_hour = db.execute("SELECT SUM(views) AS n FROM visits_per_page_and_hour;").fetchall()[0][0]
        assert visits == by_hour == sum(1 for n in range(120) if n % 6 in (0, 1, 5) and n % 3 != 1) + 1
        errors = db.execute(
            "SELECT SUM(errors) AS n, SUM(requests) AS r FROM error_rate_per_hour;"
        ).fetchall()
        assert errors == [(30, 121)]
