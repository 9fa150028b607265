"""Whether it matters in which order rows of different partitions are processed.

A stream's rows are promised in one order, and so is what a join finds as of a row. A table that is
aggregated is the same whatever the order, as long as that of each partition is kept: lateness goes by
the stream time of a row's own partition.
"""

from __future__ import annotations

from streamsql.engine.graph import Graph
from streamsql.engine.operators.aggregate import Aggregate
from streamsql.engine.operators.drop_unchanged import DropUnchanged
from streamsql.engine.operators.sink import Sink
from streamsql.engine.operators.source import Source
from streamsql.engine.operators.stateless import Stateless
from streamsql.engine.operators.upserts import Upserts


def needs_order(graph: Graph) -> bool:
    """Whether a source's partitions have to be merged by time: only not if all that leaves is aggregated."""
    is_aggregated: list[bool] = []
    for node in graph.nodes:
        spec = node.spec
        below = bool(node.inputs) and all(is_aggregated[number] for number in node.inputs)
        match spec:
            case Source():
                if spec.is_table:
                    return True
            case Aggregate():
                if spec.needs_order:
                    return True
                below = True
            case Stateless() | DropUnchanged() | Upserts():
                pass
            case Sink():
                if not below:
                    return True
            case _:
                return True
        is_aggregated.append(below)
    return False
