"""Hashes of key columns for callers whose kernel does not compute them on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamsql.engine.kernel import Workspace

UInt64s = npt.NDArray[np.uint64]

HASH = "$hash"
"""What a kernel calls the column with `hash(keys...)`."""


def hash_sql(names: Sequence[str]) -> str:
    """DuckDB SQL for the hash of some columns; the same as `KeyHasher` gives for them."""
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    return f"hash({columns})"


class KeyHasher:
    """Hashes rows of a key schema as DuckDB does, so that all parts of a query agree on a key's hash.

    A statement costs some tenths of a millisecond, which is long for the one key of a look-up: integers,
    and a few texts, are hashed here.
    """

    def __init__(self, workspace: Workspace, schema: pa.Schema) -> None:
        self._schema = schema
        self._kernel = workspace.kernel(
            f'SELECT {hash_sql(schema.names)} AS "{HASH}" FROM {{keys}}', {"keys": schema}
        )
        self._own = _OWN.get(schema.field(0).type) if len(schema) == 1 and _agrees(workspace) else None

    def __call__(self, keys: Sequence[pa.Array]) -> UInt64s:
        """uint64[n]; equal for keys that GROUP BY takes as equal."""
        if self._own is not None and not keys[0].null_count:
            found = self._own(keys[0])
            if found is not None:
                return found
        batch = pa.RecordBatch.from_arrays(list(keys), schema=self._schema)
        hashes: UInt64s = self._kernel.run(keys=batch).column(0).to_numpy()
        return hashes


_FACTOR = 0xD6E8FEB86659FD93
_MASK = (1 << 64) - 1
_FEW = 64
"""Rows up to which hashing texts one by one is quicker than a statement."""


def integer_hashes(values: pa.Array) -> UInt64s:
    """DuckDB's `hash` of integers without nulls: a mixer of Murmur's kind; int32[n] or int64[n] -> uint64[n].

    >>> integer_hashes(pa.array([1, -1], pa.int32()))
    array([4717996019076358352, 4739667815145166545], dtype=uint64)
    """
    numbers = values.to_numpy()
    return _mixed(numbers.view(np.uint32 if numbers.dtype.itemsize == 4 else np.uint64).astype(np.uint64))


def text_hashes(values: pa.Array) -> UInt64s | None:
    """DuckDB's `hash` of texts without nulls, string[n] -> uint64[n]; None if they are more than a few.

    >>> text_hashes(pa.array(["a"]))
    array([12561829011207016135], dtype=uint64)
    """
    if len(values) > _FEW:
        return None
    found = []
    for text in values.to_pylist():
        data = text.encode()
        h = 0xE17A1465 ^ (len(data) * 0xC6A4A7935BD1E995 & _MASK)
        for place in range(0, len(data), 8):
            h = (h ^ int.from_bytes(data[place : place + 8], "little")) * _FACTOR & _MASK
        found.append(h)
    return _mixed(np.array(found, dtype=np.uint64))


_OWN: Mapping[pa.DataType, Callable[[pa.Array], UInt64s | None]] = {
    pa.int32(): integer_hashes,
    pa.int64(): integer_hashes,
    pa.string(): text_hashes,
}


def _mixed(numbers: UInt64s) -> UInt64s:
    factor, half = np.uint64(_FACTOR), np.uint64(32)
    for _ in range(2):
        numbers = (numbers ^ (numbers >> half)) * factor
    return numbers ^ (numbers >> half)


_agreed: bool | None = None


def _agrees(workspace: Workspace) -> bool:
    """Whether this DuckDB hashes as is done here: its hashes are its own business, and may change."""
    global _agreed
    if _agreed is None:
        samples = [pa.array([-7], pa.int32()), pa.array([-7], pa.int64()), pa.array(["more than eight"])]
        schema = pa.schema([(f"c{n}", sample.type) for n, sample in enumerate(samples)])
        kernel = workspace.kernel("SELECT hash(c0), hash(c1), hash(c2) FROM {samples}", {"samples": schema})
        theirs = kernel.run(samples=pa.RecordBatch.from_arrays(samples, schema=schema))
        kernel.close()
        ours = [_OWN[sample.type](sample) for sample in samples]
        _agreed = all(
            own is not None and column[0].as_py() == int(own[0])
            for own, column in zip(ours, theirs.columns, strict=True)
        )
    return _agreed
