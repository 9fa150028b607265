"""What the benchmarks do with their numbers: comparing, tables, plots. Numbers themselves are no test's business."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.parts import PARTS
from benchmarks.report import filled, table
from benchmarks.suite import ROOT, compared, relative_numbers
from benchmarks.svg import Line, chart


@pytest.mark.parametrize("name", PARTS)
def test_a_part_runs_a_benchmark_that_is_there_and_has_a_place_in_the_document(name: str) -> None:
    part = PARTS[name]
    assert {command.split()[0] for command in (part.full, part.quick)} <= set(BENCHMARKS)
    document = (ROOT / "docs" / "performance.md").read_text()
    assert filled(document, name, "here") != document
    assert {judged.name for judged in part.judged} | set(part.key) <= set(part.columns)


ROWS = {
    "clickstream-arrow": [{"query": "q1", "cpu_ratio": 0.5}],
    "growth": [{"axis": "keys", "kind": "", "size": 10, "rate": 1000.0, "bytes": 0.0}],
    "start": [{"what": "prompt", "best": 0.4}],
}


def test_a_faster_machine_is_no_change() -> None:
    def on_a_machine_of_speed(factor: float) -> dict[str, float]:
        rows = {
            "clickstream-arrow": ROWS["clickstream-arrow"],
            "growth": [{**ROWS["growth"][0], "rate": 1000.0 * factor}],
            "start": [{"what": "prompt", "best": 0.4 / factor}],
        }
        found: dict[str, float] = {}
        for name, some in rows.items():
            found |= relative_numbers(name, PARTS[name], some, 0.1 / factor)
        return found

    assert on_a_machine_of_speed(1.0) == on_a_machine_of_speed(4.0)


@pytest.mark.parametrize(
    ("name", "factor", "verdict"),
    [
        ("clickstream-arrow/q1/cpu_ratio", 1.1, None),
        ("clickstream-arrow/q1/cpu_ratio", 2.0, "better"),
        ("clickstream-arrow/q1/cpu_ratio", 0.5, "worse"),
        ("latency/direct 1000/p99", 5.0, "worse"),
        ("latency/direct 1000/p99", 0.2, "better"),
    ],
)
def test_only_what_goes_beyond_noise_is_named(name: str, factor: float, verdict: str | None) -> None:
    *lines, count = compared({name: 2.0}, {name: 2.0 * factor})
    assert [line.split()[0] for line in lines] == ([verdict] if verdict else [])
    assert f"1 {verdict or 'as before'}" in count


def test_a_table_takes_the_place_of_the_one_before_it() -> None:
    result = {
        "command": "start",
        "machine": {"cores": "2"},
        "rows": [{"what": "prompt", "median": 1, "best": 0.4}],
    }
    made = table(PARTS["start"], result)
    assert made.splitlines()[-1] == "| prompt | 1.000 | 0.400 |"
    text = "before\n<!-- start -->\nold\n<!-- /start -->\nafter\n"
    once = filled(text, "start", made)
    assert once == f"before\n<!-- start -->\n{made}<!-- /start -->\nafter\n"
    assert filled(once, "start", made) == once


@pytest.mark.parametrize("points", [[(1, 5.0)], [(1, 5.0), (1000, 0.0)], [(10, 1e6), (1e7, 2e6)]])
def test_a_chart_is_xml_with_all_points_inside(points: list[tuple[float, float]]) -> None:
    drawn = chart("a < b", "x", "y", [Line("one", points), Line("one: theory", points, is_theory=True)])
    root = ElementTree.fromstring(drawn)
    circles = root.findall("{*}circle")
    assert len(circles) == len(points)
    for circle in circles:
        assert 0 <= float(circle.get("cx", "-1")) <= 640
        assert 0 <= float(circle.get("cy", "-1")) <= 360


def test_help_names_every_benchmark_and_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[2:])
    assert said.keys() == BENCHMARKS.keys()
    assert all(" " in sentence for sentence in said.values())


def test_an_unknown_benchmark_is_refused_with_the_names_of_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["clickstreams"]) == 2
    assert "clickstream " in capsys.readouterr().err
