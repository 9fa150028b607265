"""A piece of a pull query's SQL in its two forms: the plain one, and the one in which no row fails."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streamsql.grammar import ast
from streamsql.plan.compiled import Compiled


@dataclass(frozen=True, slots=True)
class Sql:
    plain: str
    safe: str


def sql(template: str, *parts: Sql | Compiled | str) -> Sql:
    """Fill the {} of a template with parts, in both forms; text from users comes in as parts only.

    >>> sql("SELECT {} FROM {}", Sql('f("A")', 'TRY(f("A"))'), '"T"')
    Sql(plain='SELECT f("A") FROM "T"', safe='SELECT TRY(f("A")) FROM "T"')
    """
    both = [_forms(part) for part in parts]
    return Sql(template.format(*(plain for plain, _ in both)), template.format(*(safe for _, safe in both)))


def joined(separator: str, parts: Iterable[Sql | Compiled | str]) -> Sql:
    """The parts one after the other."""
    both = [_forms(part) for part in parts]
    return Sql(separator.join(plain for plain, _ in both), separator.join(safe for _, safe in both))


def limits(query: ast.Query) -> str:
    """LIMIT and OFFSET of a query."""
    limit = f" LIMIT {query.limit}" if query.limit is not None else ""
    return limit + (f" OFFSET {query.offset}" if query.offset is not None else "")


def _forms(part: Sql | Compiled | str) -> tuple[str, str]:
    match part:
        case str():
            return part, part
        case Sql(plain=plain, safe=safe) | Compiled(sql=plain, safe=safe):
            return plain, safe
