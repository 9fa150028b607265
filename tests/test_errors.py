"""How an error is shown: the caret stands under the text it is about, as wide as that text is on a screen."""

from __future__ import annotations

import pytest

from streamsql.errors import PlanError, Span, render


@pytest.mark.parametrize(
    ("line", "wrong", "indent", "carets"),
    [
        ("SELECT 'a', nope FROM s", "nope", 12, 4),
        ("SELECT '🙂🙂', nope FROM s", "nope", 15, 4),
        ("SELECT '日本', nope FROM s", "nope", 15, 4),
        ("SELECT 'e\u0301', nope FROM s", "nope", 12, 4),
        ("SELECT '👍🏽', nope FROM s", "nope", 13, 4),
        ("SELECT `日本` FROM s", "`日本`", 7, 6),
        ("SELECT `e\u0301` FROM s", "`e\u0301`", 7, 3),
        ("SELECT '\t\u200b', nope FROM s", "nope", 13, 4),
    ],
)
@pytest.mark.parametrize("before", ["", "SELECT '🙂';\n"])
def test_the_caret_stands_under_the_text(
    line: str, wrong: str, indent: int, carets: int, before: str
) -> None:
    source = before + line
    start = source.index(wrong)
    shown = render(PlanError("no", span=Span(start, start + len(wrong)), source=source)).splitlines()
    assert shown[2] == " " * (len("  LINE 1: ") + indent) + "^" * carets


def test_a_caret_stays_inside_a_line_that_is_cut() -> None:
    source = "SELECT " + "'日本', " * 100 + "nope FROM s"
    start = source.index("nope")
    text, carets = render(PlanError("no", span=Span(start, start + 4), source=source)).splitlines()[1:]
    before = text[: text.index("nope")]
    wide = sum(c in "日本" for c in before)
    assert carets == " " * (len(before) + wide) + "^^^^"
