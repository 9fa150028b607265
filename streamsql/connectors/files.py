"""Files into a topic: lines as they are, or rows with columns. gzip is read as it is."""

from __future__ import annotations

import gzip
import io
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import numpy as np
import orjson
import pyarrow as pa

from streamsql.connectors.columns import read_csv, read_parquet
from streamsql.connectors.lines import Block, Places, read_lines, without_blank
from streamsql.connectors.resume import Bookmark, Place, unended_line
from streamsql.connectors.topics import ensured_topic
from streamsql.engine.kernel import Workspace
from streamsql.errors import DataError, ExternalError, PlanError, StreamSQLError
from streamsql.formats.format import Layout
from streamsql.result import counted

if TYPE_CHECKING:
    from streamsql.catalog import SourceInfo
    from streamsql.database import Database
    from streamsql.writer import Encoded, TopicWriter

FORMATS = ("lines", "jsonl", "csv", "parquet")
_LOOKED_AT = 10
"""Lines of a file of JSON that are looked at before it is believed to be one."""
STDIN = "-"
_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What was loaded: rows, bytes of the files (before decompression), seconds.

    rows_before  records of these files that earlier loads had stored, and this one passed over
    """

    rows: int
    bytes: int
    seconds: float
    rows_before: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load is. total_bytes is None where it is not known (standard input)."""

    file: str
    rows: int
    bytes: int
    total_bytes: int | None


def load(
    db: Database,
    topic: str,
    paths: Sequence[str | Path],
    format: str,
    *,
    batch_rows: int = 262_144,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> LoadReport:
    """Append the records of files to a topic, which is made (1 partition) if there is none.

    lines, jsonl  one record per line, stored as it is. On a topic of typed columns a line of JSON is
                  read into them, a plain line goes into its only column. jsonl leaves out blank lines
    csv, parquet  one record per row, in the format of the stream or table over the topic, or as typed
                  columns if there is none
    paths         '-' is standard input
    resume        go on where an earlier load of the same file into this topic stopped: the place in the
                  file is committed together with the records, so that each is stored once, whatever
                  happens. A file may have grown since; one that has changed otherwise is refused

    Records get the time at which they are loaded. What comes before an error stays loaded; the hint
    says how much that is. If that is nothing, a topic that was made for it goes again.
    raises  ExternalError for a file that cannot be read, DataError for contents that cannot, or LOAD-RESUME,
            PlanError for an unknown format, a topic of the database's own, or resuming standard input
    """
    if format not in FORMATS:
        raise PlanError(
            f"'{format}' is no format of files", code="LOAD-FORMAT", hint=f"use one of {', '.join(FORMATS)}"
        )
    if resume and STDIN in map(str, paths):
        raise PlanError("standard input cannot be resumed", code="LOAD-RESUME", hint="name a file")
    started = time.perf_counter()
    total = _total_bytes(paths)
    with ensured_topic(db, topic):
        loading = _Loading(db, topic, format, batch_rows)
        done_bytes = rows_before = 0
        try:
            for path in paths:
                with _opened(path) as (file, raw, name):
                    bookmark = _bookmark(db, topic, path, format, file) if resume else None
                    if bookmark is not None:
                        rows_before += bookmark.place.rows
                        if bookmark.is_done:
                            continue
                    for _ in loading.file(file, name, bookmark):
                        if on_progress is not None:
                            on_progress(Progress(name, loading.rows, done_bytes + _position(raw), total))
                    done_bytes += _position(raw)
        except StreamSQLError as error:
            kept = (
                f"loaded before it: {counted(loading.rows, 'record')}"
                if loading.rows
                else "nothing was loaded"
            )
            error.hint = f"{error.hint}; {kept}" if error.hint else kept
            raise
        finally:
            loading.close()
    return LoadReport(loading.rows, done_bytes, time.perf_counter() - started, rows_before)


def _bookmark(db: Database, topic: str, path: str | Path, format: str, file: IO[bytes]) -> Bookmark:
    with _explained(str(path)):
        return Bookmark(db.log, topic, Path(path), format, is_gzip=isinstance(file, gzip.GzipFile))


def _refuse_plain_text(lines: pa.BinaryArray, name: str) -> None:
    """A line that is no JSON is a bad record, and is for those who read the topic; none at all is a mistake.

    raises  DataError LOAD-JSON
    """
    for line in lines.to_pylist():
        try:
            orjson.loads(line)
            return
        except orjson.JSONDecodeError:
            continue
    raise DataError(
        f"{name} is no JSON: not one of its first {len(lines)} lines",
        code="LOAD-JSON",
        hint="--format lines stores lines of text as they are",
    )


class _Loading:
    """One load into one topic: what is declared there, and how rows get in."""

    def __init__(self, db: Database, topic: str, format: str, batch_rows: int) -> None:
        self.rows = 0
        self._format = format
        self._batch_rows = batch_rows
        declared = db.catalog.on_topic(topic)
        self._info: SourceInfo | None = declared[0] if declared else None
        self._writer: TopicWriter = db.topic_writer(topic)
        self._decoder: _JsonLines | None = None
        self._bookmark: Bookmark | None = None
        self._place = Place()

    def file(self, file: IO[bytes], name: str, bookmark: Bookmark | None) -> Iterator[None]:
        """Append the records of one file; gives control back after each batch."""
        self._bookmark = bookmark
        self._place = bookmark.place if bookmark is not None else Place()
        with _explained(name):
            if self._format in ("lines", "jsonl"):
                yield from self._lines(file, name)
            else:
                yield from self._columns(file, name)
            if bookmark is not None:
                bookmark.finish(self._place)

    def close(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
        self._writer.close()

    def _lines(self, file: IO[bytes], name: str) -> Iterator[None]:
        is_typed = self._info is not None and self._info.value_format.name == "ARROW"
        begun = self._place
        if begun.position:
            file.seek(begun.position)
            if not begun.is_ended:
                begun = replace(begun, position=begun.position + _line_end(file, name), is_ended=True)
        for block in read_lines(file, name, start=begun.position):
            first_line = self._place.line
            if self._format == "jsonl":
                kept, places = without_blank(block.lines)
                if first_line == 1 and len(kept):
                    kept = _without_bom(kept)
                    _refuse_plain_text(kept.slice(0, _LOOKED_AT), name)
            else:
                kept, places = block.lines, np.arange(len(block.lines))
            for at in range(0, len(kept), self._batch_rows):
                part = kept.slice(at, self._batch_rows)
                if not is_typed:
                    encoded = self._writer.encode_text(part)
                elif self._format == "jsonl":
                    rows = self._json().rows(part, name, first_line + places[at:])
                    encoded = self._writer.encode(self._writer.fitted(rows))
                else:
                    rows = self._one_column(part, name, first_line + at)
                    encoded = self._writer.encode(self._writer.fitted(rows))
                self._store(encoded, _after(block, first_line, int(places[at + len(part) - 1]) + 1))
                yield
            self._place = replace(_after(block, first_line, len(block.lines)), rows=self._place.rows)

    def _columns(self, file: IO[bytes], name: str) -> Iterator[None]:
        wanted = None
        if self._info is not None:
            wanted = {c.name: c.type for c in (*self._info.schema.key, *self._info.schema.value)}
        if self._format == "csv":
            batches = read_csv(file, name, wanted)
        else:
            source = pa.PythonFile(cast(io.IOBase, _seekable(file)), mode="r")
            batches = read_parquet(source, name, self._batch_rows, is_declared=wanted is not None)
        done = self._place.rows
        for batch in batches:
            for at in range(min(done, batch.num_rows), batch.num_rows, self._batch_rows):
                part = batch.slice(at, self._batch_rows)
                self._store(self._writer.encode(self._writer.fitted(part)), self._place)
                yield
            done = max(0, done - batch.num_rows)

    def _store(self, encoded: Encoded, after: Place) -> None:
        """Append records, and remember the place after them."""
        self._place = replace(after, rows=self._place.rows + encoded.records.num_rows)
        parts = self._writer.split(*encoded)
        if self._bookmark is not None:
            self._bookmark.commit(parts, self._place)
        else:
            self._writer.append(parts)
        self.rows += encoded.records.num_rows

    def _json(self) -> _JsonLines:
        if self._decoder is None:
            assert self._info is not None
            self._decoder = _JsonLines(self._info)
        return self._decoder

    def _one_column(self, lines: pa.BinaryArray, name: str, first_line: int) -> pa.RecordBatch:
        """Plain lines as the only column of a stream of typed columns."""
        assert self._info is not None
        columns = self._info.schema.value
        if len(columns) != 1 or not (
            pa.types.is_string(columns[0].type.arrow) or pa.types.is_binary(columns[0].type.arrow)
        ):
            raise DataError(
                f"{self._info.title} has {len(columns)} value columns, and plain lines make one text column",
                code="LOAD-LINES",
                hint="use --format jsonl or csv, or a stream with VALUE_FORMAT = 'KAFKA' and one VARCHAR",
            )
        column = columns[0]
        try:
            array = lines.cast(column.type.arrow)
        except pa.ArrowInvalid as error:
            end = first_line + len(lines) - 1
            raise DataError(
                f"{name}: a line between {first_line:,} and {end:,} is not UTF-8 text",
                code="LOAD-UTF8",
                hint="a column of type BYTES takes any",
            ) from error
        return pa.RecordBatch.from_arrays([array], names=[column.name])


class _JsonLines:
    """Lines of JSON into the typed columns of a stream, by the rules of format JSON."""

    def __init__(self, info: SourceInfo) -> None:
        from streamsql.formats import get

        self._columns = (*info.schema.key, *info.schema.value)
        self._workspace = Workspace()
        layout = Layout(self._columns, is_key=False, is_wrapped=True, topic=info.topic)
        self._decoder = get("JSON").decoder(layout, [c.name for c in self._columns], self._workspace)

    def rows(self, lines: pa.BinaryArray, name: str, numbers: Places) -> pa.RecordBatch:
        """raises  DataError LOAD-JSON with the file and the line"""
        decoded = self._decoder.decode(lines)
        if len(decoded.bad):
            line = int(numbers[decoded.bad[0]])
            raise DataError(
                f"{name}, line {line:,}: {decoded.reasons[0].as_py()}",
                code="LOAD-JSON",
                hint="a topic with VALUE_FORMAT = 'JSON' takes each line as it is",
            )
        return pa.RecordBatch.from_arrays(list(decoded.columns), names=[c.name for c in self._columns])

    def close(self) -> None:
        self._workspace.close()


def _after(block: Block, first_line: int, lines: int) -> Place:
    """The place after the first lines of a block; `rows` is left to the caller."""
    is_last = lines == len(block.lines)
    return Place(0, block.after(lines), first_line + lines, block.is_ended or not is_last)


def _line_end(file: IO[bytes], name: str) -> int:
    """Pass over the end of a line that had none when it was loaded; gives its length.

    raises  DataError LOAD-RESUME if the line goes on
    """
    line = file.readline(3)
    if line.strip(b"\r\n"):
        raise unended_line(name)
    return len(line)


def _without_bom(lines: pa.BinaryArray) -> pa.BinaryArray:
    """The lines without a byte order mark before the first."""
    first = lines[0].as_py()
    if not first.startswith(_BOM):
        return lines
    rest = pa.concat_arrays([pa.array([first[len(_BOM) :]], pa.binary()), lines.slice(1)])
    return rest


def _total_bytes(paths: Sequence[str | Path]) -> int | None:
    """Bytes of all files, before decompression; raises ExternalError before anything is loaded."""
    total = 0
    is_known = True
    for path in paths:
        if str(path) == STDIN:
            is_known = False
            continue
        file = Path(path)
        if file.is_dir():
            raise ExternalError(f"{path} is a directory", code="LOAD-FILE", hint="name the files in it")
        try:
            with open(file, "rb"):
                total += file.stat().st_size
        except OSError as error:
            raise _unreadable(str(path), error) from error
    return total if is_known else None


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[IO[bytes], IO[bytes], str]]:
    """(contents, file behind them whose position is the progress, name for messages)."""
    is_stdin = str(path) == STDIN
    name = "standard input" if is_stdin else str(path)
    try:
        raw = sys.stdin.buffer if is_stdin else open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise _unreadable(name, error) from error
    try:
        buffered = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, raw))
        if buffered.peek(2)[:2] == _GZIP_MAGIC:
            with gzip.GzipFile(fileobj=buffered) as contents:
                yield cast(IO[bytes], contents), buffered, name
        else:
            yield buffered, buffered, name
    finally:
        if not is_stdin:
            raw.close()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """What goes wrong while a file is read, in words."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name} is a damaged gzip file: {error}", code="LOAD-GZIP") from error
    except OSError as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: OSError) -> ExternalError:
    return ExternalError(f"{name} cannot be read: {error.strerror or error}", code="LOAD-FILE")


def _position(raw: IO[bytes]) -> int:
    try:
        return raw.tell()
    except OSError:
        return 0  # A pipe does not say.


def _seekable(file: IO[bytes]) -> IO[bytes]:
    """Parquet begins at its end: what cannot be searched is read whole."""
    if isinstance(file, gzip.GzipFile) or not file.seekable():
        return io.BytesIO(file.read())
    return file
