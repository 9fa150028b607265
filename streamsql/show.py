"""SHOW, DESCRIBE and EXPLAIN: what the database says about itself."""

from __future__ import annotations

from collections.abc import Iterator

from streamsql.catalog import Catalog, SourceInfo
from streamsql.config import Config
from streamsql.engine.log.groups import Groups
from streamsql.engine.log.log import Log, TopicConfig, TopicPartition
from streamsql.engine.restore import changelog_topics
from streamsql.functions.library import Library
from streamsql.printing import moment
from streamsql.queries import Queries
from streamsql.result import Result, counted, rows
from streamsql.schema import Column
from streamsql.types import BIGINT, BOOLEAN, INTEGER, VARCHAR


def _text(*names: str) -> list[Column]:
    return [Column(name, VARCHAR) for name in names]


def show_sources(catalog: Catalog, kind: str) -> Result:
    """SHOW STREAMS, SHOW TABLES."""
    columns = [*_text("NAME", "TOPIC", "KEY_FORMAT", "VALUE_FORMAT"), Column("WINDOWED", BOOLEAN)]
    listed = [
        (s.name, s.topic, s.key_format.name, s.value_format.name, s.window is not None)
        for s in sorted(catalog.sources.values(), key=lambda s: s.name)
        if s.kind == kind
    ]
    return rows(columns, listed)


def show_topics(log: Log, groups: Groups | None, *, is_all: bool) -> Result:
    """SHOW TOPICS: internal ones, whose names begin with an underscore, only with ALL.

    groups  EXTENDED: of consumers; how many have read a topic, and of how many partitions a member reads now
    """
    columns = [
        Column("TOPIC", VARCHAR),
        Column("PARTITIONS", INTEGER),
        Column("RECORDS", BIGINT),
        Column("CLEANUP", VARCHAR),
    ]
    listed: list[tuple[str | int | None, ...]] = []
    for name in log.topics():
        if name.startswith("_") and not is_all:
            continue
        problem = log.topic_problem(name)
        if problem is not None:
            listed.append((name, None, None, f"damaged: {problem.message}"))
            continue
        config = log.topic_config(name)
        records = sum(log.end_offset(name, p) - log.start_offset(name, p) for p in range(config.partitions))
        listed.append((name, config.partitions, records, config.cleanup))
    if groups is not None:
        columns += [Column("CONSUMED_PARTITIONS", BIGINT), Column("CONSUMER_GROUPS", BIGINT)]
        readers = [(g.name, p) for g in groups.status() for p in g.partitions]
        for place, facts in enumerate(listed):
            own = [(group, one) for group, one in readers if one.topic == facts[0]]
            consumed = sum(one.member is not None for _, one in own)
            listed[place] = (*facts, consumed, len({group for group, _ in own}))
    return rows(columns, listed)


def show_queries(catalog: Catalog, queries: Queries) -> Result:
    """SHOW QUERIES."""
    columns = [*_text("ID", "STATUS", "WRITES"), Column("LAG", BIGINT), Column("SQL", VARCHAR)]
    listed = []
    for query in catalog.queries.values():
        runner = queries.runners[query.id]
        # What a failed query has read and not committed, it will read again.
        lag = runner.lag() if runner.error is None else runner.status().lag
        listed.append((query.id, runner.state, query.writes or "", lag, query.sql))
    return rows(columns, listed)


def show_consumer_groups(groups: Groups) -> Result:
    """SHOW CONSUMER GROUPS: a row per group and partition."""
    columns = [*_text("GROUP", "TOPIC"), Column("PARTITION", INTEGER), *_text("MEMBER")]
    columns += [Column(name, BIGINT) for name in ("COMMITTED", "END", "LAG")]
    listed = [
        (group.name, one.topic, one.partition, one.member, one.committed, one.end, one.lag)
        for group in groups.status()
        for one in group.partitions
    ]
    return rows(columns, listed)


def show_functions(library: Library) -> Result:
    """SHOW FUNCTIONS."""
    found = [(row.name, "SCALAR", row.category, row.says) for row in library.scalars.rows()]
    found += [(row.name, "TABLE", row.category, row.says) for row in library.tables.rows()]
    found += [(row.name, "AGGREGATE", row.category, row.says) for row in library.aggregates.rows()]
    found += [(row.name, "WINDOW", row.category, row.says) for row in library.windows.rows()]
    seen: dict[str, tuple[str, str, str, str]] = {}
    for entry in sorted(found):
        seen.setdefault(entry[0], entry)
    return rows(_text("NAME", "KIND", "CATEGORY", "SAYS"), list(seen.values()))


def describe_function(library: Library, name: str) -> Result:
    """DESCRIBE FUNCTION: a row per overload."""
    for kind, registry in (
        ("SCALAR", library.scalars),
        ("TABLE", library.tables),
        ("AGGREGATE", library.aggregates),
        ("WINDOW", library.windows),
    ):
        if name in registry:
            found = [
                (f"{row.name}{row.signature}", row.says, row.example, row.gives, row.category, row.author)
                for row in registry.overloads(name)
            ]
            columns = _text("SIGNATURE", "SAYS", "EXAMPLE", "GIVES", "CATEGORY", "AUTHOR")
            return rows(columns, found, title=f"{kind} function {name}")
    library.scalar(name)
    raise AssertionError(name)


def show_properties(config: Config) -> Result:
    """SHOW PROPERTIES."""
    return rows(_text("PROPERTY", "VALUE", "DEFAULT", "SAYS"), list(config.rows()))


def show_types(catalog: Catalog) -> Result:
    """SHOW TYPES."""
    return rows(_text("NAME", "TYPE"), [(name, str(t)) for name, t in sorted(catalog.types.items())])


def describe(info: SourceInfo) -> Result:
    """DESCRIBE name: its columns."""
    key_word = "PRIMARY KEY" if info.is_table else "KEY"
    listed = []
    for column in info.schema.columns:
        role = key_word if info.schema.is_key(column.name) else ""
        if column.header is not None:
            role = f"HEADER('{column.header}')" if column.header else "HEADERS"
        listed.append((column.name, str(column.type), role))
    if info.window:
        listed[len(info.schema.key) : len(info.schema.key)] = [
            ("WINDOWSTART", "BIGINT", "WINDOW"),
            ("WINDOWEND", "BIGINT", "WINDOW"),
        ]
    return rows(_text("COLUMN", "TYPE", "ROLE"), listed, title=info.title)


def describe_extended(info: SourceInfo, catalog: Catalog, log: Log, queries: Queries) -> Result:
    """DESCRIBE name EXTENDED: everything known, as (what, value) rows; a block per query that writes it."""
    found: list[tuple[str, str]] = [
        (f"column {r[0]}", " ".join(filter(None, r[1:]))) for r in describe(info).fetchall()
    ]
    config = log.topic_config(info.topic)
    found += [
        ("kind", info.kind),
        ("topic", f"{info.topic} ({counted(config.partitions, 'partition')}, cleanup {config.cleanup})"),
        ("kept", _retention(config)),
        ("key format", info.key_format.name),
        ("value format", info.value_format.name),
        ("event time", info.timestamp.name if info.timestamp else "the record's timestamp"),
    ]
    if info.window:
        size = f" of {info.window.size_ms} ms" if info.window.size_ms else ""
        found.append(("window", info.window.kind + size))
    for partition in range(config.partitions):
        begin, end = log.start_offset(info.topic, partition), log.end_offset(info.topic, partition)
        found.append((f"offsets of partition {partition}", f"{begin} to {end}"))
    internal = [name for query in catalog.writers(info.name) for name in changelog_topics(log, query)]
    found += [("note", note) for topic in (info.topic, *internal) for note in log.topic_notes(topic)]
    found += [("read by", ", ".join(catalog.readers(info.name)) or "no query")]
    for query_id in catalog.writers(info.name):
        found += _query_facts(query_id, queries)
    found.append(("statement", info.sql))
    return rows(_text("WHAT", "VALUE"), found, title=info.title)


def _retention(config: TopicConfig) -> str:
    """How long a topic keeps its records."""
    limits = []
    if "delete" in config.cleanup:
        if config.retention_ms is not None:
            limits.append(f"for {config.retention_ms} ms")
        if config.retention_bytes is not None:
            limits.append(f"up to {config.retention_bytes} bytes a partition")
    if "compact" in config.cleanup:
        limits.append("the last record per key")
    return ", ".join(limits) or "for ever"


def _query_facts(query_id: str, queries: Queries) -> Iterator[tuple[str, str]]:
    status = queries.runners[query_id].status()
    counters = status.counters
    yield "written by", query_id
    yield "state of the query", status.state
    if status.error is not None:
        yield "error", status.error
    yield "last commit", "never" if status.last_commit_ms is None else moment(status.last_commit_ms)
    yield "lag", counted(status.lag, "record")
    for (topic, partition), position in status.positions.items():
        behind = status.ends[TopicPartition(topic, partition)] - position
        yield f"committed offset of {topic}[{partition}]", f"{position}, {behind} behind"
    yield (
        "rows since start",
        f"{counters.read} read, {counters.filtered} filtered, {counters.skipped} skipped, "
        f"{counters.late} late, {counters.failed_expressions} failed expressions, {counters.emitted} emitted",
    )
    for store in status.stores:
        bound = store.bound or "UNBOUNDED: it grows with the number of keys"
        yield f"state {store.name}", f"{counted(store.rows, 'row')}, {store.bytes} bytes; {bound}"
    if not status.stores:
        yield "state", "none"
