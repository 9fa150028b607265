"""Walking and rewriting syntax trees.

None of them goes into the query of a subquery expression, where names mean something else, unless asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from streamsql.grammar import ast

_known_parts: dict[type, tuple[str, ...]] = {}


def _parts(kind: type[ast.Node]) -> tuple[str, ...]:
    """The names of what a kind of node consists of."""
    found = _known_parts.get(kind)
    if found is None:
        found = _known_parts[kind] = tuple(f.name for f in fields(kind) if f.name != "span")
    return found


_SUBQUERIES = (ast.ScalarSubquery, ast.InSubquery, ast.Exists)


def walk(node: Any) -> Iterator[ast.Node]:
    """The node and every node below it, outermost first, in the order of the text."""
    if isinstance(node, ast.Node):
        yield node
        for name in _parts(type(node)):
            if name != "query" or not isinstance(node, _SUBQUERIES):
                yield from walk(getattr(node, name))
    elif isinstance(node, tuple):
        for item in node:
            yield from walk(item)


def rewrite(node: Any, change: Callable[[ast.Expression], ast.Expression | None]) -> Any:
    """A copy in which each expression for which `change` gives another is replaced by that one.

    The change is tried from the outside in; what it gives is not looked into.
    """
    if isinstance(node, tuple):
        return tuple(rewrite(item, change) for item in node)
    if not isinstance(node, ast.Node):
        return node
    if isinstance(node, ast.Expression):
        changed = change(node)
        if changed is not None:
            return changed
    own = _parts(type(node))
    parts = {n: getattr(node, n) for n in own if n != "query" or not isinstance(node, _SUBQUERIES)}
    new = {name: rewrite(part, change) for name, part in parts.items()}
    if all(new[name] is part or new[name] == part for name, part in parts.items()):
        return node
    return replace(node, **new)


def columns_used(node: Any, *, in_subqueries: bool = False) -> set[ast.ColumnRef]:
    """Every column reference below a node that is not a lambda's parameter."""
    found: set[ast.ColumnRef] = set()

    def visit(item: Any, bound: frozenset[str]) -> None:
        if isinstance(item, tuple):
            for part in item:
                visit(part, bound)
        elif isinstance(item, ast.ColumnRef):
            if item.qualifier is not None or item.name not in bound:
                found.add(item)
        elif isinstance(item, ast.Node):
            inner = bound | set(item.parameters) if isinstance(item, ast.Lambda) else bound
            for name in _parts(type(item)):
                if in_subqueries or name != "query" or not isinstance(item, _SUBQUERIES):
                    visit(getattr(item, name), inner)

    visit(node, frozenset())
    return found
