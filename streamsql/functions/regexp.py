"""Functions of Java regular expressions.

A literal pattern that RE2 reads as Java does runs in DuckDB. Other patterns, and rows for which RE2 does
not say enough, take Python's re over distinct values.
"""

from __future__ import annotations

import re

import pyarrow as pa

from streamsql.distinct import Column, Vector, each_distinct
from streamsql.engine.kernel import ArrowFunction
from streamsql.errors import DataError
from streamsql.functions.java_regex import Regex, compile_regex, replacement
from streamsql.functions.registry import BoundCall, Fragment, Scalar
from streamsql.sqltext import literal_text, once
from streamsql.types import duckdb_string

_GROUPS_AT_ONCE = 4
"""RE2's quick way to captures ends at four groups."""


# Exact, in Python ----------------------------------------------------------------------------------------


def extract(pattern: str, text: str, group: int) -> str | None:
    """The group of the first match; None without a match, or if the group is not there or took no part."""
    regex = compile_regex(pattern)
    if not _is_group(regex, group):
        return None
    match = regex.python.search(text)
    return match[group] if match else None


def extract_all(pattern: str, text: str, group: int) -> list[str | None] | None:
    """The group of every match; None if there is no such group."""
    regex = compile_regex(pattern)
    if not _is_group(regex, group):
        return None
    return [match[group] for match in regex.python.finditer(text)]


def _is_group(regex: Regex, group: int) -> bool:
    if group < 0:
        raise DataError(f"the group of a regular expression cannot be {group}")
    return group <= regex.group_count


def replace_all(text: str, pattern: str, new: str) -> str:
    """Every match replaced."""
    regex = compile_regex(pattern)
    return regex.python.sub(replacement(new, regex).of, text)


def split(text: str, pattern: str) -> list[str]:
    """The pieces between the matches.

    Of a pattern that can match nothing, as Java's String.split does it: no empty piece at the start for
    a match of nothing, none at the end at all.
    """
    regex = compile_regex(pattern)
    pieces: list[str] = []
    start = 0
    may_be_empty = regex.translation.is_nullable and regex.python.fullmatch("") is not None
    for match in regex.python.finditer(text):
        if may_be_empty and match.end() == 0:
            continue
        pieces.append(text[start : match.start()])
        start = match.end()
    pieces.append(text[start:])
    if may_be_empty and len(pieces) > 1:
        while pieces and not pieces[-1]:
            pieces.pop()
    return pieces


def _extracts(patterns: Column, texts: Column, groups: Column) -> Vector:
    return each_distinct(extract, pa.string(), patterns, texts, groups)


def _extracts_all(patterns: Column, texts: Column, groups: Column) -> Vector:
    return each_distinct(extract_all, pa.list_(pa.string()), patterns, texts, groups)


def _replaces(texts: Column, patterns: Column, news: Column) -> Vector:
    return each_distinct(replace_all, pa.string(), texts, patterns, news)


def _splits(texts: Column, patterns: Column) -> Vector:
    return each_distinct(split, pa.list_(pa.string()), texts, patterns)


_EXTRACT = ArrowFunction("java_regexp_extract", ("VARCHAR", "VARCHAR", "INTEGER"), "VARCHAR", _extracts)
_EXTRACT_ALL = ArrowFunction(
    "java_regexp_extract_all", ("VARCHAR", "VARCHAR", "INTEGER"), "VARCHAR[]", _extracts_all
)
_REPLACE = ArrowFunction("java_regexp_replace", ("VARCHAR",) * 3, "VARCHAR", _replaces)
_SPLIT = ArrowFunction("java_regexp_split", ("VARCHAR",) * 2, "VARCHAR[]", _splits)


# In DuckDB -----------------------------------------------------------------------------------------------


def _literal_group(sql: str | None) -> int | None:
    """The number of a group given as a literal, 0 if it is not given, None if it is no literal."""
    if sql is None:
        return 0
    match = re.fullmatch(r"(?:CAST\()?(\d{1,9})(?: AS INTEGER\))?", sql.strip())
    return int(match[1]) if match else None


def _guarded(regex: Regex, text: str, quick: str, exact: str) -> str:
    """`quick`, but `exact` where the pattern has a `$` and the text a line end at its end."""
    if not regex.translation.has_end:
        return quick
    ends = "chr(10), chr(13), chr(133), chr(8232), chr(8233)"
    return f"CASE WHEN right({text}, 1) IN ({ends}) THEN {exact} ELSE {quick} END"


def _captured(regex: Regex, text: str, group: int) -> str | None:
    """The group's text, '' without a match; or None if RE2 cannot say it.

    Groups are captured four at a time, so that DuckDB computes those of one pattern together when
    several are asked for.
    """
    if group == 0 or regex.group_count == 1:
        pattern = regex.re2(frozenset({group}))
        return None if pattern is None else f"regexp_extract({text}, {duckdb_string(pattern)}, {group})"
    first = (group - 1) // _GROUPS_AT_ONCE * _GROUPS_AT_ONCE + 1
    wanted = range(first, min(first + _GROUPS_AT_ONCE, regex.group_count + 1))
    pattern = regex.re2(frozenset(wanted))
    if pattern is None:
        return None
    names = ", ".join(f"'{number}'" for number in wanted)
    return f"struct_extract(regexp_extract({text}, {duckdb_string(pattern)}, [{names}]), '{group}')"


def _extract(call: BoundCall) -> Fragment:
    text, pattern = call.arguments["text"], call.arguments["pattern"]
    exact = Fragment(
        f"java_regexp_extract({pattern}, {text}, {call.arguments.get('group', '0')})", (_EXTRACT,), True
    )
    known, group = literal_text(pattern), _literal_group(call.arguments.get("group"))
    if known is None:
        return exact
    regex = compile_regex(known)
    if group is None:
        return exact
    if group > regex.group_count:
        return Fragment("CAST(NULL AS VARCHAR)", (), False)
    captured = _captured(regex, text, group)
    if captured is None:
        return exact
    info = regex.translation.groups[group - 1] if group else None
    if not (info.is_nullable if info else regex.translation.is_nullable):
        # The group is never empty: '' says that there is no match, or none of the group.
        quick = f"nullif({captured}, '')"
    else:
        matches = f"regexp_matches({text}, {duckdb_string(regex.re2() or '')})"
        empty = exact.sql if info and info.is_optional else "''"
        quick = once(
            captured,
            lambda found: f"CASE WHEN {found} <> '' THEN {found} WHEN {matches} THEN {empty} END",
        )
    sql = _guarded(regex, text, quick, exact.sql)
    needs_exact = "java_regexp_extract" in sql
    return Fragment(sql, (_EXTRACT,) if needs_exact else (), needs_exact)


def _extract_all(call: BoundCall) -> Fragment:
    text, pattern = call.arguments["text"], call.arguments["pattern"]
    exact = Fragment(
        f"java_regexp_extract_all({pattern}, {text}, {call.arguments.get('group', '0')})",
        (_EXTRACT_ALL,),
        True,
    )
    known, group = literal_text(pattern), _literal_group(call.arguments.get("group"))
    if known is None:
        return exact
    regex = compile_regex(known)
    if group is None:
        return exact
    if group > regex.group_count:
        return Fragment("CAST(NULL AS VARCHAR[])", (), False)
    translation = regex.translation
    re2 = regex.re2(frozenset({group}))
    # RE2 finds other empty matches than Java, and '' for a group that took no part.
    if re2 is None or translation.is_nullable or (group and translation.groups[group - 1].is_optional):
        return exact
    quick = f"regexp_extract_all({text}, {duckdb_string(re2)}, {min(group, 1)})"
    sql = _guarded(regex, text, quick, exact.sql)
    return Fragment(sql, (_EXTRACT_ALL,) if translation.has_end else (), translation.has_end)


def _replace(call: BoundCall) -> Fragment:
    text, pattern, new = (call.arguments[name] for name in ("text", "pattern", "new"))
    exact = Fragment(f"java_regexp_replace({text}, {pattern}, {new})", (_REPLACE,), True)
    known, known_new = literal_text(pattern), literal_text(new)
    if known is None:
        return exact
    regex = compile_regex(known)
    if known_new is None:
        return exact
    replaced = replacement(known_new, regex)
    wanted = sorted({part for part in replaced.parts if isinstance(part, int) and part > 0})
    re2, rewrite = regex.re2(frozenset(wanted)), replaced.re2(wanted)
    if re2 is None or rewrite is None or regex.translation.is_nullable:
        return exact
    quick = f"regexp_replace({text}, {duckdb_string(re2)}, {duckdb_string(rewrite)}, 'g')"
    sql = _guarded(regex, text, quick, exact.sql)
    has_end = regex.translation.has_end
    return Fragment(sql, (_REPLACE,) if has_end else (), has_end)


def _split(call: BoundCall) -> Fragment:
    text, pattern = call.arguments["text"], call.arguments["pattern"]
    exact = Fragment(f"java_regexp_split({text}, {pattern})", (_SPLIT,), True)
    known = literal_text(pattern)
    if known is None:
        return exact
    regex = compile_regex(known)
    re2 = regex.re2()
    if re2 is None or regex.translation.is_nullable:
        return exact
    quick = f"string_split_regex({text}, {duckdb_string(re2)})"
    sql = _guarded(regex, text, quick, exact.sql)
    has_end = regex.translation.has_end
    return Fragment(sql, (_SPLIT,) if has_end else (), has_end)


REGEXP = (
    Scalar(
        "REGEXP_EXTRACT",
        "(pattern VARCHAR, text VARCHAR, [group INTEGER]) -> VARCHAR",
        says="The first match of a regular expression in a text, or one of its groups.",
        sql=_extract,
        can_fail=True,
        example="REGEXP_EXTRACT('(\\w+)@(\\w+)', 'to ann@home', 2)",
        gives="home",
    ),
    Scalar(
        "REGEXP_EXTRACT_ALL",
        "(pattern VARCHAR, text VARCHAR, [group INTEGER]) -> ARRAY<VARCHAR>",
        says="All matches of a regular expression in a text, or one group of each.",
        sql=_extract_all,
        can_fail=True,
        example="REGEXP_EXTRACT_ALL('\\d+', '3 of 12')",
        gives="[3, 12]",
    ),
    Scalar(
        "REGEXP_REPLACE",
        "(text VARCHAR, pattern VARCHAR, new VARCHAR) -> VARCHAR",
        says="The text with every match of a regular expression replaced; $1 stands for the first group.",
        sql=_replace,
        can_fail=True,
        example="REGEXP_REPLACE('2020-02', '(\\d+)-(\\d+)', '$2/$1')",
        gives="02/2020",
    ),
    Scalar(
        "REGEXP_SPLIT_TO_ARRAY",
        "(text VARCHAR, pattern VARCHAR) -> ARRAY<VARCHAR>",
        says="The pieces of a text between the matches of a regular expression.",
        sql=_split,
        can_fail=True,
        example="REGEXP_SPLIT_TO_ARRAY('a, b;c', '[,;]\\s*')",
        gives="[a, b, c]",
    ),
)
