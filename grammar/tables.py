"""The grammar's LALR(1) tables: computed by Lark, kept as a file beside the grammar.

Lark needs a third of a second to turn `streamsql.lark` into tables; reading them back takes a few
milliseconds and needs no Lark. `streamsql.tables` holds them as JSON, version 1:

    key      sha256 (hex) of this format's version and the text of the grammar
    symbols  names of terminals and nonterminals; other parts refer to them by place
    states   one row a state: [symbol, action, symbol, action, ..]; an action n >= 0 goes to state n,
             n < 0 reduces by rule -1 - n
    rules    [left side, length of right side, action name or null, plan]
    starts   start symbol -> its first state; the last of the states is the end of all

A *plan* says how a rule's children are made from the values on the stack: k >= 0 takes the k-th,
-1 is an optional part that is absent, k <= -2 splices in the list that is the (-2 - k)-th.

The file is used only if its key fits the grammar beside it. A stale or missing file costs a build in
memory, which is then kept in the user's cache folder. `python -m streamsql.grammar.tables` writes the
file anew; `--check` only tells whether it is up to date.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lark.grammar import Rule as LarkRule

FORMAT = 1
GRAMMAR = Path(__file__).with_name("streamsql.lark")
SHIPPED = Path(__file__).with_name("streamsql.tables")
STARTS = ("statement", "expression", "type")

_ABSENT = -1


@dataclass(frozen=True, slots=True)
class Rule:
    """A production. action is None where the only child is handed through or a list is spliced."""

    origin: str
    length: int
    action: str | None
    plan: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """What the LALR machine runs on.

    rows    state -> symbol -> action, see the module
    starts  start symbol -> first state
    words   terminals that are words: the keywords
    """

    rows: tuple[dict[str, int], ...]
    rules: tuple[Rule, ...]
    starts: dict[str, int]
    words: frozenset[str]


@lru_cache(maxsize=1)
def load() -> Tables:
    """The tables, from the shipped file, the user's cache, or built; once per process."""
    grammar = GRAMMAR.read_text(encoding="utf-8")
    key = _key(grammar)
    for path in (SHIPPED, _cached(key)):
        found = _read(path, key)
        if found is not None:
            return _unpack(found)
    data = build(grammar)
    # A cache that cannot be written only costs the next process the same build.
    with contextlib.suppress(OSError):
        _write(_cached(key), data)
    return _unpack(data)


def build(grammar: str) -> dict[str, Any]:
    """Compute the tables of a grammar text as plain data; raises lark's GrammarError on a conflict."""
    from lark import Lark
    from lark.lexer import Lexer

    class NoLexer(Lexer):
        """Only the tables are wanted: streamsql.grammar.lexer makes the tokens."""

        def __init__(self, _conf: object) -> None:
            super().__init__()

        def lex(self, _lexer_state: object, _parser_state: object) -> Any:
            raise AssertionError("the tables are made without reading any text")

    lark = Lark(
        grammar, parser="lalr", lexer=NoLexer, start=list(STARTS), maybe_placeholders=True, strict=True
    )
    table = lark.parser.parser._parse_table
    # Lark numbers states and rules in the order of sets. Numbered anew from the start, the same grammar
    # gives the same file.
    rules = sorted(lark.rules, key=lambda rule: (str(rule.origin.name), [s.name for s in rule.expansion]))
    rule_number = {rule: number for number, rule in enumerate(rules)}
    symbols = sorted({symbol for row in table.states.values() for symbol in row} | {"$END"})
    order = [table.start_states[start] for start in STARTS]
    number = {state: place for place, state in enumerate(order)}
    states: list[list[int]] = []
    for state in order:
        row: list[int] = []
        for place, symbol in enumerate(symbols):
            if symbol not in table.states[state]:
                continue
            action, argument = table.states[state][symbol]
            if action.name == "Shift":
                if argument not in number:
                    number[argument] = len(order)
                    order.append(argument)
                row += [place, number[argument]]
            else:
                row += [place, -1 - rule_number[argument]]
        states.append(row)
    # Lark stops by looking at the state before the end; here the end is taken like any other terminal.
    for start in STARTS:
        states[number[table.end_states[start]]] += [symbols.index("$END"), len(states)]
    states.append([])
    words = [t.name for t in lark.terminals if t.pattern is not None and t.pattern.value == t.name]
    return {
        "key": _key(grammar),
        "symbols": symbols,
        "states": states,
        "rules": [_pack_rule(rule) for rule in rules],
        "starts": {start: number[table.start_states[start]] for start in STARTS},
        "words": sorted(words),
    }


def _pack_rule(rule: LarkRule) -> list[Any]:
    """A production with its plan: dropped tokens are left out, `_rules` and repetitions spliced."""
    from lark.grammar import Terminal

    plan: list[int] = []
    absent = iter(rule.options.empty_indices or [False] * len(rule.expansion))
    for place, symbol in enumerate(rule.expansion):
        while next(absent):
            plan.append(_ABSENT)
        if isinstance(symbol, Terminal) and symbol.filter_out:
            continue
        spliced = not isinstance(symbol, Terminal) and symbol.name.startswith("_")
        plan.append(-2 - place if spliced else place)
    plan += [_ABSENT for missing in absent if missing]
    origin = str(rule.origin.name)
    through = rule.options.expand1 and not rule.alias and len(plan) == 1 and plan[0] >= 0
    action = None if origin.startswith("_") or through else str(rule.alias or origin)
    return [origin, len(rule.expansion), action, plan]


def _unpack(data: dict[str, Any]) -> Tables:
    symbols = data["symbols"]
    rows = tuple({symbols[row[i]]: row[i + 1] for i in range(0, len(row), 2)} for row in data["states"])
    return Tables(
        rows=rows,
        rules=tuple(
            Rule(origin, length, action, tuple(plan)) for origin, length, action, plan in data["rules"]
        ),
        starts=data["starts"],
        words=frozenset(data["words"]),
    )


def _key(grammar: str) -> str:
    return hashlib.sha256(f"{FORMAT}\n{grammar}".encode()).hexdigest()


def _cached(key: str) -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~")) / ".cache"
    return Path(base) / "streamsql" / f"grammar-{key[:16]}.tables"


def _read(path: Path, key: str) -> dict[str, Any] | None:
    """The data of a file of tables, or None if it is missing, damaged or of another grammar."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) and data.get("key") == key else None


def _write(path: Path, data: dict[str, Any]) -> None:
    """Write whole or not at all, as several processes may do it at once."""
    import tempfile  # only a build needs it

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(_dump(data))
    os.replace(name, path)


def _dump(data: dict[str, Any]) -> str:
    """JSON with one state or rule a line, so that a change of the grammar reads as a small diff."""
    parts = []
    for name, value in data.items():
        if isinstance(value, list) and value and isinstance(value[0], list):
            lines = ",\n".join(json.dumps(item, separators=(",", ":")) for item in value)
            parts.append(f'"{name}":[\n{lines}\n]')
        else:
            parts.append(f'"{name}":{json.dumps(value, separators=(",", ":"))}')
    return "{" + ",\n".join(parts) + "}\n"


def main(arguments: list[str]) -> int:
    """Write `streamsql.tables`, or with --check only tell (1) that it is stale."""
    text = _dump(build(GRAMMAR.read_text(encoding="utf-8")))
    current = SHIPPED.read_text(encoding="utf-8") if SHIPPED.exists() else ""
    if "--check" in arguments:
        if text != current:
            print("grammar/streamsql.tables is stale: run python -m streamsql.grammar.tables")
        return int(text != current)
    SHIPPED.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
