# Bare `make` lists the targets. They need Python 3.11+, make and git; the rest comes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Tests that fail beside others are run once more, alone: some hold bounds of time that a crowded machine cannot keep.
AGAIN = { [ $$? -eq 1 ] && echo "== once more, alone ==" && $(BIN)/pytest -q -m "not e2e" --last-failed --last-failed-no-failures none; }

.DEFAULT_GOAL := help
.PHONY: help demo test lint format run certs e2e bench bench-gate bench-soak bench-growth bench-peers build clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.stamp-test ## llmux over its simulated provider, one request for each way to choose, no key needed
	$(BIN)/llmux demo

test: $(VENV)/.stamp-test ## the whole suite that needs no system package
	$(BIN)/pytest -q -m "not e2e" -n auto --dist worksteal || $(AGAIN)

lint: $(VENV)/.stamp-dev ## ruff, formatting, mypy and the floors of the house
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict llmux
	$(BIN)/lint-imports

format: $(VENV)/.stamp-dev ## format the code and fix what ruff can fix
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

run: $(VENV)/.stamp-test ## start llmux with ./config.toml
	$(BIN)/llmux start

certs: $(VENV)/.stamp-test ## make a development certificate under certs/
	$(BIN)/llmux certs

e2e: $(VENV)/.stamp-test ## tests that need more than pip installs: a real model server, the real client programs
	$(BIN)/pytest -q -m e2e || [ $$? -eq 5 ] # 5: no such test
	bash tests/e2e/run_local_model.sh
	bash tests/e2e/run_launch.sh
	bash tests/e2e/run_clients.sh
	bash tests/e2e/run_breaks.sh

bench: $(VENV)/.stamp-test ## what a request costs beside an empty application and a bare proxy (5 minutes)
	$(BIN)/python -m bench.run --json bench.json

bench-gate: $(VENV)/.stamp-test ## a minute to three: warns at a missed gate, fails beyond 1.5 times a gate
	$(BIN)/python -m bench.gate

bench-soak: $(VENV)/.stamp-test ## twenty minutes of load, and whether memory is flat after ten
	$(BIN)/python -m bench.soak

bench-growth: $(VENV)/.stamp-test ## how that cost grows: growth.json and docs/growth.svg (6 minutes)
	$(BIN)/python -m bench.growth

bench-peers: $(VENV)/.stamp-test ## other gateways beside llmux; installs them into .peers (5 minutes)
	$(BIN)/python -m bench.peers.install .peers
	$(BIN)/python -m bench.peers.run .peers --json peers.json

build: $(VENV)/.stamp-dev ## wheel and source archive in dist/
	$(BIN)/python -m build

clean: ## remove builds and caches (not .venv)
	rm -rf build dist htmlcov .coverage .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name $(VENV) -prune -o -type d -name __pycache__ -print | xargs rm -rf

# Each stamp is older than what it was made from only when something must be installed again.
$(VENV)/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.exit("llmux needs Python 3.11 or newer, try: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.stamp-test: $(VENV)/.stamp-venv pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-test
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@
