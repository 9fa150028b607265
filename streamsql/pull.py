"""Answering pull queries: plans kept by their text, keys looked up, and all else by DuckDB."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from streamsql.catalog import Catalog
from streamsql.config import Config
from streamsql.constants import evaluate, explained
from streamsql.engine.kernel import Kernel, Workspace
from streamsql.engine.log.log import Log
from streamsql.engine.operators.base import WindowBounds
from streamsql.engine.state.hashing import KeyHasher
from streamsql.engine.state.keys import UInt64s
from streamsql.formats.format import SchemaStore
from streamsql.grammar import ast
from streamsql.history import History
from streamsql.plan.environment import Environment
from streamsql.plan.pull import PullPlan, plan_pull
from streamsql.plan.pull_lookup import Lookup
from streamsql.plan.pull_shapes import Outline, Shape, keys_of, outline, shape_of
from streamsql.plan.rewrite import walk
from streamsql.queries import Queries
from streamsql.result import Changes, Result
from streamsql.snapshots import Places, Rows, Snapshots
from streamsql.types import BIGINT, SqlType

_KEPT_PLANS = 256
_PIECE_ROWS = 1 << 17


@dataclass(slots=True)
class Prepared:
    """A planned query and what was made for running it.

    text           None if it is a part of a longer text
    config, types  what it was planned against, besides its sources
    kernels        plain and safe statement, by the feeds' schemas they were prepared for
    sought         its keys, if they are the same each time
    """

    plan: PullPlan
    text: str | None
    config: Config
    types: Mapping[str, SqlType]
    kernels: dict[str, tuple[Mapping[str, pa.Schema], Kernel]] = field(default_factory=dict)
    sought: Sought | None = None

    def is_valid(self, env: Environment) -> bool:
        """Whether planning it again would give the same."""
        return (
            self.config is env.config
            and self.types == env.catalog.types
            and all(env.catalog.sources.get(s.info.name) is s.info for s in self.plan.sources)
        )

    @property
    def key_types(self) -> list[SqlType]:
        """Types of the key columns of a table that is looked into."""
        return [column.type for column in self.plan.sources[0].info.schema.key]

    def close(self) -> None:
        for _, kernel in self.kernels.values():
            kernel.close()
        self.kernels = {}


@dataclass(frozen=True, slots=True)
class Sought:
    """Keys to look up: columns of n rows, their hashes, and which windows of them."""

    keys: Sequence[pa.Array]
    hashes: UInt64s
    bounds: WindowBounds


class PullQueries:
    """Plans and answers pull queries of one database. For one thread at a time."""

    def __init__(self, log: Log, queries: Queries, schemas: SchemaStore) -> None:
        self.snapshots = Snapshots(log, queries, schemas)
        self._workspace = Workspace()
        self._plans: OrderedDict[str, Prepared] = OrderedDict()
        self._shapes: OrderedDict[Outline, tuple[Shape, Prepared]] = OrderedDict()
        self._hashers: dict[pa.Schema, KeyHasher] = {}

    def _known(self, text: str, env: Environment) -> Prepared | None:
        """The query of this text, if it was planned before and would be planned the same again."""
        found = self._plans.get(text)
        if found is None:
            return None
        if not found.is_valid(env):
            self._plans.pop(text).close()
            return None
        self._plans.move_to_end(text)
        return found

    def again(self, text: str, env: Environment) -> Result | None:
        """The answer to a text if it needs no planning, because it, or one that is alike, was planned before.

        raises  StreamSQLError
        """
        prepared = self._known(text, env)
        if prepared is not None:
            return self.answer(prepared, env.catalog)
        if not self._shapes:
            return None
        shape, values = outline(text)
        alike = self._shapes.get(shape)
        if alike is None:
            return None
        if not alike[1].is_valid(env):
            del self._shapes[shape]
            return None
        self._shapes.move_to_end(shape)
        keys = keys_of(alike[0], values, alike[1].key_types)
        if keys is None:
            return None
        assert alike[1].sought is not None
        sought = self._keys(alike[1], keys, alike[1].sought.bounds)
        rows = self._looked_up(alike[1], sought, env.catalog)
        return None if rows is None else self._found(alike[1], rows)

    def prepare(self, query: ast.Query, env: Environment, text: str | None) -> Prepared:
        """Plan a query and, unless it has no text of its own, remember it by that.

        raises  PlanError, NotSupportedError
        """
        made = Prepared(plan_pull(query, env), text, env.config, dict(env.catalog.types))
        if text is None:
            return made
        old = self._plans.pop(text, None)
        if old is not None:
            old.close()
        self._plans[text] = made
        while len(self._plans) > _KEPT_PLANS:
            self._plans.popitem(last=False)[1].close()
        return made

    def answer(self, prepared: Prepared, catalog: Catalog) -> Result:
        """Run a query over what is committed; every row written before it is seen.

        raises  StreamSQLError; a failing expression gives NULL in its row
        """
        plan = prepared.plan
        if plan.lookup is not None:
            rows = self._looked_up(prepared, self._sought(prepared, plan.lookup), catalog)
            if rows is not None:
                return self._found(prepared, rows)
        places = [self._places(prepared, number) for number in range(len(plan.sources))]
        feeds = self.snapshots.take(plan.sources, places, catalog)
        return self._result(plan, self._run(prepared, feeds), feeds)

    def _result(
        self, plan: PullPlan, pieces: Iterable[Sequence[pa.Array]], feeds: Mapping[str, Rows | History]
    ) -> Result:
        """The answer, given its columns piece by piece, and what it was made from."""
        names = [c.name for c in plan.columns]
        batches = [
            pa.RecordBatch.from_arrays(
                [
                    array if array.type == c.type.arrow else array.cast(c.type.arrow)
                    for array, c in zip(arrays, plan.columns, strict=True)
                ],
                names=names,
            )
            for arrays in pieces
        ]
        remark = _remark(plan, feeds)
        return Result("ROWS", plan.columns, remark, keys=plan.keys, _changes=map(Changes, batches))

    def close(self) -> None:
        for prepared in self._plans.values():
            prepared.kernels = {}
        self._plans.clear()
        self._shapes.clear()
        self.snapshots.close()
        self._workspace.close()

    # --- by key ---------------------------------------------------------------------------------

    def _looked_up(self, prepared: Prepared, sought: Sought, catalog: Catalog) -> Rows | None:
        info = prepared.plan.sources[0].info
        return self.snapshots.look_up(info, sought.keys, sought.bounds, sought.hashes, catalog)

    def _found(self, prepared: Prepared, rows: Rows) -> Result:
        """The answer, given the rows that were looked up."""
        plan = prepared.plan
        assert plan.lookup is not None
        feeds = {plan.sources[0].feed: rows}
        if plan.lookup.moves is None:
            return self._result(plan, self._run(prepared, feeds), feeds)
        (found,) = rows.batches
        return self._result(plan, [[found.column(name) for name in plan.lookup.moves]], feeds)

    def _sought(self, prepared: Prepared, lookup: Lookup) -> Sought:
        """What a query looks up; evaluated once if it calls no function, which might say `now`."""
        if prepared.sought is not None:
            return prepared.sought
        values = evaluate(self._workspace, lookup.keys, prepared.key_types)
        sought = self._keys(prepared, values, self._window_bounds(prepared, lookup))
        constants = [*(v for key in lookup.keys for v in key), *(b.value for b in lookup.bounds)]
        if not any(isinstance(node, ast.FunctionCall) for v in constants for node in walk(v.node)):
            prepared.sought = sought
            self._note_shape(prepared, lookup)
        return sought

    def _note_shape(self, prepared: Prepared, lookup: Lookup) -> None:
        """Remember a look-up for texts that differ from its own in the keys only."""
        if prepared.text is None:
            return
        found, values = outline(prepared.text)
        shape = shape_of(lookup, values, prepared.key_types)
        if shape is not None:
            self._shapes[found] = (shape, prepared)
            while len(self._shapes) > _KEPT_PLANS:
                self._shapes.popitem(last=False)

    def _keys(self, prepared: Prepared, values: Sequence[tuple[Any, ...]], bounds: WindowBounds) -> Sought:
        schema = pa.schema([pa.field(f"k{n}", t.arrow) for n, t in enumerate(prepared.key_types)])
        # Nothing is equal to NULL.
        values = [row for row in values if None not in row]
        columns = zip(*values, strict=True) if values else [()] * len(schema)
        keys = [pa.array(column, f.type) for column, f in zip(columns, schema, strict=True)]
        if schema not in self._hashers:
            self._hashers[schema] = KeyHasher(self._workspace, schema)
        return Sought(keys, self._hashers[schema](keys), bounds)

    def _window_bounds(self, prepared: Prepared, lookup: Lookup) -> WindowBounds:
        if not lookup.bounds:
            return WindowBounds()
        first: dict[str, int] = {"WINDOWSTART": -(1 << 62), "WINDOWEND": -(1 << 62)}
        last: dict[str, int] = {"WINDOWSTART": 1 << 62, "WINDOWEND": 1 << 62}
        wanted = tuple(bound.value for bound in lookup.bounds)
        (values,) = evaluate(self._workspace, [wanted], [BIGINT] * len(wanted))
        for bound, value in zip(lookup.bounds, values, strict=True):
            if value is None:
                return WindowBounds(first_start=1, last_start=0)
            if bound.op in (">", ">=", "="):
                first[bound.column] = max(first[bound.column], value + (bound.op == ">"))
            if bound.op in ("<", "<=", "="):
                last[bound.column] = min(last[bound.column], value - (bound.op == "<"))
        return WindowBounds(first["WINDOWSTART"], last["WINDOWSTART"], first["WINDOWEND"], last["WINDOWEND"])

    # --- constants ------------------------------------------------------------------------------

    def _places(self, prepared: Prepared, number: int) -> Places:
        source = prepared.plan.sources[number]
        wanted = [b.value for b in source.bounds] + ([source.as_of.value] if source.as_of else [])
        if not wanted:
            return Places()
        (values,) = evaluate(self._workspace, [tuple(wanted)], [BIGINT] * len(wanted))
        bounds = [(b.column, b.op, v) for b, v in zip(source.bounds, values, strict=False)]
        return Places(bounds, values[-1] if source.as_of else None)

    # --- by statement ---------------------------------------------------------------------------

    def _run(self, prepared: Prepared, feeds: Mapping[str, Rows | History]) -> Iterator[Sequence[pa.Array]]:
        """Run the statement, and if a row fails, the safe one; gives the columns piece by piece."""
        plan = prepared.plan
        ways = [(self._workspace, plan.sql)]
        if plan.safe_sql != plan.sql:
            ways.append((self._workspace.safe, plan.safe_sql))
        for number, (workspace, sql) in enumerate(ways, 1):
            try:
                kernel = self._kernel(prepared, workspace, sql, feeds)
                _, batches = kernel.pieces_over(feeds, _PIECE_ROWS)
                return (batch.columns for batch in batches)
            except duckdb.Error as error:
                _raise_own(feeds)
                if number == len(ways):
                    raise explained(error) from error
        raise AssertionError(plan.sql)

    def _kernel(
        self, prepared: Prepared, workspace: Workspace, sql: str, feeds: Mapping[str, Rows | History]
    ) -> Kernel:
        schemas = {name: feed.schema for name, feed in feeds.items()}
        found = prepared.kernels.get(sql)
        if found is not None and found[0] == schemas:
            return found[1]
        if found is not None:
            found[1].close()
        kernel = workspace.kernel(sql, schemas, prepared.plan.functions)
        prepared.kernels[sql] = (schemas, kernel)
        return kernel


def _remark(plan: PullPlan, feeds: Mapping[str, Rows | History]) -> str:
    """What of the sources is not in the answer, because it could not be read."""
    remarks = []
    for source in plan.sources:
        left_out = feeds[source.feed].left_out
        if left_out.records:
            records = "1 record" if left_out.records == 1 else f"{left_out.records:,} records"
            remarks.append(f"{records} of {source.info.title} could not be read (first: {left_out.reason})")
    return "\n".join(dict.fromkeys(remarks))


def _raise_own(feeds: Mapping[str, Rows | History]) -> None:
    """Raise what broke a feed off; DuckDB gives its text only."""
    for feed in feeds.values():
        if feed.error is not None:
            raise feed.error
