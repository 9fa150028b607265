"""JSON texts read and written without touching numbers: 1.50 stays 1.50, 10^30 keeps all its digits.

Strict: no trailing comma, no NaN, no comment. Of a name that an object holds twice the last one counts.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from streamsql.errors import DataError

_ESCAPES = {chr(code): f"\\u{code:04X}" for code in range(32)} | {
    **{'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
}
_TRANSLATION = str.maketrans(_ESCAPES)


class Number(str):
    """A number's text."""

    __slots__ = ()


class Integer(Number):
    """The text of a number without fraction and exponent."""

    __slots__ = ()


class Missing:
    """What a path leads to that is not there; null is something else."""


MISSING = Missing()


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _integer(text: str) -> Integer:
    return Integer("0" if text == "-0" else text)


def loads(text: str) -> Any:
    """Dicts, lists, texts, bools, None, and Numbers.

    raises  DataError if the text is no JSON
    """
    try:
        return json.loads(text, parse_float=Number, parse_int=_integer, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the text is no JSON: {error}") from error


def dumps(value: Any) -> str:
    """Compact JSON.

    >>> dumps(loads('{"a": [1.50, null, "b"]}'))
    '{"a":[1.50,null,"b"]}'
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Number():
            return str(value)
        case str():
            return quoted(value)
        case list():
            return f"[{','.join(map(dumps, value))}]"
    return "{" + ",".join(f"{quoted(name)}:{dumps(inner)}" for name, inner in value.items()) + "}"


def quoted(text: str) -> str:
    """A text as a JSON string."""
    return '"' + text.translate(_TRANSLATION) + '"'


def text_of(value: Any) -> str:
    """A JSON value as text: strings bare, all else as JSON."""
    return value if isinstance(value, str) else dumps(value)


@lru_cache(maxsize=1024)
def path_tokens(path: str) -> tuple[str, ...]:
    r"""The steps of a path such as `$.name[0]["any \"name\""]`.

    raises  DataError if it is no path
    """
    if not path.startswith("$"):
        raise _bad_path(path, 0)
    tokens: list[str] = []
    at = 1
    while at < len(path):
        if path[at] == ".":
            end = _bare(path, at + 1, ":@")
            tokens.append(path[at + 1 : end])
            at = end
        elif path.startswith('["', at):
            token, at = _quoted(path, at + 2)
            tokens.append(token)
        elif path[at] == "[":
            end = _bare(path, at + 1, "")
            tokens.append(path[at + 1 : end])
            if path[end : end + 1] != "]":
                raise _bad_path(path, end)
            at = end + 1
        else:
            raise _bad_path(path, at)
    return tuple(tokens)


def _bare(path: str, start: int, also: str) -> int:
    """Where a name without quotes ends."""
    end = start
    while end < len(path) and (path[end].isalnum() or path[end] == "_" or path[end] in also):
        end += 1
    if end == start:
        raise _bad_path(path, start)
    return end


def _quoted(path: str, at: int) -> tuple[str, int]:
    """A name up to its closing `"]`, and where the path goes on."""
    name = ""
    while at < len(path):
        char = path[at]
        if char == "\\":
            char = path[at + 1 : at + 2]
            if char not in ('"', "\\"):
                raise _bad_path(path, at)
            at += 1
        elif char == '"':
            if path[at + 1 : at + 2] != "]":
                raise _bad_path(path, at + 1)
            return name, at + 2
        name += char
        at += 1
    raise _bad_path(path, at)


def _bad_path(path: str, at: int) -> DataError:
    return DataError(f"'{path}' is no JSON path, at character {at + 1}")


def follow(value: Any, tokens: tuple[str, ...]) -> Any:
    """What a path leads to, or MISSING: a name in an object, a number in an array."""
    for token in tokens:
        if isinstance(value, list):
            if not (token.isascii() and token.isdigit()) or int(token) >= len(value):
                return MISSING
            value = value[int(token)]
        elif isinstance(value, dict) and token in value:
            value = value[token]
        else:
            return MISSING
    return value
