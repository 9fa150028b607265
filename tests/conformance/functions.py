"""The functions that the corpus takes for granted and that belong to no engine."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from streamsql.functions.user import udf, udtf

_TYPES = ("INTEGER", "BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR", "D", "STRUCT<A VARCHAR>")
_RESULTS = {"D": "DECIMAL(30, 10)"}


def functions() -> tuple[Callable[..., Any], ...]:
    """All of them, new: one of them remembers how often it was called."""
    scalars = [(f"TEST_UDF{parameters}", body) for parameters, body in _TEST_UDF.items()] + [
        ("BAD_UDF(x INTEGER) -> VARCHAR", _fail),
        ("BAD_UDF(x BOOLEAN) -> INTEGER", _fail_if),
        ("WHENCONDITION(ret BOOLEAN, ok BOOLEAN) -> BOOLEAN", _if_ok),
        ("WHENRESULT(ret INTEGER, ok BOOLEAN) -> INTEGER", _if_ok),
        ("TOSTRUCT(x VARCHAR) -> STRUCT<A VARCHAR>", lambda x: {"A": x}),
    ]
    tables = [(f"TEST_UDTF(x {t}) -> {_RESULTS.get(t, t)}", lambda x: [x]) for t in _TYPES] + [
        ("THROWING_UDTF(x BOOLEAN) -> BOOLEAN", lambda x: [_fail_if(x) != 0]),
        (f"TEST_UDTF({_seven('{}')}) -> VARCHAR", lambda *x: map(_java_text, x)),
        (f"TEST_UDTF({_seven('ARRAY<{}>')}) -> VARCHAR", lambda *x: [_java_text(a[0]) for a in x]),
        (
            f"TEST_UDTF({_seven('MAP<VARCHAR, {}>')}) -> VARCHAR",
            lambda *x: [_java_text(next(iter(m.values()))) for m in x],
        ),
    ]
    return (
        *(udf(declaration)(_own(body)) for declaration, body in scalars),
        udf("BAD_UDF(x VARCHAR) -> VARCHAR", volatile=True)(_every_other()),
        *(udtf(declaration)(_own(body)) for declaration, body in tables),
    )


def _own(body: Callable[..., Any]) -> Callable[..., Any]:
    """Another function that does the same: decorating a function leaves its mark on it."""
    return lambda *arguments: body(*arguments)


_TEST_UDF: dict[str, Callable[..., Any]] = {
    "(a INTEGER, b VARCHAR) -> VARCHAR": lambda a, b: "doStuffIntString",
    "(a BIGINT, b VARCHAR) -> VARCHAR": lambda a, b: "doStuffLongString",
    "(a BIGINT, b BIGINT, c VARCHAR) -> VARCHAR": lambda a, b, c: "doStuffLongLongString",
    "(a BIGINT...) -> VARCHAR": lambda *a: "doStuffLongVarargs",
    "(a STRUCT<A VARCHAR>) -> VARCHAR": lambda a: a["A"],
    "() -> STRUCT<A VARCHAR>": lambda: {"A": "foo"},
}


def _seven(template: str) -> str:
    """One parameter of each type."""
    return ", ".join(f"f{n} {template.format(t)}" for n, t in enumerate(_TYPES))


def _fail(x: object) -> str:
    raise ValueError(f"{x} is refused")


def _fail_if(x: bool) -> int:
    return int(_fail(x)) if x else 0


def _if_ok(value: Any, ok: bool) -> Any:
    return value if ok else _fail(value)


def _every_other() -> Callable[[str], str | None]:
    calls = itertools.count(1)
    return lambda x: None if next(calls) % 2 else x


def _java_text(x: object) -> str:
    match x:
        case bool():
            return str(x).lower()
        case dict():
            return "Struct{" + ",".join(f"{k}={v}" for k, v in x.items()) + "}"
        case Decimal():
            return f"{x:f}"
    return str(x)


def length(texts: Iterable[str | None]) -> int:
    return sum(len(text) for text in texts if text is not None)
