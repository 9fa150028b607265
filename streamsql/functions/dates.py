"""Functions of dates, times and timestamps.

The older functions (TIMESTAMPTOSTRING, STRINGTOTIMESTAMP, UNIX_DATE) know no zone of the server: where
ksqlDB takes the one its machine happens to have, they take UTC.
"""

from __future__ import annotations

from collections.abc import Callable

from streamsql.errors import PlanError
from streamsql.functions.java_time import (
    format_date_sql,
    format_time_sql,
    format_timestamp_sql,
    parse_date_sql,
    parse_time_sql,
    parse_timestamp_sql,
)
from streamsql.functions.java_values import TO_LOCAL, TO_UTC
from streamsql.functions.registry import BoundCall, Fragment, Scalar
from streamsql.functions.zones import zone_of
from streamsql.sqltext import literal_text, once

UNIT_MS = {"MILLISECOND": 1, "SECOND": 1000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000}


def _interval(call: BoundCall) -> str:
    """`n` units as an INTERVAL without months or days: a DAY is 24 hours."""
    unit_ms = UNIT_MS.get(call.arguments["unit"].upper().removesuffix("S"))
    if unit_ms is None:
        raise PlanError(
            f"a {call.arguments['unit']} has no fixed length",
            code="PLAN-TIME-UNIT",
            hint="count in MILLISECONDS, SECONDS, MINUTES, HOURS or DAYS",
        )
    return f"to_microseconds(CAST({call.arguments['n']} AS BIGINT) * {unit_ms * 1000})"


def _date_plus(sign: str) -> Callable[[BoundCall], str]:
    # Less than a day is added to midnight; the cast to DATE is a floor.
    return lambda call: f"CAST(CAST({call.arguments['date']} AS TIMESTAMP) {sign} {_interval(call)} AS DATE)"


def _time_plus(sign: str) -> Callable[[BoundCall], str]:
    # DuckDB wraps a TIME around midnight, and takes the time of day of an interval's microseconds.
    return lambda call: f"CAST({call.arguments['time']} {sign} {_interval(call)} AS TIME)"


def _timestamp_plus(sign: str) -> Callable[[BoundCall], str]:
    return lambda call: f"({call.arguments['timestamp']} {sign} {_interval(call)})"


def _convert_tz(call: BoundCall) -> Fragment:
    """Literal zones of one offset are arithmetic; others go through Python by whole vectors."""
    moment = call.arguments["timestamp"]
    functions = []
    for key, function, sign in (("from", TO_UTC, "-"), ("to", TO_LOCAL, "+")):
        zone = call.arguments[key]
        known = literal_text(zone)
        offset = zone_of(known).offset if known is not None else None
        if offset is not None:
            moment = f"({moment} {sign} to_seconds({offset}))"
        else:
            moment = f"{function.name}({moment}, {zone})"
            functions.append(function)
    return Fragment(moment, tuple(functions), True)


def _of(sql: str, print_value: Callable[[str], Fragment]) -> Fragment:
    """`print_value` over a value that is computed once."""
    printed: list[Fragment] = []

    def body(name: str) -> str:
        printed.append(print_value(name))
        return printed[-1].sql

    text = once(sql, body)
    return Fragment(text, printed[-1].functions, True)


def _day(call: BoundCall) -> str:
    return f"(DATE '1970-01-01' + {call.arguments['days']})"


def _string_to_timestamp(call: BoundCall) -> Fragment:
    a = call.arguments
    printed = parse_timestamp_sql(a["text"], a["pattern"], a.get("zone"))
    return Fragment(f"epoch_ms({printed.sql})", printed.functions, True)


def _string_to_date(call: BoundCall) -> Fragment:
    printed = parse_date_sql(call.arguments["text"], call.arguments["pattern"], full=True)
    return Fragment(f"CAST(({printed.sql}) - DATE '1970-01-01' AS INTEGER)", printed.functions, True)


_ARITHMETIC = tuple(
    Scalar(
        f"{prefix}{suffix}",
        f"(unit UNIT, n INTEGER, {prefix.lower()} {prefix}) -> {prefix}",
        says=says.format(verb=verb),
        sql=plus(sign),
        can_fail=True,
        example=f"{prefix}{suffix}({example})",
        gives=gives,
    )
    for prefix, plus, says, added, subtracted in (
        (
            "DATE",
            _date_plus,
            "The date {verb} a number of units; parts of a day count from midnight and are then dropped.",
            ("DAYS, 10, CAST('2020-02-25' AS DATE)", "2020-03-06"),
            ("HOURS, 1, CAST('2020-03-01' AS DATE)", "2020-02-29"),
        ),
        (
            "TIME",
            _time_plus,
            "The time {verb} a number of units, around midnight.",
            ("HOURS, 2, CAST('23:30' AS TIME)", "01:30"),
            ("MINUTES, 1, CAST('00:00' AS TIME)", "23:59"),
        ),
        (
            "TIMESTAMP",
            _timestamp_plus,
            "The timestamp {verb} a number of units; a day is 24 hours.",
            ("SECONDS, 5, CAST('2020-02-29T23:59:59' AS TIMESTAMP)", "2020-03-01T00:00:04.000"),
            ("DAYS, 1, CAST('2020-03-01' AS TIMESTAMP)", "2020-02-29T00:00:00.000"),
        ),
    )
    for suffix, sign, verb, (example, gives) in (
        ("ADD", "+", "plus", added),
        ("SUB", "-", "minus", subtracted),
    )
)

DATES = (
    *_ARITHMETIC,
    Scalar(
        "CONVERT_TZ",
        "(timestamp TIMESTAMP, from VARCHAR, to VARCHAR) -> TIMESTAMP",
        says="The time on the clock of one zone when that of another shows the timestamp.",
        sql=_convert_tz,
        can_fail=True,
        example="CONVERT_TZ(CAST('2020-07-01T12:00' AS TIMESTAMP), 'UTC', 'Europe/Paris')",
        gives="2020-07-01T14:00:00.000",
    ),
    Scalar(
        "FORMAT_DATE",
        "(date DATE, pattern VARCHAR) -> VARCHAR",
        says="The date as text, by a Java DateTimeFormatter pattern.",
        sql=lambda call: format_date_sql(call.arguments["date"], call.arguments["pattern"]),
        can_fail=True,
        example="FORMAT_DATE(CAST('2020-02-29' AS DATE), 'EEE, d MMM yyyy')",
        gives="Sat, 29 Feb 2020",
    ),
    Scalar(
        "FORMAT_TIME",
        "(time TIME, pattern VARCHAR) -> VARCHAR",
        says="The time as text, by a Java DateTimeFormatter pattern.",
        sql=lambda call: format_time_sql(call.arguments["time"], call.arguments["pattern"]),
        can_fail=True,
        example="FORMAT_TIME(CAST('13:05:09' AS TIME), 'h:mm a')",
        gives="1:05 PM",
    ),
    Scalar(
        "FORMAT_TIMESTAMP",
        "(timestamp TIMESTAMP, pattern VARCHAR, [zone VARCHAR]) -> VARCHAR",
        says="The timestamp as text, by a Java DateTimeFormatter pattern, on the clock of a zone (GMT).",
        sql=lambda call: format_timestamp_sql(
            call.arguments["timestamp"], call.arguments["pattern"], call.arguments.get("zone")
        ),
        can_fail=True,
        example="FORMAT_TIMESTAMP(CAST('2020-07-01T12:00' AS TIMESTAMP), 'dd.MM. HH:mm XXX', 'Europe/Paris')",
        gives="01.07. 14:00 +02:00",
    ),
    Scalar(
        "PARSE_DATE",
        "(text VARCHAR, pattern VARCHAR) -> DATE",
        says="The date in a text, by a Java SimpleDateFormat pattern; what is missing is from 1970-01-01.",
        sql=lambda call: parse_date_sql(call.arguments["text"], call.arguments["pattern"]),
        can_fail=True,
        example="PARSE_DATE('29.2.2020', 'd.M.yyyy')",
        gives="2020-02-29",
    ),
    Scalar(
        "PARSE_TIME",
        "(text VARCHAR, pattern VARCHAR) -> TIME",
        says="The time in a text, by a Java DateTimeFormatter pattern.",
        sql=lambda call: parse_time_sql(call.arguments["text"], call.arguments["pattern"]),
        can_fail=True,
        example="PARSE_TIME('1:05 pm', 'h:mm a')",
        gives="13:05",
    ),
    Scalar(
        "PARSE_TIMESTAMP",
        "(text VARCHAR, pattern VARCHAR, [zone VARCHAR]) -> TIMESTAMP",
        says=(
            "The timestamp in a text, by a Java DateTimeFormatter pattern; what is missing is from"
            " 1970-01-01T00:00:00, and a zone in the text wins over the one given (GMT)."
        ),
        sql=lambda call: parse_timestamp_sql(
            call.arguments["text"], call.arguments["pattern"], call.arguments.get("zone")
        ),
        can_fail=True,
        example="PARSE_TIMESTAMP('17/May/2015:10:05:03 +0200', 'dd/MMM/yyyy:HH:mm:ss Z')",
        gives="2015-05-17T08:05:03.000",
    ),
    Scalar(
        "FROM_DAYS",
        "(days INTEGER) -> DATE",
        says="The date that many days after 1970-01-01.",
        sql=_day,
        can_fail=True,
        example="FROM_DAYS(18321)",
        gives="2020-02-29",
    ),
    Scalar(
        "FROM_UNIXTIME",
        "(milliseconds BIGINT) -> TIMESTAMP",
        says="The timestamp that many milliseconds after 1970-01-01T00:00 UTC.",
        sql="make_timestamp_ms({milliseconds})",
        can_fail=True,
        example="FROM_UNIXTIME(1582934400000)",
        gives="2020-02-29T00:00:00.000",
    ),
    Scalar(
        "UNIX_DATE",
        "() -> INTEGER",
        says="Days from 1970-01-01 to today, in UTC.",
        sql="CAST(epoch_ms(now()) // 86400000 AS INTEGER)",
        example="UNIX_DATE() > 18321",
        gives="true",
    ),
    Scalar(
        "UNIX_DATE",
        "(date DATE) -> INTEGER",
        says="Days from 1970-01-01 to the date.",
        sql="CAST({date} - DATE '1970-01-01' AS INTEGER)",
        example="UNIX_DATE(CAST('2020-02-29' AS DATE))",
        gives="18321",
    ),
    Scalar(
        "UNIX_TIMESTAMP",
        "() -> BIGINT",
        says="Milliseconds from 1970-01-01T00:00 UTC to now.",
        sql="epoch_ms(now())",
        example="UNIX_TIMESTAMP() > 1582934400000",
        gives="true",
    ),
    Scalar(
        "UNIX_TIMESTAMP",
        "(timestamp TIMESTAMP) -> BIGINT",
        says="Milliseconds from 1970-01-01T00:00 UTC to the timestamp.",
        sql="epoch_ms({timestamp})",
        example="UNIX_TIMESTAMP(CAST('2020-02-29' AS TIMESTAMP))",
        gives="1582934400000",
    ),
    Scalar(
        "DATETOSTRING",
        "(days INTEGER, pattern VARCHAR) -> VARCHAR",
        says="Days since 1970-01-01 as text; FORMAT_DATE does the same for a DATE.",
        sql=lambda call: _of(_day(call), lambda day: format_date_sql(day, call.arguments["pattern"])),
        can_fail=True,
        example="DATETOSTRING(18321, 'dd/MM/yyyy')",
        gives="29/02/2020",
    ),
    Scalar(
        "STRINGTODATE",
        "(text VARCHAR, pattern VARCHAR) -> INTEGER",
        says="Days from 1970-01-01 to the whole date in a text; PARSE_DATE gives a DATE.",
        sql=_string_to_date,
        can_fail=True,
        example="STRINGTODATE('29/02/2020', 'dd/MM/yyyy')",
        gives="18321",
    ),
    Scalar(
        "TIMESTAMPTOSTRING",
        "(milliseconds BIGINT, pattern VARCHAR, [zone VARCHAR]) -> VARCHAR",
        says="Milliseconds since 1970-01-01T00:00 UTC as text; FORMAT_TIMESTAMP does it for a TIMESTAMP.",
        sql=lambda call: _of(
            f"make_timestamp_ms({call.arguments['milliseconds']})",
            lambda moment: format_timestamp_sql(
                moment, call.arguments["pattern"], call.arguments.get("zone")
            ),
        ),
        can_fail=True,
        example="TIMESTAMPTOSTRING(1526075913000, 'yyyy-MM-dd HH:mm:ss zzz', 'America/Los_Angeles')",
        gives="2018-05-11 14:58:33 PDT",
    ),
    Scalar(
        "STRINGTOTIMESTAMP",
        "(text VARCHAR, pattern VARCHAR, [zone VARCHAR]) -> BIGINT",
        says="Milliseconds since 1970-01-01T00:00 UTC in a text; PARSE_TIMESTAMP gives a TIMESTAMP.",
        sql=_string_to_timestamp,
        can_fail=True,
        example="STRINGTOTIMESTAMP('2018-05-11T21:58:33Z', 'yyyy-MM-dd''T''HH:mm:ssX')",
        gives="1526075913000",
    ),
)
