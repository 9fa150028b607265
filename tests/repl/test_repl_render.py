"""Tables as they look, line by line."""

from __future__ import annotations

import io
import textwrap
from decimal import Decimal as D

import pytest
from results import result, screen

from streamsql.errors import ParseError, PlanError, Span
from streamsql.repl.render import TablePrinter, duration_text, error_text
from streamsql.repl.terminal import Terminal
from streamsql.result import Result, message, rows
from streamsql.schema import Column
from streamsql.types import BIGINT, DOUBLE, VARCHAR, Array, Decimal

FILE = Terminal()
COLOURS = Terminal(80, has_colours=True)


def drawn(shown: Result, terminal: Terminal, **options: int | None) -> str:
    out = io.StringIO()
    TablePrinter(out, terminal, most_rows=options.get("most_rows")).show(shown)
    return out.getvalue()


def lines(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")


PAGES = {"PAGE": VARCHAR, "VIEWS": BIGINT, "AMOUNT": Decimal(10, 2)}


def test_numbers_stand_right_texts_left_null_is_named() -> None:
    shown = result(PAGES, [("/", 12, D("1.50")), (None, None, None), ("/cart", 1_234_567, D("-0.05"))])
    assert drawn(shown, screen(80)) == lines(
        """
         PAGE  │   VIEWS │ AMOUNT
        ───────┼─────────┼────────
         /     │      12 │   1.50
         NULL  │    NULL │   NULL
         /cart │ 1234567 │  -0.05
        3 rows
        """
    )


def test_wide_characters_keep_the_columns_straight() -> None:
    shown = result(
        {"NAME": VARCHAR, "N": BIGINT}, [("日本", 1), ("e\u0301", 2), ("\U0001f469\u200d\U0001f467", 3)]
    )
    assert drawn(shown, screen(80)) == lines(
        """
         NAME │ N
        ──────┼───
         日本 │ 1
         e\u0301    │ 2
         \U0001f469\u200d\U0001f467   │ 3
        3 rows
        """
    )


def test_a_narrow_screen_cuts_texts_and_never_numbers() -> None:
    shown = result({"ID": BIGINT, "A": VARCHAR, "B": VARCHAR}, [(1234567890123, "a" * 50, "short")])
    assert drawn(shown, screen(40)) == lines(
        """
                    ID │ A              │ B
        ───────────────┼────────────────┼───────
         1234567890123 │ aaaaaaaaaaaaa… │ short
        1 row
        """
    )


def test_a_listing_of_the_database_is_cut_nowhere() -> None:
    columns = [Column(name, kind) for name, kind in (("WHAT", VARCHAR), ("N", BIGINT), ("VALUE", VARCHAR))]
    shown = rows(columns, [("state", 7, "1 row; it grows with the number of keys"), ("kind", 8, None)])
    assert drawn(shown, screen(40)) == lines(
        """
         WHAT  │ N │ VALUE
        ───────┼───┼────────────────────────────
         state │ 7 │ 1 row; it grows with the
               │   │ number of keys
         kind  │ 8 │ NULL
        2 rows
        """
    )


def test_a_file_gets_every_text_whole() -> None:
    long = "x" * 500
    assert long in drawn(result({"A": VARCHAR}, [(long,)]), FILE)


def test_more_columns_than_fit_stand_below_each_other() -> None:
    columns = {f"COLUMN_{i}": BIGINT for i in range(4)} | {"TEXT": VARCHAR}
    shown = result(columns, [(10**12, 2, None, 4, "ab"), (1, 10**12, 10**12, 10**12, "日本")])
    assert drawn(shown, screen(40)) == lines(
        """
        ─[ row 1 ]─────────────────────────────
         COLUMN_0 │ 1000000000000
         COLUMN_1 │ 2
         COLUMN_2 │ NULL
         COLUMN_3 │ 4
         TEXT     │ ab
        ─[ row 2 ]─────────────────────────────
         COLUMN_0 │ 1
         COLUMN_1 │ 1000000000000
         COLUMN_2 │ 1000000000000
         COLUMN_3 │ 1000000000000
         TEXT     │ 日本
        2 rows
        """
    )


def test_a_push_query_shows_rows_as_they_come_and_tombstones() -> None:
    shown = result(
        {"PAGE": VARCHAR, "VIEWS": BIGINT},
        [("/", 1)],
        [("/", None), ("a page that is longer than all before", 10**12)],
        kind="CHANGES",
        tombstones=[[False], [True, False]],
    )
    assert drawn(shown, screen(60)) == lines(
        """
         PAGE                 │         VIEWS
        ──────────────────────┼───────────────
         /                    │             1
         /                    │   <TOMBSTONE>
         a page that is long… │ 1000000000000
        3 rows read · 2 shown · 1 filtered · 0 skipped · 0 late
        """
    )


def test_rows_of_a_push_query_are_out_before_the_next_ones_come() -> None:
    out = io.StringIO()
    seen: list[str] = []
    shown = result({"N": BIGINT}, [(1,)], [(2,)], kind="CHANGES")

    def watched(pieces: object = shown.changes()) -> object:
        for piece in pieces:  # type: ignore[attr-defined]
            yield piece
            seen.append(out.getvalue())

    shown._changes = watched()  # type: ignore[assignment]
    TablePrinter(out, screen(80)).show(shown)
    assert "1" in seen[0] and "2" not in seen[0].splitlines()[-1]
    assert seen[1].splitlines()[-1].strip() == "2"


def test_a_push_query_without_rows_still_has_its_header() -> None:
    shown = drawn(result({"PAGE": VARCHAR}, kind="CHANGES"), FILE)
    assert shown.splitlines()[0].strip() == "PAGE"


def test_records_cannot_drive_the_terminal() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J"
    shown = result({"A\x1b[1m": VARCHAR, "L": Array(VARCHAR)}, [(evil, [evil])], title=evil, message=evil)
    for terminal in (FILE, screen(80), screen(20)):
        assert "\x1b" not in drawn(result({"A\x1b[1m": VARCHAR}, [(evil,)], title=evil), terminal)
    assert "\x1b" not in drawn(shown, FILE)


def test_colours_only_where_wanted() -> None:
    shown = drawn(result({"A": VARCHAR}, [(None,)]), COLOURS)
    assert "\x1b[1mA   \x1b[0m" in shown
    assert "\x1b[2mNULL\x1b[0m" in shown


def test_a_terminal_without_unicode_gets_ascii() -> None:
    shown = drawn(result({"A": VARCHAR, "B": VARCHAR}, [("x" * 50, "y")]), Terminal(30, has_unicode=False))
    assert shown.isascii()
    assert "x~ | y" in shown


def test_only_so_many_rows_are_shown_and_all_are_counted() -> None:
    shown = result({"N": BIGINT}, [(i,) for i in range(7)], [(i,) for i in range(5)])
    text = drawn(shown, FILE, most_rows=3)
    assert text.splitlines()[2:] == [" 0", " 1", " 2", "12 rows, the first 3 shown"]


def test_a_message_is_printed_as_it_is() -> None:
    assert drawn(message("stream VIEWS created"), FILE) == "stream VIEWS created\n"


def test_an_answer_without_rows() -> None:
    assert drawn(result({"N": DOUBLE}, []), FILE) == " N\n───\n0 rows\n"
    assert drawn(result({"N": DOUBLE}), FILE) == " N\n───\n0 rows\n"


ERROR = PlanError(
    "column PAGID is not in stream VIEWS",
    code="PLAN-UNKNOWN-COLUMN",
    span=Span(7, 12),
    source="SELECT pagid FROM views;",
    hint="did you mean PAGE?",
)


def test_an_error_without_colours_is_its_text() -> None:
    assert error_text(ERROR, FILE) == str(ERROR)


def test_an_error_has_its_code_caret_and_hint_in_colour() -> None:
    assert error_text(ERROR, COLOURS).split("\n") == [
        "\x1b[1;31m[PLAN-UNKNOWN-COLUMN]\x1b[0m \x1b[1mcolumn PAGID is not in stream VIEWS\x1b[0m",
        "\x1b[36m  LINE 1:\x1b[0m SELECT pagid FROM views;",
        "                 \x1b[1;31m^^^^^\x1b[0m",
        "  \x1b[33mhint:\x1b[0m did you mean PAGE?",
    ]


def test_an_error_cannot_drive_the_terminal() -> None:
    error = ParseError("no \x1b[2J here", span=Span(0, 1), source="\x1b[2J")
    assert "\x1b" not in error_text(error, FILE)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0000123, "0.012 ms"), (0.0123, "12 ms"), (1.234, "1.23 s"), (59.99, "59.99 s"), (3661, "61 min 1 s")],
)
def test_times_are_said_in_units_of_their_size(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
