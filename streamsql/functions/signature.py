"""Signatures: text such as `(text VARCHAR, width INTEGER, pad VARCHAR) -> VARCHAR`, parsed.

T, U, K, V          any type, the same everywhere in the signature
T cmp               a type with an order: numbers, VARCHAR, BYTES, DATE, TIME, TIMESTAMP, BOOLEAN
D                   any decimal; several D parameters take the decimal that holds them all
DECIMAL(p, s)       this decimal
ARRAY<T>, MAP<K, V>, STRUCT<A INTEGER, `b` VARCHAR>
[unit VARCHAR]      an optional parameter; nothing but optional ones may follow
x VARCHAR...        zero or more arguments; only one parameter of a signature, a scalar's last
f (T, U) => V       a lambda of one to three parameters
unit UNIT           a bare time unit
n INTEGER literal   must be a literal (aggregates' parameters)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from streamsql.types import (
    BYTES,
    PRIMITIVES,
    VARCHAR,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
    is_numeric,
    walk,
)

ORDERED = frozenset(t for name, t in PRIMITIVES.items())
"""Primitive types with an order; decimals have one too."""


@dataclass(frozen=True, slots=True)
class Variable(SqlType):
    """A type variable. `D` stands for decimals only.

    ordered  it stands for types with an order only; so written in one place, the others follow
    """

    name: str
    ordered: bool = False

    def __str__(self) -> str:
        return f"{self.name} cmp" if self.ordered else self.name

    @property
    def is_decimal(self) -> bool:
        return self.name == "D"

    def admits(self, t: SqlType) -> bool:
        """Whether the variable may stand for `t`."""
        if self.is_decimal:
            return isinstance(t, Decimal)
        return not self.ordered or t in ORDERED or is_numeric(t)


@dataclass(frozen=True, slots=True)
class Lambda(SqlType):
    """A lambda's parameter types and the type of its body."""

    parameters: tuple[SqlType, ...]
    body: SqlType

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.parameters))}) => {self.body}"


@dataclass(frozen=True, slots=True)
class Unit(SqlType):
    """A bare time unit, such as DAYS."""

    def __str__(self) -> str:
        return "UNIT"


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: SqlType
    is_variadic: bool = False
    is_optional: bool = False
    is_literal: bool = False

    def __str__(self) -> str:
        text = f"{self.name} {self.type}"
        text += "..." if self.is_variadic else ""
        text += " literal" if self.is_literal else ""
        return f"[{text}]" if self.is_optional else text


@dataclass(frozen=True, slots=True)
class Signature:
    parameters: tuple[Parameter, ...]
    result: SqlType

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.parameters))}) -> {self.result}"

    @property
    def is_variadic(self) -> bool:
        return any(p.is_variadic for p in self.parameters)

    @property
    def variable_count(self) -> int:
        """How many parameters mention a type variable: the fewer, the more concrete.

        D is as concrete as INTEGER: it stands for one family of types.
        """
        return sum(
            any(isinstance(t, Variable) and not t.is_decimal for t in parts_of(p.type))
            for p in self.parameters
        )

    def arranged(self, count: int) -> tuple[Parameter, ...] | None:
        """The parameter of each of `count` arguments, or None if the signature does not take so many."""
        required = sum(not p.is_optional and not p.is_variadic for p in self.parameters)
        if self.is_variadic:
            repeat = count - (len(self.parameters) - 1)
            if repeat < 0:
                return None
            return tuple(p for p in self.parameters for _ in range(repeat if p.is_variadic else 1))
        if not required <= count <= len(self.parameters):
            return None
        return self.parameters[:count]


def parts_of(t: SqlType) -> list[SqlType]:
    """The type and all types in it, those of a lambda included."""
    if isinstance(t, Lambda):
        return [inner for part in (*t.parameters, t.body) for inner in walk(part)]
    return list(walk(t))


@cache
def parse_signature(text: str, *, folds_names: bool = False) -> Signature:
    """The signature that `text` writes.

    folds_names  names of STRUCT fields are in upper case unless in backticks, as everywhere in SQL
    raises  ValueError naming the text and the place, for a signature that does not read

    >>> str(parse_signature("(a BYTES, [n INT], b BYTES) -> INT"))
    Traceback (most recent call last):
    ValueError: signature '(a BYTES, [n INT], b BYTES) -> INT': b follows an optional parameter
    >>> str(parse_signature("(a ARRAY<T>, f (T) => U, x T...) -> MAP<STRING, U>"))
    '(a ARRAY<T>, f (T) => U, x T...) -> MAP<VARCHAR, U>'
    """
    return _Reader(text, folds_names).signature()


_TOKEN = re.compile(r"\s*(->|=>|\.\.\.|`[^`]+`|\w+|[()<>\[\],])")
_VARIABLE = re.compile(r"[A-Z][0-9]?")
_SYNONYMS = {"STRING": VARCHAR, "INT": PRIMITIVES["INTEGER"], "BINARY": BYTES}


class _Reader:
    """A recursive-descent reader of one signature."""

    def __init__(self, text: str, folds_names: bool) -> None:
        self.text = text
        self.folds_names = folds_names
        self.tokens = [m.group(1) for m in _TOKEN.finditer(text)]
        self.place = 0
        if "".join(self.tokens) != re.sub(r"\s+", "", text):
            raise self.error("unreadable characters")

    def error(self, what: str) -> ValueError:
        return ValueError(f"signature {self.text!r}: {what}")

    def peek(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, *expected: str) -> str:
        token = self.peek()
        if not token or (expected and token not in expected):
            raise self.error(f"{' or '.join(expected) or 'more'} expected, found {token or 'the end'}")
        self.place += 1
        return token

    def skip(self, token: str) -> bool:
        """Take the token if it comes next."""
        if self.peek() != token:
            return False
        self.place += 1
        return True

    def signature(self) -> Signature:
        parameters: list[Parameter] = []
        self.take("(")
        while not self.skip(")"):
            parameters.append(self.parameter())
            if self.peek() != ")":
                self.take(",")
        self.take("->")
        result = self.type()
        if self.peek():
            raise self.error(f"{self.peek()} after the result type")
        self.check(parameters)
        return Signature(tuple(parameters), result)

    def check(self, parameters: list[Parameter]) -> None:
        names = [p.name for p in parameters]
        if len(set(names)) != len(names):
            raise self.error("two parameters of one name")
        if sum(p.is_variadic for p in parameters) > 1:
            raise self.error("two variadic parameters")
        for before, after in zip(parameters, parameters[1:], strict=False):
            if before.is_optional and not after.is_optional:
                raise self.error(f"{after.name} follows an optional parameter")
        if any(p.is_variadic for p in parameters) and any(p.is_optional for p in parameters):
            raise self.error("variadic and optional parameters in one signature")

    def parameter(self) -> Parameter:
        is_optional = self.skip("[")
        name = self.take()
        t = self.lambda_type() if self.peek() == "(" else self.type()
        is_variadic = self.skip("...")
        is_literal = self.skip("literal")
        if is_optional:
            self.take("]")
        return Parameter(name, t, is_variadic, is_optional, is_literal)

    def lambda_type(self) -> Lambda:
        self.take("(")
        parameters = [self.type()]
        while self.skip(","):
            parameters.append(self.type())
        self.take(")")
        self.take("=>")
        if len(parameters) > 3:
            raise self.error("a lambda has at most three parameters")
        return Lambda(tuple(parameters), self.type())

    def type(self) -> SqlType:
        word = self.take().upper()
        if word == "UNIT":
            return Unit()
        if word == "ARRAY":
            self.take("<")
            element = self.type()
            self.take(">")
            return Array(element)
        if word == "MAP":
            self.take("<")
            key = self.type()
            self.take(",")
            value = self.type()
            self.take(">")
            return Map(key, value)
        if word == "STRUCT":
            return self.struct()
        if word == "DECIMAL":
            self.take("(")
            precision = self.number()
            self.take(",")
            scale = self.number()
            self.take(")")
            return Decimal(precision, scale)
        if _VARIABLE.fullmatch(word):
            return Variable(word, self.skip("cmp"))
        found = PRIMITIVES.get(word) or _SYNONYMS.get(word)
        if found is None:
            raise self.error(f"no type {word}")
        return found

    def number(self) -> int:
        word = self.take()
        if not word.isdigit():
            raise self.error(f"{word} is not a number")
        return int(word)

    def struct(self) -> Struct:
        fields: list[tuple[str, SqlType]] = []
        self.take("<")
        while not self.skip(">"):
            name = self.take()
            bare = name.strip("`")
            fields.append((bare.upper() if self.folds_names and bare == name else bare, self.type()))
            if self.peek() != ">":
                self.take(",")
        return Struct(tuple(fields))
