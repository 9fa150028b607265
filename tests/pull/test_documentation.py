"""docs/pull-queries.md says what is so: its statements run, and give the rows it shows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from streamsql.database import Database

DOCUMENT = Path(__file__).parents[2] / "docs" / "pull-queries.md"


def test_the_examples_give_what_they_show(db: Database) -> None:
    text = "\n".join(re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL))
    shown = re.split(r"^--> (.*)$", text, flags=re.MULTILINE)
    examples = list(zip(shown[::2], shown[1::2], strict=False))
    assert len(examples) > 5
    for statements, rows in examples:
        # What comes together in one commit is one change of a table: each record is to be seen.
        *before, query = [part for part in re.split(r";.*\n", statements) if part.strip()]
        for statement in before:
            db.execute(statement + ";")
            db.wait_idle()
        assert db.execute(query + ";").fetchall() == ast.literal_eval(rows), query
