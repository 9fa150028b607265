"""Hashes of key columns for callers whose kernel does not compute them on the way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamsql.engine.kernel import Workspace

HASH = "$hash"
"""What a kernel calls the column with `hash(keys...)`."""


def hash_sql(names: Sequence[str]) -> str:
    """DuckDB SQL for the hash of some columns; the same as `KeyHasher` gives for them."""
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    return f"hash({columns})"


class KeyHasher:
    """Hashes rows of a key schema with DuckDB, so that all parts of a query agree on a key's hash."""

    def __init__(self, workspace: Workspace, schema: pa.Schema) -> None:
        self._schema = schema
        self._kernel = workspace.kernel(
            f'SELECT {hash_sql(schema.names)} AS "{HASH}" FROM {{keys}}', {"keys": schema}
        )

    def __call__(self, keys: Sequence[pa.Array]) -> npt.NDArray[np.uint64]:
        """uint64[n]; equal for keys that GROUP BY takes as equal."""
        batch = pa.RecordBatch.from_arrays(list(keys), schema=self._schema)
        hashes: npt.NDArray[np.uint64] = self._kernel.run(keys=batch).column(0).to_numpy()
        return hashes
