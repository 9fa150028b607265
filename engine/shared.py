"""Decoding once what several queries of one database read in the same way.

Queries that catch up on a topic read it in the same pieces, each in its own thread. Whoever comes first
decodes a piece; the others find its columns here, or wait until they are there. A piece is known by its
records, partition and offset of each: nothing is assumed about how the others cut the topic.

Columns are kept until every query that shares them has had them, at most `max_bytes` and `max_pieces` of
them: a query that is too far behind decodes for itself. With one reader nothing is kept at all.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import pyarrow as pa

from streamsql.engine.batch import OFFSET, PARTITION
from streamsql.engine.codec import Decoded

Decode = Callable[[], Decoded]
Place = tuple[Hashable, int, int, int]
"""Way of reading, rows, partition and offset of the first: what a piece is found by."""


@dataclass(slots=True, eq=False)
class _Piece:
    """What one batch of records says.

    is_ready  set when `found` is there, or decoding has failed and it stays None
    due       readers that have not had it yet
    """

    partitions: pa.Array[pa.Int32Scalar]
    offsets: pa.Array[pa.Int64Scalar]
    due: int
    is_ready: threading.Event = field(default_factory=threading.Event)
    found: Decoded | None = None
    bytes: int = 0

    def is_of(self, raw: pa.RecordBatch) -> bool:
        return self.offsets.equals(raw.column(OFFSET)) and self.partitions.equals(raw.column(PARTITION))


class SharedDecoding:
    """The pieces at hand; any number of threads, each with readers of its own."""

    def __init__(self, max_bytes: int = 128 * 1024 * 1024, max_pieces: int = 64) -> None:
        self._max_bytes = max_bytes
        self._max_pieces = max_pieces
        self._lock = threading.Lock()
        self._readers: dict[Hashable, int] = {}
        self._pieces: OrderedDict[Place, _Piece] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """Memory of the columns that are kept."""
        return self._bytes

    def reader(self, way: Hashable) -> SharedReader:
        """A reader among those that read the same topic the same way; close it."""
        with self._lock:
            self._readers[way] = self._readers.get(way, 0) + 1
        return SharedReader(self, way)

    def _leave(self, way: Hashable) -> None:
        with self._lock:
            self._readers[way] -= 1
            if self._readers[way] <= 1:
                # What is kept has nobody to wait for; a topic of the same name may begin anew.
                for place in [place for place in self._pieces if place[0] == way]:
                    self._drop(place)
            if not self._readers[way]:
                del self._readers[way]

    def _decode(self, way: Hashable, raw: pa.RecordBatch, decode: Decode) -> Decoded:
        offsets, partitions = raw.column(OFFSET), raw.column(PARTITION)
        place = (way, raw.num_rows, partitions[0].as_py(), offsets[0].as_py())
        with self._lock:
            others = self._readers[way] - 1
            piece = self._pieces.get(place)
            is_ours = piece is None and others > 0
            if is_ours:
                piece = self._pieces[place] = _Piece(partitions, offsets, others)
        if piece is None:
            return decode()
        if is_ours:
            return self._decode_for_all(place, piece, decode)
        if not piece.is_of(raw):
            return decode()
        piece.is_ready.wait()
        with self._lock:
            piece.due -= 1
            if piece.due <= 0 and self._pieces.get(place) is piece:
                self._drop(place)
        return decode() if piece.found is None else piece.found

    def _decode_for_all(self, place: Place, piece: _Piece, decode: Decode) -> Decoded:
        try:
            found = decode()
        except BaseException:
            with self._lock:
                if self._pieces.get(place) is piece:
                    self._drop(place)
            piece.is_ready.set()
            raise
        with self._lock:
            piece.found = found
            if self._pieces.get(place) is piece:
                piece.bytes = sum(column.nbytes for column in found.columns)
                self._bytes += piece.bytes
                while self._bytes > self._max_bytes or len(self._pieces) > self._max_pieces:
                    self._drop(next(iter(self._pieces)))
        piece.is_ready.set()
        return found

    def _drop(self, place: Place) -> None:
        self._bytes -= self._pieces.pop(place).bytes


class SharedReader:
    """One query's part in reading a topic."""

    def __init__(self, shared: SharedDecoding, way: Hashable) -> None:
        self._shared = shared
        self._way = way

    def decode(self, raw: pa.RecordBatch, decode: Decode) -> Decoded:
        """What `decode` gives for these records, or has given another reader of them.

        raw     records with `$partition` and `$offset`, at least one
        raises  what `decode` raises
        """
        return self._shared._decode(self._way, raw, decode)

    def close(self) -> None:
        """Take part no longer. Call it once."""
        self._shared._leave(self._way)
