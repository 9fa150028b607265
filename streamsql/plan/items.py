"""The SELECT list: `*` written out and every column given its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamsql.errors import Span
from streamsql.grammar import ast
from streamsql.grammar.names import quote_name
from streamsql.plan.environment import Environment
from streamsql.plan.expressions import compile_expression
from streamsql.plan.rewrite import rewrite, walk
from streamsql.plan.scope import Scope, at
from streamsql.schema import PSEUDO_COLUMNS, RESERVED_COLUMNS, WINDOW_BOUNDS
from streamsql.types import Struct


@dataclass(frozen=True, slots=True)
class Item:
    """A column of the result: its name and its expression with columns called by their unique names."""

    name: str
    expression: ast.Expression
    span: Span


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A key column: the expression that stands for it and its name if no alias gives another.

    is_hidden  a subquery left it out of its SELECT list: no name reaches it

    After a join it is a column of its own:
    equal   expressions that are equal to it in every row
    viable  columns that the join made equal to it: any of them may stand for it in a SELECT list
    """

    expression: ast.Expression
    name: str
    equal: tuple[ast.Expression, ...] = ()
    viable: tuple[ast.Expression, ...] = ()
    is_hidden: bool = False

    def is_given_by(self, expression: ast.Expression) -> bool:
        """Whether the expression has the key column's value in every row."""
        return expression == self.expression or expression in self.equal

    @property
    def column(self) -> str:
        """What the column is called in its scope."""
        return self.expression.name if isinstance(self.expression, ast.ColumnRef) else self.name


def as_named(expression: ast.Expression, scope: Scope) -> ast.Expression:
    """The expression with columns called as one would write them: of a join, by alias and name."""

    def named(node: ast.Expression) -> ast.Expression | None:
        column = scope.named(node.name) if isinstance(node, ast.ColumnRef) else None
        has_name = column is not None and column.qualifier is not None
        return ast.ColumnRef(column.short, column.qualifier) if column is not None and has_name else None

    result: ast.Expression = rewrite(expression, named)
    return result


def expand_items(
    query: ast.Select,
    scope: Scope,
    key: Sequence[KeyColumn],
    env: Environment,
    is_persistent: bool,
    is_windowed: bool,
) -> list[Item]:
    """The SELECT list with stars expanded and names given (language: output column names)."""
    return _Expander(scope.in_clause("SELECT"), key, env, is_persistent, is_windowed).expand(query.items)


class _Expander:
    def __init__(
        self, scope: Scope, key: Sequence[KeyColumn], env: Environment, is_persistent: bool, is_windowed: bool
    ) -> None:
        self._env = env
        self._scope = scope
        self._key = key
        self._is_persistent = is_persistent
        self._is_windowed = is_windowed
        self._qualifiers = list(dict.fromkeys(c.qualifier for c in scope.columns if c.qualifier))
        self._taken = {c.short for c in scope.columns}
        self._fields: set[str] = set()
        self._next_number = 0

    def expand(self, items: Sequence[ast.SelectItem]) -> list[Item]:
        found: list[Item] = []
        for item in items:
            match item:
                case ast.SelectAll(qualifier=qualifier):
                    found += self._star(qualifier, item.span)
                case ast.SelectStructAll(base=base):
                    found += self._struct_star(base, item.span)
                case ast.SelectExpression(expression=expression, alias=alias):
                    if alias is not None:
                        self._check_alias(alias, item.span)
                    resolved = self._qualified(expression)
                    name = alias or self._name(expression, resolved, item.span)
                    found.append(Item(name, resolved, item.span))
        return found

    def _check_alias(self, alias: str, span: Span) -> None:
        if alias in RESERVED_COLUMNS:
            raise at(
                span, f"{quote_name(alias)} is a reserved name and cannot be an alias", "PLAN-RESERVED-NAME"
            )

    def _star(self, qualifier: str | None, span: Span) -> list[Item]:
        if qualifier is not None and qualifier not in self._qualifiers:
            self._scope.resolve(ast.ColumnRef("*", qualifier, span=span))
        if len(self._qualifiers) > 1:
            return self._star_of_join(qualifier, span)
        chosen = [
            c
            for c in self._scope.columns
            if not c.is_hidden and (qualifier is None or c.qualifier in (qualifier, None))
        ]
        key_names = [k.expression for k in self._key]
        keys = [Item(k.name, k.expression, span) for k in self._key if not k.is_hidden]
        bounds = (
            [Item(b, ast.ColumnRef(b, span=span), span) for b in WINDOW_BOUNDS] if self._is_windowed else []
        )
        if self._is_persistent:
            bounds = []
        refs = [(c, ast.ColumnRef(c.name, span=span)) for c in sorted(chosen, key=lambda c: c.is_key)]
        values = [Item(c.name, ref, span) for c, ref in refs if ref not in key_names]
        return [*keys, *bounds, *values]

    def _star_of_join(self, qualifier: str | None, span: Span) -> list[Item]:
        """The columns of one side or of all, after the join's synthetic key, which belongs to none."""
        found = [c for c in self._scope.columns if c.qualifier is None and not c.is_hidden and not qualifier]
        for side in self._qualifiers if qualifier is None else [qualifier]:
            columns = [c for c in self._scope.columns if c.qualifier == side]
            found += [c for c in columns if c.is_key and not c.is_hidden]
            if self._is_windowed:
                found += [c for c in columns if c.short in WINDOW_BOUNDS]
            found += [c for c in columns if not c.is_key and not c.is_hidden]
        return [
            Item(c.name if c.qualifier else c.short, ast.ColumnRef(c.name, span=span), span) for c in found
        ]

    def _struct_star(self, base: ast.Expression, span: Span) -> list[Item]:
        resolved = self._qualified(base)
        t = compile_expression(resolved, self._scope, self._env).type
        if not isinstance(t, Struct):
            raise at(span, f"->* needs a STRUCT, but this is {t}", "PLAN-FIELD")
        return [Item(name, ast.FieldRef(resolved, name, span=span), span) for name, _ in t.fields]

    def _qualified(self, expression: ast.Expression) -> ast.Expression:
        return qualify(expression, self._scope)

    def _name(self, written: ast.Expression, resolved: ast.Expression, span: Span) -> str:
        match resolved:
            case ast.ColumnRef(name=name):
                column = self._scope.named(name)
                short = column.short if column is not None else name
                if sum(c.short == short for c in self._scope.columns) > 1:
                    return name
                if self._is_persistent and short in (*PSEUDO_COLUMNS, *WINDOW_BOUNDS):
                    raise at(
                        span,
                        f"{short} needs an alias here: it is a reserved name",
                        "PLAN-RESERVED-NAME",
                        f"{short} AS EVENT_{short.removeprefix('ROW')}",
                    )
                return short
            case ast.FieldRef(field=name):
                return self._field_name(name)
        return self.generated()

    def _field_name(self, name: str) -> str:
        candidate, number = name, 0
        while candidate in self._taken or candidate in self._fields:
            number += 1
            candidate = f"{name}_{number}"
        self._fields.add(candidate)
        return candidate

    def generated(self) -> str:
        """The next free KSQL_COL_n."""
        while f"KSQL_COL_{self._next_number}" in self._taken:
            self._next_number += 1
        name = f"KSQL_COL_{self._next_number}"
        self._next_number += 1
        return name


def qualify(expression: ast.Expression, scope: Scope) -> ast.Expression:
    """The expression with every column called by its unique name, so that equal means the same."""
    lambda_names: set[str] = {p for n in walk(expression) if isinstance(n, ast.Lambda) for p in n.parameters}

    def change(node: ast.Expression) -> ast.Expression | None:
        if not isinstance(node, ast.ColumnRef) or (node.qualifier is None and node.name in lambda_names):
            return None
        if node.qualifier is None and scope.named(node.name) is not None and not _is_ambiguous(node, scope):
            return node
        found = scope.resolve(node)
        # A column of the query around this one is called as it was.
        return ast.ColumnRef(found.name, span=node.span) if found in scope.columns else node

    result: ast.Expression = rewrite(expression, change)
    return result


def _is_ambiguous(node: ast.ColumnRef, scope: Scope) -> bool:
    return sum(c.short == node.name for c in scope.columns) > 1


def key_column(expression: ast.Expression, items: Sequence[Item], scope: Scope) -> KeyColumn:
    """The key column that a PARTITION BY or GROUP BY expression makes, named by the language's rules."""
    match expression:
        case ast.ColumnRef(name=name):
            column = scope.named(name)
            return KeyColumn(expression, name if column is None or not column.short else column.name)
        case ast.FieldRef(field=name):
            return KeyColumn(expression, name)
    named = next((item.name for item in items if item.expression == expression), None)
    if named is not None:
        return KeyColumn(expression, named)
    taken = {item.name for item in items} | {c.short for c in scope.columns}
    number = next(n for n in range(len(taken) + 1) if f"KSQL_COL_{n}" not in taken)
    return KeyColumn(expression, f"KSQL_COL_{number}")
