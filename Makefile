# Every target makes its own virtual environment first, with the tested versions.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup test check demo lint clean

setup: .venv/.done

.venv/.done: setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest tests/test_architecture.py tests/test_dead_code.py
# The types of numpy that the code is written against are those of the release for Python 3.11 and newer.
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 11))' || $(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not slow'

demo: setup
	$(BIN)/python benchmarks/demo.py demo

clean:
	rm -rf .venv build demo *.egg-info
