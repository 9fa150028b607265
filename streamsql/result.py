"""What a statement gives: a message, a table of rows, or rows that keep coming."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import pandas
    import polars

from streamsql.errors import DataError
from streamsql.schema import Column


@dataclass(frozen=True, slots=True)
class Changes:
    """A piece of a result.

    rows        one column per result column, under its name
    tombstones  which rows delete their key (then only key columns hold values); None if no row does
    """

    rows: pa.RecordBatch
    tombstones: pa.BooleanArray | None = None


@dataclass(slots=True)
class Status:
    """How a push query went so far: rows read, and what became of them."""

    read: int = 0
    emitted: int = 0
    filtered: int = 0
    skipped: int = 0
    first_reason: str | None = None
    late: int = 0

    def __str__(self) -> str:
        read = f"{counted(self.read, 'row')} read"
        skipped = f"{self.skipped:,} skipped" + (f" (first: {self.first_reason})" if self.skipped else "")
        return (
            f"{read} · {self.emitted:,} shown · {self.filtered:,} filtered · {skipped} · {self.late:,} late"
        )


@dataclass
class Result:
    """The answer to one statement.

    kind     MESSAGE (done; `message` says what), ROWS (finite), CHANGES (a push query: go on iterating
             until LIMIT is reached or `close` is called; every row is a change)
    columns  names and types of the rows, () for a MESSAGE
    title    a heading for people, '' if none is needed
    message  one sentence for people: what was done, or a remark on the rows
    keys     which columns are key columns of the table that was read
    is_listing  what the database says about itself: it is read whole, so that a screen cuts nothing off

    Iterating gives Arrow record batches; a push query gives them as they come. A result is read once.
    """

    kind: str
    columns: tuple[Column, ...] = ()
    message: str = ""
    title: str = ""
    status: Status | None = None
    keys: tuple[str, ...] = ()
    is_listing: bool = False
    _changes: Iterator[Changes] = field(default_factory=lambda: iter(()))
    _close: Callable[[], None] = lambda: None

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type.arrow) for c in self.columns])

    def changes(self) -> Iterator[Changes]:
        """The pieces with their tombstones marked."""
        return self._changes

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return (piece.rows for piece in self._changes)

    def close(self) -> None:
        """End a push query; the iteration stops. Safe to call twice and from another thread."""
        self._close()

    def __enter__(self) -> Result:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def arrow(self) -> pa.Table:
        """All rows (of a push query: until its LIMIT)."""
        return pa.Table.from_batches(list(self), schema=self.schema)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows as tuples of Python values; a MAP is a dict, a STRUCT too.

        raises  DataError for a date beyond the years 1 to 9999, which Python does not have
        """
        return [row for batch in self for row in _tuples(batch)]

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None after the last; do not mix with iteration."""
        if not hasattr(self, "_rows"):
            self._rows = (row for batch in self for row in _tuples(batch))
        return next(self._rows, None)

    def df(self) -> pandas.DataFrame:
        """All rows as a pandas DataFrame (pandas must be installed)."""
        return self.arrow().to_pandas(maps_as_pydicts="lossy")

    def pl(self) -> polars.DataFrame:
        """All rows as a polars DataFrame (polars must be installed)."""
        import polars

        frame = polars.from_arrow(self.arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame


def _tuples(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*(_values(column) for column in batch.columns), strict=True)


def _values(column: pa.Array[Any]) -> list[Any]:
    try:
        if not _holds_map(column.type):
            return column.to_pylist()
        with warnings.catch_warnings():
            # Data from elsewhere may have a key twice: the last one counts, as everywhere.
            warnings.simplefilter("ignore", UserWarning)
            return column.to_pylist(maps_as_pydicts="lossy")
    except OverflowError as error:
        raise DataError(
            "a date of the result lies outside the years 1 to 9999, which are all that Python has",
            code="DATA-DATE",
            hint="arrow() gives it, and CAST(.. AS VARCHAR) its text",
        ) from error


def _holds_map(t: pa.DataType) -> bool:
    return pa.types.is_map(t) or any(_holds_map(t.field(i).type) for i in range(t.num_fields))


def counted(number: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def message(text: str) -> Result:
    """A result that only says something."""
    return Result("MESSAGE", message=text)


def rows(
    columns: Sequence[Column], values: Sequence[Sequence[Any]], *, title: str = "", remark: str = ""
) -> Result:
    """A finite result from Python rows, for catalog listings."""
    columns = tuple(columns)
    arrays = [
        pa.array([row[i] for row in values], type=column.type.arrow) for i, column in enumerate(columns)
    ]
    batch = pa.RecordBatch.from_arrays(arrays, names=[c.name for c in columns])
    return Result("ROWS", columns, remark, title, is_listing=True, _changes=iter([Changes(batch)]))
