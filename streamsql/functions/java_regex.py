"""A Java regular expression, compiled: for RE2 by DuckDB where that is the same, else for Python's re."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from streamsql.errors import NotSupportedError, PlanError
from streamsql.functions.regex_chars import bad_regex
from streamsql.functions.regex_reader import CAPTURE, Translation, Translator


@dataclass(frozen=True, slots=True)
class Regex:
    """A translated pattern and its compiled Python form."""

    translation: Translation
    python: re.Pattern[str]

    @property
    def group_count(self) -> int:
        return len(self.translation.groups)

    def re2(self, wanted: frozenset[int] = frozenset()) -> str | None:
        """The text for RE2 with only these groups capturing, or None if RE2 has no such pattern.

        RE2 is several times slower with more than four capturing groups.
        """
        if self.translation.re2 is None:
            return None
        parts = self.translation.re2.split(CAPTURE)
        opened = ("(" if number in wanted else "(?:" for number in range(1, len(parts)))
        return parts[0] + "".join(opening + part for opening, part in zip(opened, parts[1:], strict=True))


@lru_cache(maxsize=512)
def compile_regex(pattern: str) -> Regex:
    """A Java pattern, translated and compiled.

    raises  PlanError (PLAN-REGEX) if it is none, NotSupportedError for what no engine here can do
    """
    translation = Translator(pattern).translate()
    try:
        return Regex(translation, re.compile(translation.python))
    except re.error as error:
        if "look-behind" in str(error):
            raise NotSupportedError(
                f"looking behind over an open length, as in {pattern!r}, is not supported yet",
                code="NOT-SUPPORTED-REGEX",
            ) from error
        raise bad_regex(pattern, str(error)) from error


@dataclass(frozen=True, slots=True)
class Replacement:
    """What replaces a match: texts and group numbers in order."""

    parts: tuple[str | int, ...]

    def of(self, match: re.Match[str]) -> str:
        """The text for one match; a group that took no part is empty."""
        return "".join(part if isinstance(part, str) else match[part] or "" for part in self.parts)

    def re2(self, groups: Sequence[int]) -> str | None:
        """As RE2 writes it, which has nine groups at most; groups[0] is its number 1."""
        if len(groups) > 9:
            return None
        number = {group: place for place, group in enumerate(groups, 1)} | {0: 0}
        return "".join(
            part.replace("\\", "\\\\") if isinstance(part, str) else f"\\{number[part]}"
            for part in self.parts
        )


@lru_cache(maxsize=512)
def replacement(text: str, regex: Regex) -> Replacement:
    r"""Java's replacement text: `$1`, `${name}`, `\$`.

    raises  PlanError (PLAN-REGEX) for a reference to no group
    """
    parts: list[str | int] = []
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\":
            if at >= len(text):
                raise _bad_replacement(text, "it ends in a backslash")
            parts.append(text[at])
            at += 1
        elif char == "$":
            match = re.compile(r"\{([A-Za-z][A-Za-z0-9]*)\}|(\d)", re.ASCII).match(text, at)
            if match is None:
                raise _bad_replacement(text, "after $ stands neither a number nor {name}")
            at = match.end()
            number = dict(regex.translation.names).get(match[1], -1) if match[1] else int(match[2])
            while match[2] and at < len(text) and text[at] in "0123456789":
                if number * 10 + int(text[at]) > regex.group_count:
                    break
                number = number * 10 + int(text[at])
                at += 1
            if not 0 <= number <= regex.group_count:
                raise _bad_replacement(text, f"there is no group {match[0]}")
            parts.append(number)
        else:
            parts.append(char)
    return Replacement(tuple(parts))


def _bad_replacement(text: str, why: str) -> PlanError:
    return PlanError(
        f"{text!r} is not a replacement: {why}",
        code="PLAN-REGEX",
        hint="a group is written $1 or ${name}, a dollar sign \\$",
    )
