"""The tables: up to date, made the same way twice, and read without Lark; what is loaded to parse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamsql.grammar import tables
from streamsql.grammar.build import ACTIONS


def run(code: str, **environment: str) -> str:
    """Standard output of a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    return done.stdout


PARSE = "from streamsql.grammar.parser import parse; assert parse('SELECT a FROM s;')\n"


def test_the_shipped_tables_are_those_of_the_grammar(capsys: pytest.CaptureFixture[str]) -> None:
    # Building them also proves that the grammar has no conflict: Lark is told to be strict.
    assert tables.main(["--check"]) == 0, capsys.readouterr().out


def test_every_production_has_its_function_and_every_function_a_production() -> None:
    assert {rule.action for rule in tables.load().rules if rule.action} == set(ACTIONS)


def test_parsing_loads_neither_lark_nor_the_engine() -> None:
    code = PARSE + (
        "import sys\n"
        "unwanted = {'lark', 'duckdb', 'pyarrow', 'numpy', 'streamsql.engine', 'streamsql.database'}\n"
        "print(sorted(unwanted & set(sys.modules)))"
    )
    assert run(code) == "[]\n"


def test_stale_tables_are_built_anew_and_kept_in_the_users_cache(tmp_path: Path) -> None:
    stale = tmp_path / "stale.tables"
    stale.write_text(json.dumps({"key": "of another grammar"}), encoding="utf-8")
    code = (
        "import sys, pathlib\n"
        "from streamsql.grammar import tables\n"
        f"tables.SHIPPED = pathlib.Path({str(stale)!r})\n" + PARSE + "print('lark' in sys.modules)"
    )
    cache = tmp_path / "cache"
    environment = {"XDG_CACHE_HOME": str(cache), "LOCALAPPDATA": str(cache)}
    assert run(code, **environment) == "True\n"
    (kept,) = (cache / "streamsql").iterdir()
    assert kept.name.startswith("grammar-")
    assert run(code, **environment) == "False\n"
    kept.write_text("torn", encoding="utf-8")
    assert run(code, **environment) == "True\n"


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    occupied = tmp_path / "a file"
    occupied.write_text("", encoding="utf-8")
    code = (
        "import pathlib\n"
        "from streamsql.grammar import tables\n"
        f"tables.SHIPPED = pathlib.Path({str(tmp_path / 'missing')!r})\n" + PARSE + "print('ok')"
    )
    assert run(code, XDG_CACHE_HOME=str(occupied), LOCALAPPDATA=str(occupied)) == "ok\n"


def test_the_first_statement_is_parsed_quickly() -> None:
    # Against the start of an interpreter with what the parser's own imports need, since machines differ.
    code = (
        "import time; begin = time.perf_counter()\n"
        "import dataclasses, json, pathlib, hashlib, re, contextlib\n"
        "base = time.perf_counter(); " + PARSE + "print((time.perf_counter() - base) / (base - begin))"
    )
    ratios = sorted(float(run(code)) for _ in range(5))
    assert ratios[0] < 12, "building tables would cost far more"
