"""What WHERE says of one side of a join is done before it, where that changes nothing."""

from __future__ import annotations

import pytest

from streamsql.database import Database
from streamsql.engine.log.memory import MemoryLog

DECLARED = """
CREATE STREAM views (id BIGINT KEY, page VARCHAR, ms BIGINT);
CREATE STREAM clicks (id BIGINT KEY, ad VARCHAR, price DOUBLE);
CREATE TABLE users (id BIGINT PRIMARY KEY, country VARCHAR, plan VARCHAR);
CREATE TABLE plans (plan VARCHAR PRIMARY KEY, fee DOUBLE, says VARCHAR);
CREATE TABLE others (id BIGINT PRIMARY KEY, plan VARCHAR);
"""

CASES = {
    "both sides": (
        "STREAM r AS SELECT v.id AS id, page FROM views v JOIN users u ON v.id = u.id "
        "WHERE u.country = 'NL' AND page <> '/' AND u.plan > page;",
        [
            "filter U.PLAN > PAGE, select ID, PAGE",
            "as V, join key V_ID, filter PAGE <> '/'",
            "as U, join key U_ID, filter U.COUNTRY = 'NL'",
        ],
    ),
    "only the side that is kept whole": (
        "STREAM r AS SELECT v.id AS id, page FROM views v LEFT JOIN users u ON v.id = u.id "
        "WHERE u.country = 'NL' AND page <> '/';",
        ["filter U.COUNTRY = 'NL', select ID, PAGE", "as V, join key V_ID, filter PAGE <> '/'"],
    ),
    "through a join that comes first": (
        "STREAM r AS SELECT p.plan AS plan, page, fee FROM views v JOIN users u ON v.id = u.id "
        "JOIN plans p ON u.plan = p.plan WHERE u.country = 'NL' AND fee > 1;",
        ["as U, join key U_ID, filter U.COUNTRY = 'NL'", "as P, join key P_PLAN, filter FEE > 1"],
    ),
    "what the join's own condition says": (
        "TABLE r AS SELECT u.id, fee FROM users u JOIN plans p ON u.plan = p.plan AND p.fee > 1;",
        ["as P, join key P_PLAN, filter P_FEE > 1"],
    ),
    "not what can fail": (
        "STREAM r AS SELECT v.id AS id, page FROM views v JOIN users u ON v.id = u.id "
        "WHERE CAST(u.country AS INTEGER) = 1;",
        ["filter CAST(U.COUNTRY AS INTEGER) = 1, select ID, PAGE"],
    ),
    "not what is new each time": (
        "STREAM r AS SELECT v.id AS id, page FROM views v JOIN users u ON v.id = u.id "
        "WHERE u.country <> UUID();",
        ["filter U.COUNTRY <> UUID(), select ID, PAGE"],
    ),
    "not below a join that tells time by its rows": (
        "STREAM r AS SELECT v.id AS id, page FROM views v JOIN clicks c WITHIN 1 HOUR ON v.id = c.id "
        "WHERE price > 1;",
        ["filter PRICE > 1, select ID, PAGE"],
    ),
    "not below a join that keeps both sides whole": (
        "TABLE r AS SELECT ROWKEY AS id, u.plan AS plan FROM users u FULL JOIN others o ON u.id = o.id "
        "WHERE u.plan = 'x';",
        ["filter U.PLAN = 'x', select ID, PLAN"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_filter_stands_below_the_join(name: str) -> None:
    statement, expected = CASES[name]
    with Database(MemoryLog(), autostart=False) as db:
        db.execute(f"{DECLARED} CREATE {statement}")
        (plan,) = db.queries.plans.values()
    lines = [line.strip(" └─") for line in plan.graph.explain().splitlines()]
    assert [line for line in lines if "filter" in line] == expected
