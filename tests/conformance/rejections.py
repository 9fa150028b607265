"""Whether an error is the rejection that a case expects."""

from __future__ import annotations

from streamsql.errors import (
    ExternalError,
    InternalError,
    NotSupportedError,
    ParseError,
    StreamSQLError,
)
from tests.conformance.corpus import Case
from tests.conformance.outcome import Mismatch

_NO_REJECTIONS = (InternalError, NotSupportedError, ExternalError)


def check_rejection(case: Case, error: StreamSQLError, failed: int, *, is_script: bool = False) -> bool:
    """Compare an error with the expected one.

    failed     number of the statement that raised it
    is_script  it came from parsing the whole script: then its place says which statement it is about
    gives      whether the message holds the expected text too
    raises     Mismatch
    """
    expected = case.expected_error
    assert expected is not None
    if isinstance(error, _NO_REJECTIONS):
        raise Mismatch(f"an error that is no rejection: {first_line(error)}")
    if expected.get("phase", "build") == "build":
        if is_script and isinstance(error, ParseError) and error.span is not None:
            failed = sum(start <= error.span.start for start in case.statement_starts) - 1
        wanted = expected.get("statement", len(case.statements) - 1)
        if failed != wanted:
            raise Mismatch(f"statement {failed} was rejected, not {wanted}: {first_line(error)}")
    if expected.get("kind") == "parse" and not isinstance(error, ParseError):
        raise Mismatch(f"no parse error: {first_line(error)}")
    if not error.message.strip():
        raise Mismatch("the error says nothing")
    return all((expected.get(name) or "") in str(error) for name in ("message", "causeMessage"))


def first_line(error: BaseException) -> str:
    if isinstance(error, StreamSQLError):
        return f"[{error.code}] {error.message}".splitlines()[0]
    return f"{type(error).__name__}: {error}".splitlines()[0]
