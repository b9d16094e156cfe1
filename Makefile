# Two commands for everybody: `make demo` and `make test`. Both set up what they need in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo demo-shot assets test fuzz histories torture faults attack format bench clean collector constraints sbom release terms pages docs docs-version

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

# With each supported Python that is installed; `--small`, as in CI: the core, the SDK side and delivery.
.PHONY: test-pythons
test-pythons: .venv/test.stamp
	@$(BIN)/python tests/pythons.py $(PYTHONS)

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

# 10,000 lawful histories of a Logboek, of which none may raise an alarm; some hours.
histories: SEED := $(SEED)
histories: .venv/test.stamp
	LDV_FUZZ=1000 LDV_TEST_SEED=$(SEED) $(BIN)/pytest tests/clickhouse/test_lawful_lives.py -o timeout=86400 \
	  --hypothesis-seed=$(SEED)

# The same in large sizes, a day, with its figures; SIZE=0.1 for a tenth of that, SEED=... repeats a run.
SIZE ?= full
torture: SEED := $(SEED)
torture: .venv/test.stamp
	LDV_TORTURE=$(SIZE) LDV_TEST_SEED=$(SEED) $(TORTURE) -rP --show-capture=stdout
	@$(MAKE) --no-print-directory fuzz FUZZ=60 SEED=$(SEED)

# Every fault that we or a peer was measured with, and a table of what became of the records; SIZE=full for larger ones.
faults: .venv/test.stamp
	LDV_TORTURE=$(if $(filter command line,$(origin SIZE)),$(SIZE),0.1) $(BIN)/python -m tests.fault_table

# Every attack of tests/attack in full size against the running product, and a table of what was tried and got through.
attack: SEED := $(SEED)
attack: .venv/test.stamp
	LDV_TEST_SEED=$(SEED) $(BIN)/python -m tests.attack_table

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
	$(BIN)/python -m benchmarks.instructions
	$(BIN)/python -m benchmarks.event_loop
	$(BIN)/python -m benchmarks.delivery
	$(BIN)/python -m benchmarks.tamper
	@$(PYTHON) collector-config/build.py
	$(BIN)/python -m benchmarks.collector

# The versions that a release was tested with, with the hashes of their files; it names no registry.
constraints: .venv/release.stamp
	$(BIN)/pip-compile --quiet --upgrade --all-extras --strip-extras --generate-hashes --allow-unsafe --no-header \
	  --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file=- pyproject.toml \
	  | grep -v -e '^#' -e '^ldv-otel @' > release/constraints.new
	mv release/constraints.new release/constraints.txt

# The terms of the record and of the Register as linked data, from the list in `linked_data/terms.py`.
TERMS := src/ldv_otel/_internal/linked_data/terms.ttl
terms: .venv/test.stamp
	$(BIN)/python -m ldv_otel._internal.linked_data > $(TERMS).new
	mv $(TERMS).new $(TERMS)

# docs/requirements.md and docs/conformance.md, from docs/requirements.yaml; docs/compatibility.md, from the tests' list;
# flags, metrics and views, from the code.
pages: .venv/test.stamp
	$(BIN)/python -m tests.docs.requirement_pages
	$(BIN)/python -m tests.docs.compatibility_page
	$(BIN)/python -m tests.docs.reference_pages

# The documentation site, into build/site; it fails on a link that leads nowhere, and needs no network.
docs: .venv/test.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The site of this version in build/versions, beside those of before that are put there; each page then offers the others.
docs-version: VERSION := $(shell $(PYTHON) -c "import runpy; print(runpy.run_path('src/ldv_otel/_version.py')['__version__'])")
docs-version: .venv/test.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/versions/$(VERSION)
	$(BIN)/python docs/versions.py build/versions

# The bill of materials of those versions (CycloneDX): what was really installed from them, its licences and what needs what.
sbom: .venv/release.stamp
	rm -rf build/sbom && mkdir -p dist
	$(PYTHON) -m venv build/sbom
	build/sbom/bin/python -m pip install --quiet --require-hashes --no-deps -r release/constraints.txt
	build/sbom/bin/python -m pip install --quiet --no-deps .
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible \
	  --output-file dist/ldv_otel.cdx.json build/sbom/bin/python
	@echo "dist/ldv_otel.cdx.json"

# What a release has, in dist: wheel, sdist, bill of materials, checksums; tried in a bare environment of each of PYTHONS.
release: sbom
	$(BIN)/python release/release.py $(if $(PYTHONS),--pythons $(PYTHONS))

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

.venv/release.stamp: .venv/pip.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --group release
	@touch $@

.venv/test.stamp: .venv/pip.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	$(BIN)/python -m pip install --quiet --group uwsgi || echo "uwsgi could not be built here; its tests are skipped"
	@touch $@
