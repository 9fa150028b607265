"""What a pull query reads: the rows of a table, or the history of a stream."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa

from streamsql.catalog import Catalog
from streamsql.engine.graph import Graph
from streamsql.engine.inputs import Inputs
from streamsql.engine.kernel import Workspace
from streamsql.engine.log.log import Log
from streamsql.engine.operators.materialise import Materialise
from streamsql.engine.operators.sink import Collect
from streamsql.engine.runner import start_positions
from streamsql.engine.task import Task
from streamsql.formats.format import SchemaStore
from streamsql.plan.pull import PullPlan
from streamsql.plan.pull_from import PullSource
from streamsql.plan.scope import physical
from streamsql.plan.sources import Needs, build_source
from streamsql.queries import Queries

_HISTORY_ROWS = 1 << 17


class Snapshots:
    """Answers pull queries over a log and its running queries."""

    def __init__(self, log: Log, queries: Queries, schemas: SchemaStore) -> None:
        self._log = log
        self._queries = queries
        self._schemas = schemas

    def answer(self, plan: PullPlan, catalog: Catalog) -> pa.RecordBatch:
        """Run a pull query over what is committed; every row written before it is seen.

        raises  StreamSQLError; a failing expression gives NULL in its row
        """
        for source in plan.sources:
            self._queries.catch_up(source.info.name, catalog)
        workspace = Workspace()
        histories: list[Task] = []
        try:
            feeds = {source.feed: self._rows(source, histories) for source in plan.sources}
            schemas = {name: schema for name, (schema, _) in feeds.items()}

            def run(workspace: Workspace, sql: str) -> pa.RecordBatch:
                kernel = workspace.kernel(sql, schemas, plan.functions)
                return kernel.run_over({name: rows() for name, (_, rows) in feeds.items()})

            try:
                found = run(workspace, plan.sql)
            except duckdb.Error:
                found = run(workspace.safe, plan.safe_sql)
            arrays = [
                array if array.type == c.type.arrow else array.cast(c.type.arrow)
                for array, c in zip(found.columns, plan.columns, strict=True)
            ]
            return pa.RecordBatch.from_arrays(arrays, names=[c.name for c in plan.columns])
        finally:
            for task in histories:
                task.close()
            workspace.close()

    def _rows(self, source: PullSource, histories: list[Task]):  # type: ignore[no-untyped-def]
        """The feed's schema and a way to get its batches."""
        info = source.info
        if info.is_table and info.query_id is not None and info.query_id in self._queries.runners:
            rows = self._queries.view(info.query_id)
            view = self._queries.plans[info.query_id].view
            assert view is not None
            schema = self._queries.plans[info.query_id].graph.nodes[view].spec.output
            batches = [] if rows is None else [rows]
            return schema, lambda: batches
        columns = source.columns
        graph = Graph()
        node = graph.add(build_source(info, Needs(columns), self._schemas))
        spec = graph.nodes[node].spec
        if not info.is_table:
            graph.add(Collect(spec.output), node)
            return spec.output, lambda: self._history(graph, histories)
        keys = tuple(physical(c.name) for c in info.schema.key) + (("$start", "$end") if info.window else ())
        node = graph.add(Materialise(spec.output, keys, emit_old=False), node)
        task = Task(graph)
        histories.append(task)
        for raw in self._polls(graph):
            task.feed(raw)
        rows = task.snapshot(node)
        return graph.nodes[node].spec.output, lambda: [] if rows is None else [rows]

    def _history(self, graph: Graph, histories: list[Task]) -> Iterator[pa.RecordBatch]:
        task = Task(graph)
        histories.append(task)
        for raw in self._polls(graph):
            task.feed(raw)
            yield from task.take_rows()

    def _polls(self, graph: Graph) -> Iterator[dict[int, pa.RecordBatch]]:
        """Everything that is in the graph's topics now."""
        inputs = Inputs(self._log, graph, start_positions(self._log, graph, {}, False))
        left = inputs.lag()
        while left > 0:
            raw = inputs.poll(min(_HISTORY_ROWS, left))
            if raw is None:
                return
            left -= sum(batch.num_rows for batch in raw.values())
            yield raw
