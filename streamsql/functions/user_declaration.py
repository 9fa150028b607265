"""Declarations of users' functions: `name(a BIGINT, b VARCHAR) -> VARCHAR`, read and checked."""

from __future__ import annotations

import re

from streamsql.errors import ParseError, PlanError
from streamsql.functions.signature import Signature, Variable, parse_signature, parts_of
from streamsql.grammar.parser import parse_expression


def check_declaration(declaration: object, decorator: str) -> None:
    """raises PlanError for a decorator that stands without its declaration"""
    if not isinstance(declaration, str):
        raise PlanError(
            f"the decorator {decorator} needs a declaration",
            code="PLAN-UDF",
            hint=f'@{decorator}("name(x BIGINT) -> BIGINT")',
        )


def read_declaration(declaration: str, what: str) -> tuple[str, Signature]:
    """Name, in upper case, and signature.

    what    "function" or "aggregate", for messages
    raises  PlanError (PLAN-UDF) if it does not read, the name cannot be called, or no parameter decides
            the type of the result
    """
    match = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*(\(.*)", declaration, re.DOTALL)
    if match is None:
        raise PlanError(
            f"{what} declaration {declaration!r} does not begin with name(...)",
            code="PLAN-UDF",
            hint="write it as name(a BIGINT, b VARCHAR) -> VARCHAR",
        )
    name = match[1].upper()
    try:
        signature = parse_signature(match[2], folds_names=True)
    except ValueError as error:
        raise PlanError(f"{what} {name}: {error}", code="PLAN-UDF") from error
    try:
        parse_expression(f"{name}(1)")
    except ParseError as error:
        raise PlanError(
            f"{name} is a word of the language and cannot be the name of a function", code="PLAN-UDF"
        ) from error
    known = {t.name for p in signature.parameters for t in parts_of(p.type) if isinstance(t, Variable)}
    for t in parts_of(signature.result):
        if isinstance(t, Variable) and t.name not in known:
            raise PlanError(
                f"{what} {name} gives {signature.result}, and no parameter says what {t.name} is",
                code="PLAN-UDF",
            )
    return name, signature
