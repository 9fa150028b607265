"""Functions of texts; MASK stands in masks.py, encodings in binary.py, patterns in regexp.py.

Positions and lengths count characters (code points). ksqlDB counts UTF-16 units, so a character past
U+FFFF, an emoji, is one here and two there; half of such a pair is no text that could be stored.
"""

from __future__ import annotations

import re

import pyarrow as pa

from streamsql.distinct import Column, Vector, each_distinct
from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import DataError
from streamsql.functions.arrow import with_arity
from streamsql.functions.call import literal_integer
from streamsql.functions.maps import last_wins
from streamsql.functions.registry import BoundCall, Scalar
from streamsql.sqltext import literal_text

# Not the place of a computed argument, whose name begins with $: see `call.Places`.
_COLUMN = re.compile(r'"(?!\$)(?:[^"]|"")+"').fullmatch

# Cases and spaces ---------------------------------------------------------------------------------------

# DuckDB's trim(text, characters) builds a set per row: eight times slower.
_TRIM = r"regexp_replace({text}, '^[\x00-\x20]+|[\x00-\x20]+$', '', 'g')"


def upper(sql: str) -> str:
    """Upper case; DuckDB maps single characters only, and Java writes the one common exception SS."""
    return f"upper({_replaced(sql, 'ß', 'SS')})"


def lower(sql: str) -> str:
    """Lower case; the dotted capital I is the one character whose small form is two."""
    return f"lower({_replaced(sql, 'İ', 'i̇')})"


def _replaced(sql: str, rare: str, by: str) -> str:
    """The text with a rare character replaced: seeing that it is not there is cheaper than a copy."""
    replaced = f"replace({sql}, '{rare}', '{by}')"
    # Anything but a column would be computed several times.
    return f"CASE WHEN contains({sql}, '{rare}') THEN {replaced} ELSE {sql} END" if _COLUMN(sql) else replaced


# RE2's \s has no vertical tab, Java's has.
_SPACE = r"\t\n\x0B\f\r "
_WORDS = f"regexp_extract_all({{}}, '[^{_SPACE}]+[{_SPACE}]*')"
_CAPITAL = upper('"$word"[1]')
_INITCAP = (
    f"array_to_string(list_transform({_WORDS.format(lower('{text}'))}, "
    f'lambda "$word": {_CAPITAL} || "$word"[2:]), \'\')'
)


# Single characters --------------------------------------------------------------------------------------

# UTF-16 halves, U+D800 to U+DFFF, are no characters by themselves.
_CHR = "CASE WHEN {code} BETWEEN 0 AND 55295 OR {code} BETWEEN 57344 AND 1114111 THEN chr({code}) END"

_ESCAPE = re.compile(r"\\(?:u+([0-9a-fA-F]{4})|([0-3]?[0-7]{1,2})|(u+)|(.?))", re.DOTALL)
_SHORT_ESCAPES = {"b": "\b", "n": "\n", "t": "\t", "f": "\f", "r": "\r"}


def unescape(text: str) -> str | None:
    r"""The text with Java's escapes resolved, or None if it does not begin with one.

    raises  DataError for a \u without four hexadecimal digits

    >>> unescape(r"\u004B\ud83d\ude00"), unescape("K")
    ('K😀', None)
    """
    if len(text) < 6 or not text.startswith("\\u"):
        return None

    def one(match: re.Match[str]) -> str:
        unit, octal, broken, short = match.groups()
        if broken:
            raise DataError(f"cannot read the escape at position {match.start() + 1} of '{text}'")
        if unit:
            return chr(int(unit, 16))
        return chr(int(octal, 8)) if octal else _SHORT_ESCAPES.get(short, short)

    units = _ESCAPE.sub(one, text).encode("utf-16-le", "surrogatepass")
    return units.decode("utf-16-le", "replace")


def _unescape_all(texts: Column) -> Vector:
    return each_distinct(unescape, pa.string(), texts)


# Searching ----------------------------------------------------------------------------------------------


def find(text: str | None, part: str | None, position: int | None, occurrence: int | None) -> int | None:
    """Place, from 1, of an occurrence of `part`; 0 if there is none.

    position    where to begin, from 1; negative: so many characters from the end, going backwards; 0
                looks at the last character only
    occurrence  which one, from 1; occurrences may overlap

    >>> find("hellohello", "l", 5, 2), find("hellohello", "l", -3, 1), find("aaa", "aa", 1, 2)
    (9, 8, 2)
    """
    if position is None or occurrence is None:
        return None
    if text is None or part is None or abs(position) > len(text) or occurrence < 1:
        return 0
    if position < 0:
        at = len(text) + position
        for _ in range(occurrence):
            # A match begins at `at` or before it.
            found = text.rfind(part, 0, at + len(part)) if at >= 0 else -1
            if found < 0:
                return 0
            at = found - 1
        return found + 1
    at = position - 1 if position else max(len(text) - 1, 0)
    for _ in range(occurrence):
        found = text.find(part, at)
        if found < 0:
            return 0
        at = found + 1
    return found + 1


def _find_all(texts: Column, parts: Column, positions: Column, *occurrences: Column) -> Vector:
    # A Python loop over rows: searching backwards and for the n-th match is not in DuckDB, and a text
    # with its part seldom comes twice.
    columns = [c.to_pylist() for c in (texts, parts, positions, *occurrences)]
    if not occurrences:
        columns.append([1] * len(texts))
    return pa.array(map(find, *columns), pa.int32())


def _instr(call: BoundCall) -> ArrowFunction:
    arguments = ("VARCHAR", "VARCHAR", "INTEGER", "INTEGER")[: len(call.arguments)]
    run = with_arity(_find_all, len(arguments))
    return ArrowFunction(f"ksql_instr_{len(arguments)}", arguments, "INTEGER", run)


def _field(call: BoundCall) -> str:
    wanted = call.arguments["wanted"]
    if not call.variadic:
        return "CAST(0 AS INTEGER)"
    # list_position finds a null too, which a null text must not.
    place = f"list_position([{', '.join(call.variadic)}], {wanted})"
    return f"CASE WHEN {wanted} IS NULL THEN 0 ELSE CAST(coalesce({place}, 0) AS INTEGER) END"


# Taking apart and putting together ----------------------------------------------------------------------


def _elt(call: BoundCall) -> str:
    if not call.variadic:
        return "CAST(NULL AS VARCHAR)"
    n = call.arguments["n"]
    return f"CASE WHEN {n} > 0 THEN list_extract([{', '.join(call.variadic)}], {n}) END"


def _concat(call: BoundCall) -> str:
    return f"concat({', '.join(call.variadic)})" if call.variadic else "''"


def _concat_bytes(call: BoundCall) -> str:
    empty = "CAST('' AS BLOB)"
    return " || ".join(f"coalesce({x}, {empty})" for x in call.variadic) or empty


def _concat_ws(call: BoundCall) -> str:
    a = call.arguments
    return f"concat_ws({', '.join((a['separator'], a['first'], *call.variadic))})"


def _concat_ws_bytes(call: BoundCall) -> str:
    """DuckDB's concat_ws knows texts only: the items that are there are joined two by two."""
    a = call.arguments
    given = ", ".join((a["first"], *call.variadic))
    items = f'list_filter([{given}], lambda "$item": "$item" IS NOT NULL)'
    joined = f'list_reduce({items}, lambda "$done", "$item": "$done" || {a["separator"]} || "$item")'
    return (
        f"CASE WHEN {a['separator']} IS NULL THEN NULL WHEN len({items}) = 0 THEN CAST('' AS BLOB)"
        f" ELSE {joined} END"
    )


def _replace(call: BoundCall) -> str:
    """An empty text to replace stands before, between and after all characters; DuckDB ignores it."""
    text, old, new = (call.arguments[n] for n in ("text", "old", "new"))
    replaced = f"replace({text}, {old}, {new})"
    if literal_text(old):
        return replaced
    everywhere = f"regexp_replace({text}, '', replace({new}, '\\', '\\\\'), 'g')"
    return f"CASE WHEN {old} = '' THEN {everywhere} ELSE {replaced} END"


def _split_bytes(value: bytes, delimiter: bytes) -> list[bytes]:
    if delimiter:
        return value.split(delimiter)
    return [value[i : i + 1] for i in range(len(value))] or [b""]


def _split_all_bytes(values: Column, delimiters: Column) -> Vector:
    return each_distinct(_split_bytes, pa.list_(pa.binary()), values, delimiters)


def _split_to_map(call: BoundCall) -> str:
    text, between, inside = (call.arguments[n] for n in ("text", "entry_delimiter", "key_value_delimiter"))
    entries = f'list_filter(string_split({text}, {between}), lambda "$e": contains("$e", {inside}))'
    parts = f'list_transform({entries}, lambda "$e": string_split("$e", {inside}))'
    pairs = f'list_transform({parts}, lambda "$e": {{\'key\': "$e"[1], \'value\': "$e"[2]}})'
    usable = f"{between} <> '' AND {inside} <> '' AND {between} <> {inside}"
    return f"CASE WHEN {usable} THEN {last_wins(pairs)} END"


_BEGIN = (
    "CASE WHEN {position} < 0 THEN greatest({length} + {position} + 1, 1)"
    " WHEN {position} = 0 THEN 1 ELSE {position} END"
)


def _substring(call: BoundCall) -> str:
    """Java's substring, clamped at both ends; DuckDB counts a length from before the start otherwise."""
    text, position, length = (call.arguments.get(n) for n in ("text", "position", "length"))
    assert text is not None and position is not None
    begin = position
    if (literal_integer(position) or 0) <= 0:
        begin = _BEGIN.format(position=position, length=f"length({text})")
    if length is None:
        return f"substring({text}, {begin})"
    if (literal_integer(length) or -1) < 0:
        length = f"CASE WHEN {length} < 0 THEN 0 ELSE {length} END"
    return f"substring({text}, {begin}, {length})"


def _substring_bytes(call: BoundCall) -> str:
    value, position, length = (call.arguments.get(n) for n in ("value", "position", "length"))
    begin = _BEGIN.format(position=position, length=f"octet_length({value})")
    if length is None:
        return f"array_slice({value}, {begin}, octet_length({value}))"
    wanted = f"CASE WHEN {length} < 0 THEN 0 ELSE {length} END"
    end = f"CAST({begin} AS BIGINT) + {wanted} - 1"
    # array_slice takes an end of 0 for none given, so nothing is asked for by name.
    return (
        f"CASE WHEN {length} <= 0 AND {position} IS NOT NULL AND {value} IS NOT NULL THEN CAST('' AS BLOB)"
        f" ELSE array_slice({value}, {begin}, {end}) END"
    )


def _pad_bytes(side: str) -> str:
    """LPAD or RPAD of bytes, which DuckDB has for texts only."""
    missing = "({size} - octet_length({value}))"
    repeated = f"repeat({{pad}}, {missing} // octet_length({{pad}}) + 1)"
    padding = f"array_slice({repeated}, 1, {missing})"
    padded = f"{padding} || {{value}}" if side == "left" else f"{{value}} || {padding}"
    return (
        "CASE WHEN {size} < 0 OR octet_length({pad}) = 0 OR {pad} IS NULL THEN NULL"
        " WHEN {size} = 0 AND {value} IS NOT NULL THEN CAST('' AS BLOB)"
        " WHEN octet_length({value}) >= {size} THEN array_slice({value}, 1, {size})"
        f" ELSE {padded} END"
    )


# Rows ---------------------------------------------------------------------------------------------------


def _pads(name: str, side: str, example: str, gives: str) -> tuple[Scalar, Scalar]:
    says = f"The value made exactly so long: padded on the {side}, or cut to its first part."
    return (
        Scalar(
            name,
            "(text VARCHAR, size INTEGER, pad VARCHAR) -> VARCHAR",
            says,
            sql="CASE WHEN {size} >= 0 AND {pad} <> ''"
            f" THEN {name.lower()}({{text}}, {{size}}, {{pad}}) END",
            example=example,
            gives=gives,
        ),
        Scalar(
            name,
            "(value BYTES, size INTEGER, pad BYTES) -> BYTES",
            says,
            sql=_pad_bytes(side),
            example=f"FROM_BYTES({name}(TO_BYTES('a', 'utf8'), 3, TO_BYTES('xy', 'utf8')), 'utf8')",
            gives="xya" if side == "left" else "axy",
        ),
    )


_CONCAT = "The arguments one after another; nulls are skipped."
_CONCAT_WS = "The arguments after the first, with the first between them; nulls are skipped."
_INSTR = "The place of a part in a text, from 1, or 0; searched from a position on, negative: backwards."
_SUBSTRING = "A part of the value from a position on, from 1 (negative: from the end), at most so long."
_SPLIT = "The pieces between a delimiter, all of them; single characters or bytes if the delimiter is empty."
_UUID_PART = "lower(hex({value}))"

STRINGS: tuple[Scalar, ...] = (
    Scalar(
        "CHR",
        "(code INTEGER) -> VARCHAR",
        "The character with a Unicode code point; null if there is none.",
        sql=_CHR,
        example="CHR(75)",
        gives="K",
    ),
    Scalar(
        "CHR",
        "(escaped VARCHAR) -> VARCHAR",
        "The characters of one or more \\uXXXX escapes; null for a text that does not begin with one.",
        python=lambda call: ArrowFunction("ksql_chr", ("VARCHAR",), "VARCHAR", _unescape_all),
        can_fail=True,
        example="CHR('\\u004B')",
        gives="K",
    ),
    Scalar(
        "CONCAT",
        "(parts VARCHAR...) -> VARCHAR",
        _CONCAT,
        sql=_concat,
        example="CONCAT('a', CAST(NULL AS VARCHAR), 'b')",
        gives="ab",
    ),
    Scalar(
        "CONCAT",
        "(parts BYTES...) -> BYTES",
        _CONCAT,
        sql=_concat_bytes,
        example="FROM_BYTES(CONCAT(TO_BYTES('a', 'utf8'), TO_BYTES('b', 'utf8')), 'utf8')",
        gives="ab",
    ),
    Scalar(
        "CONCAT_WS",
        "(separator VARCHAR, first VARCHAR, others VARCHAR...) -> VARCHAR",
        _CONCAT_WS,
        sql=_concat_ws,
        example="CONCAT_WS(', ', 'apple', CAST(NULL AS VARCHAR), 'pear')",
        gives="apple, pear",
    ),
    Scalar(
        "CONCAT_WS",
        "(separator BYTES, first BYTES, others BYTES...) -> BYTES",
        _CONCAT_WS,
        sql=_concat_ws_bytes,
        example="FROM_BYTES(CONCAT_WS(TO_BYTES('-', 'utf8'), TO_BYTES('a', 'utf8'), TO_BYTES('b', 'utf8')),"
        " 'utf8')",
        gives="a-b",
    ),
    Scalar(
        "ELT",
        "(n INTEGER, choices VARCHAR...) -> VARCHAR",
        "The n-th of the choices, from 1; null if there is none.",
        sql=_elt,
        example="ELT(2, 'a', 'b', 'c')",
        gives="b",
    ),
    Scalar(
        "FIELD",
        "(wanted VARCHAR, choices VARCHAR...) -> INTEGER",
        "The place of a text among the choices, from 1; 0 if it is none of them or null.",
        sql=_field,
        example="FIELD('b', 'a', 'b', 'c')",
        gives="2",
    ),
    Scalar(
        "INITCAP",
        "(text VARCHAR) -> VARCHAR",
        "The text in lower case with every word's first letter in upper case.",
        sql=_INITCAP,
        example="INITCAP('hello wORLD')",
        gives="Hello World",
    ),
    Scalar(
        "INSTR",
        "(text VARCHAR, part VARCHAR) -> INTEGER",
        _INSTR,
        sql="CAST(coalesce(CASE WHEN {text} <> '' THEN instr({text}, {part}) END, 0) AS INTEGER)",
        example="INSTR('CORPORATE FLOOR', 'OR')",
        gives="2",
    ),
    Scalar(
        "INSTR",
        "(text VARCHAR, part VARCHAR, position INTEGER, [occurrence INTEGER]) -> INTEGER",
        _INSTR,
        python=_instr,
        example="INSTR('CORPORATE FLOOR', 'OR', 3, 2)",
        gives="14",
    ),
    Scalar(
        "LCASE",
        "(text VARCHAR) -> VARCHAR",
        "The text in lower case.",
        sql=lambda call: lower(call.arguments["text"]),
        example="LCASE('Hello')",
        gives="hello",
    ),
    Scalar(
        "LEN",
        "(text VARCHAR) -> INTEGER",
        "The number of characters.",
        sql="CAST(length({text}) AS INTEGER)",
        example="LEN('hello')",
        gives="5",
    ),
    Scalar(
        "LEN",
        "(value BYTES) -> INTEGER",
        "The number of bytes.",
        sql="CAST(octet_length({value}) AS INTEGER)",
        example="LEN(TO_BYTES('é', 'utf8'))",
        gives="2",
    ),
    *_pads("LPAD", "left", "LPAD('7', 3, '0')", "007"),
    Scalar(
        "MD5",
        "(text VARCHAR) -> VARCHAR",
        "The MD5 digest of the text's UTF-8 bytes, in lower-case hexadecimal.",
        sql="md5({text})",
        example="MD5('ksql')",
        gives="a8f30e0ce6998ea8a05c9c63c13e156c",
    ),
    Scalar(
        "REPLACE",
        "(text VARCHAR, old VARCHAR, new VARCHAR) -> VARCHAR",
        "The text with every occurrence of one part replaced by another.",
        sql=_replace,
        example="REPLACE('a-b-c', '-', '+')",
        gives="a+b+c",
    ),
    *_pads("RPAD", "right", "RPAD('7', 3, '0')", "700"),
    Scalar(
        "SPLIT",
        "(text VARCHAR, delimiter VARCHAR) -> ARRAY<VARCHAR>",
        _SPLIT,
        # DuckDB takes a null delimiter for one that is not there; an empty one finds nothing in "" there.
        sql="CASE WHEN {delimiter} IS NULL THEN NULL WHEN {text} = '' THEN [''] "
        "ELSE string_split({text}, {delimiter}) END",
        example="SPLIT('a,b,,c', ',')",
        gives="[a, b, , c]",
    ),
    Scalar(
        "SPLIT",
        "(value BYTES, delimiter BYTES) -> ARRAY<BYTES>",
        _SPLIT,
        python=lambda call: ArrowFunction("ksql_split_bytes", ("BLOB", "BLOB"), "BLOB[]", _split_all_bytes),
        example="ARRAY_LENGTH(SPLIT(TO_BYTES('a,b', 'utf8'), TO_BYTES(',', 'utf8')))",
        gives="2",
    ),
    Scalar(
        "SPLIT_TO_MAP",
        "(text VARCHAR, entry_delimiter VARCHAR, key_value_delimiter VARCHAR) -> MAP<VARCHAR, VARCHAR>",
        "A map from a text of delimited entries; entries without a value are ignored, later ones win.",
        sql=_split_to_map,
        example="SPLIT_TO_MAP('apple:green/cherry:red', '/', ':')",
        gives="{apple=green, cherry=red}",
    ),
    Scalar(
        "SUBSTRING",
        "(text VARCHAR, position INTEGER, [length INTEGER]) -> VARCHAR",
        _SUBSTRING,
        sql=_substring,
        example="SUBSTRING('stream', 2, 3)",
        gives="tre",
    ),
    Scalar(
        "SUBSTRING",
        "(value BYTES, position INTEGER, [length INTEGER]) -> BYTES",
        _SUBSTRING,
        sql=_substring_bytes,
        example="FROM_BYTES(SUBSTRING(TO_BYTES('stream', 'utf8'), -3), 'utf8')",
        gives="eam",
    ),
    Scalar(
        "TRIM",
        "(text VARCHAR) -> VARCHAR",
        "The text without spaces and control characters at its ends.",
        sql=_TRIM,
        example="TRIM('  hello ')",
        gives="hello",
    ),
    Scalar(
        "UCASE",
        "(text VARCHAR) -> VARCHAR",
        "The text in upper case.",
        sql=lambda call: upper(call.arguments["text"]),
        example="UCASE('Hello')",
        gives="HELLO",
    ),
    Scalar(
        "UUID",
        "() -> VARCHAR",
        "A random UUID, another one for every row.",
        sql="CAST(uuid() AS VARCHAR)",
        volatile=True,
        example="LEN(UUID())",
        gives="36",
    ),
    Scalar(
        "UUID",
        "(value BYTES) -> VARCHAR",
        "The UUID of 16 bytes; null for any other number of bytes.",
        sql=f"CASE WHEN octet_length({{value}}) = 16 THEN CAST(CAST({_UUID_PART} AS UUID) AS VARCHAR) END",
        example="UUID(TO_BYTES('6bd28b7e25a94d35a3b1f2a7b1a3c0de', 'hex'))",
        gives="6bd28b7e-25a9-4d35-a3b1-f2a7b1a3c0de",
    ),
)
