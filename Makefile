# Everything sets itself up: a fresh machine needs only Python >= 3.11 and make.
# `make demo` and `make test` are where to start.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check check-long check-long-parts check-long-queries crash bench fix setup clean

setup: $(VENV)/.ready $(VENV)/.compiled

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("streamsql needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[avro,protobuf,fast]" --group dev
	touch $@

# Python compiles a module when it is first loaded; where it may not keep the result, at every start.
$(VENV)/.compiled: $(VENV)/.ready $(wildcard engine/*.py engine/*/*.py grammar/*.py repl/*.py streamsql/*.py streamsql/*/*.py)
	$(BIN)/python -m compileall -q engine grammar repl streamsql
	touch $@

# Live view counts over generated clicks, for some 20 seconds.
demo: setup
	@$(BIN)/python -m streamsql.repl.demo

test: setup
	$(BIN)/python -m pytest -q

# What the gate checks beyond the tests: style, types, import directions.
check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q

# Invariance and oracles with 2,000 generated examples per operator, the functions over many rows, every byte of a
# log flipped and its files cut at every length: two processes side by side. CONTRIBUTING.md says what runs how often.
LONG = HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -q --timeout=7200 -p no:cacheprovider

check-long: setup
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target check-long-parts check-long-queries

check-long-parts:
	$(LONG) tests/operators tests/state tests/log tests/formats tests/functions/test_registry.py

check-long-queries:
	$(LONG) tests/properties

# Two hundred kills with -9 under load: nothing lost, nothing twice. A quarter of an hour, more on a busy machine.
crash: setup
	$(BIN)/python -m tests.crash --times 200

# Every benchmark in short, compared with the baseline: some minutes on a machine that does nothing else.
bench: setup
	$(BIN)/python -m benchmarks suite

# Format, and write again what is generated.
fix: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m streamsql.grammar.tables
	$(BIN)/python -m streamsql.functions.docs > docs/functions.md

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .demo-data
