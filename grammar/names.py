"""Identifiers: which words are reserved, and how a name is written so that it reads back the same."""

from __future__ import annotations

import re

RESERVED = frozenset(
    """ADVANCE ALL AND AS AT BEGINNING BETWEEN BY CASE CAST CATALOG CONNECTOR CONNECTORS CREATE DAYS DECIMAL
    DELETE DESCRIBE DISTINCT DROP ELSE END EXISTS EXPORT EXTENDED FALSE FROM FULL GROUP HAVING HOPPING HOURS IN
    INNER INSERT INTO IS JOIN LEFT LIKE LIMIT LIST LOAD MATERIALIZED MILLISECOND MILLISECONDS MINUTES MONTHS
    NAMESPACE NOT NULL ON OR OUTER PAUSE PRINT PROPERTIES QUERIES QUERY RENAME RESUME RETENTION RIGHT RUN SAMPLE
    SCRIPT SECONDS SELECT SIZE STREAM STREAMS TABLE TERMINATE THEN TO TOPIC TOPICS TRUE TUMBLING UNSET VALUES
    VIEW WHEN WHERE WINDOW WITH WITHIN YEARS""".split()
)

_PLAIN = re.compile(r"[A-Z_][A-Z0-9_@]*|[0-9][A-Z0-9_@]+")


def quote_name(name: str, *, always: bool = False) -> str:
    """The name as SQL: plain if it reads back as itself, else in backticks.

    >>> quote_name("PAGE"), quote_name("page"), quote_name("FROM"), quote_name("PAGE", always=True)
    ('PAGE', '`page`', '`FROM`', '`PAGE`')
    """
    if not always and _PLAIN.fullmatch(name) and not name.isdigit() and name not in RESERVED:
        return name
    return "`" + name.replace("`", "``") + "`"
