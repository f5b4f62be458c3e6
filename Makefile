# Everything lands in .venv, nothing outside the project. `make help` lists the targets.
SHELL  := /bin/bash
PYTHON ?= python3
PORT   ?= 8740
DATA   ?= data
DEMO   ?= 1
BIN    := .venv/bin
LOCK   := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes \
          --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

# What is in TypeScript, where there is npm: a machine without it runs the server and tests the rest.
web     = @if command -v npm >/dev/null; then npm run --silent --prefix web $(1); fi

.PHONY: help setup setup-dev run test tidy check simulate soak bench demo-replay docs faces lock clean

help:         ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.runtime   ## .venv with what the server needs; .venv/bin/holdfast is the command

setup-dev: .venv/.dev   ## the same with what tests and linters need (the targets below call it)

run: .venv/.runtime     ## serve the applications: make run PORT=8740 DATA=data (DEMO=0: without the demonstration organisation)
	$(BIN)/holdfast serve --port $(PORT) --data $(DATA) $(if $(filter-out 0,$(DEMO)),--demo)

check: .venv/.dev web/node_modules/.installed ## lint and types
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(call web,check)

test: check             ## lint, types and every test but the long ones
	$(BIN)/pytest -n 2 --dist loadfile -m "not soak"
	$(call web,test)

tidy: .venv/.dev        ## the rules of the code base alone (layers, sizes, banned calls, documents)
	$(BIN)/pytest -q tests/tidy

soak: .venv/.dev        ## the long runs; takes the full sets from HOLDFAST_CORPUS where it is set
	$(BIN)/pytest -m soak

simulate: .venv/.dev    ## run the simulation of a seed: make simulate SEED=5 (COUNT=100: that and the 99 after it)
	$(BIN)/python -m tests.simulation $(or $(SEED),0) $(or $(COUNT),1)

bench: .venv/.dev       ## the measurements under benchmarks/; results go to benchmarks/results
	$(BIN)/python -m benchmarks

demo-replay: .venv/.dev ## recorded typing, saved through a server that is killed again and again
	$(BIN)/python examples/replay_typing.py $(ARGS)

docs: .venv/.dev        ## write the reference pages that are made from the code
	$(BIN)/python docs/reference/generate.py

faces: .venv/.dev       ## write the typed faces of the blocking bridge from the asynchronous classes
	$(BIN)/python tools/blocking_faces.py

lock: | $(BIN)/pip-compile  ## resolve the dependencies anew into the two lock files
	$(LOCK) --build-deps-for editable --output-file requirements.lock pyproject.toml
	$(LOCK) --build-deps-for editable --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

clean:                  ## remove .venv and caches; never data
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Holdfast needs Python 3.11 or newer: make setup PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv

$(BIN)/pip-compile: | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check "pip-tools>=7.6,<8"

.venv/.runtime: requirements.lock pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

web/node_modules/.installed: web/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix web --no-audit --no-fund --loglevel error && touch $@; \
	else echo "no npm on this machine: what is in TypeScript is neither compiled nor tested here"; fi

.venv/.dev: requirements-dev.lock .venv/.runtime
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements-dev.lock
	touch $@
