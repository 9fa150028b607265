"""Hypothesis strategies for well-typed expressions over a stream with a column of every type.

An expression is a tree of texts: that it is right is known from how it was built, not from the planner.
Where DuckDB's own SQL means the same, a tree also knows how it is written there.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal as D

from hypothesis import strategies as st

from streamsql.functions.cast import is_castable
from streamsql.functions.registry import Scalar
from streamsql.functions.signature import Lambda, Parameter, Unit, parse_signature
from streamsql.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    VARCHAR,
    Array,
    Map,
    SqlType,
    Struct,
)
from tests.properties.expression_calls import (
    CALLABLE,
    JOINED,
    NAMED,
    OF_FUNCTION,
    OVERLOADS,
    SMALL,
    UNITS,
    bind,
    calls,
)
from tests.properties.expression_operators import operators
from tests.properties.expression_values import COLUMNS, EDGES, SCALAR_TYPES, TYPES, value


@dataclass(frozen=True)
class Tree:
    """An expression: `template` with the parts in the places of its {}, a leaf's template as it stands.

    duckdb  the same as a template for DuckDB; None where DuckDB has nothing that means the same
    """

    template: str
    type: SqlType
    parts: tuple[Tree, ...] = ()
    duckdb: str | None = None

    @property
    def text(self) -> str:
        return self.template.format(*(p.text for p in self.parts)) if self.parts else self.template

    @property
    def oracle(self) -> str:
        """DuckDB's text; only for trees of Expressions(plain=True)."""
        assert self.duckdb is not None
        return self.duckdb.format(*(p.oracle for p in self.parts)) if self.parts else self.duckdb

    def places(self) -> Iterator[tuple[int, ...]]:
        """The way from the root to each part, the root first."""
        yield ()
        for i, part in enumerate(self.parts):
            yield from ((i, *rest) for rest in part.places())

    def at(self, place: Sequence[int]) -> Tree:
        return self.parts[place[0]].at(place[1:]) if place else self

    def put(self, place: Sequence[int], other: Tree) -> Tree:
        """The tree with the part at a place replaced."""
        if not place:
            return other
        parts = list(self.parts)
        parts[place[0]] = parts[place[0]].put(place[1:], other)
        return replace(self, parts=tuple(parts))


Make = Callable[[st.DrawFn, int], Tree]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class Expressions:
    """Draws trees of a type.

    plain      only what DuckDB's own SQL has with the same meaning
    parameter  how the names of lambdas' parameters begin
    """

    def __init__(self, *, plain: bool = False, parameter: str = "p") -> None:
        self._plain = plain
        self._parameter = parameter
        self._parameters: list[tuple[str, SqlType]] = []
        self._count = 0

    def draw(self, draw: st.DrawFn, t: SqlType, depth: int) -> Tree:
        """A tree of type `t`, at most `depth` levels above its leaves."""
        if depth <= 0 or draw(st.integers(0, 5)) == 0:
            return self.leaf(draw, t)
        makers = self._makers(t)
        return draw(st.sampled_from(makers))(draw, depth - 1)

    def leaf(self, draw: st.DrawFn, t: SqlType) -> Tree:
        names = [name for name, own in COLUMNS.items() if own == t]
        found = [Tree(name, t, duckdb=name) for name in names]
        found += [Tree(name, t, duckdb=name) for name, own in self._parameters if own == t] * 3
        if t in EDGES:
            found += [self._literal(draw, t)] * 2
        if not found:
            return self._constructed(draw, t, 0)
        return draw(st.sampled_from(found))

    def _literal(self, draw: st.DrawFn, t: SqlType) -> Tree:
        x = value(t, random.Random(draw(st.integers(0, 999))))
        match x:
            case None:
                return Tree(f"CAST(NULL AS {t})", t, duckdb=f"CAST(NULL AS {t.duckdb})")
            case bool():
                return Tree(str(x).upper(), t, duckdb=str(x))
            case int() if t == INTEGER:
                return Tree(f"({x})", t, duckdb=f"CAST({x} AS INTEGER)")
            case int():
                return Tree(f"CAST({x} AS BIGINT)", t, duckdb=f"CAST({x} AS BIGINT)")
            case float() if math.isfinite(x):
                text = repr(x)
                return Tree(f"({text if 'e' in text else text + 'e0'})", t, duckdb=f"CAST('{x!r}' AS DOUBLE)")
            case float():
                return Tree("(0e0 / 0e0)", t, duckdb="CAST('nan' AS DOUBLE)")
            case D():
                return Tree(f"CAST({x:f} AS {t})", t, duckdb=f"CAST({x:f} AS {t.duckdb})")
            case str():
                return Tree(quoted(x), t, duckdb=quoted(x) if "\0" not in x else "chr(0)")
            case bytes():
                return Tree(f"TO_BYTES('{x.hex()}', 'hex')", t, duckdb=f"unhex('{x.hex()}')")
        text = x.isoformat(timespec="milliseconds") if t != DATE else x.isoformat()
        return Tree(f"CAST('{text}' AS {t})", t, duckdb=f"CAST('{text}' AS {t.duckdb})")

    # --- which ways lead to a type --------------------------------------------------------------

    def _makers(self, t: SqlType) -> list[Make]:
        makers: list[Make] = [lambda draw, depth: self._case(draw, t, depth)]
        if any(o.duckdb for o in operators(t)) or (operators(t) and not self._plain):
            makers += [lambda draw, depth: self._operator(draw, t, depth)] * 6
        if self._plain:
            return makers
        makers.append(lambda draw, depth: self._cast(draw, t, depth))
        if calls(t):
            makers += [lambda draw, depth: self.call(draw, *draw(st.sampled_from(calls(t))), depth)] * 6
        if isinstance(t, Array | Map | Struct):
            makers.append(lambda draw, depth: self._constructed(draw, t, depth))
        return makers

    def _operator(self, draw: st.DrawFn, t: SqlType, depth: int) -> Tree:
        found = [o for o in operators(t) if o.duckdb or not self._plain]
        o = draw(st.sampled_from(found))
        return Tree(o.template, t, tuple(self.draw(draw, part, depth) for part in o.takes), o.duckdb)

    # --- the parts of the grammar ---------------------------------------------------------------

    def _case(self, draw: st.DrawFn, t: SqlType, depth: int) -> Tree:
        parts = [self.draw(draw, BOOLEAN, depth), self.draw(draw, t, depth)]
        template = "(CASE WHEN {} THEN {}"
        if draw(st.booleans()):
            template += " WHEN {} THEN {}"
            parts += [self.draw(draw, BOOLEAN, depth), self.draw(draw, t, depth)]
        if draw(st.booleans()):
            template += " WHEN {} THEN NULL"
            parts.append(self.draw(draw, BOOLEAN, depth))
        if draw(st.booleans()):
            template += " ELSE {}"
            parts.append(self.draw(draw, t, depth))
        template += " END)"
        return Tree(template, t, tuple(parts), template)

    def _cast(self, draw: st.DrawFn, t: SqlType, depth: int) -> Tree:
        source = draw(st.sampled_from([s for s in (*TYPES, t) if is_castable(s, t)]))
        return Tree(f"CAST({{}} AS {t})", t, (self.draw(draw, source, depth),))

    def _constructed(self, draw: st.DrawFn, t: SqlType, depth: int) -> Tree:
        match t:
            case Array(element):
                parts = [self.draw(draw, element, depth) for _ in range(draw(st.integers(1, 3)))]
                return Tree(f"ARRAY[{', '.join(['{}'] * len(parts))}]", t, tuple(parts))
            case Map(_, inner):
                keys = ["'a'", "S", "'b'"][: draw(st.integers(1, 3))]
                parts = [self.draw(draw, inner, depth) for _ in keys]
                return Tree(f"MAP({', '.join(f'{k} := {{}}' for k in keys)})", t, tuple(parts))
            case Struct(fields):
                parts = [self.draw(draw, part, depth) for _, part in fields]
                return Tree(
                    f"STRUCT({', '.join(f'`{name}` := {{}}' for name, _ in fields)})", t, tuple(parts)
                )
        # A decimal of another size than the columns have.
        return Tree(f"CAST(I AS {t})", t)

    # --- functions ------------------------------------------------------------------------------

    def any_call(self, draw: st.DrawFn, depth: int) -> Tree:
        """A call of any function, whatever it gives."""
        return self.call(draw, draw(st.sampled_from(CALLABLE)), {}, depth)

    def call(self, draw: st.DrawFn, row: Scalar, known: Mapping[str, SqlType], depth: int) -> Tree:
        """A call of one overload; known: what its type variables stand for, as far as that is wanted."""
        bound = dict(known)
        if row.name == "ARRAY_JOIN":
            bound["T"] = draw(st.sampled_from(JOINED))
        signature = parse_signature(row.signature)
        parts: list[Tree] = []
        for parameter in signature.parameters:
            if parameter.is_optional and draw(st.booleans()):
                break
            for _ in range(draw(st.integers(1, 2)) if parameter.is_variadic else 1):
                parts.append(self._argument(draw, row, parameter, bound, depth))
        t = row.result([part.type for part in parts]) if row.result else _bind(draw, signature.result, bound)
        if not parts:
            return Tree(f"{row.name}()", t)
        return Tree(f"{row.name}({', '.join(['{}'] * len(parts))})", t, tuple(parts))

    def _argument(
        self, draw: st.DrawFn, row: Scalar, parameter: Parameter, bound: dict[str, SqlType], depth: int
    ) -> Tree:
        t = parameter.type
        if isinstance(t, Unit):
            return Tree(draw(st.sampled_from(UNITS)), VARCHAR)
        if isinstance(t, Lambda):
            return self._lambda(draw, t, bound, depth)
        t = _bind(draw, t, bound)
        if t in (INTEGER, BIGINT) and parameter.name in SMALL:
            small = draw(st.integers(-3, 9))
            return Tree(f"({small})" if t == INTEGER else f"CAST({small} AS BIGINT)", t)
        texts = OF_FUNCTION.get((row.name, parameter.name)) or NAMED.get(parameter.name)
        if t == VARCHAR and texts:
            literals = [quoted(text) for text in texts]
            return Tree(draw(st.sampled_from([*literals, "S", "UCASE(T)"])), t)
        if OVERLOADS[row.name] == 1 and parameter.type in SCALAR_TYPES:
            # What widens to the parameter's type is taken as well, and a NULL without a type.
            given = draw(st.sampled_from([t] * 6 + [VARCHAR, INTEGER]))
            if given == INTEGER and t in (BIGINT, DOUBLE):
                return self.draw(draw, INTEGER, depth)
            if given == VARCHAR and not t == VARCHAR:
                return Tree("NULL", t)
        return self.draw(draw, t, depth)

    def _lambda(self, draw: st.DrawFn, t: Lambda, bound: dict[str, SqlType], depth: int) -> Tree:
        names = []
        before = list(self._parameters)
        for part in t.parameters:
            self._count += 1
            names.append(f"{self._parameter}{self._count}")
            self._parameters.append((names[-1], _bind(draw, part, bound)))
        body = self.draw(draw, _bind(draw, t.body, bound), depth)
        self._parameters = before
        head = f"({', '.join(names)})" if len(names) > 1 else names[0]
        return Tree(f"{head} => {{}}", body.type, (body,))


def _bind(draw: st.DrawFn, pattern: SqlType, bound: dict[str, SqlType]) -> SqlType:
    return bind(pattern, bound, lambda types: draw(st.sampled_from(types)))


@st.composite
def expressions(
    draw: st.DrawFn,
    t: SqlType | None = None,
    *,
    plain: bool = False,
    depth: int = 3,
    parameter: str = "p",
) -> Tree:
    """A well-typed expression, of any type if none is given; the rest as for Expressions."""
    found = Expressions(plain=plain, parameter=parameter)
    if t is None and not plain and draw(st.integers(0, 2)) == 0:
        return found.any_call(draw, depth - 1)
    return found.draw(draw, t or draw(st.sampled_from(TYPES)), depth)
