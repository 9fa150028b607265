"""The operator graph: specs and the edges between them, in an order in which inputs come first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from streamsql.engine.operators.base import Spec
from streamsql.engine.operators.source import Source


@dataclass(frozen=True, slots=True)
class Node:
    """An operator and the numbers of the nodes it reads."""

    spec: Spec
    inputs: tuple[int, ...] = ()


@dataclass(slots=True)
class Graph:
    """Nodes by number; a node is added after those it reads."""

    nodes: list[Node] = field(default_factory=list)

    def add(self, spec: Spec, *inputs: int) -> int:
        """Add a node and give its number."""
        assert all(0 <= i < len(self.nodes) for i in inputs), inputs
        self.nodes.append(Node(spec, inputs))
        return len(self.nodes) - 1

    def change(self, number: int, spec: Spec) -> None:
        """Give a node other settings; its output's columns must stay."""
        self.nodes[number] = Node(spec, self.nodes[number].inputs)

    def sources(self) -> Iterator[tuple[int, Source]]:
        for number, node in enumerate(self.nodes):
            if isinstance(node.spec, Source):
                yield number, node.spec

    def topics(self) -> Sequence[str]:
        """The topics read, each once, in the order of the FROM clause."""
        return tuple(dict.fromkeys(source.topic for _, source in self.sources()))

    def explain(self) -> str:
        """The graph from sinks down to sources, one operator a line.

        A node that several others read is drawn once, with a mark, (1), that stands for it elsewhere.
        """
        lines: list[str] = []
        read = Counter(i for node in self.nodes for i in node.inputs)
        marks: dict[int, str] = {}

        def draw(number: int, depth: int) -> None:
            indent = "   " * depth + ("└─ " if depth else "")
            if number in marks:
                lines.append(f"{indent}{marks[number]} from above")
                return
            text = self.nodes[number].spec.describe()
            if read[number] > 1:
                marks[number] = f"({len(marks) + 1})"
                text = f"{marks[number]} {text}"
            lines.append(indent + text)
            for below in self.nodes[number].inputs:
                draw(below, depth + 1)

        for number in range(len(self.nodes)):
            if number not in read:
                draw(number, 0)
        return "\n".join(lines)
