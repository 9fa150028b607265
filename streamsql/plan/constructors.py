"""ARRAY[..], MAP(..), STRUCT(..) and CASE over their compiled parts: values that come to one type."""

from __future__ import annotations

from collections.abc import Sequence

from streamsql.grammar import ast
from streamsql.grammar.printer import to_sql
from streamsql.plan import typing
from streamsql.plan.compiled import Compiled, combine, convert
from streamsql.plan.scope import at
from streamsql.plan.type_names import check_field_names
from streamsql.types import BOOLEAN, NULL, VARCHAR, Array, Map, SqlType, Struct, duckdb_name, walk


def array(node: ast.ArrayConstructor, elements: Sequence[Compiled]) -> Compiled:
    if not elements:
        raise at(node.span, "ARRAY[] needs at least one element", "PLAN-CONSTRUCTOR")
    items = unify(elements, node)
    t = Array(_known_type(items, node, "ARRAY"))
    return combine(node, t, f"CAST([{_places(items)}] AS {t.duckdb})", items)


def map_(node: ast.MapConstructor, keys: Sequence[Compiled], values: Sequence[Compiled]) -> Compiled:
    if not keys:
        raise at(node.span, "MAP() needs at least one entry", "PLAN-CONSTRUCTOR")
    keys, values = unify(keys, node), unify(values, node)
    key_type, value_type = _known_type(keys, node, "MAP"), _known_type(values, node, "MAP")
    literals = [k.sql for k in keys if k.is_literal]
    if len(set(literals)) < len(literals):
        raise at(node.span, "MAP(..) has the same key twice", "PLAN-CONSTRUCTOR")
    t = Map(key_type, value_type)
    # A null key is the text null, as it is written in JSON; a key given twice makes the row fail.
    place = "coalesce({}, 'null')" if key_type == VARCHAR else "{}"
    text = f"CAST(map([{', '.join(place for _ in keys)}], [{_places(values)}]) AS {t.duckdb})"
    return combine(node, t, text, [*keys, *values], can_fail=True)


def struct(node: ast.StructConstructor, values: Sequence[Compiled]) -> Compiled:
    names = [name for name, _ in node.fields]
    if len(set(names)) < len(names):
        raise at(node.span, "STRUCT(..) has the same field twice", "PLAN-CONSTRUCTOR")
    check_field_names(names, node.span)
    for value in values:
        if value.type == NULL:
            raise at(
                value.node.span, "the type of this NULL is unknown", "PLAN-CONSTRUCTOR", "CAST(NULL AS ..)"
            )
    t = Struct(tuple((name, value.type) for name, value in zip(names, values, strict=True)))
    packed = ", ".join(f"{duckdb_name(name)} := {{}}" for name in names)
    return combine(node, t, f"struct_pack({packed})", values)


def case(
    node: ast.Case, conditions: Sequence[Compiled], results: Sequence[Compiled], default: Compiled | None
) -> Compiled:
    """The result of the first condition that is TRUE, else the default or null."""
    for condition in conditions:
        if condition.type != BOOLEAN:
            raise at(
                condition.node.span,
                f"WHEN needs BOOLEAN, but {to_sql(condition.node)} is {condition.type}",
                "PLAN-CASE",
            )
    known = [r for r in (*results, default) if r is not None and r.type != NULL]
    if not known:
        raise at(
            node.span,
            "every branch of this CASE is NULL: its type is unknown",
            "PLAN-CASE",
            "CAST(NULL AS ..)",
        )
    for result in known[1:]:
        if result.type != known[0].type:
            raise at(
                result.node.span,
                f"the branches of a CASE must have one type: {to_sql(known[0].node)} is {known[0].type}, "
                f"{to_sql(result.node)} is {result.type}",
                "PLAN-CASE",
                f"CAST({to_sql(result.node)} AS {known[0].type})",
            )
    text = "".join(" WHEN {} THEN {}" for _ in conditions)
    parts = [part for pair in zip(conditions, results, strict=True) for part in pair]
    if default is not None:
        text += " ELSE {}"
        parts.append(default)
    return combine(node, known[0].type, f"(CASE{text} END)", parts)


def unify(items: Sequence[Compiled], node: ast.Expression) -> list[Compiled]:
    """Give items one type: the first that is not NULL fixes the family, literals follow more freely."""
    target: SqlType = NULL
    for item in items:
        found = typing.unify(target, item.type, item.node)
        if found is None:
            raise at(
                item.node.span,
                f"{to_sql(item.node)} is {item.type}, where the items before it are {target}",
                "PLAN-COERCE",
                f"CAST({to_sql(item.node)} AS {target})",
            )
        target = found
    for part in walk(target):
        if isinstance(part, Struct):
            check_field_names([name for name, _ in part.fields], node.span)
    return [convert(item, target) for item in items]


def _places(items: Sequence[Compiled]) -> str:
    return ", ".join("{}" for _ in items)


def _known_type(items: Sequence[Compiled], node: ast.Expression, what: str) -> SqlType:
    for item in items:
        if item.type != NULL:
            return item.type
    raise at(
        node.span, f"{what} needs at least one value that is not NULL", "PLAN-CONSTRUCTOR", "CAST(NULL AS ..)"
    )
