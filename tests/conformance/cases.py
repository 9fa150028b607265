"""One case from its line to its outcome, whatever happens on the way."""

from __future__ import annotations

from streamsql.errors import InternalError, NotSupportedError, StreamSQLError
from tests.conformance.corpus import read_case
from tests.conformance.outcome import FAILED, PASSED, UNSUPPORTED, Mismatch, Outcome
from tests.conformance.qtt import run_qtt
from tests.conformance.rejections import first_line
from tests.conformance.rqtt import run_rqtt


def run_case(line: str, *, strict: bool) -> Outcome:
    """Run a case; a failure of any kind is an outcome."""
    case = read_case(line)

    def outcome(status: str, reason: str = "", *, strictly: bool = False, order: bool = False) -> Outcome:
        return Outcome(case.id, case.file, status, reason, case.is_negative, strictly, order)

    try:
        if case.suite == "rqtt":
            strictly, order = run_rqtt(case, strict=strict)
        else:
            strictly, order = run_qtt(case, strict=strict), False
        if strict and case.is_negative and not strictly and "java_specific" not in case.needs:
            assert case.expected_error is not None
            return outcome(FAILED, f"the message does not hold: {case.expected_error['message']}")
        return outcome(PASSED, strictly=strictly, order=order)
    except Mismatch as error:
        return outcome(FAILED, str(error))
    except NotSupportedError as error:
        return outcome(UNSUPPORTED, first_line(error))
    except InternalError as error:
        return outcome(FAILED, f"error: {first_line(error)}")
    except StreamSQLError as error:
        return outcome(FAILED, f"rejected: {first_line(error)}")
    except Exception as error:
        # A crash is a finding about this case, and no reason to lose the others.
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = ""
        if trace is not None:
            place = f" ({trace.tb_frame.f_code.co_filename.rsplit('/', 2)[-1]}:{trace.tb_lineno})"
        return outcome(FAILED, f"error: {first_line(error)}{place}")
