"""Results for programs: one JSON object per row and line, or CSV. Everything else goes to `notes`."""

from __future__ import annotations

from typing import Protocol, TextIO

import orjson
import pyarrow as pa

from streamsql.repl.text import safe_json, safe_lines
from streamsql.repl.values import cell_texts, in_small_pieces, json_values
from streamsql.result import Changes, Result

TOMBSTONE_FIELD = "$tombstone"


class Printer(Protocol):
    """Prints results one after the other."""

    def show(self, result: Result) -> int:
        """Print a result to its end and give the number of its rows."""


class JsonPrinter:
    """One object per row and line: names as they are, decimals with all digits, nested values as JSON.

    BYTES is base64, times are ISO text, a deleted row carries "$tombstone": true.
    """

    def __init__(self, out: TextIO, notes: TextIO) -> None:
        self._out = out
        self._notes = notes
        self._is_screen = out.isatty()

    def show(self, result: Result) -> int:
        rows = 0
        for piece in in_small_pieces(result.changes()):
            lines = json_lines(piece)
            self._out.write(safe_json(lines) if self._is_screen else lines)
            rows += piece.rows.num_rows
            if result.kind == "CHANGES":
                self._out.flush()
        _say(result, self._notes)
        self._out.flush()
        return rows


class CsvPrinter:
    """A header, then a line per row; NULL is empty and an empty text is "".

    The rows of a push query have a last column `$tombstone`: true for a deleted row, else empty.
    """

    def __init__(self, out: TextIO, notes: TextIO) -> None:
        self._out = out
        self._notes = notes
        self._is_screen = out.isatty()

    def show(self, result: Result) -> int:
        has_changes = result.kind == "CHANGES"
        if result.columns:
            names = [column.name for column in result.columns] + [TOMBSTONE_FIELD] * has_changes
            self._out.write(",".join(_quoted(name) for name in names) + "\n")
        rows = 0
        for piece in in_small_pieces(result.changes()):
            lines = _csv_lines(piece, has_changes)
            self._out.write(safe_lines(lines) if self._is_screen else lines)
            rows += piece.rows.num_rows
            if has_changes:
                self._out.flush()
        _say(result, self._notes)
        self._out.flush()
        return rows


def json_lines(piece: Changes) -> str:
    """A piece of a result as lines of JSON, each ended.

    Text for people is made a row at a time: a million rows take about as long as writing them out.
    """
    names = piece.rows.schema.names
    columns = [json_values(column) for column in piece.rows.columns]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if piece.tombstones is not None:
        for row, is_deleted in zip(rows, piece.tombstones.to_pylist(), strict=True):
            if is_deleted:
                row[TOMBSTONE_FIELD] = True
    option = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    return b"".join([orjson.dumps(row, default=str, option=option) for row in rows]).decode()


def _csv_lines(piece: Changes, has_changes: bool) -> str:
    columns = []
    for column in piece.rows.columns:
        texts = cell_texts(column)
        is_text = not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type))
        columns.append(["" if t is None else _quoted(t) if is_text else t for t in texts])
    if has_changes:
        marks = piece.tombstones.to_pylist() if piece.tombstones is not None else []
        columns.append(["true" if mark else "" for mark in marks] or [""] * piece.rows.num_rows)
    return "".join([",".join(row) + "\n" for row in zip(*columns, strict=True)])


def _quoted(text: str) -> str:
    """A field of RFC 4180; quoted where it must be, and where it would read as null."""
    if text == "" or any(c in text for c in ',"\n\r') or text[0] in " \t" or text[-1] in " \t":
        return '"' + text.replace('"', '""') + '"'
    return text


def _say(result: Result, notes: TextIO) -> None:
    for line in (result.message, str(result.status) if result.status is not None else ""):
        if line:
            notes.write(safe_lines(line) + "\n")
    notes.flush()
