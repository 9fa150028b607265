"""Building a stage: steps written one after another, printed as one SQL statement and its safe twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from streamsql.engine.kernel import ArrowFunction
from streamsql.engine.stage import ROW, Fallible, Stage
from streamsql.grammar import ast
from streamsql.grammar.printer import to_sql
from streamsql.plan.compiled import Compiled
from streamsql.plan.noting import noting
from streamsql.plan.stand_ins import told
from streamsql.types import BOOLEAN, duckdb_name


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

    stand_ins  columns for groups and aggregates: name -> what was written
    """

    input: pa.Schema
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    schema: pa.Schema = field(init=False)
    _plain: str = "{input}"
    _safe: str = "{input}"
    _steps: int = 0
    _functions: dict[ArrowFunction, None] = field(default_factory=dict)
    _safe_functions: dict[ArrowFunction, None] = field(default_factory=dict)
    _fallible: list[Fallible] = field(default_factory=list)
    # Output column -> input column as long as columns are only chosen and renamed; and those without nulls.
    _moves: dict[str, str] | None = None
    _not_null: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.schema = self.input
        self._moves = {name: name for name in self.input.names}

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
        (safe,) = self._note([condition])
        self._plain = f"(SELECT * FROM {self._plain} WHERE {condition.sql})"
        self._safe = f"(SELECT * FROM {self._safe} WHERE {safe})"

    def project(self, outputs: Sequence[Output], *, meta: Sequence[Output] = ()) -> None:
        """Compute these columns; `meta` replaces meta columns of the same name."""
        computed = (*outputs, *meta)
        noted = self._note([o.value for o in computed])
        passing = [f for f in self.schema if f.name.startswith("$")]
        kept = [duckdb_name(f.name) for f in passing if f.name not in {o.name for o in meta}]
        plain = [f"{o.value.sql} AS {duckdb_name(o.name)}" for o in computed] + kept
        safe = [f"{sql} AS {duckdb_name(o.name)}" for o, sql in zip(computed, noted, strict=True)] + kept
        if self._moves is not None:
            moves = {f.name: self._moves[f.name] for f in passing}
            for output in computed:
                moves[output.name] = self._moved(output.value) or ""
            self._moves = moves if all(moves.values()) else None
        self._plain = f"(SELECT {', '.join(plain)} FROM {self._plain})"
        self._safe = f"(SELECT {', '.join(safe)}, {duckdb_name(ROW)} FROM {self._safe})"
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
        noted = self._note([value for _, value, _ in lists])
        names = [duckdb_name(name) for name, _, _ in lists]
        plain = [f"unnest({value.sql}) AS {name}" for name, (_, value, _) in zip(names, lists, strict=True)]
        safe = [f"unnest({sql}) AS {name}" for name, sql in zip(names, noted, strict=True)]
        self._plain = f"(SELECT *, {', '.join(plain)} FROM {self._plain})"
        self._safe = f"(SELECT *, {', '.join(safe)} FROM {self._safe})"
        columns = [f for f in self.schema if not f.name.startswith("$")]
        meta = [f for f in self.schema if f.name.startswith("$")]
        added = [pa.field(name, element) for name, _, element in lists]
        self.schema = pa.schema([*columns, *added, *meta])

    def build(self) -> Stage:
        """The stage of all steps so far."""
        names = ", ".join(duckdb_name(name) for name in self.schema.names)
        return Stage(
            f"SELECT {names} FROM {self._plain}",
            f"SELECT {names} FROM {self._safe}" if self._fallible else None,
            self.input,
            self.schema,
            tuple(self._functions),
            tuple(self._safe_functions),
            tuple(self._fallible),
            moves=None if self._moves is None else tuple(self._moves[name] for name in self.schema.names),
            not_null=tuple(dict.fromkeys(self._not_null)),
        )

    def _note(self, values: Sequence[Compiled]) -> list[str]:
        """The safe forms of a step's expressions; called before the step is added."""
        self._steps += 1
        safe = []
        for value in values:
            text, functions = noting(value.safe, value.functions, len(self._fallible))
            safe.append(text)
            self._functions.update(dict.fromkeys(f for f in value.functions if f.raising is None))
            self._safe_functions.update(dict.fromkeys(functions))
            if value.can_fail:
                sql = f"SELECT {value.sql} AS v FROM {self._plain}"
                self._fallible.append(Fallible(told(to_sql(value.node), self.stand_ins), sql))
        return safe
