"""Files with columns, CSV and Parquet, as a stream of Arrow batches."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import IO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from streamsql.connectors.declare import sql_names
from streamsql.errors import DataError
from streamsql.types import SqlType, from_arrow

_CSV_BLOCK_BYTES = 8 * 1024 * 1024


def read_csv(
    file: IO[bytes], name: str, wanted: Mapping[str, SqlType] | None, delimiter: str = ","
) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV file whose first line names the columns.

    wanted  types by column name, which a name of the file finds in any case; None: taken from the
            first rows, and the names come as SQL has them

    An empty field is null, "" an empty text. Quoted fields may span lines.
    raises  DataError LOAD-CSV with the file and the row
    """
    names = _header(file, name, delimiter)
    types = {} if wanted is None else _csv_types(names, wanted, name)
    try:
        reader = pyarrow.csv.open_csv(
            file,
            # One thread: errors then name the row, and converting is not what takes the time.
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=_CSV_BLOCK_BYTES, column_names=names
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types,
                # NA is a country, and NULL a name: Arrow would take them and others for nulls.
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        for batch in reader:
            yield batch if wanted is not None else _as_sql(batch, name)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        if "Empty CSV file" in str(error):
            return
        hint = None
        if wanted is None and "conversion error" in str(error):
            hint = (
                "the types were guessed from the first rows: CREATE STREAM over the topic first to say them"
            )
        raise DataError(f"{name}: {_csv_reason(str(error))}", code="LOAD-CSV", hint=hint) from error


def read_parquet(
    file: pa.NativeFile | str, name: str, batch_rows: int, *, is_declared: bool
) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file.

    is_declared  the topic has columns of its own: the names are left as they are in the file
    raises       DataError LOAD-PARQUET
    """
    try:
        with pyarrow.parquet.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(batch_rows):
                yield batch if is_declared else _as_sql(batch, name)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DataError(
            f"{name} cannot be read as Parquet: {_first_line(str(error))}", code="LOAD-PARQUET"
        ) from error


def _header(file: IO[bytes], name: str, delimiter: str) -> list[str]:
    """The names in the first line, which is read off the file."""
    line = file.readline(1 << 20).removeprefix(b"\xef\xbb\xbf")
    if not line.strip():
        raise DataError(
            f"{name} has no first line with the names of the columns",
            code="LOAD-CSV",
            hint="write them into its first line; --format lines stores lines of text as they are",
        )
    try:
        text = line.decode()
        table = pyarrow.csv.read_csv(
            io.BytesIO(line), parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter)
        )
    except (UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise DataError(f"{name}, row 1: the names of the columns cannot be read", code="LOAD-CSV") from error
    if text.lstrip().startswith("{"):
        raise DataError(
            f"{name}, row 1: this is JSON, and no names of columns", code="LOAD-CSV", hint="load it as jsonl"
        )
    names: list[str] = table.schema.names
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice or not all(names):
        what = f"column {twice[0]} is there twice" if twice else "a column has no name"
        raise DataError(
            f"{name}, row 1: {what}: {text.strip()}",
            code="LOAD-CSV",
            hint="the first line has a name for each column",
        )
    return names


def _csv_types(names: list[str], wanted: Mapping[str, SqlType], file: str) -> dict[str, pa.DataType]:
    types: dict[str, pa.DataType] = {}
    for name in names:
        found = wanted.get(name) or wanted.get(name.upper())
        if found is None:
            continue  # The writer says which columns there are.
        if pa.types.is_nested(found.arrow):
            raise DataError(
                f"{file}: column {name} is {found}, which CSV cannot hold",
                code="LOAD-CSV",
                hint="load it as jsonl or parquet",
            )
        types[name] = found.arrow
    return types


def _as_sql(batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
    """Names and types that a stream can declare."""
    arrays = []
    for field, array in zip(batch.schema, batch.columns, strict=True):
        try:
            kind = from_arrow(field.type).arrow if not pa.types.is_null(field.type) else pa.string()
        except KeyError as error:
            raise DataError(
                f"{name}: column {field.name} is {field.type}, which has no SQL type", code="LOAD-TYPE"
            ) from error
        arrays.append(array if array.type == kind else array.cast(kind))
    return pa.RecordBatch.from_arrays(arrays, names=sql_names(batch.schema.names))


def _csv_reason(text: str) -> str:
    """Arrow's message with the row in front: 'row 3: Expected 2 columns, got 1: 3'."""
    text = _first_line(text).removeprefix("CSV parse error: ")
    column, marker, rest = text.partition("Row #")
    if not marker:
        return text
    row, _, reason = rest.partition(": ")
    # The names were read off before, so that Arrow's first row is the second of the file.
    place = f"row {int(row) + 1:,}"
    if column.startswith("In CSV column #"):
        place += f", column {int(column.removeprefix('In CSV column #').rstrip(': ')) + 1}"
    return f"{place}: {reason.removeprefix('CSV conversion error to ')}"


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0]
