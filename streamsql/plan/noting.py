"""The text of a stage's safe twin: expressions that note which row fails.

An expression's safe form (compiled.py) gives NULL where it fails: by TRY where DuckDB may raise, by a
function's twin where Python may. Here its text is changed so that a failure is noted (engine/failures.py)
as well. A struct around the value tells an error, where the struct is null, from a null value:

    TRY(x)            list_transform([TRY(struct_pack(v := x))], lambda t:
                          CASE WHEN t IS NULL THEN CASE WHEN note_failure("$row", 3) THEN NULL END
                          ELSE t.v END)[1]
    f_or_null(x)      f_or_note("$row", 3, x)
    random(), uuid()  steady_random("$row"), ..

A function's own `try` stays as it is (sqltext.caught): it has another way there. The last line because DuckDB
has no TRY around what it knows to be volatile. It takes a function of a column for one that gives the same
for the same row; that it does not is the same to the row.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from streamsql.engine.failures import NOTE
from streamsql.engine.kernel import ArrowFunction
from streamsql.engine.stage import ROW
from streamsql.functions.arrow import or_note

_ROW = f'"{ROW}"'
_TRIED = '"$tried"'
# Inside a literal or a quoted name the same words are no calls.
_TOKENS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]|\b([A-Za-z_]\w*)\(""")


def _random(rows: Any) -> Any:
    return pa.array(np.random.default_rng().random(len(rows)))


def _uuid(rows: Any) -> Any:
    # One by one: numpy makes no UUIDs. Only batches with bad rows come here.
    return pa.array([str(uuid.uuid4()) for _ in range(len(rows))], pa.string())


_STEADY = {
    "random": ArrowFunction("steady_random", ("BIGINT",), "DOUBLE", _random),
    "uuid": ArrowFunction("steady_uuid", ("BIGINT",), "VARCHAR", _uuid),
}


def noting(
    sql: str, functions: Sequence[ArrowFunction], expression: int
) -> tuple[str, tuple[ArrowFunction, ...]]:
    """A safe form that notes failures, and the functions it calls.

    expression  the number to note
    """
    twins = {f.name: or_note(f.raising) for f in functions if f.raising is not None}
    called: dict[ArrowFunction, None] = dict.fromkeys(f for f in functions if f.name not in twins)
    note = f"CASE WHEN {NOTE}({_ROW}, {expression}) THEN NULL END"
    ends = f"))], lambda {_TRIED}: CASE WHEN {_TRIED} IS NULL THEN {note} ELSE {_TRIED}.v END)[1]"
    open_calls: list[str] = []

    def change(token: re.Match[str]) -> str:
        if token[0] == ")":
            return open_calls.pop()
        if token[0] != "(" and token[1] is None:
            return token[0]
        name = token[1]
        open_calls.append(ends if name == "TRY" else ")")
        if name == "TRY":
            return "list_transform([TRY(struct_pack(v := "
        if name in _STEADY:
            called[_STEADY[name]] = None
            return f"{_STEADY[name].name}({_ROW}"
        if name in twins:
            called[twins[name]] = None
            return f"{twins[name].name}({_ROW}, {expression}, "
        return token[0]

    return _TOKENS.sub(change, sql), tuple(called)
