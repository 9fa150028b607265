"""Random pull queries, each in two spellings: ours, and DuckDB's with the same meaning.

What differs is spelt out in DuckDB's: a comparison with NULL is false, SUM of nothing is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass(frozen=True)
class Both:
    """A piece of SQL in both spellings."""

    ours: str
    duck: str


def both(template: str, *parts: Both | str) -> Both:
    """Fill the {} of a template, in both spellings."""
    ours = [part if isinstance(part, str) else part.ours for part in parts]
    duck = [part if isinstance(part, str) else part.duck for part in parts]
    return Both(template.format(*ours), template.format(*duck))


@dataclass(frozen=True)
class Source:
    """A stream or table under an alias; all columns are whole numbers but for `texts`."""

    name: str
    alias: str
    numbers: Sequence[str]
    texts: Sequence[str]


NUMBERS = {"s": ("rid", "x", "y"), "t": ("id", "x"), "c": ("n", "total")}
TEXTS = {"s": ("g",), "t": ("name",), "c": ("g",)}


@dataclass(frozen=True)
class Query:
    """A query and whether its rows come in one order only."""

    text: Both
    is_ordered: bool


class Generator:
    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._aliases = 0

    # --- expressions ----------------------------------------------------------------------------

    def number(self, scope: Sequence[Source], depth: int = 2) -> Both:
        kind = self._pick(
            ["column", "column", "literal", "sum", "case", "coalesce", "scalar"][: 3 + 2 * depth]
        )
        match kind:
            case "literal":
                return both(str(self._draw(st.integers(0, 5))))
            case "sum":
                sides = self.number(scope, depth - 1), self.number(scope, depth - 1)
                return both(f"({{}} {self._pick(['+', '-', '*'])} {{}})", *sides)
            case "case":
                parts = self.condition(scope, depth - 1), self.column(scope)
                return both("(CASE WHEN {} THEN CAST({} AS BIGINT) ELSE CAST(-1 AS BIGINT) END)", *parts)
            case "coalesce":
                return both("COALESCE(CAST({} AS BIGINT), CAST(-2 AS BIGINT))", self.number(scope, depth - 1))
            case "scalar":
                inner = self.source()
                compared = self.number([inner, *scope], 0), self.number(scope, 0)
                return both(
                    "(SELECT MAX({}) FROM {} {} WHERE {})",
                    self.column([inner]),
                    inner.name,
                    inner.alias,
                    compare("=", *compared),
                )
        return self.column(scope)

    def column(self, scope: Sequence[Source]) -> Both:
        source = self._pick(scope)
        return both(f"{source.alias}.{self._pick(source.numbers)}")

    def text(self, scope: Sequence[Source]) -> Both:
        named = [source for source in scope if source.texts]
        if not named or not self._draw(st.integers(0, 3)):
            return both(f"'{self._pick('abc')}'")
        source = self._pick(named)
        return both(f"{source.alias}.{self._pick(source.texts)}")

    def condition(self, scope: Sequence[Source], depth: int = 2) -> Both:
        simple = ["compare", "compare", "texts", "null", "in", "between"]
        match self._pick(simple + (["logic", "not", "exists", "in query"] if depth > 0 else [])):
            case "texts":
                return compare(self._pick(["=", "<>", "<"]), self.text(scope), self.text(scope))
            case "null":
                return both(f"({{}} IS {self._pick(['', 'NOT '])}NULL)", self.column(scope))
            case "in":
                values = ", ".join(map(str, self._draw(st.lists(st.integers(0, 5), min_size=1, max_size=3))))
                return two_valued(both("{} IN ({})", self.number(scope, 0), values), self._flag())
            case "between":
                found = both("{} BETWEEN {} AND {}", *(self.number(scope, 0) for _ in range(3)))
                return two_valued(found, self._flag())
            case "logic":
                sides = self.condition(scope, depth - 1), self.condition(scope, depth - 1)
                return both(f"({{}} {self._pick(['AND', 'OR'])} {{}})", *sides)
            case "not":
                return both("(NOT {})", self.condition(scope, depth - 1))
            case "exists":
                inner = self.source()
                where = self.condition([inner, *scope], depth - 1)
                return both("EXISTS (SELECT * FROM {} {} WHERE {})", inner.name, inner.alias, where)
            case "in query":
                inner = self.source()
                found = both(
                    "{} IN (SELECT {} FROM {} {} WHERE {})",
                    self.number(scope, 0),
                    self.column([inner]),
                    inner.name,
                    inner.alias,
                    self.condition([inner, *scope], depth - 1),
                )
                return two_valued(found, self._flag())
        operator = self._pick(["=", "<>", "<", "<=", ">", ">="])
        return compare(operator, self.number(scope, depth - 1), self.number(scope, depth - 1))

    # --- queries --------------------------------------------------------------------------------

    def query(self) -> Query:
        columns, body = self._pick([self.plain, self.plain, self.grouped, self.windowed, self.united])()
        if self._flag():
            body = both("SELECT * FROM ({}) AS q", body)
        if self._flag():
            body = both("WITH w AS ({}) SELECT * FROM w", body)
        if not self._flag():
            return Query(body, False)
        tail = "".join(
            f", {n + 1}{self._pick(['', ' DESC', ' NULLS FIRST', ' DESC NULLS LAST'])}"
            for n in range(columns)
        )
        # Unless it is said, DuckDB has nulls last also where the order is descending.
        ours = body.ours + " ORDER BY " + tail[2:]
        duck = body.duck + " ORDER BY " + ", ".join(map(_with_nulls, tail[2:].split(", ")))
        limit = f" LIMIT {self._draw(st.integers(0, 9))}" if self._flag() else ""
        limit += f" OFFSET {self._draw(st.integers(0, 4))}" if limit and self._flag() else ""
        return Query(Both(ours + limit, duck + limit), True)

    def plain(self) -> tuple[int, Both]:
        scope, source = self.relation()
        values = [self.number(scope) for _ in range(self._draw(st.integers(1, 3)))]
        distinct = self._pick(["", "DISTINCT "])
        return len(values), both(
            f"SELECT {distinct}{{}} FROM {{}}{{}}", named(values), source, self.where(scope)
        )

    def grouped(self) -> tuple[int, Both]:
        scope, source = self.relation()
        group = self._pick([self.column, self.text])(scope)
        calls = [self.aggregate(scope) for _ in range(self._draw(st.integers(1, 3)))]
        having = both("")
        if self._flag():
            having = both(" HAVING {}", compare(">", self.aggregate(scope), both("1")))
        return 1 + len(calls), both(
            "SELECT {} FROM {}{} GROUP BY {}{}",
            named([group, *calls]),
            source,
            self.where(scope),
            group,
            having,
        )

    def aggregate(self, scope: Sequence[Source]) -> Both:
        column = self.column(scope)
        match self._pick(["COUNT", "SUM", "MIN", "MAX", "*"]):
            case "*":
                return both("COUNT(*)")
            case "SUM":
                return Both(f"SUM({column.ours})", f"coalesce(sum({column.duck}), 0)")
            case name:
                return both(f"{name}({{}})", column)

    def windowed(self) -> tuple[int, Both]:
        """Over the stream alone, whose RID tells all rows apart."""
        source = Source("s", self._alias(), NUMBERS["s"], TEXTS["s"])
        scope = [source]
        partition = both(self._pick(["", f"PARTITION BY {source.alias}.g "]))
        over = both("({}ORDER BY {} NULLS FIRST, {})", partition, self.column(scope), f"{source.alias}.rid")
        frame = self._pick(
            [
                "",
                " ROWS 2 PRECEDING",
                " ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
                " ROWS UNBOUNDED PRECEDING",
            ]
        )
        framed = both("({}ORDER BY {}{})", partition, f"{source.alias}.rid", frame)
        column = self.column(scope)
        calls = [
            both("ROW_NUMBER() OVER {}", over),
            both("RANK() OVER {}", over),
            both("LAG({}, 2) OVER {}", column, over),
            both("LEAD({}, 1) OVER {}", column, over),
            both("NTILE(3) OVER {}", over),
            both("FIRST_VALUE({}) OVER {}", column, framed),
            both("LAST_VALUE({}) OVER {}", column, framed),
            both("COUNT({}) OVER {}", column, framed),
            both("MAX({}) OVER {}", column, framed),
            Both(
                f"SUM({column.ours}) OVER {framed.ours}",
                f"coalesce(sum({column.duck}) OVER {framed.duck}, 0)",
            ),
            Both(
                f"COLLECT_LIST({column.ours}) OVER {framed.ours}", f"list({column.duck}) OVER {framed.duck}"
            ),
        ]
        chosen = [self._pick(calls) for _ in range(2)]
        return 2, both("SELECT {} FROM {} {}{}", named(chosen), "s", source.alias, self.where(scope))

    def united(self) -> tuple[int, Both]:
        sides = []
        for _ in range(2):
            scope, source = self.relation()
            values = named([both("CAST({} AS BIGINT)", self.number(scope)) for _ in range(2)])
            sides.append(both("SELECT {} FROM {}{}", values, source, self.where(scope)))
        operator = self._pick(["UNION", "UNION ALL", "INTERSECT", "EXCEPT"])
        return 2, both(f"{{}} {operator} {{}}", *sides)

    def where(self, scope: Sequence[Source]) -> Both:
        return both(" WHERE {}", self.condition(scope)) if self._flag() else both("")

    def relation(self) -> tuple[list[Source], Both]:
        first = self.source()
        if self._flag():
            return [first], both(f"{first.name} {first.alias}")
        second = self.source()
        kind = self._pick(["JOIN", "LEFT JOIN", "FULL JOIN"])
        on = compare("=", self.column([first]), self.column([second]))
        if kind != "FULL JOIN" and self._flag():
            on = both("({} AND {})", on, self.condition([first, second], 0))
        text = f"{first.name} {first.alias} {kind} {second.name} {second.alias} ON {{}}"
        return [first, second], both(text, on)

    def source(self) -> Source:
        name = self._pick(["s", "t", "c"])
        return Source(name, self._alias(), NUMBERS[name], TEXTS[name])

    def _alias(self) -> str:
        self._aliases += 1
        return f"a{self._aliases}"

    def _pick(self, items: Sequence[Any]) -> Any:
        return self._draw(st.sampled_from(items))

    def _flag(self) -> bool:
        return bool(self._draw(st.booleans()))


def compare(operator: str, left: Both, right: Both) -> Both:
    return two_valued(both(f"{{}} {operator} {{}}", left, right), False)


def two_valued(condition: Both, is_negated: bool) -> Both:
    """A condition over what may be NULL; of the ways to negate it, the one that is part of the operator."""
    ours = condition.ours
    if is_negated:
        ours = ours.replace(" IN (", " NOT IN (", 1) if " BETWEEN " not in ours else f"NOT ({ours})"
        return Both(f"({ours})", f"(NOT coalesce({condition.duck}, false))")
    return Both(f"({ours})", f"coalesce({condition.duck}, false)")


def named(values: Sequence[Both]) -> Both:
    return both(", ".join("{} AS k" + str(n) for n in range(len(values))), *values)


def _with_nulls(item: str) -> str:
    if "NULLS" in item:
        return item
    return item + (" NULLS FIRST" if item.endswith("DESC") else " NULLS LAST")


@st.composite
def queries(draw: Draw) -> Query:
    return Generator(draw).query()
