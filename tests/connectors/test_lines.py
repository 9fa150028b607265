"""Text cut into lines, wherever the blocks end."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsql.connectors import lines
from streamsql.connectors.lines import read_lines, split, without_blank
from streamsql.errors import DataError


def lines_of(data: bytes, block_bytes: int) -> list[bytes]:
    blocks = list(read_lines(io.BytesIO(data), "f", block_bytes))
    assert b"".join(block.body for block in blocks) == data
    for block in blocks:
        # From after any line on, the rest is read as it was.
        for count in range(len(block.lines)):
            after = block.after(count)
            again = list(read_lines(io.BytesIO(data[after:]), "f", 1000, after))[0]
            assert (again.start, again.lines[0]) == (after, block.lines[count])
    return [line for block in blocks for line in block.lines.to_pylist()]


def expected(data: bytes) -> list[bytes]:
    found = data.split(b"\n")
    if found[-1] == b"":
        found.pop()
    return [line.removesuffix(b"\r") for line in found]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"\n", [b""]),
        (b"a\r\nb\n\nc", [b"a", b"b", b"", b"c"]),
        (b"a\rb\n", [b"a\rb"]),
        (b"\xff\xfe\x00\n", [b"\xff\xfe\x00"]),
    ],
)
def test_a_line_ends_with_lf_or_cr_lf(data: bytes, found: list[bytes]) -> None:
    assert lines_of(data, 100) == found


@given(
    st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r\n", b"\r", b"\xff"])).map(b"".join), st.integers(1, 9)
)
def test_the_size_of_a_block_changes_nothing(data: bytes, block_bytes: int) -> None:
    assert lines_of(data, block_bytes) == expected(data)


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE_BYTES", 100)
    with pytest.raises(DataError, match=r"line 3 of f is longer than") as error:
        lines_of(b"a\nb\n" + b"x" * 1000, 10)
    assert error.value.code == "LOAD-LONG-LINE"


def test_blank_lines_are_left_out_with_their_places() -> None:
    kept, places = without_blank(split(b"\na\n\nb\n"))
    assert (kept.to_pylist(), places.tolist()) == ([b"a", b"b"], [1, 3])
    kept, places = without_blank(split(b"a\nb\n").slice(1))
    assert (kept.to_pylist(), places.tolist()) == ([b"b"], [0])
