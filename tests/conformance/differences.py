"""Cases in which we differ from ksqlDB on purpose: id -> why. `docs/differences.md` tells users."""

from __future__ import annotations

DIFFERENCES: dict[str, str] = {}
