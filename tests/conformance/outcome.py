"""What became of a case."""

from __future__ import annotations

from dataclasses import dataclass

PASSED, FAILED, UNSUPPORTED, DIFFERS = "passed", "failed", "unsupported", "differs"


class Mismatch(Exception):
    """Something is not as the case expects; the text says what."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one case.

    status       PASSED, FAILED or UNSUPPORTED (the engine said that it is not built)
    reason       one line, '' if it passed
    is_negative  the case expects an error
    strict       of a negative case that passed: the message holds the expected text too
    order        a push query gave the right rows in another order
    """

    id: str
    file: str
    status: str
    reason: str = ""
    is_negative: bool = False
    strict: bool = False
    order: bool = False
