"""A streaming SQL database in one process.

>>> import streamsql
>>> with streamsql.connect() as db:
...     _ = db.execute("CREATE STREAM views (page VARCHAR, user_id BIGINT);")
...     _ = db.execute("CREATE TABLE hits AS SELECT page, COUNT(*) AS n FROM views GROUP BY page;")
...     _ = db.append("views", [{"page": "/", "user_id": 1}, {"page": "/", "user_id": 2}])
...     db.execute("SELECT * FROM hits;").fetchall()
[('/', 2)]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamsql.consumer import Consumer, Polled
    from streamsql.database import Database, connect
    from streamsql.engine.log.sender import Sent
    from streamsql.errors import (
        ConflictError,
        DataError,
        ExternalError,
        InternalError,
        NotSupportedError,
        ParseError,
        PlanError,
        StatementError,
        StreamSQLError,
    )
    from streamsql.functions.user import udf, udtf
    from streamsql.functions.user_aggregates import udaf
    from streamsql.producer import Producer
    from streamsql.result import Changes, Result, Status

__version__ = "0.1.0"
__all__ = [
    "Changes",
    "ConflictError",
    "Consumer",
    "DataError",
    "Database",
    "ExternalError",
    "InternalError",
    "NotSupportedError",
    "ParseError",
    "PlanError",
    "Polled",
    "Producer",
    "Result",
    "Sent",
    "StatementError",
    "Status",
    "StreamSQLError",
    "connect",
    "udaf",
    "udf",
    "udtf",
]

_HOME = {
    "Consumer": "streamsql.consumer",
    "Polled": "streamsql.consumer",
    "Producer": "streamsql.producer",
    "Sent": "streamsql.engine.log.sender",
    "Database": "streamsql.database",
    "connect": "streamsql.database",
    "udaf": "streamsql.functions.user_aggregates",
    "udf": "streamsql.functions.user",
    "udtf": "streamsql.functions.user",
    "Changes": "streamsql.result",
    "Result": "streamsql.result",
    "Status": "streamsql.result",
} | {name: "streamsql.errors" for name in __all__ if name.endswith("Error")}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a public name on first use, so that a part can be imported alone."""
        try:
            home = _HOME[name]
        except KeyError:
            raise AttributeError(f"module 'streamsql' has no attribute {name!r}") from None
        value = globals()[name] = getattr(import_module(home), name)
        return value
