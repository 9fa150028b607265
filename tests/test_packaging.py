"""The layout holds together: what ships, what imports what, and that nothing is loaded twice."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOUNTED = {"grammar", "engine", "repl"}


def packages_on_disk() -> set[str]:
    found = set()
    for top in MOUNTED | {"streamsql"}:
        for init in (ROOT / top).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT).parts
            found.add(".".join(parts if top == "streamsql" else ("streamsql", *parts)))
    return found


def test_every_package_ships() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(config["tool"]["setuptools"]["packages"]) == packages_on_disk()


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import streamsql", {"duckdb", "pyarrow", "streamsql.database"}),
        ("import streamsql.grammar.parser", {"duckdb", "pyarrow", "streamsql.engine", "streamsql.catalog"}),
        ("import streamsql.engine.task", {"lark", "streamsql.grammar", "streamsql.catalog"}),
        ("import streamsql.database", {"prompt_toolkit", "rich", "streamsql.repl", "pandas", "polars"}),
    ],
)
def test_a_part_loads_only_what_it_may(statement: str, absent: set[str]) -> None:
    assert not absent & modules_after(statement)


def test_no_module_is_loaded_under_a_bare_name() -> None:
    assert not MOUNTED & set(sys.modules)
