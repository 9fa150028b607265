r"""Characters in Java's regular expressions as sets: escapes, properties, classes in brackets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from streamsql.errors import NotSupportedError, PlanError
from streamsql.functions.char_sets import DIGITS, HORIZONTAL, SPACES, VERTICAL, WORD, CharSet, named

_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\x07", "e": "\x1b"}
_CLASSES = {"d": DIGITS, "w": WORD, "s": SPACES, "h": HORIZONTAL, "v": VERTICAL}


def bad_regex(pattern: str, why: str) -> PlanError:
    return PlanError(
        f"{pattern!r} is not a regular expression: {why}",
        code="PLAN-REGEX",
        hint="regular expressions are those of Java's Pattern",
    )


@dataclass(slots=True)
class Flags:
    """What `(?iusmdx)` turns on, in this order: unicode_case makes any_case count beyond ASCII."""

    any_case: bool = False
    unicode_case: bool = False
    dot_all: bool = False
    lines: bool = False
    unix_lines: bool = False
    comments: bool = False

    def copy(self) -> Flags:
        return Flags(
            self.any_case, self.unicode_case, self.dot_all, self.lines, self.unix_lines, self.comments
        )


@dataclass(slots=True)
class CharReader:
    """A pattern and the place in it that is read next; all methods read from there on.

    raises  PlanError for what is no pattern, NotSupportedError for what neither engine can say
    """

    text: str
    at: int = 0
    flags: Flags = field(default_factory=Flags)

    def bad(self, why: str) -> PlanError:
        return bad_regex(self.text, f"{why}, at character {self.at + 1}")

    def unsupported(self, what: str) -> NotSupportedError:
        return NotSupportedError(
            f"{what} in the regular expression {self.text!r} is not supported yet", code="NOT-SUPPORTED-REGEX"
        )

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self) -> str:
        if self.at >= len(self.text):
            raise self.bad("it ends too soon")
        self.at += 1
        return self.text[self.at - 1]

    def skip_comments(self) -> None:
        """Blanks and # to the end of the line, with the flag x."""
        while self.peek() and (self.peek().isspace() or self.peek() == "#"):
            end = self.text.find("\n", self.at)
            if self.peek() == "#":
                self.at = len(self.text) if end < 0 else end
            else:
                self.at += 1

    def class_escape(self, char: str) -> CharSet:
        r"""`\d` and its like; in upper case all other characters."""
        chars = _CLASSES[char.lower()]
        return ~chars if char.isupper() else chars

    def property(self, char: str) -> CharSet:
        r"""What follows a `\p` or, for all but these characters, a `\P`."""
        if self.peek() == "{":
            end = self.text.find("}", self.at)
            if end < 0:
                raise self.bad("a property is not closed")
            name = self.text[self.at + 1 : end]
            self.at = end + 1
        else:
            name = self.take()
        chars = named(name)
        if chars is None:
            raise self.unsupported(f"the property {name}")
        return ~chars if char == "P" else chars

    def escaped(self, char: str) -> str:
        """The character that an escape stands for."""
        if char in _ESCAPED:
            return _ESCAPED[char]
        if char == "0":
            return self._code(r"[0-3][0-7]{2}|[0-7]{1,2}", 8)
        if char == "x":
            return self._code(r"[0-9A-Fa-f]{2}|\{[0-9A-Fa-f]+\}", 16)
        if char == "u":
            return self._utf16()
        if char == "c":
            return chr(ord(self.take()) ^ 64)
        if char.isascii() and char.isalpha():
            raise self.bad(f"an unknown escape \\{char}")
        return char

    def _utf16(self) -> str:
        r"""`\uXXXX`, or two of them that make one character."""
        first = self._code("[0-9A-Fa-f]{4}", 16)
        match = re.compile(r"\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})").match(self.text, self.at)
        if match and "\ud800" <= first <= "\udbff":
            self.at = match.end()
            low = int(match[1], 16)
            return chr(0x10000 + ((ord(first) - 0xD800) << 10) + low - 0xDC00)
        return first

    def _code(self, digits: str, base: int) -> str:
        match = re.compile(digits).match(self.text, self.at)
        if match is None:
            raise self.bad("an escape lacks its digits")
        self.at = match.end()
        code = int(match[0].strip("{}"), base)
        if code > 0x10FFFF:
            raise self.bad("an escape names no character")
        return chr(code)

    # Character classes

    def char_class(self) -> CharSet:
        """What follows a `[`: ranges, classes, nested classes (a union), `&&` (an intersection)."""
        negated = self.peek() == "^"
        self.at += negated
        result: CharSet | None = None
        union, is_empty = CharSet(()), True
        while True:
            char = self.take()
            if char == "]" and not (is_empty and result is None):
                break
            if char == "&" and self.peek() == "&":
                self.at += 1
                result = union if result is None else result & union
                union, is_empty = CharSet(()), True
                if self.peek() == "]":
                    raise self.bad("nothing stands after &&")
                continue
            if self.flags.comments and (char.isspace() or char == "#"):
                self.at -= 1
                self.skip_comments()
                continue
            union |= self._member(char)
            is_empty = False
        result = union if result is None else result & union
        if self.flags.any_case:
            result = result.with_other_case(ascii_only=not self.flags.unicode_case)
        return ~result if negated else result

    def _member(self, char: str) -> CharSet:
        if char == "[":
            return self.char_class()
        if char == "\\":
            escape = self.take()
            if escape in "dDwWsShHvV":
                return self.class_escape(escape)
            if escape in "pP":
                return self.property(escape)
            if escape == "Q":
                end = self.text.find("\\E", self.at)
                quoted = self.text[self.at : end if end >= 0 else len(self.text)]
                self.at = end + 2 if end >= 0 else len(self.text)
                return CharSet.chars(quoted)
            char = self.escaped(escape)
        if self.peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", "[", ""):
            self.at += 1
            high = self.take()
            if high == "\\":
                escape = self.take()
                if escape in "dDwWsShHvVpP":
                    raise self.bad("a range ends in a class")
                high = self.escaped(escape)
            if high < char:
                raise self.bad("a range ends before it starts")
            return CharSet(((ord(char), ord(high)),))
        return CharSet.chars(char)
