r"""Java's regular expressions, translated for RE2 (DuckDB's) and for Python's re.

Everything whose meaning differs between the three is written out: `.` and `\d \w \s \h \v`, classes with
unions and intersections, `(?i)`, `$` before a last line end, quotations `\Q..\E`. RE2 has no look-around,
back-references, possessive quantifiers or atomic groups, and captures otherwise in repeated groups that
match nothing; such patterns are for Python alone. What neither has (scripts, `\X`, `\G`, look-behind of
open length) is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from streamsql.functions.char_sets import ANY, LINE_ENDS, VERTICAL, CharSet
from streamsql.functions.regex_chars import CharReader

CAPTURE = "\x00"
"""Opens a capturing group in a translation for RE2, which of them are kept is decided later."""

_RE2_REPEATS = 1000
_RE2_SIZE = 20_000


@dataclass(frozen=True, slots=True)
class Group:
    """A capturing group. is_optional: a match may leave it out; is_nullable: it may be empty."""

    is_optional: bool
    is_nullable: bool


@dataclass(frozen=True, slots=True)
class Translation:
    """A pattern in the words of both engines.

    re2          None if RE2 cannot say it; each capturing group opens with CAPTURE
    groups       the capturing groups, the first is number 1
    names        group names and their numbers
    is_nullable  whether the whole pattern can match nothing
    has_end      a `$` or \\Z is in it: right for RE2 only if the text ends with no line end
    """

    python: str
    re2: str | None
    groups: tuple[Group, ...]
    names: tuple[tuple[str, int], ...]
    is_nullable: bool
    has_end: bool


@dataclass(slots=True)
class _Piece:
    """A translated part: texts for both engines, and what its quantifier must know."""

    python: str
    re2: str | None
    is_nullable: bool = False
    has_groups: bool = False
    repeats: int = 1
    is_atom: bool = True


@dataclass(slots=True)
class _Open:
    """A group while it is being read."""

    is_optional: bool = False
    is_nullable: bool = False


_FLAG_FIELDS = {
    **{"i": "any_case", "u": "unicode_case", "s": "dot_all"},
    **{"m": "lines", "d": "unix_lines", "x": "comments"},
}
_QUANTIFIER = re.compile(r"(?:[*+?]|\{(\d+)(?:,(\d*))?\})([?+]?)")
_GROUP_START = re.compile(r"\?(?:<([A-Za-z][A-Za-z0-9]*)>|([:>=!]|<=|<!)|([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)]))")


@dataclass(slots=True)
class Translator(CharReader):
    """Reads a pattern from left to right; flags hold to the end of the group in which they stand."""

    groups: list[_Open] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    has_end: bool = False

    def translate(self) -> Translation:
        piece = self._alternatives()
        if self.at < len(self.text):
            raise self.bad("a ) stands without (")
        too_large = piece.re2 is not None and len(piece.re2) * piece.repeats > _RE2_SIZE
        return Translation(
            piece.python,
            None if too_large else piece.re2,
            tuple(Group(group.is_optional, group.is_nullable) for group in self.groups),
            tuple(self.names.items()),
            piece.is_nullable,
            self.has_end,
        )

    def _alternatives(self) -> _Piece:
        first_group = len(self.groups)
        flags = self.flags.copy()
        branches = [self._sequence()]
        while self.peek() == "|":
            self.at += 1
            branches.append(self._sequence())
        self.flags = flags
        if len(branches) == 1:
            return branches[0]
        for group in self.groups[first_group:]:
            group.is_optional = True
        return _Piece(
            "|".join(b.python for b in branches),
            _joined("|", [b.re2 for b in branches]),
            any(b.is_nullable for b in branches),
            any(b.has_groups for b in branches),
            max(b.repeats for b in branches),
            is_atom=False,
        )

    def _sequence(self) -> _Piece:
        pieces: list[_Piece] = []
        while True:
            if self.flags.comments:
                self.skip_comments()
            if self.peek() in ("", "|", ")"):
                break
            first_group = len(self.groups)
            atom = self._atom()
            if atom is not None:
                pieces.append(self._quantified(atom, first_group))
        return _Piece(
            "".join(p.python for p in pieces),
            _joined("", [p.re2 for p in pieces]),
            all(p.is_nullable for p in pieces),
            any(p.has_groups for p in pieces),
            max((p.repeats for p in pieces), default=1),
            is_atom=False,
        )

    def _quantified(self, atom: _Piece, first_group: int) -> _Piece:
        if self.flags.comments:
            self.skip_comments()
        match = _QUANTIFIER.match(self.text, self.at)
        if match is None:
            if self.peek() == "{":
                raise self.bad("a quantifier is not closed")
            return atom
        self.at = match.end()
        if self.peek() and self.peek() in "*+?{":
            raise self.bad("a quantifier stands after a quantifier")
        kind = match[3]
        count = match[0][: len(match[0]) - len(kind)]
        return self._repeated(atom, count, match[1], match[2], kind, first_group)

    def _repeated(
        self, atom: _Piece, count: str, low: str | None, high: str | None, kind: str, first_group: int
    ) -> _Piece:
        if low is not None and high and int(high) < int(low):
            raise self.bad("the end of a repetition is less than its start")
        may_be_none = count in ("*", "?") or (low is not None and int(low) == 0)
        if may_be_none:
            for group in self.groups[first_group:]:
                group.is_optional = True
        times = max(int(low or 1), int(high or 0)) if low is not None else 1
        repeats = atom.repeats * times
        inner = atom if atom.is_atom else _Piece(f"(?:{atom.python})", _wrapped("(?:", atom.re2))
        fits_re2 = kind != "+" and repeats <= _RE2_REPEATS and not (atom.is_nullable and atom.has_groups)
        re2 = f"{inner.re2}{count}{kind}" if fits_re2 and inner.re2 is not None else None
        return _Piece(
            f"{inner.python}{count}{kind}",
            re2,
            atom.is_nullable or may_be_none,
            atom.has_groups,
            repeats,
            is_atom=False,
        )

    # Atoms

    def _atom(self) -> _Piece | None:
        char = self.take()
        match char:
            case "(":
                return self._group()
            case "[":
                return self._set(self.char_class())
            case ".":
                ends = CharSet.chars("\n") if self.flags.unix_lines else LINE_ENDS
                return self._exact(ANY if self.flags.dot_all else ~ends)
            case "^":
                return self._start()
            case "$":
                return self._end()
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise self.bad(f"nothing stands before {char}")
        return self._set(CharSet.chars(char))

    def _set(self, chars: CharSet) -> _Piece:
        """One character of a set, in the case that the flags want."""
        if self.flags.any_case:
            chars = chars.with_other_case(ascii_only=not self.flags.unicode_case)
        return self._exact(chars)

    @staticmethod
    def _exact(chars: CharSet) -> _Piece:
        return _Piece(chars.python(), chars.re2())

    def _start(self) -> _Piece:
        if not self.flags.lines:
            return _Piece(r"\A", r"\A", True)
        if self.flags.unix_lines:
            return _Piece(r"(?:(?!\Z)(?:\A|(?<=\n)))", None, True)
        before = r"\A|(?<=[\n\x85\u2028\u2029])|(?<=\r)(?!\n)"
        return _Piece(rf"(?:(?!\Z)(?:{before}))", None, True)

    def _end(self) -> _Piece:
        if self.flags.unix_lines:
            return _Piece(r"(?:\Z|(?=\n))" if self.flags.lines else r"(?:\Z|(?=\n\Z))", None, True)
        if self.flags.lines:
            return _Piece(r"(?:\Z|(?=[\r\x85\u2028\u2029])|(?<!\r)(?=\n))", None, True)
        self.has_end = True
        return _Piece(r"(?:\Z|(?=\r\n\Z)|(?=[\r\x85\u2028\u2029]\Z)|(?<!\r)(?=\n\Z))", r"\z", True)

    def _group(self) -> _Piece | None:
        if self.peek() != "?":
            return self._capture(None)
        match = _GROUP_START.match(self.text, self.at)
        if match is None:
            raise self.bad("an unknown kind of group")
        self.at = match.end()
        name, kind, on, off, end = match.groups()
        if name is not None:
            return self._capture(name)
        if kind is not None:
            return self._special(kind)
        before = self.flags
        self.flags = before.copy()
        for letters, value in ((on or "", True), (off or "", False)):
            for letter in letters:
                if letter == "U":
                    raise self.unsupported("the flag U")
                if letter not in _FLAG_FIELDS:
                    raise self.bad(f"an unknown flag {letter}")
                setattr(self.flags, _FLAG_FIELDS[letter], value)
        if end == ")":
            # The flags hold to the end of the group around, which restores its own.
            return None
        inner = self._closed()
        self.flags = before
        return self._grouped(inner)

    @staticmethod
    def _grouped(inner: _Piece) -> _Piece:
        return _Piece(
            f"(?:{inner.python})",
            _wrapped("(?:", inner.re2),
            inner.is_nullable,
            inner.has_groups,
            inner.repeats,
        )

    def _closed(self) -> _Piece:
        inner = self._alternatives()
        if self.peek() != ")":
            raise self.bad("a group is not closed")
        self.at += 1
        return inner

    def _capture(self, name: str | None) -> _Piece:
        group = _Open()
        self.groups.append(group)
        if name is not None:
            if name in self.names:
                raise self.bad(f"there are two groups {name}")
            self.names[name] = len(self.groups)
        inner = self._closed()
        group.is_nullable = inner.is_nullable
        return _Piece(
            f"({inner.python})", _wrapped(CAPTURE, inner.re2), inner.is_nullable, True, inner.repeats
        )

    def _special(self, kind: str) -> _Piece:
        first_group = len(self.groups)
        inner = self._closed()
        if kind == ":":
            return self._grouped(inner)
        if kind == ">":
            return _Piece(f"(?>{inner.python})", None, inner.is_nullable, inner.has_groups)
        for group in self.groups[first_group:]:
            group.is_optional = True
        return _Piece(f"(?{kind}{inner.python})", None, True, inner.has_groups)

    def _escape(self) -> _Piece:
        char = self.take()
        if char in "dDwWsShHvV":
            return self._exact(self.class_escape(char))
        if char in "pP":
            return self._set(self.property(char))
        if char.isdigit() and char != "0":
            return self._back_reference(char)
        match char:
            case "b" | "B":
                return _Piece(rf"(?a:\{char})", rf"\{char}", True)
            case "A":
                return _Piece(r"\A", r"\A", True)
            case "z":
                return _Piece(r"\Z", r"\z", True)
            case "Z":
                lines, self.flags.lines = self.flags.lines, False
                piece = self._end()
                self.flags.lines = lines
                return piece
            case "Q":
                return self._quotation()
            case "R":
                ends = VERTICAL
                return _Piece(f"(?>\r\n|{ends.python()})", None)
            case "k":
                return self._named_reference()
            case "G" | "X" | "N":
                raise self.unsupported(f"\\{char}")
        return self._set(CharSet.chars(self.escaped(char)))

    def _quotation(self) -> _Piece:
        end = self.text.find("\\E", self.at)
        quoted = self.text[self.at : end if end >= 0 else len(self.text)]
        self.at = end + 2 if end >= 0 else len(self.text)
        pieces = [self._set(CharSet.chars(c)) for c in quoted]
        # A quantifier after a quotation is for its last character.
        if len(pieces) > 1 and _QUANTIFIER.match(self.text, self.at):
            last = self._quantified(pieces.pop(), len(self.groups))
            pieces.append(last)
        return _Piece(
            f"(?:{''.join(p.python for p in pieces)})",
            _wrapped("(?:", _joined("", [p.re2 for p in pieces])),
            all(p.is_nullable for p in pieces),
        )

    def _back_reference(self, digit: str) -> _Piece:
        number = int(digit)
        # As many digits as still name a group.
        while self.peek().isdigit() and number * 10 + int(self.peek()) <= len(self.groups):
            number = number * 10 + int(self.take())
        return self._reference(number)

    def _named_reference(self) -> _Piece:
        match = re.compile(r"<(\w+)>").match(self.text, self.at)
        if match is None or match[1] not in self.names:
            raise self.bad("a reference to no group")
        self.at = match.end()
        return self._reference(self.names[match[1]])

    def _reference(self, number: int) -> _Piece:
        if number > len(self.groups):
            # In Java such a reference fails whenever it is met.
            return _Piece("(?!)", None)
        flags = "i" if self.flags.unicode_case else "ai"
        opening = f"(?{flags}:" if self.flags.any_case else "(?:"
        return _Piece(f"{opening}\\{number})", None, True)


def _wrapped(opening: str, re2: str | None) -> str | None:
    return None if re2 is None else f"{opening}{re2})"


def _joined(between: str, texts: list[str | None]) -> str | None:
    known = [text for text in texts if text is not None]
    return between.join(known) if len(known) == len(texts) else None
