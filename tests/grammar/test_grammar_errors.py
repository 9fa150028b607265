"""Texts that must be refused, each with its whole message, in errors.txt.

`python tests/grammar/test_grammar_errors.py` writes the messages anew; read the diff.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from streamsql.errors import ParseError
from streamsql.grammar.parser import parse, parse_expression, parse_statement, parse_type

FILE = Path(__file__).parent / "errors.txt"
AFTER_TEXT, AFTER_MESSAGE = "\n----\n", "\n====\n"


def cases() -> list[tuple[str, str]]:
    blocks = FILE.read_text(encoding="utf-8").split(AFTER_MESSAGE)
    return [(text, message) for text, _, message in (b.partition(AFTER_TEXT) for b in blocks if b.strip())]


def refusal(text: str) -> str:
    with pytest.raises(ParseError) as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize(("text", "message"), cases(), ids=[text for text, _ in cases()])
def test_a_wrong_text_is_refused_with_this_message(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("parse_one", "text", "message"),
    [
        (parse_statement, "SHOW STREAMS; SHOW TABLES", "found SHOW after the end of the statement"),
        (parse_expression, "a + 1;", "found ';' after the end of the expression"),
        (parse_expression, "a b", "found b, expected ';'"),
        (parse_expression, "", "found the end of the text, expected a column or expression"),
        (parse_type, "ARRAY<INT", "found the end of the text, expected '>'"),
        (parse_type, "1", "found 1, expected a type"),
        (parse_statement, "", "found the end of the text, expected a statement"),
    ],
)  # fmt: skip
def test_parts_are_refused_too(parse_one: object, text: str, message: str) -> None:
    assert callable(parse_one)
    with pytest.raises(ParseError) as caught:
        parse_one(text)
    assert str(caught.value).startswith(f"[PARSE-UNEXPECTED] {message}")


if __name__ == "__main__":
    texts = [text for text, _ in cases()]
    FILE.write_text(
        "".join(f"{text}{AFTER_TEXT}{refusal(text)}{AFTER_MESSAGE}" for text in texts), encoding="utf-8"
    )
