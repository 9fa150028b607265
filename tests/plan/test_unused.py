"""Joins carry only the columns that something after them reads."""

from __future__ import annotations

import pytest

from streamsql.database import Database
from streamsql.engine.log.memory import MemoryLog

DECLARED = """
CREATE STREAM views (id BIGINT KEY, page VARCHAR, agent VARCHAR, ms BIGINT);
CREATE STREAM clicks (id BIGINT KEY, ad VARCHAR, price DOUBLE);
CREATE TABLE users (id BIGINT PRIMARY KEY, country VARCHAR, plan VARCHAR);
CREATE TABLE plans (plan VARCHAR PRIMARY KEY, fee DOUBLE, says VARCHAR);
"""

CASES = {
    "streams": (
        "CREATE STREAM r AS SELECT v.id, v.page, c.ad FROM views v JOIN clicks c WITHIN 1 MINUTE ON v.id = c.id;",
        "StreamStreamJoin",
        [{"KSQL_JOIN_KEY", "V_PAGE"}, {"KSQL_JOIN_KEY", "C_AD"}],
    ),
    "read by a filter only": (
        "CREATE STREAM r AS SELECT v.id AS id, v.page FROM views v JOIN clicks c WITHIN 1 MINUTE ON v.id = c.id "
        "WHERE c.price > 1;",
        "StreamStreamJoin",
        [{"KSQL_JOIN_KEY", "V_PAGE"}, {"KSQL_JOIN_KEY", "C_PRICE"}],
    ),
    "grouped after": (
        "CREATE TABLE r AS SELECT u.country, COUNT(*) AS n FROM views v JOIN users u ON v.id = u.id "
        "GROUP BY u.country;",
        "StreamTableJoin",
        [{"KSQL_JOIN_KEY"}, {"KSQL_TABLE_KEY_0", "U_COUNTRY"}],
    ),
    "everything": (
        "CREATE STREAM r AS SELECT v.id, v.page, v.agent, v.ms, v.rowtime AS t, c.ad, c.price FROM views v "
        "JOIN clicks c WITHIN 1 MINUTE ON v.id = c.id;",
        "StreamStreamJoin",
        [{"KSQL_JOIN_KEY", "V_PAGE", "V_AGENT", "V_MS", "V_ROWTIME"}, {"KSQL_JOIN_KEY", "C_AD", "C_PRICE"}],
    ),
    "foreign key": (
        "CREATE TABLE r AS SELECT u.id, p.fee FROM users u JOIN plans p ON u.plan = p.plan;",
        "ForeignKeyJoin",
        [{"KSQL_FOREIGN_KEY_0", "U_ID"}, {"KSQL_TABLE_KEY_0", "P_FEE"}],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_join_is_handed_what_is_read_after_it(name: str) -> None:
    statement, operator, expected = CASES[name]
    with Database(MemoryLog(), autostart=False) as db:
        db.execute(DECLARED + statement)
        (plan,) = db.queries.plans.values()
        (join,) = (n.spec for n in plan.graph.nodes if type(n.spec).__name__ == operator)
        sides = [{n for n in side.names if not n.startswith("$")} for side in (join.left, join.right)]
        assert sides == expected
