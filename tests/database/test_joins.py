"""Joins from SQL to rows, and the messages of those that cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamsql.database import Database, connect
from streamsql.errors import NotSupportedError, PlanError

STREAMS = (
    "CREATE STREAM orders (id BIGINT KEY, customer BIGINT, region VARCHAR, ms BIGINT) WITH (TIMESTAMP = 'MS');"
    "CREATE STREAM payments (id BIGINT KEY, amount INT, region VARCHAR, ms BIGINT) WITH (TIMESTAMP = 'MS');"
    "CREATE TABLE customers (id BIGINT PRIMARY KEY, name VARCHAR);"
    "CREATE TABLE accounts (id BIGINT PRIMARY KEY, owner BIGINT, balance INT);"
)


def order(number: int, ms: int, customer: int = 1, region: str = "eu") -> dict[str, object]:
    return {"id": number, "customer": customer, "region": region, "ms": ms}


def payment(number: int, ms: int, amount: int = 10, region: str = "eu") -> dict[str, object]:
    return {"id": number, "amount": amount, "region": region, "ms": ms}


def fed(db: Database, orders: list[dict[str, object]], payments: list[dict[str, object]]) -> Database:
    db.append("orders", orders)
    db.append("payments", payments)
    return db


def test_two_streams_within_a_window(db: Database) -> None:
    # ms         0     500   900    5000
    # orders     1     2
    # payments               1      2       the second is too late for its order
    db.execute(
        STREAMS + "CREATE STREAM paid AS SELECT o.id, o.customer, p.amount FROM orders o "
        "JOIN payments p WITHIN 1 SECOND ON o.id = p.id;"
    )
    fed(db, [order(1, 0), order(2, 500)], [payment(1, 900), payment(2, 5000)])
    assert db.execute("SELECT * FROM paid;").fetchall() == [(1, 1, 10)]


def test_an_order_without_a_payment_comes_out_when_its_window_has_closed(db: Database) -> None:
    # ms         0     500   900    5000
    # orders     1     2            3       closes the window of 2
    # payments               1
    db.execute(
        STREAMS + "CREATE STREAM paid AS SELECT o.id, p.amount FROM orders o "
        "LEFT JOIN payments p WITHIN 1 SECOND GRACE PERIOD 1 SECOND ON o.id = p.id;"
    )
    fed(db, [order(1, 0), order(2, 500)], [payment(1, 900)])
    assert db.execute("SELECT * FROM paid;").fetchall() == [(1, 10)]
    db.append("orders", [order(3, 5000)])
    assert db.execute("SELECT * FROM paid;").fetchall() == [(1, 10), (2, None)]


def test_without_grace_an_order_comes_out_at_once_and_again_with_its_payment(db: Database) -> None:
    db.execute(
        STREAMS + "CREATE STREAM paid AS SELECT o.id, p.amount FROM orders o "
        "LEFT JOIN payments p WITHIN 1 SECOND ON o.id = p.id;"
    )
    fed(db, [order(1, 0)], [payment(1, 900)])
    assert db.execute("SELECT * FROM paid;").fetchall() == [(1, None), (1, 10)]


def test_a_join_on_two_columns_and_a_comparison(db: Database) -> None:
    db.execute(
        STREAMS + "CREATE STREAM paid AS SELECT o.id, p.amount FROM orders o JOIN payments p "
        "WITHIN 1 SECOND ON o.id = p.id AND o.region = p.region AND p.amount > o.customer;"
    )
    fed(
        db,
        [order(1, 0), order(2, 0), order(3, 0)],
        [payment(1, 1), payment(2, 1, region="us"), payment(3, 1, 1)],
    )
    assert db.execute("SELECT * FROM paid;").fetchall() == [(1, 10)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # ms         0     500   900
        # orders     1           2
        # payments         1, 2          a payment may come up to a second after its order
        ("INNER", [(1, 71, 10)]),
        ("LEFT", [(1, 71, 10), (2, 72, None)]),
        # As in ksqlDB the window of a RIGHT JOIN is measured from the payment: the order may come after it.
        ("RIGHT", [(1, None, 10), (2, 72, 10)]),
        ("FULL", [(1, 71, 10), (2, 72, None), (2, None, 10)]),
    ],
)
def test_a_window_to_one_side(db: Database, kind: str, expected: list[tuple[int | None, ...]]) -> None:
    db.execute(
        STREAMS + f"CREATE STREAM paid AS SELECT {'ROWKEY' if kind == 'FULL' else 'p.id'} AS id, customer, "
        f"amount FROM orders o {kind} JOIN payments p "
        "WITHIN (0 SECONDS, 1 SECOND) GRACE PERIOD 0 SECONDS ON o.id = p.id;"
    )
    query = "SELECT * FROM paid ORDER BY id, amount NULLS FIRST;"
    fed(db, [order(1, 0, customer=71), order(2, 900, customer=72)], [payment(1, 500), payment(2, 500)])
    # An answer waits for what was there before: the next rows, which close all windows, come afterwards.
    db.execute(query).fetchall()
    fed(db, [order(9, 60_000)], [])
    found = db.execute(query).fetchall()
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_three_sources_with_another_key_for_the_second_step(db: Database) -> None:
    db.execute(
        STREAMS + "CREATE STREAM paid AS SELECT c.id, o.id AS number, p.amount, c.name FROM orders o "
        "JOIN payments p WITHIN 1 SECOND ON o.id = p.id LEFT JOIN customers c ON o.customer = c.id;"
    )
    db.append("customers", [{"id": 7, "name": "Ann"}])
    fed(db, [order(1, 0, customer=7), order(2, 0, customer=8)], [payment(1, 1), payment(2, 1)])
    assert db.execute("SELECT * FROM paid ORDER BY number;").fetchall() == [
        (7, 1, 10, "Ann"),
        (8, 2, 10, None),
    ]


def test_rows_follow_what_they_point_at(db: Database) -> None:
    db.execute(
        STREAMS + "CREATE TABLE owned AS SELECT a.id, a.balance, c.name FROM accounts a "
        "JOIN customers c ON a.owner = c.id;"
        "CREATE TABLE totals AS SELECT c.name, SUM(a.balance) AS total FROM accounts a "
        "JOIN customers c ON a.owner = c.id GROUP BY c.name;"
    )
    db.append("accounts", [{"id": n, "owner": n % 2, "balance": n} for n in range(4)])
    db.append("customers", [{"id": 0, "name": "Ann"}, {"id": 1, "name": "Bob"}])
    rows = "SELECT * FROM owned ORDER BY a_id;"
    assert db.execute(rows).fetchall() == [(0, 0, "Ann"), (1, 1, "Bob"), (2, 2, "Ann"), (3, 3, "Bob")]
    db.append("customers", [{"id": 0, "name": "Zoe"}])
    db.append("accounts", [{"id": 3, "owner": 0, "balance": 30}])
    assert db.execute(rows).fetchall() == [(0, 0, "Zoe"), (1, 1, "Bob"), (2, 2, "Zoe"), (3, 30, "Zoe")]
    totals = dict(db.execute("SELECT name, total FROM totals;").fetchall())
    assert (totals["Zoe"], totals["Bob"]) == (32, 1)


def test_a_join_goes_on_after_the_database_was_closed(tmp_path: Path) -> None:
    with connect(tmp_path) as db:
        db.execute(
            STREAMS + "CREATE STREAM paid AS SELECT o.id, p.amount FROM orders o "
            "JOIN payments p WITHIN 1 SECOND ON o.id = p.id;"
        )
        fed(db, [order(1, 0), order(2, 500)], [payment(1, 900)])
        assert db.execute("SELECT * FROM paid;").fetchall() == [(1, 10)]
    with connect(tmp_path) as db:
        db.append("payments", [payment(2, 1000, 20)])
        assert db.execute("SELECT * FROM paid;").fetchall() == [(1, 10), (2, 20)]


def test_the_example_of_the_docs_keeps_rows_that_nothing_points_at(db: Database) -> None:
    section = Path("docs/language.md").read_text().split("## Joins")[1].split("\n## ")[0]
    (example,) = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    db.execute(
        "CREATE TABLE customers (id BIGINT PRIMARY KEY, city VARCHAR);"
        "CREATE TABLE orders (id BIGINT PRIMARY KEY, customer BIGINT, amount INTEGER);" + example
    )
    db.append("customers", [{"id": 1, "city": "Oslo"}, {"id": 2, "city": "Rome"}])
    db.append("orders", [{"id": n, "customer": 1, "amount": n * 10} for n in (1, 2)])
    rows = "SELECT * FROM customers_with_orders ORDER BY id;"
    assert db.execute(rows).fetchall() == [(1, "Oslo", [10, 20]), (2, "Rome", None)]
    db.append("orders", [{"id": 1, "customer": 2, "amount": 10}])
    assert db.execute(rows).fetchall() == [(1, "Oslo", [20]), (2, "Rome", [10])]


REFUSED = {
    "two streams need a window": ("orders o JOIN payments p ON o.id = p.id", "needs WITHIN"),
    "a table takes none": ("orders o JOIN customers c WITHIN 1 DAY ON o.id = c.id", "joins of two streams"),
    "a table on the left": ("customers c JOIN orders o ON o.id = c.id", "swap the sides"),
    "a stream and a table in full": ("orders o FULL JOIN customers c ON o.id = c.id", "only INNER and LEFT"),
    "a foreign key from the right": (
        "accounts a RIGHT JOIN customers c ON a.owner = c.id",
        "only INNER and LEFT",
    ),
    "two tables in full on more than keys": (
        "accounts a FULL JOIN customers c ON a.id = c.id AND a.balance > 3",
        "filter the sides",
    ),
    "a foreign key in full": ("accounts a FULL JOIN customers c ON a.owner = c.id", "COLLECT_LIST"),
    "no equality": ("orders o JOIN payments p WITHIN 1 DAY ON o.id < p.id", "must be an equality"),
    "a constant": ("orders o JOIN payments p WITHIN 1 DAY ON o.id = 1", "must use a column"),
    "both from one side": (
        "orders o JOIN payments p WITHIN 1 DAY ON o.id = o.customer",
        "compare the source",
    ),
    "two types": ("orders o JOIN payments p WITHIN 1 DAY ON o.id = p.amount", "o.id is BIGINT"),
    "a table by another column": ("orders o JOIN customers c ON o.region = c.name", "primary key"),
    "a name twice": ("orders JOIN orders WITHIN 1 DAY ON id = id", "stands in FROM twice"),
    "a subquery without a name": ("orders o JOIN (SELECT id FROM customers) ON o.id = id", "needs a name"),
    "an unknown column": ("orders o JOIN payments p WITHIN 1 DAY ON o.nope = p.id", "cannot be resolved"),
    "an ambiguous one": ("orders o JOIN payments p WITHIN 1 DAY ON id = p.id", "ambiguous"),
}


@pytest.mark.parametrize(("relation", "says"), REFUSED.values(), ids=REFUSED)
def test_joins_that_are_refused(db: Database, relation: str, says: str) -> None:
    db.execute(STREAMS)
    with pytest.raises(PlanError) as raised:
        db.execute(f"SELECT * FROM {relation} EMIT CHANGES LIMIT 0;").fetchall()
    assert not isinstance(raised.value, NotSupportedError)
    assert says.lower() in f"{raised.value.message} {raised.value.hint}".lower()
    assert raised.value.span is not None


def test_a_join_that_reads_no_column_of_its_table_outlives_a_restart(tmp_path: Path) -> None:
    with connect(tmp_path) as db:
        db.execute("CREATE STREAM ev (account VARCHAR KEY, n BIGINT) WITH (KAFKA_TOPIC='ev', PARTITIONS=1);")
        db.execute(
            "CREATE TABLE known (account VARCHAR PRIMARY KEY, x INT) WITH (KAFKA_TOPIC='k', PARTITIONS=1);"
        )
        db.execute(
            "CREATE STREAM j AS SELECT e.account, e.n FROM ev e JOIN known k ON e.account = k.account;"
        )
        db.append("known", {"account": "a", "x": 1})
        db.append("ev", [{"account": "a", "n": 1}, {"account": "b", "n": 2}])
        db.wait_idle(30)
    with connect(tmp_path) as db:
        db.append("ev", [{"account": "b", "n": 3}, {"account": "a", "n": 4}])
        assert db.execute("SELECT * FROM j;").fetchall() == [("a", 1), ("a", 4)]
