"""Java's date and time patterns: letters, resolving, zones; the quick way agrees with the exact one."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.errors import DataError, NotSupportedError, PlanError
from streamsql.functions.java_format import civil
from streamsql.functions.java_values import (
    parse_format,
    read_date,
    read_full_date,
    read_time,
    read_timestamp,
    write_date,
    write_time,
    write_timestamp,
)
from streamsql.functions.zones import find_zone, zone_of

EPOCH = datetime(1970, 1, 1)


def moment(micros: int) -> str:
    return (EPOCH + timedelta(microseconds=micros)).isoformat()


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("17/May/2015:10:05:03 +0200", "dd/MMM/yyyy:HH:mm:ss Z", "2015-05-17T08:05:03"),
        ("2020-05-11T21:58:33z", "yyyy-MM-dd'T'HH:mm:ssX", "2020-05-11T21:58:33"),
        ("2020-05-11T21:58:33+0530", "yyyy-MM-dd'T'HH:mm:ssX", "2020-05-11T16:28:33"),
        ("2020-05-11 21-03:30", "yyyy-MM-dd HHXXX", "2020-05-12T00:30:00"),
        ("2018-05-11T21:58:33 PST", "yyyy-MM-dd'T'HH:mm:ss zzz", "2018-05-12T04:58:33"),
        ("2020-01-01 10:00 Europe/Paris", "yyyy-MM-dd HH:mm VV", "2020-01-01T09:00:00"),
        ("2020-01-01 10:00 gmt+8", "yyyy-MM-dd HH:mm O", "2020-01-01T02:00:00"),
        ("10-04-19 12:00:17Z", "yy-MM-dd HH:mm:ssX", "2010-04-19T12:00:17"),
        ("99", "yy", "2099-01-01T00:00:00"),
        ("20200102030405006", "yyyyMMddHHmmssSSS", "2020-01-02T03:04:05.006000"),
        ("120200102", "yyyyMMdd", None),
        ("2020-01-02 1.123456789", "yyyy-MM-dd s.SSSSSSSSS", "2020-01-02T00:00:01.123000"),
        ("JANUARY 5", "MMMM d", "1970-01-05T00:00:00"),
        ("Jan", "MMMM", None),
        ("5", "d", "1970-01-05T00:00:00"),
        ("60", "D", "1970-03-01T00:00:00"),
        ("366", "D", None),
        ("366 2020", "D yyyy", "2020-12-31T00:00:00"),
        ("12:30 pm", "hh:mm a", "1970-01-01T12:30:00"),
        ("12:30 am", "hh:mm a", "1970-01-01T00:30:00"),
        ("12:30", "hh:mm", "1970-01-01T00:30:00"),
        ("24", "k", "1970-01-01T00:00:00"),
        ("24:00", "HH:mm", "1970-01-02T00:00:00"),
        ("24:01", "HH:mm", None),
        ("12:60", "HH:mm", None),
        ("2020-02-31", "yyyy-MM-dd", "2020-02-29T00:00:00"),
        ("2020-04-31", "yyyy-MM-dd", "2020-04-30T00:00:00"),
        ("2020-04-32", "yyyy-MM-dd", None),
        ("2020-13-01", "yyyy-MM-dd", None),
        ("0000-01-01", "yyyy-MM-dd", None),
        ("1-1-1 BC", "y-M-d G", "before"),
        ("2020-1-2", "yyyy-MM-dd", None),
        ("2020-01-02 ", "yyyy-MM-dd", None),
        ("+2020", "yyyy", None),
        ("2020", "yyyy[-MM]['T'HH]", "2020-01-01T00:00:00"),
        ("2020-07", "yyyy[-MM]['T'HH]", "2020-07-01T00:00:00"),
        ("2020T07", "yyyy[-MM]['T'HH]", "2020-01-01T07:00:00"),
        ("wed 2020-01-01", "EEE yyyy-MM-dd", "2020-01-01T00:00:00"),
        ("Mon 2020-01-01", "EEE yyyy-MM-dd", None),
        ("2020 2020-01-01", "yyyy yyyy-MM-dd", "2020-01-01T00:00:00"),
        ("2020 2021-01-01", "yyyy yyyy-MM-dd", None),
        ("  7 2020", "pppd yyyy", "2020-01-07T00:00:00"),
        ("it's 2020", "'it''s' yyyy", "2020-01-01T00:00:00"),
        ("2020 2 1", "YYYY w e", "2020-01-05T00:00:00"),
        ("86399999", "A", "1970-01-01T23:59:59.999000"),
        ("", "yyyy", None),
    ],
)
def test_reading_a_timestamp(text: str, pattern: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(DataError):
            read_timestamp(text, pattern)
    elif expected == "before":
        assert read_timestamp(text, pattern) == -719528 * 86_400_000_000
    else:
        assert moment(read_timestamp(text, pattern)) == expected


@pytest.mark.parametrize(
    ("local", "zone", "expected"),
    [
        ("2020-07-01 12:00", "Europe/Paris", "2020-07-01T10:00:00"),
        ("2020-03-29 02:30", "Europe/Paris", "2020-03-29T01:30:00"),  # in the gap: 03:30
        ("2020-10-25 02:30", "Europe/Paris", "2020-10-25T00:30:00"),  # happens twice: the first time
        ("2020-07-01 12:00", "GMT+1", "2020-07-01T11:00:00"),
        ("2020-07-01 12:00", "-0330", "2020-07-01T15:30:00"),
        ("1900-01-01 12:00", "Europe/Paris", "1900-01-01T11:50:39"),
    ],
)
def test_the_zone_of_a_local_time(local: str, zone: str, expected: str) -> None:
    assert moment(read_timestamp(local, "yyyy-MM-dd HH:mm", zone)) == expected


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("2022-02-02", "yyyy-MM-dd", date(2022, 2, 2)),
        ("2022-2-2", "yyyy-MM-dd", date(2022, 2, 2)),
        ("1/2/85", "d/M/yy", date(1985, 2, 1)),
        ("1/2/21", "d/M/yy", date(2021, 2, 1)),
        ("01-Jan-2022", "dd-MMM-yyyy", date(2022, 1, 1)),
        ("01-january-2022", "dd-MMM-yyyy", date(2022, 1, 1)),
        ("20220203", "yyyyMMdd", date(2022, 2, 3)),
        ("05", "MM", date(1970, 5, 1)),
        ("2022-02-02 00", "yyyy-MM-dd HH", date(2022, 2, 2)),
        ("2022-02-02 10", "yyyy-MM-dd HH", None),
        ("[2022]", "[yyyy]", date(2022, 1, 1)),
        ("abcd", "yyyy-MM-dd", None),
    ],
)
def test_reading_a_date_by_the_older_letters(text: str, pattern: str, expected: date | None) -> None:
    if expected is None:
        with pytest.raises(DataError):
            read_date(text, pattern)
    else:
        assert EPOCH.date() + timedelta(days=read_date(text, pattern)) == expected


def test_a_whole_date_is_required_where_days_are_the_result() -> None:
    assert read_full_date("01-Jan-2022", "dd-MMM-yyyy") == 18993
    assert read_full_date("2022 032", "uuuu DDD") == 19024
    with pytest.raises(DataError, match="no whole date"):
        read_full_date("2022-01", "yyyy-MM")


@pytest.mark.parametrize(
    ("text", "pattern", "expected_ms"),
    [
        ("00:01:05Lit", "HH:mm:ss'Lit'", 65_000),
        ("11/05/19", "HH/mm/ss", 39_919_000),
        ("01:00:00 Pm", "hh:mm:ss a", 46_800_000),
        ("05", "HH", 18_000_000),
        ("23:59:59.9999", "HH:mm:ss.SSSS", 86_399_999),
        ("24:00", "HH:mm", 0),
        ("05", "mm", None),
        ("05", "hh", None),
        ("5", "S", None),
        ("10:05", "HH:ss", None),
        ("25:00", "HH:mm", None),
    ],
)
def test_reading_a_time(text: str, pattern: str, expected_ms: int | None) -> None:
    if expected_ms is None:
        with pytest.raises(DataError):
            read_time(text, pattern)
    else:
        assert read_time(text, pattern) == expected_ms * 1000


AT = 1_526_075_913_123_456
"""2018-05-11T21:58:33.123456Z, a Friday."""


@pytest.mark.parametrize(
    ("pattern", "zone", "expected"),
    [
        ("yyyy-MM-dd HH:mm:ss zzz", "America/Los_Angeles", "2018-05-11 14:58:33 PDT"),
        ("yyyy-MM-dd HH:mm:ss zzz", "Europe/London", "2018-05-11 22:58:33 BST"),
        ("EEEE d MMMM yy h:mm a zzzz", "Europe/London", "Friday 11 May 18 10:58 PM British Summer Time"),
        ("D DDD e E EEEEE MMMMM Q QQQ w YYYY W F G", "UTC", "131 131 6 Fri F M 2 Q2 19 2018 2 2 AD"),
        (
            "X XX XXX x Z O OOOO ZZZZ VV",
            "+05:30",
            "+0530 +0530 +05:30 +0530 +0530 GMT+5:30 GMT+05:30 GMT+05:30 +05:30",
        ),
        (
            "X XX XXX XXXX XXXXX x xxxx xxxxx Z ZZZZZ O OOOO",
            "-01:02:03",
            "-0102 -0102 -01:02 -010203 -01:02:03 -0102 -010203 -01:02:03 -0102 -01:02:03 GMT-1:02:03 GMT-01:02:03",
        ),
        ("XXXX XXXXX", "+01:00", "+0100 +01:00"),
        ("X x xx xxx Z ZZZZZ O z", "UTC", "Z +00 +0000 +00:00 +0000 Z GMT UTC"),
        ("X", "+02", "+02"),
        ("S SSS SSSSSS SSSSSSSSS n", "UTC", "1 123 123456 123456000 123456000"),
        ("H k K h A N", "UTC", "21 21 9 9 79113123 79113123456000"),
        ("ppppd|pppdd", "UTC", "  11| 11"),
        ("[yyyy] '[''quoted'']'", "UTC", "2018 ['quoted']"),
        ("100% yyyy", "UTC", "100% 2018"),
    ],
)
def test_writing_a_timestamp(pattern: str, zone: str, expected: str) -> None:
    assert write_timestamp(AT, pattern, zone) == expected


def test_years_beyond_four_digits_have_a_sign() -> None:
    assert write_date(2932897, "yyyy-MM-dd") == "+10000-01-01"
    assert write_date(-719163, "yyyy-MM-dd uuuu G") == "0001-12-31 0000 BC"


def test_names_of_fields_that_a_type_lacks_are_refused() -> None:
    assert write_date(-1, "dd-MM-yyyy'Sophia'") == "31-12-1969Sophia"
    assert write_time(3_600_000_000, "H 'o''clock'") == "1 o'clock"
    for call in (
        lambda: write_date(0, "yyyy HH"),
        lambda: write_time(0, "yyyy"),
        lambda: write_date(0, "z"),
        lambda: read_time("1 1", "d H"),
    ):
        with pytest.raises(PlanError, match="has (hour|year of era|zone|day), which"):
            call()


def test_a_full_zone_name_that_is_not_known_says_so() -> None:
    with pytest.raises(NotSupportedError, match="Asia/Kathmandu"):
        write_timestamp(0, "zzzz", "Asia/Kathmandu")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("b", "the letter b has no meaning"),
        ("yyyy-mm-DDDD", "too many letters D"),
        ("HHH", "too many letters H"),
        ("V", "a zone id is written VV"),
        ("ZZZZZZ", "the letter Z cannot stand 6 times"),
        ("yyyy'T", "a quote is not closed"),
        ("yyyy]", "] stands without ["),
        ("{yyyy}", "{ is reserved"),
        ("pp-", "a pad p must stand before a letter"),
        ("yyyypp", "a pad p must stand before a letter"),
        ("SSSSSSSSSS", "too many letters S"),
        ("cc", "cc has no meaning"),
        ("aa", "too many letters a"),
    ],
)
def test_a_pattern_that_is_none(pattern: str, why: str) -> None:
    with pytest.raises(PlanError) as error:
        parse_format(pattern)
    assert error.value.code == "PLAN-TIME-PATTERN"
    assert why in error.value.message and repr(pattern) in error.value.message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Z", 0),
        ("UTC", 0),
        ("+2", 7200),
        ("+02:00", 7200),
        ("-0330", -12600),
        ("GMT+1", 3600),
        ("UTC-01:30", -5400),
    ]
    + [("UT", 0), ("+01:02:03", 3723), ("+18:00", 64800)],
)
def test_ids_of_fixed_zones(text: str, seconds: int) -> None:
    assert zone_of(text).offset == seconds


@pytest.mark.parametrize(
    "text", ["", "Mars/Base", "+19:00", "+1:60", "EST", "europe/paris", "../UTC", "PST", "GMT1"]
)
def test_ids_of_no_zone(text: str) -> None:
    assert find_zone(text) is None
    with pytest.raises(PlanError, match="there is no time zone"):
        zone_of(text)


@pytest.mark.parametrize("region", ["Europe/Paris", "Africa/Casablanca", "Australia/Lord_Howe"])
def test_offsets_of_a_vector_are_those_of_its_values(region: str) -> None:
    zone = zone_of(region)
    years = np.arange(-4_000_000_000, 9_000_000_000, 86_400 * 91) * 1_000_000
    # Every quarter of an hour around the changes of 2011, when Casablanca had four.
    hours = np.arange(1_293_840_000, 1_325_376_000, 900) * 1_000_000
    times = np.concatenate([years, hours])
    for local, offsets in ((False, zone.offsets_at(times)), (True, zone.offsets_of_local(times))):
        assert offsets.tolist() == [zone.offset_at(int(time), local) for time in times]


@given(st.dates(date(1, 1, 1), date(9999, 12, 31)))
def test_days_and_dates_agree(day: date) -> None:
    days = (day - date(1970, 1, 1)).days
    assert civil(days) == (day.year, day.month, day.day, day.timetuple().tm_yday)


# The quick way through DuckDB ----------------------------------------------------------------------------
