"""The Python examples of the documents give what they say they give."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", ["event-sourcing.md", "python.md"])
def test_the_examples_of_a_document_run(name: str) -> None:
    text = re.sub(r"^```.*$", "", (DOCS / name).read_text("utf-8"), flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(text, {}, name, str(DOCS / name), 0)
    assert len(test.examples) > 10
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert result.failed == 0, "".join(said)
