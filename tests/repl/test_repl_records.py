"""Results for programs: JSON lines and CSV."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal as D

from results import Screen, result

from streamsql.repl.records import CsvPrinter, JsonPrinter
from streamsql.result import message
from streamsql.types import BIGINT, VARCHAR, Array, Decimal

COLUMNS = {"PAGE": VARCHAR, "lower case": BIGINT, "AMOUNT": Decimal(20, 2), "TAGS": Array(VARCHAR)}
ROWS = [("a,b", 1, D("100000000000000000.10"), ["x", None]), (None, None, None, None), ('q"\n', -1, D(0), [])]


def test_json_is_an_object_per_row_and_line() -> None:
    out, notes = io.StringIO(), io.StringIO()
    JsonPrinter(out, notes).show(result(COLUMNS, ROWS[:1], ROWS[1:], message="a remark"))
    assert out.getvalue().splitlines() == [
        '{"PAGE":"a,b","lower case":1,"AMOUNT":100000000000000000.10,"TAGS":["x",null]}',
        '{"PAGE":null,"lower case":null,"AMOUNT":null,"TAGS":null}',
        '{"PAGE":"q\\"\\n","lower case":-1,"AMOUNT":0.00,"TAGS":[]}',
    ]
    assert notes.getvalue() == "a remark\n"


def test_json_marks_tombstones_and_says_the_status_elsewhere() -> None:
    out, notes = io.StringIO(), io.StringIO()
    shown = result(
        {"K": VARCHAR, "N": BIGINT}, [("a", 1), ("a", None)], kind="CHANGES", tombstones=[[False, True]]
    )
    JsonPrinter(out, notes).show(shown)
    assert [json.loads(line) for line in out.getvalue().splitlines()] == [
        {"K": "a", "N": 1},
        {"K": "a", "N": None, "$tombstone": True},
    ]
    assert "3 rows read" in notes.getvalue()


def test_messages_leave_the_output_of_programs_alone() -> None:
    for printer in (JsonPrinter, CsvPrinter):
        out, notes = io.StringIO(), io.StringIO()
        printer(out, notes).show(message("stream VIEWS created"))
        assert (out.getvalue(), notes.getvalue()) == ("", "stream VIEWS created\n")


def test_csv_reads_back() -> None:
    out = io.StringIO()
    CsvPrinter(out, io.StringIO()).show(result(COLUMNS, ROWS))
    assert list(csv.reader(io.StringIO(out.getvalue()))) == [
        ["PAGE", "lower case", "AMOUNT", "TAGS"],
        ["a,b", "1", "100000000000000000.10", '["x",null]'],
        ["", "", "", ""],
        ['q"\n', "-1", "0.00", "[]"],
    ]


def test_csv_tells_null_from_an_empty_text_and_marks_tombstones() -> None:
    out = io.StringIO()
    shown = result(
        {"K": VARCHAR, "V": VARCHAR}, [("a", ""), ("a", None)], kind="CHANGES", tombstones=[[False, True]]
    )
    CsvPrinter(out, io.StringIO()).show(shown)
    assert out.getvalue() == 'K,V,$tombstone\na,"",\na,,true\n'


def test_on_a_screen_programs_output_is_harmless_too() -> None:
    evil = "\x1b[2J\x9b1m"
    out = Screen()
    JsonPrinter(out, io.StringIO()).show(result({"A": VARCHAR}, [(evil,)]))
    assert json.loads(out.getvalue()) == {"A": evil}
    CsvPrinter(out, io.StringIO()).show(result({"A": VARCHAR}, [(evil,)]))
    assert "\x1b" not in out.getvalue() and "\x9b" not in out.getvalue()
