"""Functions that only make sense over ordered rows: `f(..) OVER (PARTITION BY .. ORDER BY ..)`.

Every aggregate can stand before OVER too, see streamsql.plan.pull_windows.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamsql.functions.registry import ResultType


@dataclass(frozen=True, slots=True)
class WindowFunction:
    """One overload of a window function: DuckDB SQL with {parameter} places, to be followed by OVER.

    takes_frame  whether a ROWS, RANGE or GROUPS clause changes anything
    """

    name: str
    signature: str
    says: str
    sql: str
    takes_frame: bool = False
    result: ResultType | None = None
    example: str = ""
    gives: str = ""
    category: str = "Window functions"
    author: str = "streamsql"


WINDOW_FUNCTIONS = (
    WindowFunction(
        "ROW_NUMBER", "() -> BIGINT", "The place of the row in its partition, from 1.", "row_number()"
    ),
    WindowFunction("RANK", "() -> BIGINT", "The place of the first row that is equal in ORDER BY.", "rank()"),
    WindowFunction(
        "DENSE_RANK", "() -> BIGINT", "How many different places there are up to the row.", "dense_rank()"
    ),
    WindowFunction("PERCENT_RANK", "() -> DOUBLE", "(RANK - 1) / (rows - 1), from 0 to 1.", "percent_rank()"),
    WindowFunction(
        "CUME_DIST", "() -> DOUBLE", "The share of rows that are not after this one.", "cume_dist()"
    ),
    WindowFunction(
        "NTILE",
        "(n BIGINT) -> BIGINT",
        "The number, from 1 to n, of the bucket that the row falls into when rows are shared out evenly.",
        "ntile({n})",
    ),
    WindowFunction(
        "LAG",
        "(x T, [offset BIGINT], [default T]) -> T",
        "The value `offset` rows before (1 if left out); `default`, else NULL, where there is none.",
        "lag({x}, {offset}, {default})",
    ),
    WindowFunction(
        "LEAD",
        "(x T, [offset BIGINT], [default T]) -> T",
        "The value `offset` rows after (1 if left out); `default`, else NULL, where there is none.",
        "lead({x}, {offset}, {default})",
    ),
    WindowFunction(
        "FIRST_VALUE",
        "(x T) -> T",
        "The value of the frame's first row.",
        "first_value({x})",
        takes_frame=True,
    ),
    WindowFunction(
        "LAST_VALUE", "(x T) -> T", "The value of the frame's last row.", "last_value({x})", takes_frame=True
    ),
    WindowFunction(
        "NTH_VALUE",
        "(x T, n BIGINT) -> T",
        "The value of the frame's n-th row, NULL if there are fewer.",
        "nth_value({x}, {n})",
        takes_frame=True,
    ),
)
