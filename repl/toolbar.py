"""The line at the bottom: where the data is, what runs, how far it is behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prompt_toolkit.formatted_text import StyleAndTextTuples

from streamsql.repl.activity import activity
from streamsql.repl.arguments import MEMORY

if TYPE_CHECKING:
    from streamsql.database import Database


def toolbar(db: Database, data: str) -> StyleAndTextTuples:
    """The text of the line, as it is now."""
    now = activity(db)
    place = "in memory: nothing is kept" if data == MEMORY else data
    style = "class:bottom-toolbar"
    if now.failed:
        style += ".failed"
    elif now.lag:
        style += ".busy"
    text = str(now) if db.queries.runners else "no queries running"
    return [("class:bottom-toolbar", f" {place} · "), (style, text)]
