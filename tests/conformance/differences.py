"""Cases in which we differ from ksqlDB on purpose: id -> why. `docs/differences.md` tells users."""

from __future__ import annotations

_PULL = "pull-queries-against-"
_FINAL = "EMIT FINAL loses no window: ksqlDB drops one that expires before it was written"
_NULL_IN_LAMBDA = "a null operand in a lambda makes that element null, not the whole result"

DIFFERENCES: dict[str, str] = {
    # More is allowed.
    "joins/should not allow complex join conditions": "a join may have several conditions",
    "joins/self join": "a source may be joined with itself, under another name",
    "fk-n-way-join/Should fail as second step in n-way join": (
        "joins on foreign keys may stand anywhere among several joins"
    ),
    "multi-joins/partition count mismatch": (
        "one process holds all partitions: topics need not have equally many to be joined"
    ),
    "group-by/field (stream->table) - KAFKA": "format KAFKA can be grouped by: state has types of its own",
    "correlation-udaf/correlation - DELIMITED": (
        "any aggregate works on any format: its state is not written in the source's"
    ),
    "asserts/should not parse RUN SCRIPT": "RUN SCRIPT is a statement, also outside of the shell",
    f"{_PULL}materialized-aggregates/fail on unsupported query feature: join": "pull queries may join",
    f"{_PULL}streams/error on ORDER BY": "pull queries may have ORDER BY",
    f"{_PULL}streams/should not allow pull query with disallowed pseudocolumn in WHERE clause": (
        "a pull query on a stream knows ROWPARTITION and ROWOFFSET"
    ),
    # Another answer.
    **{
        f"suppress/should {case}": _FINAL
        for case in (
            "include out of order events before window end plus grace period passes",
            "drop out of order event after window end plus grace period passes",
            "handle null values",
            "support final results for tumbling windows",
            "support final results for hopping windows",
        )
    },
    "filter/apply filter lambda function to int map": _NULL_IN_LAMBDA,
    "transform-array/apply transform lambda function to array": _NULL_IN_LAMBDA,
    "reduce-map/reduce map with double": "REDUCE takes a map's entries in their order, not in a hash table's",
    "headers/Can use header columns in group by clauses": (
        "headers go with a record through projections and filters; an aggregate's row comes from many records"
    ),
    "headers/Sources with header columns can be joined": (
        "headers go with a record through projections and filters; a join's row comes from two records"
    ),
    "pull-queries-with-limit-clause/windowed - single column from multi-column key": (
        "LIMIT takes the rows by key, not in the order of the key's bytes"
    ),
    "pull-queries-with-headers/select * against CST table with headers": (
        "the header of the answer has the columns in the order of its rows"
    ),
    "session-windows/import table with invalid window size": (
        "refused as a statement without meaning, not as one that does not read"
    ),
    "select/key missing from projection -- new planner": (
        "only the one set of rules: a persistent query selects its key"
    ),
}
