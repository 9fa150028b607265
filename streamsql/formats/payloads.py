"""Payloads of the other kind: a topic's records are bytes or ARROW columns, and a format reads one of them.

Nothing keeps a user from declaring JSON over a topic of columns, or ARROW over one of bytes. Such records
are malformed ones: the query that reads them goes on and says why they are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamsql.engine.codec import Decoded, Decoder
from streamsql.engine.texts import Vector
from streamsql.formats.arrays import nulls, valid_mask
from streamsql.formats.reasons import Reasons
from streamsql.schema import Column

_SHOWN = 5
"""Names of columns in a reason."""


@dataclass(frozen=True, slots=True)
class BytesOnly:
    """The decoder of a format of bytes, kept from payloads that are columns, and those of no type: nulls."""

    decoder: Decoder
    columns: Sequence[Column]
    format_name: str

    def decode(self, payloads: Vector) -> Decoded:
        if pa.types.is_null(payloads.type):
            payloads = nulls(len(payloads), pa.binary())
        if not pa.types.is_struct(payloads.type):
            return self.decoder.decode(payloads)
        names = [field.name for field in payloads.type]
        shown = ", ".join(names[:_SHOWN]) + (", .." if len(names) > _SHOWN else "")
        reason = f"it is ARROW columns ({shown}) and not {self.format_name}: format ARROW reads it"
        return all_bad(payloads, self.columns, reason)


def all_bad(payloads: Vector, columns: Sequence[Column], reason: str) -> Decoded:
    """What decoding gives if no payload can be read, all for one reason."""
    reasons = Reasons(len(payloads))
    reasons.note(np.flatnonzero(valid_mask(payloads)), reason)
    return reasons.decoded([nulls(len(payloads), column.type.arrow) for column in columns])
