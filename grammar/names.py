"""Words: which are reserved, which are units or types, and how a name is written so that it reads back."""

from __future__ import annotations

import re

RESERVED = frozenset(
    """ADVANCE ALL AND AS AT BEGINNING BETWEEN BY CASE CAST CATALOG CONNECTOR CONNECTORS CREATE DAYS
    DECIMAL DELETE DESCRIBE DISTINCT DROP ELSE END EXISTS EXPORT EXTENDED FALSE FROM FULL GROUP HAVING
    HOPPING HOURS IN INNER INSERT INTO IS JOIN LEFT LIKE LIMIT LIST LOAD MATERIALIZED MILLISECOND
    MILLISECONDS MINUTES MONTHS NAMESPACE NOT NULL ON OR OUTER PAUSE PRINT PROPERTIES QUERIES QUERY
    RENAME RESUME RETENTION RIGHT RUN SAMPLE SCRIPT SECONDS SELECT SIZE STREAM STREAMS TABLE TERMINATE
    THEN TO TOPIC TOPICS TRUE TUMBLING UNSET VALUES VIEW WHEN WHERE WINDOW WITH WITHIN YEARS""".split()
)

# Not reserved, but an unquoted one could be read as the beginning of something else.
_AMBIGUOUS = frozenset({"ARRAY", "COLUMN", "MAP", "OF", "STRUCT", "TABLES"})

# Digits first is a name (1ST, 2_A), except where it is a number (12, 1E5).
_PLAIN = re.compile(r"[A-Z_][A-Z0-9_@]*|(?![0-9]+(?:E[0-9]+)?$)[0-9][A-Z0-9_@]+")

UNITS = {
    word: unit
    for unit in ("MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "YEAR")
    for word in (unit, unit + "S")
}
"""Time unit as written, in upper case -> as the tree holds it."""

UNIT_FUNCTIONS = frozenset({"DATEADD", "DATESUB", "TIMEADD", "TIMESUB", "TIMESTAMPADD", "TIMESTAMPSUB"})
"""Functions in whose calls a bare DAY is a unit and no column."""

TYPE_SYNONYMS = {"INT": "INTEGER", "STRING": "VARCHAR"}
"""Type as written, in upper case -> its name in the tree."""


def quote_name(name: str, *, always: bool = False) -> str:
    """The name as SQL: plain if it reads back as itself, else in backticks.

    >>> quote_name("PAGE"), quote_name("page"), quote_name("FROM"), quote_name("PAGE", always=True)
    ('PAGE', '`page`', '`FROM`', '`PAGE`')
    """
    if not always and _PLAIN.fullmatch(name) and name not in RESERVED and name not in _AMBIGUOUS:
        return name
    return "`" + name.replace("`", "``") + "`"


_TOPIC = re.compile(r"[A-Za-z_][A-Za-z0-9_@]*")


def quote_topic(name: str) -> str:
    """A topic's name, whose case matters, as SQL: plain if it is a word, else a string.

    >>> quote_topic("pageViews"), quote_topic("page-views")
    ('pageViews', "'page-views'")
    """
    if _TOPIC.fullmatch(name) and name.upper() not in RESERVED:
        return name
    return "'" + name.replace("'", "''") + "'"
