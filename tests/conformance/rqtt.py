"""A case of suite rqtt: statements, records, and the rows that pull and push queries give."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streamsql.errors import StreamSQLError
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.parser import parse
from streamsql.result import Result
from streamsql.schema import type_text
from tests.conformance.compare import Rules, matches, typed
from tests.conformance.corpus import Case
from tests.conformance.harness import Harness
from tests.conformance.outcome import Mismatch
from tests.conformance.rejections import check_rejection
from tests.conformance.topics import check_topics, show

_LONGEST_PUSH_S = 5.0


def run_rqtt(case: Case, *, strict: bool) -> tuple[bool, bool]:
    """Run a case.

    gives   whether the message of an expected error is as expected, and whether a push query gave its
            rows in another order than expected
    raises  Mismatch, or whatever the engine raises
    """
    harness = Harness(case)
    try:
        return _Run(harness, strict).run()
    finally:
        harness.close()


class _Run:
    def __init__(self, harness: Harness, strict: bool) -> None:
        self._harness = harness
        self._case = harness.case
        self._strict = strict
        self._other_order = False

    def run(self) -> tuple[bool, bool]:
        case, harness = self._case, self._harness
        first = next(
            (i for i, s in enumerate(case.statements) if s.startswith("SELECT ")), len(case.statements)
        )
        setup, queries = case.statements[:first], case.statements[first:]
        harness.prepare()
        done = 0
        try:
            for _ in harness.run("\n".join(setup)):
                done += 1
        except StreamSQLError as error:
            if not case.is_negative:
                raise
            return check_rejection(case, error, done, is_script=done == 0), False
        waits = bool(case.input_conditions.get("waitForActivePushQuery"))
        if not waits:
            self._feed()
        answers = [r["query"] for r in case.responses if "query" in r]
        for number, sql in enumerate(queries):
            try:
                result, is_pull = self._start(sql)
                if waits:
                    self._feed()
                elements = list(self._elements(result, sql, is_pull))
            except StreamSQLError as error:
                if not case.is_negative:
                    raise
                return check_rejection(case, error, first + number), False
            if number < len(answers):
                self._check_answer(answers[number], elements)
        if case.expected_error is not None:
            raise Mismatch(f"no error, expected: {case.expected_error.get('message')}")
        if len(answers) > len(queries):
            raise Mismatch(f"{len(queries)} queries, {len(answers)} answers expected")
        check_topics(harness, strict=self._strict, with_headers=False)
        return True, self._other_order

    def _feed(self) -> None:
        inputs = self._harness.encoded_inputs()
        for topic, raw in inputs:
            self._harness.write(topic, [raw], to_log=True)
        self._harness.run_queries(inputs, to_log=True)

    def _start(self, sql: str) -> tuple[Result, bool]:
        (result,) = self._harness.run(sql)
        return result, result.kind == "ROWS"

    def _elements(self, result: Result, sql: str, is_pull: bool) -> Iterator[dict[str, Any]]:
        """The header, the rows and the final message of an answer."""
        keys = result.keys if is_pull else ()
        text = ", ".join(
            f"{quote_name(c.name, always=True)} {type_text(c.type)}" + (" KEY" if c.name in keys else "")
            for c in result.columns
        )
        yield {"header": {"schema": text}}
        (statement,) = parse(sql)
        assert isinstance(statement, ast.QueryStatement)
        limit = statement.query.limit
        types = [c.type for c in result.columns]
        count = 0
        # A push query that does not reach its LIMIT would wait for ever.
        watchdog = threading.Timer(_LONGEST_PUSH_S, result.close)
        watchdog.start()
        try:
            for piece in result.changes():
                gone = piece.tombstones.to_pylist() if piece.tombstones is not None else None
                columns = [column.to_pylist() for column in piece.rows.columns]
                for place, row in enumerate(zip(*columns, strict=True)):
                    count += 1
                    element: dict[str, Any] = {
                        "columns": [typed(v, t) for v, t in zip(row, types, strict=True)]
                    }
                    if gone is not None and gone[place]:
                        element["tombstone"] = True
                    yield {"row": element, "types": types}
        finally:
            watchdog.cancel()
        if not is_pull or not self._reads_a_table(statement.query):
            reached = limit is not None and count >= limit
            yield {"finalMessage": "Limit Reached" if reached else "Query Completed"}

    def _reads_a_table(self, query: ast.Query) -> bool:
        if not isinstance(query, ast.Select) or not isinstance(query.relation, ast.SourceRef):
            return True
        return self._harness.db.catalog.source(query.relation.name).is_table

    def _check_answer(
        self, expected: Sequence[Mapping[str, Any]], actual: Sequence[Mapping[str, Any]]
    ) -> None:
        ordered = bool(self._case.output_conditions.get("verifyOrder"))
        if len(expected) != len(actual):
            rows = [e["row"]["columns"] for e in actual if "row" in e]
            raise Mismatch(f"{len(expected)} elements expected, got {len(actual)}: {show(rows)}")
        for place, (want, got) in enumerate(zip(expected, actual, strict=True)):
            kind = next(iter(want))
            if kind not in got:
                raise Mismatch(f"answer[{place}]: expected {show(want)}, got {show(got)}")
            if kind == "header" and want["header"]["schema"] != got["header"]["schema"]:
                raise Mismatch(f"header: expected {want['header']['schema']}, got {got['header']['schema']}")
            if kind == "finalMessage" and want != got:
                raise Mismatch(f"answer[{place}]: expected {want}, got {got}")
            if kind == "row" and bool(want["row"].get("tombstone")) != bool(got["row"].get("tombstone")):
                raise Mismatch(f"answer[{place}]: expected {show(want)}, got {show(got)}")
        wanted = [e["row"]["columns"] for e in expected if "row" in e]
        found = [e for e in actual if "row" in e]
        pairs = zip(wanted, found, strict=True)
        if all(self._same_row(w, f) for w, f in pairs):
            return
        if ordered or not self._same_rows(wanted, found):
            raise Mismatch(f"rows: expected {show(wanted)}, got {show([f['row']['columns'] for f in found])}")
        self._other_order = True

    def _same_rows(self, wanted: Sequence[Any], found: Sequence[Mapping[str, Any]]) -> bool:
        """As multisets; comparing is not exact, so each expected row takes the first that fits."""
        left = list(found)
        for row in wanted:
            match = next((f for f in left if self._same_row(row, f)), None)
            if match is None:
                return False
            left.remove(match)
        return True

    def _same_row(self, wanted: Sequence[Any], found: Mapping[str, Any]) -> bool:
        columns, types = found["row"]["columns"], found["types"]
        return len(wanted) == len(columns) and all(
            matches(w, c, t, Rules(self._strict)) for w, c, t in zip(wanted, columns, types, strict=True)
        )
