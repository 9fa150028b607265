"""A case of suite qtt: run a script, feed records, compare the output topics."""

from __future__ import annotations

from streamsql.errors import StreamSQLError
from tests.conformance.corpus import Case
from tests.conformance.harness import Harness
from tests.conformance.outcome import Mismatch
from tests.conformance.post import check_post
from tests.conformance.rejections import check_rejection
from tests.conformance.topics import check_topics


def run_qtt(case: Case, *, strict: bool) -> bool:
    """Run a case.

    gives   for an expected error: whether the message is the expected one too; else True
    raises  Mismatch, or whatever the engine raises
    """
    harness = Harness(case)
    try:
        harness.prepare()
        done = 0
        try:
            for _ in harness.run(case.script):
                done += 1
        except StreamSQLError as error:
            if not case.is_negative:
                raise
            return check_rejection(case, error, done, is_script=done == 0)
        expected = case.expected_error
        if expected is not None and expected["phase"] == "build":
            raise Mismatch(f"no error, expected: {expected.get('message')}")
        if not harness.db.catalog.queries:
            raise Mismatch("no persistent query was started")
        try:
            harness.run_queries(harness.encoded_inputs())
        except StreamSQLError as error:
            if expected is None:
                raise
            return check_rejection(case, error, done)
        if expected is not None:
            raise Mismatch(f"no error at run time, expected: {expected.get('message')}")
        check_topics(harness, strict=strict, with_headers=True)
        if case.post is not None:
            check_post(harness)
        return True
    finally:
        harness.close()
