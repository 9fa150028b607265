"""Event sourcing on accounts: decide on what is there, make up for a mistake, replay without it.

python examples/event_sourcing/accounts.py
"""

from __future__ import annotations

from pathlib import Path

import streamsql
from streamsql import ConflictError, Database

HERE = Path(__file__).resolve().parent


def record(db: Database, account: str, kind: str, amount: int, note: str = "") -> None:
    """Store an event that nothing has to be known for."""
    event = {"account": account, "kind": kind, "amount": amount, "note": note}
    db.append("account_events", event)


def withdraw(db: Database, account: str, amount: int) -> bool:
    """Store a withdrawal if the balance allows it, whoever else is writing; False if it does not."""
    while True:
        # First the end, then the state: what comes after the end makes the append fail.
        end = db.end_offset("account_events", key=account)
        if balance(db, account) < amount:
            return False
        event = {"account": account, "kind": "withdrawn", "amount": -amount}
        try:
            db.append("account_events", event, expected_offset=end)
        except ConflictError:
            continue  # somebody was first: decide again
        return True


def balance(db: Database, account: str) -> int:
    """What the events come to now."""
    name = account.replace("'", "''")
    found = db.execute(f"SELECT balance FROM balances WHERE account = '{name}';").fetchone()
    return found[0] if found else 0


def story(db: Database) -> None:
    """A wrong event, its compensating event, and the replay without both."""
    db.execute((HERE / "accounts.sql").read_text())

    record(db, "ann", "deposited", 100)
    record(db, "bob", "deposited", 50)
    record(db, "ann", "deposited", 5000, "typed wrongly: 50 was meant")
    print("bob can take 80:", withdraw(db, "bob", 80))
    print("ann has", balance(db, "ann"))

    # The mistake is seen. At once, the balance is put right by an event of its own ..
    record(db, "ann", "corrected", -5000, "makes up for 5000")
    record(db, "ann", "deposited", 50, "what was meant")
    print("corrected, ann has", balance(db, "ann"))

    # .. and what was derived from the wrong event is made anew without it. First, where is it?
    found = "SELECT ROWPARTITION, ROWOFFSET FROM account_events WHERE account = 'ann' AND ABS(amount) = 5000;"
    (partition, wrong), (_, compensating) = db.execute(found).fetchall()
    print(f"leaving out offsets {wrong} and {compensating} of partition {partition}")
    db.execute(f"DEFINE partition = '{partition}';")
    db.execute(f"DEFINE wrong = '{wrong}'; DEFINE compensating = '{compensating}';")
    db.execute((HERE / "replay.sql").read_text())
    both = (
        "SELECT b.account, b.balance, b.largest, r.balance, r.largest "
        "FROM balances b JOIN balances_replayed r ON b.account = r.account ORDER BY b.account;"
    )
    for account, before, largest_before, after, largest_after in db.execute(both).fetchall():
        print(f"{account}: {before}, largest {largest_before}; replayed: {after}, largest {largest_after}")


if __name__ == "__main__":
    with streamsql.connect() as database:
        story(database)
