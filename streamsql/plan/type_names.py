"""From types as written to types as meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamsql.errors import NotSupportedError, Span
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.plan.scope import at, duplicates
from streamsql.types import PRIMITIVES, Array, Decimal, Map, SqlType, Struct


def resolve_type(node: ast.TypeNode, custom: Callable[[str], SqlType | None]) -> SqlType:
    """The type a node means; `custom` knows the names made by CREATE TYPE.

    raises  PlanError PLAN-UNKNOWN-TYPE, PLAN-TYPE
    """
    match node:
        case ast.NamedType(name="DECIMAL", parameters=parameters):
            if len(parameters) != 2:
                raise at(
                    node.span, "DECIMAL needs a precision and a scale", "PLAN-TYPE", "write DECIMAL(10, 2)"
                )
            precision, scale = parameters
            if precision < 1 or scale < 0 or scale > precision:
                raise at(
                    node.span,
                    f"DECIMAL({precision}, {scale}): the precision must be 1 or more, "
                    "the scale from 0 to the precision",
                    "PLAN-TYPE",
                )
            return Decimal(precision, scale)
        case ast.NamedType(name=name):
            found = PRIMITIVES.get(name) or custom(name)
            if found is None:
                raise at(
                    node.span,
                    f"there is no type {quote_name(name)}",
                    "PLAN-UNKNOWN-TYPE",
                    f"the types are {', '.join(PRIMITIVES)}, DECIMAL(p, s), ARRAY<T>, "
                    "MAP<VARCHAR, T>, STRUCT<..>; "
                    "see SHOW TYPES for your own",
                )
            return found
        case ast.ArrayType(element=element):
            return Array(resolve_type(element, custom))
        case ast.MapType(key=key, value=value):
            return Map(resolve_type(key, custom), resolve_type(value, custom))
        case ast.StructType(fields=fields):
            twice = duplicates([name for name, _ in fields])
            if twice:
                raise at(node.span, f"this STRUCT has field {quote_name(twice[0])} twice", "PLAN-TYPE")
            check_field_names([name for name, _ in fields], node.span)
            return Struct(tuple((name, resolve_type(t, custom)) for name, t in fields))
    raise AssertionError(node)


def check_field_names(names: Sequence[str], span: Span) -> None:
    """raises NotSupportedError for fields that only case tells apart: DuckDB's structs cannot hold them"""
    folded = [name.upper() for name in names]
    twice = duplicates(folded)
    if twice:
        same = [quote_name(name) for name in names if name.upper() == twice[0]]
        raise NotSupportedError(
            f"a STRUCT with fields that differ in nothing but case: {', '.join(same)}", span=span
        )
