"""Decoding once what several queries of one database read in the same way.

Queries that catch up on a topic each read it in batches of their own, in threads of their own. Batches are
cut into pieces where the records say so, not the query (`log/pieces.py`). Whoever comes first to a piece
decodes it; the others find its columns here, or wait until they are there. A piece is known by its records,
partition and offset of each, so that nothing is assumed about how the others read.

Columns are kept until every query that shares them has had them, at most `max_bytes` and `max_pieces` of
them: a query that is too far behind decodes for itself. With one reader nothing is kept at all.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import numpy as np
import pyarrow as pa

from streamsql.engine.batch import OFFSET, PARTITION
from streamsql.engine.codec import Decoded, joined
from streamsql.engine.log.pieces import PIECE_ROWS, rows_into_piece

Decode = Callable[[pa.RecordBatch], Decoded]
Place = tuple[Hashable, int, int, int]
"""Way of reading, rows, partition and offset of the first: what a piece is found by."""


@dataclass(slots=True, eq=False)
class _Piece:
    """What some records that follow each other say.

    due       readers that have not had it yet
    is_ready  set when `found` is there, or decoding has failed and it stays None
    """

    records: pa.RecordBatch
    due: int
    is_ready: threading.Event = field(default_factory=threading.Event)
    found: Decoded | None = None
    bytes: int = 0


class SharedDecoding:
    """The pieces at hand; any number of threads, each with readers of its own."""

    def __init__(
        self, max_bytes: int = 128 * 1024 * 1024, max_pieces: int = 1024, piece_rows: int = PIECE_ROWS
    ) -> None:
        self._max_bytes = max_bytes
        self._max_pieces = max_pieces
        self._piece_rows = piece_rows
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

    def cuts(self, records: pa.RecordBatch) -> list[int]:
        """Rows at which pieces begin, the first and the end included, rising."""
        partitions = records.column(PARTITION).to_numpy().astype(np.int64)
        into = rows_into_piece(partitions, records.column(OFFSET).to_numpy(), self._piece_rows)
        begins = np.flatnonzero(into == 0)
        return sorted({0, *begins.tolist(), records.num_rows})

    def leave(self, way: Hashable) -> None:
        """One reader less."""
        with self._lock:
            self._readers[way] -= 1
            if self._readers[way] <= 1:
                # What is kept has nobody to wait for; a topic of the same name may begin anew.
                for place in [place for place in self._pieces if place[0] == way]:
                    self._drop(place)
            if not self._readers[way]:
                del self._readers[way]

    def has_others(self, way: Hashable) -> bool:
        """Whether there is more than one reader."""
        return self._readers[way] > 1

    def claim(self, way: Hashable, pieces: Sequence[pa.RecordBatch]) -> list[tuple[_Piece, bool]]:
        """Each piece, and whether it is the caller's to decode: then it has to be handed to `settle`."""
        found: list[tuple[_Piece, bool]] = []
        with self._lock:
            others = self._readers[way] - 1
            for records in pieces:
                place = _place(way, records)
                piece = self._pieces.get(place)
                if piece is not None and piece.records.equals(records):
                    piece.due -= 1
                    if piece.due <= 0:
                        self._drop(place)
                    found.append((piece, False))
                    continue
                mine = _Piece(records, others)
                if piece is None:
                    self._pieces[place] = mine
                found.append((mine, True))
        return found

    def settle(self, way: Hashable, piece: _Piece, decoded: Decoded | None) -> None:
        """What a claimed piece says; None if it could not be decoded."""
        place = _place(way, piece.records)
        with self._lock:
            piece.found = decoded
            if self._pieces.get(place) is piece:
                if decoded is None:
                    self._drop(place)
                else:
                    piece.bytes = sum(column.nbytes for column in decoded.columns)
                    self._bytes += piece.bytes
            while self._bytes > self._max_bytes or len(self._pieces) > self._max_pieces:
                self._drop(next(iter(self._pieces)))
        piece.is_ready.set()

    def _drop(self, place: Place) -> None:
        self._bytes -= self._pieces.pop(place).bytes


class SharedReader:
    """One query's part in reading a topic. Several threads may decode batches at the same time."""

    def __init__(self, shared: SharedDecoding, way: Hashable) -> None:
        self._shared = shared
        self._way = way

    def decode(self, raw: pa.RecordBatch, decode: Decode) -> Decoded:
        """What `decode` gives for these records, or has given other readers of them.

        raw     records with `$partition` and `$offset`, at least one
        raises  what `decode` raises
        """
        if not self._shared.has_others(self._way):
            return decode(raw)
        cuts = self._shared.cuts(raw)
        known = raw.select([PARTITION, OFFSET])
        spans = list(pairwise(cuts))
        claims = self._shared.claim(self._way, [known.slice(begin, end - begin) for begin, end in spans])
        found: list[Decoded | None] = [None] * len(spans)
        # One's own first, so that nobody waits for one who waits; neighbours in one go.
        for _, group in groupby(
            [place for place, (_, is_mine) in enumerate(claims) if is_mine], key=_run_of(claims)
        ):
            places = list(group)
            begin, end = spans[places[0]][0], spans[places[-1]][1]
            try:
                together = decode(raw.slice(begin, end - begin))
            except BaseException:
                for place, (piece, is_mine) in enumerate(claims):
                    if is_mine and found[place] is None:
                        self._shared.settle(self._way, piece, None)
                raise
            for place in places:
                first, last = spans[place]
                found[place] = _part(together, first - begin, last - begin)
                self._shared.settle(self._way, claims[place][0], found[place])
            if len(places) == len(spans):
                return together
        for place, (piece, is_mine) in enumerate(claims):
            if not is_mine:
                piece.is_ready.wait()
                begin, end = spans[place]
                has_failed = piece.found is None
                found[place] = decode(raw.slice(begin, end - begin)) if has_failed else piece.found
        return joined([part for part in found if part is not None], cuts[:-1])

    def close(self) -> None:
        """Take part no longer. Call it once."""
        self._shared.leave(self._way)


def _place(way: Hashable, records: pa.RecordBatch) -> Place:
    partition, offset = records.column(PARTITION)[0].as_py(), records.column(OFFSET)[0].as_py()
    return way, records.num_rows, partition, offset


def _run_of(claims: Sequence[tuple[_Piece, bool]]) -> Callable[[int], int]:
    """The number of the run of one's own pieces that a place is in."""
    is_theirs = np.cumsum([not is_mine for _, is_mine in claims])
    return lambda place: int(is_theirs[place])


def _part(decoded: Decoded, begin: int, end: int) -> Decoded:
    """Rows [begin, end) of what was decoded together."""
    first, last = np.searchsorted(decoded.bad, (begin, end)).tolist()
    return Decoded(
        tuple(column.slice(begin, end - begin) for column in decoded.columns),
        decoded.bad[first:last] - begin,
        decoded.reasons.slice(first, last - first),
    )
