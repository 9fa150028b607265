"""Schemas for registries, short to write."""

from __future__ import annotations

import json
from typing import Any


def record(**fields: Any) -> str:
    return json.dumps(
        {"type": "record", "name": "R", "fields": [{"name": n, **f} for n, f in fields.items()]}
    )


INT = {"type": "int"}
OPTIONAL = {"type": ["null", "int"], "default": None}
