"""Functions of maps; those with lambdas stand in lambdas.py.

Lambda parameters that a template brings along are named "$..." as no column is: a plain name would hide
a column of that name from the arguments put inside the lambda.
"""

from __future__ import annotations

from streamsql.functions.registry import BoundCall, Scalar
from streamsql.sqltext import caught


def last_wins(pairs: str) -> str:
    """A map from SQL for a list of {'key', 'value'} structs, the last one of equal keys winning.

    DuckDB refuses a repeated key and a null one. Only then the pairs are searched for later equal keys,
    which is quadratic in one row's pairs, and for null keys.
    """
    later = 'list_transform("$pairs"["$place" + 1:], lambda "$pair": "$pair".key)'
    only = f'"$one".key IS NOT NULL AND NOT list_contains({later}, "$one".key)'
    kept = f'list_filter("$pairs", lambda "$one", "$place": {only})'
    usual = caught('map_from_entries("$pairs")')
    built = f"coalesce({usual}, map_from_entries({kept}))"
    return f'list_transform([{pairs}], lambda "$pairs": {built})[1]'


def _as_map(call: BoundCall) -> str:
    keys, values = call.arguments["keys"], call.arguments["values"]
    value = f'list_extract({values}, "$place")'
    pairs = f'list_transform({keys}, lambda "$key", "$place": {{\'key\': "$key", \'value\': {value}}})'
    return f"CASE WHEN {values} IS NOT NULL THEN {last_wins(pairs)} END"


MAPS: tuple[Scalar, ...] = (
    Scalar(
        "AS_MAP",
        "(keys ARRAY<VARCHAR>, values ARRAY<T>) -> MAP<VARCHAR, T>",
        "A map from keys and values side by side; missing values are null, later keys win, null keys go.",
        sql=_as_map,
        example="AS_MAP(ARRAY['a', 'b'], ARRAY[1, 2])",
        gives="{a=1, b=2}",
    ),
    Scalar(
        "MAP_KEYS",
        "(map MAP<K, V>) -> ARRAY<K>",
        "The keys of a map, in the order of MAP_VALUES.",
        sql="map_keys({map})",
        example="MAP_KEYS(MAP('a' := 1, 'b' := 2))",
        gives="[a, b]",
    ),
    Scalar(
        "MAP_VALUES",
        "(map MAP<K, V>) -> ARRAY<V>",
        "The values of a map, in the order of MAP_KEYS.",
        sql="map_values({map})",
        example="MAP_VALUES(MAP('a' := 1, 'b' := 2))",
        gives="[1, 2]",
    ),
    Scalar(
        "MAP_UNION",
        "(first MAP<K, V>, second MAP<K, V>) -> MAP<K, V>",
        "The entries of both maps; the second map wins, and a null map counts for nothing.",
        sql="map_concat({first}, {second})",
        example="MAP_UNION(MAP('a' := 1), MAP('a' := 2, 'b' := 3))",
        gives="{a=2, b=3}",
    ),
)
