"""The corpus: one test case a line, as JSON with exact decimals."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """A record to feed or to expect.

    key, value  JSON values with exact decimals; None: a null
    timestamp   ms; None: not compared
    window      {"start": ms, "end": ms, "type": "TIME" or "SESSION"} for a windowed key
    headers     [{"key": text, "value": base64 text or None}, ..]; None: not given
    """

    topic: str
    key: Any
    value: Any
    timestamp: int | None
    window: Mapping[str, Any] | None = None
    headers: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One test: a script of statements, what goes in, and what must come out or be refused."""

    id: str
    suite: str
    file: str
    needs: frozenset[str]
    statements: tuple[str, ...]
    properties: Mapping[str, Any]
    topics: Sequence[Mapping[str, Any]]
    inputs: tuple[Record, ...]
    outputs: tuple[Record, ...]
    responses: Sequence[Mapping[str, Any]] = ()
    input_conditions: Mapping[str, Any] = field(default_factory=dict)
    output_conditions: Mapping[str, Any] = field(default_factory=dict)
    expected_error: Mapping[str, Any] | None = None
    post: Mapping[str, Any] | None = None

    @property
    def is_negative(self) -> bool:
        return self.expected_error is not None

    @property
    def statement_starts(self) -> list[int]:
        """Where each statement begins in `script`."""
        starts, at = [], 0
        for statement in self.statements:
            starts.append(at)
            at += len(statement) + 1
        return starts

    @property
    def script(self) -> str:
        return "\n".join(self.statements)


def lines(paths: Sequence[Path], text: str = "") -> Iterator[tuple[str, str]]:
    """(id, line) of every case whose id contains `text`."""
    for path in paths:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.strip():
                    case_id = json.loads(line)["id"]
                    if text in case_id:
                        yield case_id, line


def read_case(line: str) -> Case:
    """A case from its line."""
    data = json.loads(line, parse_float=Decimal)
    return Case(
        id=data["id"],
        suite=data["suite"],
        file=data["file"],
        needs=frozenset(data["needs"]),
        statements=tuple(data["statements"]),
        properties=data["properties"],
        topics=data["topics"],
        inputs=tuple(_record(r) for r in data["inputs"]),
        outputs=tuple(_record(r) for r in data["outputs"]),
        responses=data.get("responses") or (),
        input_conditions=data.get("inputConditions") or {},
        output_conditions=data.get("outputConditions") or {},
        expected_error=data["expectedError"],
        post=data["post"],
    )


def _record(data: Mapping[str, Any]) -> Record:
    return Record(
        data["topic"],
        data["key"],
        data["value"],
        data["timestamp"],
        data.get("window"),
        data.get("headers"),
    )
