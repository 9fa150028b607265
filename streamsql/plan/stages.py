"""Building a stage: steps written one after another, printed as one SQL statement and its safe twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from streamsql.engine.batch import SEQ
from streamsql.engine.kernel import ArrowFunction
from streamsql.engine.stage import DROPPED, ERRORS, Stage
from streamsql.functions.steady import steady
from streamsql.grammar import ast
from streamsql.grammar.printer import to_sql
from streamsql.plan.compiled import Compiled
from streamsql.types import BOOLEAN, duckdb_name, duckdb_string


@dataclass(frozen=True, slots=True)
class Output:
    """A column that a step computes. `name` is physical (see scope.physical)."""

    name: str
    value: Compiled

    @property
    def field(self) -> pa.Field[Any]:
        return pa.field(self.name, self.value.type.arrow)


@dataclass(slots=True)
class StageBuilder:
    """Steps over batches of one schema; `schema` is what the steps so far give.

    Meta columns (`$..`) go through every step by themselves.
    """

    input: pa.Schema
    schema: pa.Schema = field(init=False)
    _plain: str = "{input}"
    _safe: str = ""
    _can_fail: bool = False
    _steps: int = 0
    _functions: dict[ArrowFunction, None] = field(default_factory=dict)
    # Output column -> input column as long as columns are only chosen and renamed; and those without nulls.
    _moves: dict[str, str] | None = None
    _not_null: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.schema = self.input
        self._moves = {name: name for name in self.input.names}
        self._safe = f'(SELECT *, CAST([] AS VARCHAR[]) AS "{ERRORS}", false AS "{DROPPED}" FROM {{input}})'

    @property
    def is_empty(self) -> bool:
        """Whether no step was added."""
        return self._steps == 0

    def filter(self, condition: Compiled) -> None:
        """Keep the rows for which the condition is TRUE."""
        self._moves = None
        self._filter(condition)

    def drop_nulls(self, name: str, node: ast.Expression) -> None:
        """Keep the rows in which a column is not null; `node` is what the column was made of."""
        sql = f"({duckdb_name(name)} IS NOT NULL)"
        if self._moves is not None:
            self._not_null.append(self._moves[name])
        self._filter(Compiled(sql, sql, BOOLEAN, node))

    def _filter(self, condition: Compiled) -> None:
        self._note([condition])
        self._plain = f"(SELECT * FROM {self._plain} WHERE {condition.sql})"
        if condition.can_fail:
            self._safe = (
                f'(SELECT * REPLACE (list_concat("{ERRORS}", {_failure(condition)}) AS "{ERRORS}", '
                f'"{DROPPED}" OR NOT coalesce({condition.safe}, false) AS "{DROPPED}") FROM {self._safe})'
            )
        else:
            self._safe = f'(SELECT * FROM {self._safe} WHERE "{DROPPED}" OR {condition.safe})'

    def project(self, outputs: Sequence[Output], *, meta: Sequence[Output] = ()) -> None:
        """Compute these columns; `meta` replaces meta columns of the same name."""
        self._note([o.value for o in (*outputs, *meta)])
        replaced = {o.name: o for o in meta}
        passing = [f for f in self.schema if f.name.startswith("$")]
        columns = [(o.name, o.value) for o in outputs]
        plain = [f"{value.sql} AS {duckdb_name(name)}" for name, value in columns]
        safe = [f"{value.safe} AS {duckdb_name(name)}" for name, value in columns]
        for f in passing:
            name = duckdb_name(f.name)
            found = replaced.get(f.name)
            plain.append(f"{found.value.sql} AS {name}" if found else name)
            safe.append(f"{found.value.safe} AS {name}" if found else name)
        if self._moves is not None:
            moves = {f.name: self._moves[f.name] for f in passing}
            for output in (*outputs, *meta):
                moves[output.name] = self._moved(output.value) or ""
            self._moves = moves if all(moves.values()) else None
        failing = [_failure(o.value) for o in (*outputs, *meta) if o.value.can_fail]
        errors = f"list_concat({', '.join([_quoted(ERRORS), *failing])})" if failing else _quoted(ERRORS)
        self._plain = f"(SELECT {', '.join(plain)} FROM {self._plain})"
        self._safe = f'(SELECT {", ".join(safe)}, {errors} AS "{ERRORS}", "{DROPPED}" FROM {self._safe})'
        self.schema = pa.schema([*(o.field for o in outputs), *passing])

    def _moved(self, value: Compiled) -> str | None:
        """The input column that a value is, if it is no more than that."""
        assert self._moves is not None
        return next((self._moves[n] for n in self.schema.names if value.sql == duckdb_name(n)), None)

    def explode(self, lists: Sequence[tuple[str, Compiled, pa.DataType]]) -> None:
        """Add columns of list elements, a row per element; several lists are zipped, short ones padded.

        lists  (physical name, the list, the element's Arrow type)
        """
        self._moves = None
        self._note([value for _, value, _ in lists])
        plain = [f"unnest({value.sql}) AS {duckdb_name(name)}" for name, value, _ in lists]
        kept = f'CASE WHEN "{DROPPED}" THEN [NULL] ELSE {{}} END'
        safe = [f"unnest({kept.format(value.safe)}) AS {duckdb_name(name)}" for name, value, _ in lists]
        self._plain = f"(SELECT *, {', '.join(plain)} FROM {self._plain})"
        failing = [_failure(value) for _, value, _ in lists if value.can_fail]
        if failing:
            # A row whose list fails gives no rows of its own: it stays once, to report its error.
            lost = " OR ".join(f"len({f}) > 0" for f in failing)
            self._safe = (
                f'(SELECT * REPLACE (list_concat("{ERRORS}", {", ".join(failing)}) AS "{ERRORS}", '
                f'"{DROPPED}" OR {lost} AS "{DROPPED}") FROM {self._safe})'
            )
        self._safe = f"(SELECT *, {', '.join(safe)} FROM {self._safe})"
        columns = [f for f in self.schema if not f.name.startswith("$")]
        meta = [f for f in self.schema if f.name.startswith("$")]
        added = [pa.field(name, element) for name, _, element in lists]
        self.schema = pa.schema([*columns, *added, *meta])

    def build(self) -> Stage:
        """The stage of all steps so far."""
        names = ", ".join(duckdb_name(name) for name in self.schema.names)
        safe = (
            f'SELECT {names}, "{ERRORS}", "{DROPPED}" FROM {self._safe} '
            f'WHERE NOT "{DROPPED}" OR len("{ERRORS}") > 0'
        )
        safe, twins = steady(safe, _quoted(SEQ if SEQ in self.input.names else DROPPED))
        return Stage(
            f"SELECT {names} FROM {self._plain}",
            safe if self._can_fail else None,
            self.input,
            self.schema,
            (*self._functions, *twins),
            moves=None if self._moves is None else tuple(self._moves[name] for name in self.schema.names),
            not_null=tuple(dict.fromkeys(self._not_null)),
        )

    def _note(self, values: Sequence[Compiled]) -> None:
        self._steps += 1
        for value in values:
            self._can_fail |= value.can_fail
            self._functions.update(dict.fromkeys(value.functions))


def _quoted(name: str) -> str:
    return f'"{name}"'


def _failure(value: Compiled) -> str:
    """SQL for a list with the expression's text if it raises on a row, else an empty one.

    A struct around the value tells an error (the struct is null) from a null value.
    """
    text = duckdb_string(to_sql(value.node))
    return (
        f'CASE WHEN NOT "{DROPPED}" AND TRY(struct_pack(v := {value.sql})) IS NULL '
        f"THEN [{text}] ELSE CAST([] AS VARCHAR[]) END"
    )
