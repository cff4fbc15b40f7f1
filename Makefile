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
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not slow'

demo: setup
	$(BIN)/python benchmarks/demo.py demo

clean:
	rm -rf .venv build demo *.egg-info
