# Two commands for everybody: `make demo` and `make test`. Both set up what they need in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo demo-shot assets test fuzz torture format bench clean collector

demo: .venv/demo.stamp
	$(BIN)/python examples/parkeervergunning/demo.py

# The pictures of docs/inzage.md; needs Chromium.
demo-shot: .venv/test.stamp assets
	$(BIN)/python examples/parkeervergunning/screenshots.py

# Components and tokens of the NL Design System for the pages of `ldv serve`, into the package that is built after this.
# Without npm the project's own stylesheet serves.
assets:
	@if command -v npm >/dev/null; \
	then cd assets && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && node build.mjs; \
	else echo "npm is missing, so pages keep the project's own stylesheet"; fi

# The OpenTelemetry Collector of collector-config, with Go 1.26; built once for each version of its manifest.
collector:
	@$(PYTHON) collector-config/build.py

test: .venv/test.stamp
	@$(MAKE) --no-print-directory assets || echo "the NL Design System could not be fetched; its stylesheet is not tested"
	@$(PYTHON) collector-config/build.py --if-possible
	@$(BIN)/python tests/stages.py

# Real servers, kills, crash points and faults. Most of it is waiting, so there are more workers than cores.
TORTURE = $(BIN)/pytest -n 3 --dist worksteal tests/processes tests/torture

# Every property with FUZZ times the examples of `make test`, from a seed that is another each time; SEED=... repeats a run.
# What it finds becomes an example of its test.
FUZZ ?= 10
SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
fuzz: SEED := $(SEED)
fuzz: .venv/test.stamp
	LDV_FUZZ=$(FUZZ) LDV_TEST_SEED=$(SEED) $(BIN)/pytest -n 2 --dist loadfile -m hypothesis -o timeout=14400 \
	  --hypothesis-seed=$(SEED) --ignore tests/processes --ignore tests/torture

# The same in large sizes, a day, with its figures; SIZE=0.1 for a tenth of that, SEED=... repeats a run.
SIZE ?= full
torture: SEED := $(SEED)
torture: .venv/test.stamp
	LDV_TORTURE=$(SIZE) LDV_TEST_SEED=$(SEED) $(TORTURE) -rP --show-capture=stdout
	@$(MAKE) --no-print-directory fuzz FUZZ=60 SEED=$(SEED)

format: .venv/test.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# All figures of docs/performance.md; the first takes some minutes, more with ROWS=50000000.
ROWS ?= 10000000
bench: .venv/test.stamp
	$(BIN)/python -m benchmarks.schema --rows $(ROWS)
	$(BIN)/python -m benchmarks.reading --rows $(ROWS)
	$(BIN)/python -m benchmarks.inzage --rows $(ROWS)
	$(BIN)/python -m benchmarks.gemma --rows $(ROWS)
	$(BIN)/python -m benchmarks.rules
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.delivery
	@$(PYTHON) collector-config/build.py
	$(BIN)/python -m benchmarks.collector

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
	$(BIN)/python -m pip install --quiet --group uwsgi || echo "uwsgi could not be built here; its tests are skipped"
	@touch $@
