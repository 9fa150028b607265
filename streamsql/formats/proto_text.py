"""The text of .proto files: what they declare, read and printed; after the proto3 language guide.

Messages, enums, fields, oneofs, maps and imports are understood, and of field options only Connect's
precision and scale of a decimal; services, extensions and other options are read over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from streamsql.errors import PlanError

SCALARS = frozenset(
    """double float int32 int64 uint32 uint64 sint32 sint64 fixed32 fixed64 sfixed32 sfixed64 bool string
    bytes""".split()
)


@dataclass(slots=True)
class ProtoField:
    """A field. `type` is a scalar's name, or a message's or an enum's as it is spelt.

    label    '', 'optional', 'required' or 'repeated'
    map_key  the key's type of a map<key, type>, else None
    digits   (precision, scale) of a decimal, where the options say them
    oneof    the name of the oneof it is in, else None
    """

    name: str
    number: int
    type: str
    label: str = ""
    map_key: str | None = None
    digits: tuple[int, int] | None = None
    oneof: str | None = None


@dataclass(slots=True)
class ProtoEnum:
    name: str
    values: list[tuple[str, int]] = field(default_factory=list)


@dataclass(slots=True)
class ProtoMessage:
    name: str
    fields: list[ProtoField] = field(default_factory=list)
    messages: list[ProtoMessage] = field(default_factory=list)
    enums: list[ProtoEnum] = field(default_factory=list)


@dataclass(slots=True)
class ProtoFile:
    syntax: str = "proto2"
    package: str = ""
    imports: list[str] = field(default_factory=list)
    messages: list[ProtoMessage] = field(default_factory=list)
    enums: list[ProtoEnum] = field(default_factory=list)


_TOKEN = re.compile(
    r"""\s+|//[^\n]*|/\*.*?\*/"""
    r"""|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<word>\.?[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)"""
    r"""|(?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|[0-9][0-9.eE+]*))"""
    r"""|(?P<mark>[{}\[\]()<>=;,:/-])""",
    re.DOTALL,
)
_OCTAL = re.compile("-?0[0-7]+")


def parse_proto(text: str) -> ProtoFile:
    """What a .proto file declares.

    raises  PlanError if it does not read
    """
    return _Parser(text).file()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(self._scan(text))
        self._at = 0

    def _scan(self, text: str) -> Iterator[str]:
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise PlanError(
                    f"the .proto schema does not read at '{text[at : at + 20]}'", code="PLAN-SCHEMA"
                )
            if match.lastgroup is not None:
                yield match.group()
            at = match.end()

    def file(self) -> ProtoFile:
        found = ProtoFile()
        while self._at < len(self._tokens):
            match self._next():
                case "syntax" | "edition":
                    self._expect("=")
                    found.syntax = _unquoted(self._next())
                    self._expect(";")
                case "package":
                    found.package = self._next()
                    self._expect(";")
                case "import":
                    name = self._next()
                    found.imports.append(_unquoted(self._next() if name in ("public", "weak") else name))
                    self._expect(";")
                case "message":
                    found.messages.append(self._message())
                case "enum":
                    found.enums.append(self._enum())
                case ";":
                    continue
                case "option" | "service" | "extend":
                    self._skip_statement()
                case other:
                    raise self._unexpected(other)
        return found

    def _message(self) -> ProtoMessage:
        found = ProtoMessage(self._next())
        self._expect("{")
        while (token := self._next()) != "}":
            match token:
                case "message":
                    found.messages.append(self._message())
                case "enum":
                    found.enums.append(self._enum())
                case "oneof":
                    name = self._next()
                    self._expect("{")
                    while (token := self._next()) != "}":
                        if token == "option":
                            self._skip_statement()
                        elif token != ";":
                            member = self._field(token)
                            member.oneof = name
                            found.fields.append(member)
                case "option" | "reserved" | "extensions" | "extend":
                    self._skip_statement()
                case ";":
                    continue
                case _:
                    found.fields.append(self._field(token))
        return found

    def _field(self, token: str) -> ProtoField:
        label = ""
        if token in ("optional", "required", "repeated"):
            label, token = token, self._next()
        key = None
        if token == "map" and self._peek() == "<":
            self._expect("<")
            key = self._next()
            self._expect(",")
            token = self._next()
            self._expect(">")
        name = self._next()
        self._expect("=")
        number = self._number(f"field {name}")
        digits = _digits(self._options()) if self._peek() == "[" else None
        self._expect(";")
        return ProtoField(name, number, token, label, key, digits)

    def _enum(self) -> ProtoEnum:
        found = ProtoEnum(self._next())
        self._expect("{")
        while (token := self._next()) != "}":
            if token in ("option", "reserved"):
                self._skip_statement()
            elif token != ";":
                self._expect("=")
                found.values.append((token, self._number(f"value {token}")))
                if self._peek() == "[":
                    self._options()
                self._expect(";")
        return found

    def _options(self) -> list[str]:
        """The tokens of a field's options, without the outer brackets."""
        start, depth = self._at, 0
        while True:
            depth += {"[": 1, "]": -1}.get(self._next(), 0)
            if depth == 0:
                return self._tokens[start + 1 : self._at - 1]

    def _skip_statement(self) -> None:
        """Up to the ';' or the closing bracket that ends the statement."""
        depth = 0
        while True:
            token = self._next()
            depth += {"{": 1, "}": -1}.get(token, 0)
            if depth == 0 and token in (";", "}"):
                return

    def _number(self, what: str) -> int:
        token = self._next()
        try:
            # As C has it: 012 is ten.
            return int(token, 8 if _OCTAL.fullmatch(token) else 0)
        except ValueError:
            raise PlanError(f"{what} of the .proto schema has no number", code="PLAN-SCHEMA") from None

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise PlanError("the .proto schema ends in the middle", code="PLAN-SCHEMA")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, mark: str) -> None:
        found = self._next()
        if found != mark:
            raise PlanError(f"the .proto schema has '{found}' where '{mark}' belongs", code="PLAN-SCHEMA")

    def _unexpected(self, token: str) -> PlanError:
        return PlanError(f"the .proto schema has '{token}' where no such word belongs", code="PLAN-SCHEMA")


def _unquoted(token: str) -> str:
    return token[1:-1] if token[:1] in ('"', "'") else token


def _digits(options: list[str]) -> tuple[int, int] | None:
    """Precision and scale in `(confluent.field_meta) = {params: [{key: "precision", value: "4"}, ..]}`."""
    found: dict[str, str] = {}
    entry: dict[str, str] = {}
    for i, token in enumerate(options):
        if token in ("key", "value") and i + 2 < len(options) and options[i + 1] == ":":
            entry[token] = _unquoted(options[i + 2])
            if len(entry) == 2:
                found[entry["key"]] = entry["value"]
                entry = {}
    precision, scale = found.get("precision", ""), found.get("scale", "0")
    return (int(precision), int(scale)) if precision.isdecimal() and scale.isdecimal() else None


def print_proto(file: ProtoFile) -> str:
    """A file's text, as Connect's converter lays it out.

    >>> print(print_proto(ProtoFile("proto3", messages=[ProtoMessage("M", [ProtoField("ID", 1, "int32")])])))
    syntax = "proto3";
    <BLANKLINE>
    message M {
      int32 ID = 1;
    }
    <BLANKLINE>
    """
    parts = [f'syntax = "{file.syntax}";\n' + (f"package {file.package};\n" if file.package else "")]
    if file.imports:
        parts.append("".join(f'import "{name}";\n' for name in file.imports))
    parts += ["\n".join(_message_lines(message, "")) + "\n" for message in file.messages]
    return "\n".join(parts)


def _message_lines(message: ProtoMessage, indent: str) -> Iterator[str]:
    yield f"{indent}message {message.name} {{"
    for item in message.fields:
        yield f"{indent}  {_field_line(item)}"
    for inner in message.messages:
        yield ""
        yield from _message_lines(inner, indent + "  ")
    yield f"{indent}}}"


def _field_line(item: ProtoField) -> str:
    kind = item.type if item.map_key is None else f"map<{item.map_key}, {item.type}>"
    label = f"{item.label} " if item.label else ""
    options = ""
    if item.digits is not None:
        precision, scale = item.digits
        params = f'{{ key: "precision", value: "{precision}" }}, {{ key: "scale", value: "{scale}" }}'
        options = f" [(confluent.field_meta) = {{ params: [{params}] }}]"
    return f"{label}{kind} {item.name} = {item.number}{options};"
