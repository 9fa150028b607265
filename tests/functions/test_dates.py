"""Functions of dates and times."""

from __future__ import annotations

import time
from datetime import date, datetime
from datetime import time as clock
from typing import Any

import duckdb
import pytest

from streamsql.errors import PlanError
from streamsql.types import DATE, TIME, TIMESTAMP, VARCHAR
from tests.functions.evaluate import Evaluator, Value, bigint, integer, literal, text, unit, value


@pytest.fixture(scope="module")
def evaluate() -> Evaluator:
    return Evaluator()


def day(x: str | None) -> Value:
    return value(DATE, None if x is None else date.fromisoformat(x))


def at(x: str | None) -> Value:
    return value(TIMESTAMP, None if x is None else datetime.fromisoformat(x))


def hour(x: str | None) -> Value:
    return value(TIME, None if x is None else clock.fromisoformat(x))


def quoted(x: str) -> Any:
    return literal(VARCHAR, "'" + x.replace("'", "''") + "'")


D, T = date.fromisoformat, datetime.fromisoformat

CASES: list[tuple[str, list[Any], Any]] = [
    ("DATEADD", [unit("DAYS"), integer(10), day("2020-02-25")], D("2020-03-06")),
    ("DATEADD", [unit("DAY"), integer(-5), day("1970-01-03")], D("1969-12-29")),
    ("DATEADD", [unit("HOURS"), integer(23), day("2020-02-25")], D("2020-02-25")),
    ("DATEADD", [unit("HOURS"), integer(-1), day("2020-02-25")], D("2020-02-24")),
    ("DATESUB", [unit("MILLISECONDS"), integer(1), day("1970-01-01")], D("1969-12-31")),
    ("DATESUB", [unit("DAYS"), integer(None), day("1970-01-01")], None),
    ("DATEADD", [unit("DAYS"), integer(1), day(None)], None),
    ("TIMEADD", [unit("MILLISECONDS"), integer(-5), hour("00:00:00.002")], clock(23, 59, 59, 997000)),
    ("TIMEADD", [unit("DAYS"), integer(400), hour("12:00")], clock(12)),
    ("TIMESUB", [unit("HOUR"), integer(13), hour("12:00")], clock(23)),
    ("TIMESUB", [unit("MINUTES"), integer(-5), hour("23:59")], clock(0, 4)),
    ("TIMEADD", [unit("SECONDS"), integer(None), hour("23:59")], None),
    ("TIMESTAMPADD", [unit("MILLISECONDS"), integer(-5), at("1970-01-01")], T("1969-12-31T23:59:59.995")),
    ("TIMESTAMPADD", [unit("DAYS"), integer(1), at("2020-03-28T12:00")], T("2020-03-29T12:00")),
    ("TIMESTAMPSUB", [unit("MINUTE"), integer(90), at("2020-01-01")], T("2019-12-31T22:30")),
    ("TIMESTAMPADD", [unit("DAYS"), integer(1), at(None)], None),
    ("CONVERT_TZ", [at("2020-07-01T12:00"), quoted("+0200"), quoted("+0500")], T("2020-07-01T15:00")),
    ("CONVERT_TZ", [at("2020-07-01T12:00"), text("UTC"), text("Europe/Paris")], T("2020-07-01T14:00")),
    ("CONVERT_TZ", [at("2020-03-28T23:30"), quoted("America/New_York"), text("UTC")], T("2020-03-29T03:30")),
    # Paris has changed its clocks by then, New York too.
    (
        "CONVERT_TZ",
        [at("2020-03-29T03:30"), quoted("Europe/Paris"), quoted("America/New_York")],
        T("2020-03-28T21:30"),
    ),
    ("CONVERT_TZ", [at("2020-07-01T12:00"), text("UTC"), text(None)], None),
    ("CONVERT_TZ", [at(None), text("UTC"), text("UTC")], None),
    ("FORMAT_DATE", [day("2018-05-11"), quoted("dd-MMM-yyyy")], "11-May-2018"),
    ("FORMAT_DATE", [day("2018-05-11"), text("dd-MMM-yyyy'Sophia'")], "11-May-2018Sophia"),
    ("FORMAT_DATE", [day("0987-05-11"), quoted("yyyy/M/d")], "0987/5/11"),
    ("FORMAT_DATE", [day(None), quoted("yyyy")], None),
    ("FORMAT_TIME", [hour("13:05:09.123"), quoted("h:mm:ss.SSS a")], "1:05:09.123 PM"),
    ("FORMAT_TIME", [hour("13:05:09.123"), quoted("kk 'h' n")], "13 h 123000000"),
    (
        "FORMAT_TIMESTAMP",
        [at("2018-05-11T21:58:33"), quoted("yyyy-MM-dd HH:mm:ss z")],
        "2018-05-11 21:58:33 GMT",
    ),
    ("FORMAT_TIMESTAMP", [at("2018-05-11T21:58:33"), quoted("HH:mm"), quoted("Europe/Paris")], "23:58"),
    ("FORMAT_TIMESTAMP", [at("2018-05-11T21:58:33"), quoted("HH:mm X"), quoted("-03:30")], "18:28 -0330"),
    ("FORMAT_TIMESTAMP", [at("2018-05-11T21:58:33"), text("HH VV"), text("Asia/Tokyo")], "06 Asia/Tokyo"),
    ("FORMAT_TIMESTAMP", [at(None), quoted("HH:mm")], None),
    ("PARSE_DATE", [text("2018-5-1"), quoted("yyyy-MM-dd")], D("2018-05-01")),
    ("PARSE_DATE", [text("2018-05-01"), quoted("yyyy-MM-dd")], D("2018-05-01")),
    ("PARSE_DATE", [text("2018-05-01-01-01"), quoted("yyyy-MM-dd")], D("2018-05-01")),
    ("PARSE_DATE", [text("01/02/85"), text("dd/MM/yy")], D("1985-02-01")),
    ("PARSE_DATE", [text(None), quoted("yyyy-MM-dd")], None),
    ("PARSE_TIME", [text("13:05"), quoted("HH:mm")], clock(13, 5)),
    ("PARSE_TIME", [text("01:00:00 Pm"), quoted("hh:mm:ss a")], clock(13)),
    ("PARSE_TIME", [text("24:00"), text("HH:mm")], clock(0)),
    ("PARSE_TIMESTAMP", [text("2020-02-30 01"), quoted("yyyy-MM-dd HH")], T("2020-02-29T01:00")),
    (
        "PARSE_TIMESTAMP",
        [text("2020-07-01 01"), quoted("yyyy-MM-dd HH"), quoted("Asia/Tokyo")],
        T("2020-06-30T16:00"),
    ),
    (
        "PARSE_TIMESTAMP",
        [text("2020-07-01 01"), quoted("yyyy-MM-dd HH"), quoted("+02")],
        T("2020-06-30T23:00"),
    ),
    (
        "PARSE_TIMESTAMP",
        [text("2020-07-01 Z"), quoted("yyyy-MM-dd X"), quoted("Asia/Tokyo")],
        T("2020-07-01"),
    ),
    ("FROM_DAYS", [integer(-10)], D("1969-12-22")),
    ("FROM_DAYS", [integer(None)], None),
    ("FROM_UNIXTIME", [bigint(-1)], T("1969-12-31T23:59:59.999")),
    ("UNIX_DATE", [day("1969-12-31")], -1),
    ("UNIX_TIMESTAMP", [at("1969-12-31T23:59:59.999")], -1),
    ("DATETOSTRING", [integer(17662), quoted("yyyy-MM-dd")], "2018-05-11"),
    ("STRINGTODATE", [text("2018-05-11Lit"), text("yyyy-MM-dd'Lit'")], 17662),
    ("STRINGTODATE", [text("01-Jan-2022"), quoted("dd-MMM-yyyy")], 18993),
    ("TIMESTAMPTOSTRING", [bigint(1526075913000), quoted("yyyy-MM-dd HH:mm:ss")], "2018-05-11 21:58:33"),
    (
        "TIMESTAMPTOSTRING",
        [bigint(1526075913000), quoted("HH:mm:ss zzz"), quoted("Europe/London")],
        "22:58:33 BST",
    ),
    ("STRINGTOTIMESTAMP", [text("2018-05-11T21:58:33Z"), quoted("yyyy-MM-dd'T'HH:mm:ssX")], 1526075913000),
    ("STRINGTOTIMESTAMP", [text("2018-05-11T21:58:33z"), quoted("yyyy-MM-dd'T'HH:mm:ssX")], 1526075913000),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), CASES)
def test_value(evaluate: Evaluator, name: str, arguments: list[Any], expected: Any) -> None:
    assert evaluate.one(name, *arguments) == expected


FAILING: list[tuple[str, list[Any]]] = [
    ("DATEADD", [unit("DAYS"), integer(2**31 - 1), day("2020-01-01")]),
    ("TIMESTAMPADD", [unit("DAYS"), integer(2**31 - 1), at("2020-01-01")]),
    ("CONVERT_TZ", [at("2020-07-01"), text("Mars"), text("UTC")]),
    ("FORMAT_DATE", [day("2020-07-01"), text("HH")]),
    ("FORMAT_TIME", [hour("10:00"), text("yyyy")]),
    ("FORMAT_TIMESTAMP", [at("2020-07-01"), text("b")]),
    ("PARSE_DATE", [text("abcd"), quoted("yyyy-MM-dd")]),
    ("PARSE_DATE", [text("2020-01-01 01"), quoted("yyyy-MM-dd HH")]),
    ("PARSE_TIME", [text("25:00"), quoted("HH:mm")]),
    ("PARSE_TIME", [text("05"), quoted("mm")]),
    ("PARSE_TIMESTAMP", [text("2020-1-1"), quoted("yyyy-MM-dd")]),
    ("PARSE_TIMESTAMP", [text("366"), quoted("DDD")]),
    ("FROM_DAYS", [integer(2**31 - 1)]),
    ("FROM_UNIXTIME", [bigint(2**63 - 1)]),
    ("STRINGTODATE", [text("2018-05"), quoted("yyyy-MM")]),
    ("TIMESTAMPTOSTRING", [bigint(2**63 - 1), quoted("yyyy")]),
]


@pytest.mark.parametrize(("name", "arguments"), FAILING)
def test_a_row_that_fails(evaluate: Evaluator, name: str, arguments: list[Any]) -> None:
    with pytest.raises(duckdb.Error):
        evaluate.one(name, *arguments)
    assert evaluate.one(name, *arguments, guarded=True) is None


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("FORMAT_DATE", [day("2020-01-01"), quoted("HH:mm")]),
        ("FORMAT_TIME", [hour("10:00"), quoted("yyyy")]),
        ("FORMAT_TIMESTAMP", [at("2020-01-01"), quoted("bb")]),
        ("PARSE_DATE", [text(""), quoted("uuuu-bb")]),
        ("PARSE_TIME", [text(""), quoted("yyyy HH")]),
        ("PARSE_TIMESTAMP", [text(""), quoted("yyyy]")]),
        ("STRINGTOTIMESTAMP", [text(""), quoted("yyyy"), quoted("Mars")]),
        ("CONVERT_TZ", [at("2020-01-01"), quoted("Mars"), quoted("UTC")]),
    ],
)
def test_a_literal_that_can_never_work_is_refused(
    evaluate: Evaluator, name: str, arguments: list[Any]
) -> None:
    with pytest.raises(PlanError) as error:
        evaluate.one(name, *arguments)
    assert error.value.code in ("PLAN-TIME-PATTERN", "PLAN-TIME-ZONE")


def test_the_wall_clock(evaluate: Evaluator) -> None:
    before = int(time.time() * 1000)
    now = evaluate.one("UNIX_TIMESTAMP")
    assert before <= now <= int(time.time() * 1000)
    assert evaluate.one("UNIX_DATE") in (before // 86_400_000, now // 86_400_000)
