"""JSON read by the batch with DuckDB's reader, and the rows it may have read wrongly.

DuckDB converts more than the rules allow and says nothing (1.7 becomes the BIGINT 2, true the DOUBLE
1.0, a mismatch NULL), so types are read in a way that gives the difference away:

    raw      the value's own JSON text, whose form says what it was (`json_raw`). Everything if there are a
             few columns without arrays, maps and structs; else all but what is read typed.
    typed    VARCHAR, ARRAY, MAP, STRUCT, and DOUBLE outside of arrays and maps. A NULL may be a mismatch, a
             DOUBLE 0 or 1 a boolean, a VARCHAR an array or a number in other digits: those rows are
             searched for the field's name with a value of another form.

A row in doubt is read again by `json_exact`; all others are read here as `json_exact` would.

DuckDB looks fields up by one exact spelling, so the spellings are learnt from the payloads: every name
has one spelling at a time, and a row that leaves a column null is searched for the other spellings. A
record that spells one name twice (`id` beside `ID`) is only told apart if it is among those learnt
from: after that everything is read exactly.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.kernel import Workspace
from streamsql.engine.texts import Ints, Mask, Vector
from streamsql.formats.arrays import nulls, put_at, valid_mask
from streamsql.formats.json_exact import parse
from streamsql.formats.json_finish import Finish
from streamsql.formats.json_names import is_folded
from streamsql.formats.json_plan import Plan, are_best_by_paths
from streamsql.formats.reasons import Reasons
from streamsql.schema import Column
from streamsql.types import Array, Map, SqlType, Struct

_MAX_PLANS = 16


@dataclass(frozen=True, slots=True)
class Read:
    """What payloads say; at a row in doubt, or with a reason, nothing in a column means anything.

    columns  one array each
    doubt    rows that only the exact reader can tell; a null payload is none
    broken   rows in doubt that look like no JSON
    settled  rows in doubt of which another reading, more closely, would say no more
    reasons  what is wrong with rows; of one in doubt it means nothing
    """

    columns: list[Vector]
    doubt: Mask
    broken: Mask
    settled: Mask
    reasons: Reasons

    def put(self, rows: Ints, other: Read) -> Read:
        """With another reading of the rows, rising, in place of this one's."""
        doubt, broken, settled = self.doubt.copy(), self.broken.copy(), self.settled.copy()
        doubt[rows], broken[rows], settled[rows] = other.doubt, other.broken, other.settled
        # What is wrong has no value: often there is nothing to put in, and nothing is copied.
        good = np.flatnonzero(~(other.doubt | other.reasons.wrong))
        columns = [
            put_at(old, rows[good], new.take(pa.array(good)))
            for old, new in zip(self.columns, other.columns, strict=True)
        ]
        self.reasons.put(rows, other.reasons)
        return Read(columns, doubt, broken, settled, self.reasons)


class FastReader:
    """Reads batches of payloads; `learn` tells it how the fields are spelt there."""

    def __init__(self, columns: Sequence[Column], workspace: Workspace, *, is_record: bool) -> None:
        self._columns = columns
        self._workspace = workspace
        self._is_record = is_record
        self._spellings: dict[str, str] = {}
        self._plans: dict[Hashable, Plan] = {}
        self.is_close = is_record and are_best_by_paths(columns)
        """Whether `read` always reads closely."""
        self.is_ambiguous = False

    def learn(self, payloads: Sequence[bytes]) -> bool:
        """Look how some payloads spell the fields; gives whether that is news."""
        before = dict(self._spellings)
        if len(self._plans) >= _MAX_PLANS:
            return False
        # A handful of payloads in each batch at most.
        for payload in payloads:
            try:
                value = parse(payload)
            except ValueError:
                continue  # the decoder reports it; there is nothing to learn from it
            if self._is_record:
                self._look_at_fields(value, [(c.name, c.type) for c in self._columns])
            else:
                self._look_at(value, self._columns[0].type)
        return self._spellings != before

    def _look_at(self, value: Any, t: SqlType) -> None:
        match t:
            case Array(element) if type(value) is list:
                for inner in value:
                    self._look_at(inner, element)
            case Map(_, item) if type(value) is dict:
                for inner in value.values():
                    self._look_at(inner, item)
            case Struct(fields):
                self._look_at_fields(value, fields)

    def _look_at_fields(self, value: Any, fields: Sequence[tuple[str, SqlType]]) -> None:
        if type(value) is not dict:
            return
        given: dict[str, list[str]] = {}
        for key in value:
            given.setdefault(key.upper(), []).append(key)
        for name, t in fields:
            spelt = given.get(name, []) if is_folded(name) else [name] if name in value else []
            if spelt:
                self.is_ambiguous |= len(spelt) > 1
                self._spellings[name] = spelt[-1]
                self._look_at(value[spelt[-1]], t)

    def read(self, payloads: Vector, *, closely: bool = False) -> Read:
        """Read string[n], whose bytes need not be UTF-8.

        closely  it may cost more, and says more often what is wrong
        """
        by_paths = self._is_record and (closely or self.is_close)
        names = by_paths, *sorted(self._spellings.items())
        plan = self._plans.get(names)
        if plan is None:
            how = {"is_record": self._is_record, "by_paths": by_paths}
            plan = self._plans[names] = Plan(self._columns, self._spellings, self._workspace, **how)
        found = plan.run(payloads)
        none = np.zeros(len(payloads), dtype=np.bool_)
        if found is None:
            columns = [nulls(len(payloads), c.type.arrow) for c in self._columns]
            return Read(columns, valid_mask(payloads), none, none, Reasons(len(payloads)))
        finish = Finish(plan, payloads)
        columns, doubt = finish.columns(found)
        # A bare value of the wrong kind is null as well.
        broken = found.broken if self._is_record and found.broken is not None else none
        return Read(columns, doubt, broken, finish.undecided | broken, finish.reasons)
