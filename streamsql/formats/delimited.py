"""DELIMITED: one CSV record per payload.

    UTF-8; delimiter ',' or DELIMITER (one character, SPACE, TAB); quote '"', doubled inside quotes;
    no header, no line end; an empty field, quoted or not, is null, and null is written as nothing.

Reading: as many fields as columns, nothing is trimmed; only the first record of the payload counts;
blank lines before it are skipped. BOOLEAN is true for the text true in any case and false for every
other text. BYTES are base64, TIME ms of day, DATE days, TIMESTAMP ms.

Writing: a field is quoted if it holds the delimiter, a quote, CR or LF, begins with a character up
to '#', ends with one up to ' ', or is the record's first and begins with neither an ASCII letter nor
a digit. This is how Apache Commons CSV, which wrote the topics out there, quotes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import pyarrow as pa

from streamsql.engine.codec import Decoded, Decoder, Encoder
from streamsql.engine.kernel import Workspace
from streamsql.engine.texts import Ints, Mask, Vector, as_text, parts, rows_with
from streamsql.errors import PlanError
from streamsql.formats.arrays import ints, mask_of, null_where, pc, valid_mask
from streamsql.formats.checks import cannot_hold, refuse_properties, require_columns
from streamsql.formats.format import Format, Layout
from streamsql.formats.json_write import decimal_text_sql
from streamsql.formats.quoted import read_quoted
from streamsql.formats.reasons import Reasons
from streamsql.formats.texts import read_texts
from streamsql.java_text import DOUBLE_TEXT, double_text_sql
from streamsql.schema import Column
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    TIME,
    TIMESTAMP,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
    duckdb_string,
)

_NAMED_DELIMITERS = {"SPACE": " ", "TAB": "\t"}
_SCANNED_ROWS = 1 << 12
"""So many records with quotes are looked at together: what is told of their bytes stays in a cache."""


def delimiter_of(layout: Layout) -> str:
    """The delimiter that the layout's properties give.

    raises  PlanError if it is empty, a bare blank or tab, or longer than one character
    """
    given = layout.properties.get("DELIMITER", ",")
    named = _NAMED_DELIMITERS.get(given.upper())
    if named is not None:
        return named
    place = f"{'KEY' if layout.is_key else 'VALUE'}_DELIMITER"
    if given.strip() == "":
        raise PlanError(
            f"{place} is blank", code="PLAN-DELIMITER", hint="write 'SPACE' for a blank and 'TAB' for a tab"
        )
    if len(given) > 1:
        raise PlanError(
            f"{place} is '{given}', and a delimiter is one character, SPACE or TAB", code="PLAN-DELIMITER"
        )
    if given in '"\r\n':
        raise PlanError(f"{place} cannot be a quote or a line end", code="PLAN-DELIMITER")
    return given


class DelimitedDecoder:
    """Reads whole batches; records with line ends, or quotes in other places than usual, one by one."""

    def __init__(self, columns: Sequence[Column], wanted: Sequence[str], delimiter: str) -> None:
        self._count = len(columns)
        places = {c.name: (i, c) for i, c in enumerate(columns)}
        self._wanted = [places[name] for name in wanted]
        self._delimiter = delimiter

    def decode(self, payloads: Vector) -> Decoded:
        texts, broken = as_text(payloads)
        reasons = Reasons(len(texts))
        reasons.note(np.flatnonzero(broken), "the bytes are not UTF-8")
        columns: list[Vector] = []
        for (_, column), values in zip(self._wanted, self._fields(texts, reasons), strict=True):
            read, wrong = read_texts(_empty_is_null(values), column.type)
            reasons.take_in(wrong, f"$.{column.name}: ")
            columns.append(read)
        return reasons.decoded([null_where(column, reasons.wrong) for column in columns])

    def _fields(self, texts: Vector, reasons: Reasons) -> list[Vector]:
        """The fields of each wanted column, null where a record has not the right number of them."""
        scanned = _needs_scanner(texts)
        lists = pc.split_pattern(null_where(texts, scanned), self._delimiter)
        starts = lists.offsets.to_numpy()[:-1].astype(np.int64)
        fields = lists.values
        found = valid_mask(lists)
        # An empty payload holds no record at all, and no list of one empty field.
        counts = np.where(np.diff(parts(texts)[0]) == 0, 0, np.diff(lists.offsets.to_numpy()))
        rows = np.flatnonzero(found & (counts != self._count))
        if len(rows):
            found[rows] = False
            reasons.note(rows, self._miscounted(counts[rows]))
        if scanned.any():
            rows = np.flatnonzero(scanned)
            good, more = self._scan(texts, rows, reasons)
            starts[good] = len(fields) + np.arange(len(good)) * self._count
            found[good] = True
            fields = pa.concat_arrays([fields, more]) if len(good) else fields
        missing = ~found
        return [fields.take(null_where(pa.array(starts + place), missing)) for place, _ in self._wanted]

    def _scan(self, texts: Vector, rows: Ints, reasons: Reasons) -> tuple[Ints, Vector]:
        """The rows with a quote or a line end.

        gives  those that are good, and the fields of all of them, a record's behind the one before
        """
        good: list[Ints] = []
        fields: list[Vector] = []
        if self._delimiter.isascii():
            left: list[Ints] = []
            for start in range(0, len(rows), _SCANNED_ROWS):
                piece = rows[start : start + _SCANNED_ROWS]
                read = read_quoted(texts.take(pa.array(piece)), self._delimiter, self._count)
                good.append(piece[read.counts == self._count])
                fields.append(read.fields)
                left.append(piece[read.counts == 0])
                self._note(piece, read.counts, reasons)
            rows = np.concatenate(left)
        records: dict[int, list[str]] = {}
        wrong: dict[int, str] = {}
        # From the left, one by one.
        for row, text in zip(rows.tolist(), texts.take(pa.array(rows)).to_pylist(), strict=True):
            try:
                records[row] = first_record(text, self._delimiter)
            except ValueError as error:
                wrong[row] = str(error)
        reasons.note(ints(wrong), pa.array(wrong.values(), pa.string()))
        self._note(ints(records), ints([len(record) for record in records.values()]), reasons)
        fine = {row: record for row, record in records.items() if len(record) == self._count}
        good.append(ints(fine))
        fields.append(pa.array([text for record in fine.values() for text in record], pa.string()))
        return np.concatenate(good), pa.concat_arrays(fields)

    def _note(self, rows: Ints, counts: Ints, reasons: Reasons) -> None:
        """What is wrong with records of so many fields, if they are counted as in `Quoted`."""
        miscounted = (counts > 0) & (counts != self._count)
        reasons.note(rows[miscounted], self._miscounted(counts[miscounted]))
        unclosed = counts < 0
        numbers = pa.array(-counts[unclosed]).cast(pa.string())
        said = pc.binary_join_element_wise("the quote of field ", numbers, " is not closed", "")
        reasons.note(rows[unclosed], said)

    def _miscounted(self, counts: Ints) -> Vector:
        """Why records of int64[k] fields cannot be read."""
        known, places = np.unique(counts, return_inverse=True)
        said = [
            f"{n} {'field' if n == 1 else 'fields'}, the schema has {self._count}" for n in known.tolist()
        ]
        if len(known) and known[0] == 0:
            said[0] = "the payload is empty"
        return pa.array(said, pa.string()).take(pa.array(places))


def _needs_scanner(texts: Vector) -> Mask:
    special = rows_with(texts, lambda data: (data == ord('"')) | (data == ord("\n")) | (data == ord("\r")))
    return special & valid_mask(texts)


def _empty_is_null(values: Vector) -> Vector:
    empty = np.diff(parts(values)[0]) == 0
    # Behind a null there is nothing either: often there is no other.
    return null_where(values, empty) if np.count_nonzero(empty) > values.null_count else values


_BLANK_LINES = re.compile(r"(?:\r\n|\r|\n)*")
_CLOSING = re.compile(r'[^"]*(?:""[^"]*)*"')


def first_record(text: str, delimiter: str) -> list[str]:
    """The fields of the first CSV record of a text.

    A quote opens a quoted field only as the field's first character; blanks may follow the closing one.
    raises  ValueError if the text is empty, a quote is not closed, or something follows a closing one

    >>> first_record('1,"a ""b"", c",\\r\\n2', ",")
    ['1', 'a "b", c', '']
    """
    start = _BLANK_LINES.match(text)
    at = start.end() if start else 0
    if at == len(text):
        raise ValueError("the payload is empty")
    plain_field, after_quote = _field_patterns(delimiter)
    fields: list[str] = []
    while True:
        if text.startswith('"', at):
            quoted = _CLOSING.match(text, at + 1)
            if quoted is None:
                raise ValueError(f"the quote of field {len(fields) + 1} is not closed")
            fields.append(quoted.group()[:-1].replace('""', '"'))
            blank = after_quote.match(text, quoted.end())
            at = blank.end() if blank else quoted.end()
            if at < len(text) and text[at] not in (delimiter, "\r", "\n"):
                raise ValueError(f"field {len(fields)} goes on after its closing quote")
        else:
            plain = plain_field.match(text, at)
            fields.append(plain.group() if plain else "")
            at += len(fields[-1])
        if at == len(text) or text[at] != delimiter:
            return fields
        at += 1


@cache
def _field_patterns(delimiter: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A field without quotes, and the blanks that may follow a closing one."""
    return re.compile(f"[^{re.escape(delimiter)}\r\n]*"), re.compile(
        "" if delimiter.isspace() else r"[^\S\r\n]*"
    )


def text_sql(value: str, kind: SqlType) -> str:
    """DuckDB SQL that prints a value of the type as a field, not quoted yet."""
    if kind == DOUBLE:
        return double_text_sql(value)
    if kind == BYTES:
        return f"base64({value})"
    if kind == DATE:
        return f"CAST(date_diff('day', DATE '1970-01-01', {value}) AS VARCHAR)"
    if kind == TIME:
        return f"CAST(date_diff('millisecond', TIME '00:00:00', {value}) AS VARCHAR)"
    if kind == TIMESTAMP:
        return f"CAST(epoch_ms({value}) AS VARCHAR)"
    return decimal_text_sql(value, kind) if isinstance(kind, Decimal) else f"CAST({value} AS VARCHAR)"


def _field_sql(value: str, kind: SqlType, delimiter: str, *, is_first: bool) -> str:
    """SQL of a written field: quoted where it must be, empty for null."""
    text = text_sql(value, kind)
    if kind == BOOLEAN and delimiter.lower() not in "truefals":
        return f"coalesce({text}, '')"
    inside = f'["\\r\\n{_in_class(delimiter)}]'
    alternatives = ["^[\\x00-#]", "[\\x00- ]$", inside]
    if is_first:
        alternatives[0] = "^[^0-9A-Za-z]"
    if kind in (INTEGER, BIGINT, DATE, TIME, TIMESTAMP) and not is_first and not delimiter.isdigit():
        if delimiter != "-":
            return f"coalesce({text}, '')"
    pattern = duckdb_string("|".join(alternatives))
    quoted = "'\"' || replace(t, '\"', '\"\"') || '\"'"
    # An empty text that begins a record is quoted, or the record might be a blank line.
    empty = "WHEN t = '' THEN '\"\"' " if is_first else ""
    choice = f"CASE WHEN t IS NULL THEN '' {empty}WHEN regexp_matches(t, {pattern}) THEN {quoted} ELSE t END"
    return f"list_transform([{text}], lambda t: {choice})[1]"


def _in_class(delimiter: str) -> str:
    return "\\" + delimiter if delimiter in "\\]^-[" else delimiter


class DelimitedEncoder:
    def __init__(self, columns: Sequence[Column], delimiter: str, workspace: Workspace) -> None:
        self._columns = columns
        self._names = [f"c{i}" for i in range(len(columns))]
        fields = [
            _field_sql(name, column.type, delimiter, is_first=i == 0)
            for i, (name, column) in enumerate(zip(self._names, columns, strict=True))
        ]
        between = f" || {duckdb_string(delimiter)} || "
        schema = pa.schema([(n, c.type.arrow) for n, c in zip(self._names, columns, strict=True)])
        self._kernel = workspace.kernel(
            f"SELECT {between.join(fields)} AS payload FROM {{rows}}", {"rows": schema}, (DOUBLE_TEXT,)
        )

    def encode(self, columns: Sequence[Vector], absent: Vector | None = None) -> Vector:
        rows = pa.RecordBatch.from_arrays(list(columns), names=self._names)
        payloads = self._kernel.run(rows=rows).column(0).cast(pa.binary())
        return payloads if absent is None else null_where(payloads, mask_of(absent.fill_null(False)))


class DelimitedFormat(Format):
    name = "DELIMITED"
    can_unwrap = True
    properties = frozenset({"DELIMITER"})

    def check(self, layout: Layout) -> None:
        refuse_properties(self.name, self.properties, layout)
        delimiter_of(layout)
        if not layout.is_key:
            require_columns(self.name, layout)
        for column in layout.columns:
            if isinstance(column.type, (Array, Map, Struct)):
                raise cannot_hold(self.name, column)

    def decoder(self, layout: Layout, wanted: Sequence[str], workspace: Workspace) -> Decoder:
        return DelimitedDecoder(layout.columns, wanted, delimiter_of(layout))

    def encoder(self, layout: Layout, workspace: Workspace) -> Encoder:
        return DelimitedEncoder(layout.columns, delimiter_of(layout), workspace)


DELIMITED = DelimitedFormat()
