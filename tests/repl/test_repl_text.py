"""Text on a screen: its width, cutting it, nothing that drives the terminal; how wide columns become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.repl.layout import SEPARATOR_CELLS, Need, column_widths
from streamsql.repl.text import fit, pad, safe, safe_json, safe_lines, width, wrapped

FAMILY = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("", 0),
        ("plain", 5),
        ("日本語", 6),
        ("e\N{COMBINING ACUTE ACCENT}", 1),
        ("\N{REGIONAL INDICATOR SYMBOL LETTER N}\N{REGIONAL INDICATOR SYMBOL LETTER Z}", 2),
        (FAMILY, 2),
        ("\N{HEAVY BLACK HEART}\N{VARIATION SELECTOR-16}", 2),
    ],
)
def test_a_text_is_as_wide_as_a_terminal_draws_it(text: str, cells: int) -> None:
    assert width(text) == cells


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
        (FAMILY + "xyz", 4, FAMILY + "x…"),
    ],
)
def test_a_long_text_is_cut_to_fit(text: str, cells: int, shown: str) -> None:
    assert fit(text, cells) == shown


@given(st.text(), st.integers(0, 30))
def test_what_was_cut_never_takes_more_cells_than_it_may(text: str, cells: int) -> None:
    clean = safe(text)
    assert width(fit(clean, cells)) <= cells or clean == fit(clean, cells)
    assert width(fit(clean, cells)) <= max(cells, 0)


@given(st.text())
def test_nothing_in_a_safe_text_drives_a_terminal(text: str) -> None:
    for character in safe(text):
        assert character >= " " and not "\x7f" <= character <= "\x9f"
        assert character not in "\u2028\u2029\u202e\u2066"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("\x9b31m", "\\x9b31m"),
        ("line\r\n\tend\0", "line\\r\\n\\tend\\x00"),
        ("abc\u202edcb", "abc\\u202edcb"),
        ("\ud800", "\\ud800"),
        ("naïve 日本 " + FAMILY, "naïve 日本 " + FAMILY),
    ],
)
def test_control_characters_are_spelt_out(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_messages_keep_their_lines_and_json_its_meaning() -> None:
    assert safe_lines("a\nb\x07") == "a\nb\\x07"
    assert safe_json('{"a":"\x9b日"}\n') == '{"a":"\\u009b日"}\n'


def test_padding_counts_cells() -> None:
    assert pad("日", 4) + "|" == "日  |"
    assert pad("12", 4, right=True) == "  12"


@pytest.mark.parametrize(
    ("needs", "screen", "widths"),
    [
        ([Need(4, 10, False), Need(5, 3, True)], 80, [10, 5]),
        ([Need(4, 10, False), Need(5, 3, True)], None, [10, 5]),
        # The wide one gives, the number stays whole; its header may be cut.
        ([Need(4, 100, False), Need(9, 6, True)], 40, [26, 9]),
        ([Need(4, 30, False), Need(12, 4, True)], 20, [8, 7]),
        # Both texts are cut to the same width before either falls below eight.
        ([Need(1, 50, False), Need(1, 50, False)], 30, [13, 12]),
        ([Need(1, 50, False), Need(1, 50, True)], 30, None),
        ([Need(1, 8, False)] * 10, 60, None),
    ],
)
def test_columns_share_the_screen(needs: list[Need], screen: int | None, widths: list[int] | None) -> None:
    assert column_widths(needs, screen) == widths


@given(
    st.lists(st.builds(Need, st.integers(1, 40), st.integers(0, 200), st.booleans()), min_size=1, max_size=8),
    st.integers(20, 300),
)
def test_columns_fit_use_what_there_is_and_cut_no_number(needs: list[Need], screen: int) -> None:
    widths = column_widths(needs, screen)
    room = screen - SEPARATOR_CELLS * (len(needs) - 1) - 2
    if widths is None:
        assert sum(need.least for need in needs) > room
        return
    assert sum(widths) == min(room, sum(need.natural for need in needs))
    for need, cells in zip(needs, widths, strict=True):
        assert need.least <= cells <= need.natural
        assert not need.rigid or cells >= need.content


@pytest.mark.parametrize(
    ("text", "cells", "lines"),
    [
        ("short", 10, ["short"]),
        ("", 10, [""]),
        ("failed expressions, 0 emitted", 20, ["failed expressions,", "0 emitted"]),
        ("one two", 3, ["one", "two"]),
        ("ksql.persistence.default.format.key", 26, ["ksql.persistence.default.", "format.key"]),
        ("0123456789", 4, ["0123", "4567", "89"]),
        ("a 0123456789", 8, ["a 012345", "6789"]),
        ("   └─ aggregate", 8, ["   └─ ag", "gregate"]),
        ("日本語の文字", 5, ["日本", "語の", "文字"]),
        ("日", 1, ["日"]),
    ],
)
def test_a_long_text_goes_on_in_the_next_line(text: str, cells: int, lines: list[str]) -> None:
    assert wrapped(text, cells) == lines
