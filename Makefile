# Two commands for everybody: `make demo` and `make test`. Both set up what they need in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test format bench clean

demo: .venv/demo.stamp
	$(BIN)/python examples/parkeervergunning/demo.py

test: .venv/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

format: .venv/test.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/test.stamp
	$(BIN)/python benchmarks/overhead.py

clean:
	rm -rf .venv .demo dist build

.venv/pip.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

.venv/demo.stamp: .venv/pip.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group example
	@touch $@

.venv/test.stamp: .venv/pip.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	@touch $@
