# `make serve` and `make test` need only Python 3.11 to 3.14 and make; each sets up what it needs in .venv.
.PHONY: serve test check format lint types imports schema trace constraints clean help
.DEFAULT_GOAL := help

# Each process that starts would compile all again: a service of the tests, a worker of pytest.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell sh .ci/find-python)
BIN := .venv/bin
# For every platform and version of Python that we support.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header pyproject.toml
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := pyproject.toml $(wildcard constraints*.txt) hatch_build.py $(wildcard pages/*.* pages/*/*.* pages/*/src/*)

serve: .venv/serve.stamp ## start the service on its embedded database
	@exec $(BIN)/gql-identity serve

test: .venv/dev.stamp ## run the tests on a real database
	$(BIN)/python -m pytest -n 4 --dist loadgroup -m "not slow" $(COVERAGE)

check: COVERAGE = --cov --cov-branch --cov-report=term --cov-fail-under=90
check: format lint types imports schema test ## every check, with branch coverage; run it before a commit

format: .venv/dev.stamp ## check the formatting
	$(BIN)/ruff format --check .

lint: .venv/dev.stamp ## run ruff
	$(BIN)/ruff check .

types: .venv/dev.stamp ## run mypy --strict
	$(BIN)/mypy

imports: .venv/dev.stamp ## check that imports point down the layers
	$(BIN)/lint-imports

schema: .venv/dev.stamp ## check that schema.graphql is the schema
	$(BIN)/gql-identity schema --check schema.graphql

trace: .venv/dev.stamp ## print which functions serve a request, as docs/architecture.md tells it; or ARGS=apiKey
	$(BIN)/python -m tests.trace_request $(ARGS)

constraints: ## pin the current versions of all dependencies, with their hashes
	rm -rf .venv/fresh && $(PYTHON) -m venv .venv/fresh
	.venv/fresh/bin/python -m pip --disable-pip-version-check --quiet install uv==0.9.30
	.venv/fresh/bin/$(LOCK) --upgrade --extra embedded --extra dev --extra bench --output-file constraints-bench.txt
	.venv/fresh/bin/$(LOCK) --constraint constraints-bench.txt --extra embedded --extra dev --output-file constraints.txt
	.venv/fresh/bin/$(LOCK) --constraint constraints-bench.txt --extra embedded --extra redis --extra tokens --extra jwt --extra otel --output-file constraints-serve.txt
	.venv/fresh/bin/$(LOCK) --constraint constraints-bench.txt --extra redis --extra tokens --extra jwt --extra otel --output-file constraints-image.txt
	.venv/fresh/bin/$(LOCK) --upgrade --constraint constraints-bench.txt --extra deploy --output-file constraints-deploy.txt
	rm -rf .venv/fresh

clean: ## remove everything that make made, except the data
	rm -rf .venv gql_identity/pages pages/node_modules benchmarks/node_modules dist .coverage* htmlcov

help: ## show this list
	@sed -n -E 's/^([a-z]+):.*## (.*)/\1:\2/p' Makefile | sort | awk -F: '{ name = $$1; sub(/^[^:]*:/, ""); printf "  make %-11s  %s\n", name, $$0 }'

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.14 found: install one, or name it with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || \
		{ echo "$(PYTHON) is $$($(PYTHON) --version 2>&1): use Python 3.11 to 3.14." >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "Python's venv module does not work; on Debian: apt install python3-venv" >&2; rm -rf .venv; exit 1; }

.venv/serve.stamp: .venv/bin/python $(SOURCES)
	@echo "Setting up (once) ..."
	@$(PIP) install --require-hashes --requirement constraints-serve.txt
	@sh .ci/install-engine $(BIN)/python
	@$(PIP) install --no-deps --editable .
	@touch $@

.venv/dev.stamp: .venv/bin/python $(SOURCES)
	@echo "Setting up for development (once) ..."
	@$(PIP) install --require-hashes --requirement constraints.txt
	@sh .ci/install-engine $(BIN)/python
	@$(PIP) install --no-deps --editable .
	@touch $@ .venv/serve.stamp

.PHONY: bench
bench: .venv/bench.stamp ## benchmark it beside a baseline and peers: half an hour, with wrk, node and npm; or ARGS=--growth, ARGS=--tail
	@$(BIN)/python -m compileall -q gql_identity  # as pip does where it is installed
	$(BIN)/python benchmarks/run.py $(ARGS)

.venv/bench.stamp: .venv/dev.stamp
	@$(PIP) install --require-hashes --requirement constraints-bench.txt
	@$(PIP) install --no-deps --editable .
	@$(BIN)/python -m venv .venv/service
	@$(PIP) --python .venv/service/bin/python install --require-hashes --requirement constraints-image.txt
	@$(PIP) --python .venv/service/bin/python install --no-deps --editable .
	@touch $@

.PHONY: pictures
pictures: .venv/dev.stamp ## take the screenshots in docs/pictures again, with chromium
	@$(BIN)/python -m tests.browser.screenshots

.PHONY: abuse
abuse: .venv/dev.stamp ## what a victim notices of each attack by one caller: ten minutes; or ARGS="NAME ... --workers 2"
	@$(BIN)/python -m tests.abuse $(ARGS)
