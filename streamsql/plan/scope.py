"""What names mean where an expression stands: the columns in reach and how to find them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from streamsql.errors import PlanError, Span
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.grammar.places import place_of
from streamsql.schema import WINDOW_BOUNDS
from streamsql.types import SqlType, Struct, duckdb_name

if TYPE_CHECKING:
    from streamsql.plan.compiled import Compiled


@dataclass(frozen=True, slots=True)
class ScopeColumn:
    """A column an expression may use.

    name       unique in the scope; what a qualified expression calls it
    sql        how a kernel reads it
    qualifier  alias or name of the source it belongs to, None for computed ones
    short      its name within that source
    is_hidden  pseudo columns: found by name, not part of `*`
    """

    name: str
    sql: str
    type: SqlType
    qualifier: str | None = None
    short: str = ""
    is_key: bool = False
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """Columns by unique name; `clause` is named in errors.

    outer   the scope around a subquery: where names are looked up that are not found here
    nested  how expressions with a query or a window in them are compiled; None: they are refused
    """

    columns: tuple[ScopeColumn, ...]
    clause: str = "SELECT"
    parameters: Mapping[str, tuple[str, SqlType]] = field(default_factory=dict)
    outer: Scope | None = None
    nested: Callable[[ast.Expression, Scope], Compiled] | None = None

    def in_clause(self, clause: str) -> Scope:
        return replace(self, clause=clause)

    def with_parameters(self, parameters: Mapping[str, tuple[str, SqlType]]) -> Scope:
        """The scope inside a lambda's body; parameter name -> (SQL, type)."""
        return replace(self, parameters={**self.parameters, **parameters})

    def named(self, name: str) -> ScopeColumn | None:
        """The column with this unique name."""
        return next((c for c in self.columns if c.name == name), None)

    def resolve(self, ref: ast.ColumnRef) -> ScopeColumn:
        """The column a reference means: of this scope, else of the one around it.

        raises  PlanError PLAN-UNKNOWN-SOURCE, PLAN-UNKNOWN-COLUMN, PLAN-AMBIGUOUS-COLUMN
        """
        found = self._matching(ref)
        if len(found) == 1:
            return found[0]
        if not found:
            around = self.outer
            while around is not None:
                if around._matching(ref):
                    return around.resolve(ref)
                around = around.outer
            if ref.qualifier is not None:
                self._check_qualifier(ref)
            raise self._unknown(ref)
        places = ", ".join(f"{quote_name(c.qualifier or '')}.{quote_name(c.short)}" for c in found)
        raise PlanError(
            f"column {quote_name(ref.name)} in {self.clause} is ambiguous: it could be {places}",
            code="PLAN-AMBIGUOUS-COLUMN",
            span=ref.span,
            hint="write the source's name or alias before it",
        )

    def _matching(self, ref: ast.ColumnRef) -> list[ScopeColumn]:
        """The columns of this scope alone that a reference may mean."""
        found = [
            c
            for c in self.columns
            if c.short == ref.name and (ref.qualifier is None or c.qualifier == ref.qualifier)
        ]
        if not found and ref.qualifier is None:
            found = [c for c in self.columns if c.name == ref.name]
        return found

    def _check_qualifier(self, ref: ast.ColumnRef) -> None:
        qualifiers = list(dict.fromkeys(c.qualifier for c in self.columns if c.qualifier is not None))
        if ref.qualifier not in qualifiers:
            hint = f"the sources are {', '.join(map(quote_name, qualifiers))}" if qualifiers else None
            if any(c.name == ref.qualifier and isinstance(c.type, Struct) for c in self.columns):
                hint = f"a field of a STRUCT: {quote_name(ref.qualifier or '')}->{quote_name(ref.name)}"
            raise PlanError(
                f"{quote_name(ref.qualifier or '')} in {self.clause} is not a source of this query",
                code="PLAN-UNKNOWN-SOURCE",
                span=ref.span,
                hint=hint,
            )

    def _unknown(self, ref: ast.ColumnRef) -> PlanError:
        visible = [c.short for c in self.columns if not c.is_hidden and c.short]
        name = quote_name(ref.name)
        if ref.qualifier is not None:
            name = f"{quote_name(ref.qualifier)}.{name}"
        if ref.name in WINDOW_BOUNDS and self.clause != "SELECT":
            hint: str | None = "a window's bounds can be selected here, and used by what reads the result"
        else:
            hint = suggestion(ref.name, visible, "columns")
            if quote_name(ref.name) != ref.name and not (hint or "").startswith("did you mean"):
                text = ref.name.replace("'", "''")
                hint = f"a text stands in single quotes: '{text}'"
        return PlanError(
            f"column {name} in {self.clause} cannot be resolved",
            code="PLAN-UNKNOWN-COLUMN",
            span=ref.span,
            hint=hint,
        )


def suggestion(name: str, known: Iterable[str], what: str) -> str | None:
    """A hint for a name that was not found: the nearest known ones, else a short list."""
    names = list(dict.fromkeys(known))
    near = [n for n in names if n.upper() == name.upper()] or difflib.get_close_matches(
        name.upper(), names, 2, 0.6
    )
    if near:
        return "did you mean " + " or ".join(map(quote_name, near)) + "?"
    if not names:
        return None
    listed = ", ".join(map(quote_name, names[:12]))
    return f"the {what} are {listed}" + (", …" if len(names) > 12 else "")


def physical(name: str) -> str:
    """The name a column has in batches: DuckDB does not tell names apart by case, SQL here does.

    A name without lower-case letters stays; any other gets a suffix that encodes its case.

    >>> physical("PAGE"), physical("page"), physical("Page")
    ('PAGE', 'page~f', 'Page~7')
    """
    if not any(c.islower() for c in name) and "~" not in name:
        return name
    bits = "".join("1" if c.islower() else "0" for c in name)
    return f"{name}~{int(bits or '0', 2):x}"


def column_sql(name: str) -> str:
    """A column as kernels write it."""
    return duckdb_name(physical(name))


def duplicates(names: Sequence[str]) -> list[str]:
    """Names that stand in the list more than once."""
    return sorted({name for name in names if names.count(name) > 1})


def result_place(query: ast.Query) -> Span | None:
    """Where the columns of a result are written: the SELECT list, of a set operation the left side's."""
    match query:
        case ast.Select(items=items):
            return place_of(*items)
        case ast.SetOperation(left=left):
            return result_place(left)
    return place_of(query)


def key_place(query: ast.Query) -> Span | None:
    """Where the key of a result is written: PARTITION BY or GROUP BY, else with its columns."""
    clause = (query.partition_by or query.group_by or ()) if isinstance(query, ast.Select) else ()
    return place_of(*clause) or result_place(query)


def at(span: Span | None, message: str, code: str, hint: str | None = None) -> PlanError:
    """A PlanError at a place; without one it is about the whole statement."""
    return PlanError(message, code=code, span=span, hint=hint)
