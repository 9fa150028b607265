"""The column that WITH (TIMESTAMP = ..) names, as milliseconds."""

from __future__ import annotations

from streamsql.functions.call import Places
from streamsql.functions.java_time import timestamp_sql
from streamsql.functions.registry import Fragment
from streamsql.grammar import ast
from streamsql.plan.compiled import Compiled
from streamsql.plan.scope import column_sql
from streamsql.schema import Column
from streamsql.types import BIGINT, TIMESTAMP


def event_time(column: Column, pattern: str | None) -> Compiled:
    """BIGINT milliseconds since the epoch.

    column   BIGINT, TIMESTAMP, or VARCHAR in the pattern
    """
    sql = column_sql(column.name)
    node = ast.ColumnRef(column.name)
    if column.type == BIGINT:
        return Compiled(sql, sql, BIGINT, node)
    if column.type == TIMESTAMP:
        # The limits of the two types differ.
        printed = Fragment(f"epoch_ms({sql})")
    else:
        assert pattern is not None
        printed = timestamp_sql(sql, pattern)
    safe, twins = Places([]).tried(printed)
    return Compiled(printed.sql, safe, BIGINT, node, True, (*printed.functions, *twins))
