"""Cases in which we differ from ksqlDB on purpose: id -> why. `docs/differences.md` tells users."""

from __future__ import annotations

DIFFERENCES: dict[str, str] = {
    "joins/should not allow complex join conditions": "a join may have several conditions",
    "multi-joins/partition count mismatch": (
        "one process holds all partitions: topics need not have equally many to be joined"
    ),
}
