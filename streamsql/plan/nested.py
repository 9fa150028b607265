"""Putting subqueries and window functions into the text of the expression around them.

The expression is printed with a name for each, as DuckDB does not take them everywhere an expression has
them; where they can stand is seen when the whole text is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# Whatever a user has written stands in quotes of either kind, so that a bare word is the planner's own.
_WORDS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\b(?:nested_\d+|lambda|TRY|try)\b""")
_VALUES = '"~nested"'


def filled(sql: str, values: Mapping[str, str]) -> str:
    """The text with the values in the places of their names.

    DuckDB takes a query or a window neither under TRY nor in a lambda's body. Where there is one, a lambda
    around the whole text has the values as its parameter's fields.

    >>> filled("'nested_0' || nested_0", {"nested_0": "(SELECT 1)"})
    "'nested_0' || (SELECT 1)"
    """
    if not {"lambda", "TRY", "try"}.intersection(_WORDS.findall(sql)):
        return _WORDS.sub(lambda word: values.get(word[0], word[0]), sql)
    fields = {name: f"struct_extract({_VALUES}, '{name}')" for name in values}
    text = _WORDS.sub(lambda word: fields.get(word[0], word[0]), sql)
    packed = ", ".join(f"{name} := {value}" for name, value in values.items())
    return f"list_transform([struct_pack({packed})], lambda {_VALUES}: {text})[1]"
