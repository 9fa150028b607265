"""Where bytes meet columns: what the engine asks of a format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from streamsql.engine.kernel import Workspace
from streamsql.engine.texts import Ints


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a batch of payloads says.

    columns    one array per wanted column, its Arrow type that of the column, null where the payload is
               null or bad; each as long as the input
    bad        int64[k]: rows that could not be read, rising
    reasons    string[k], one for each bad row, with a path such as $.ADDRESS.ZIP[2] where there is one
    """

    columns: tuple[pa.Array[Any], ...]
    bad: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    reasons: pa.Array[Any] = field(default_factory=lambda: pa.nulls(0, pa.string()))


def joined(parts: Sequence[Decoded], begins: Sequence[int]) -> Decoded:
    """What payloads say that were decoded in several parts, each from the row where it begins."""
    if len(parts) == 1:
        return parts[0]
    return Decoded(
        tuple(pa.concat_arrays(columns) for columns in zip(*(part.columns for part in parts), strict=True)),
        np.concatenate([part.bad + begin for part, begin in zip(parts, begins, strict=True)]),
        pa.concat_arrays([part.reasons for part in parts]),
    )


class Decoder(Protocol):
    def decode(self, payloads: pa.Array[Any]) -> Decoded:
        """Read binary[n] (struct[n] for ARROW); a null payload gives nulls and is not bad."""


class Encoder(Protocol):
    def encode(
        self, columns: Sequence[pa.Array[Any]], absent: pa.BooleanArray | None = None
    ) -> pa.Array[Any]:
        """Write one payload per row; rows where `absent` is true get a null payload (a tombstone, no key).

        raises  DataError if a value cannot be written, naming the column
        """


OpenDecoder = Callable[[Workspace], Decoder]
OpenEncoder = Callable[[Workspace], Encoder]
"""A codec prepares its kernels in the workspace of the query that uses it."""
