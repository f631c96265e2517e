# Setup, the local run and the checks. `make` alone says what there is.

PYTHON ?= python3
PORT ?= 8080
VENV := .venv
HOME_DIR := .airflow
BIN := $(VENV)/bin

# Without bytecode every Airflow process compiles 1,500 modules at each start.
unexport PYTHONDONTWRITEBYTECODE
# Nothing of another Python may be seen in here.
unexport PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

PIP_INSTALL := $(BIN)/python -m pip install -qq --no-compile --progress-bar off
CHECKED := plugins dags include tests
# A folder that is not there yet is no error.
EXISTING := $(wildcard $(CHECKED))

.DEFAULT_GOAL := help
.PHONY: help setup run check test live chaos lint types format bench clean

help:  ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  make run ONCE=1 SOURCE=cases.csv PORT=8081   ends at the gate, with your own cases, on another port"
	@echo "  make run WORKFLOW=executive_review           also pipeline_health, anomaly_watch; AS_OF=2014-07-28 goes back"

setup: $(VENV)/.installed  ## Make .venv with everything that runs

$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo not there)."; \
	  echo "Name one: make setup PYTHON=python3.12"; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing $$(grep -c == requirements.txt) packages, some minutes the first time …"
	@$(PIP_INSTALL) -r requirements.txt
	@$(PIP_INSTALL) --no-deps --editable .
	@# What the build leaves behind would be a second distribution of the same name: Airflow finds both, and complains.
	@rm -rf plugins/*.egg-info
	@echo "compiling …"
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib plugins >/dev/null 2>&1 || true
	@touch $@
	@echo "ready: make run"

$(VENV)/.installed-dev: .ci/requirements-dev.txt $(VENV)/.installed
	@echo "installing what the tests need …"
	@$(PIP_INSTALL) -r .ci/requirements-dev.txt
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@

export SOURCE  # as it is: JSON has quotes that the shell would take

run: $(VENV)/.installed  ## Start Airflow and run the example up to its gate (WORKFLOW=name, ONCE=1, SOURCE=file, PORT=8080)
	@exec $(BIN)/python -m interlock.quickstart --port $(PORT) --home $(HOME_DIR) \
	  $(if $(filter-out 0,$(ONCE)),--once) $(if $(SOURCE),--source "$$SOURCE") \
	  $(if $(WORKFLOW),--workflow "$(WORKFLOW)") $(if $(AS_OF),--as-of "$(AS_OF)")

# A file at a time in each of two processes.
PYTEST := $(BIN)/python -m pytest --dist loadfile -n 2
LIVE := $(PYTEST) -m live

check: $(VENV)/.installed-dev lint types  ## Lint, types, and the tests that need no Airflow and no PostgreSQL: three minutes
	@$(PYTEST) -m "not live and not airflow and not postgres"

test: $(VENV)/.installed-dev lint types  ## Everything, long tests in their short form; the end says what was skipped
	@# Those that start an Airflow come last.
	@$(PYTEST) -m "not live"
	@$(LIVE)

live: $(VENV)/.installed-dev  ## Every test that starts a real Airflow, in its long form
	@$(LIVE) --long --ignore=tests/faults
	@$(LIVE) tests/faults

chaos: $(VENV)/.installed-dev  ## Storms, kills and property tests in their long form, with other seeds each time
	@$(PYTEST) --long tests/faults
	@$(PYTEST) --long -m "hypothesis and not live"

lint: $(VENV)/.installed-dev  ## Ruff: rules and format
	@$(BIN)/ruff check --quiet $(EXISTING)
	@$(BIN)/ruff format --quiet --check $(EXISTING) || { echo "not formatted (see above): make format"; exit 1; }

types: $(VENV)/.installed-dev  ## Mypy
	@$(BIN)/mypy --no-error-summary

format: $(VENV)/.installed-dev  ## Let ruff format and repair, and draw the house again
	@$(BIN)/ruff check --quiet --fix $(EXISTING)
	@$(BIN)/ruff format --quiet $(EXISTING)
	@$(BIN)/python tests/house.py --write

bench: $(VENV)/.installed-dev  ## Measure: what tests/benchmarks holds
	@if ls tests/benchmarks/bench_*.py >/dev/null 2>&1; then \
	  for bench in tests/benchmarks/bench_*.py; do echo "== $$bench"; $(BIN)/python "$$bench" || exit 1; done; \
	else echo "tests/benchmarks holds no bench_*.py"; fi

clean:  ## Remove .venv and the local Airflow's home
	rm -rf $(VENV) $(HOME_DIR) .pytest_cache .mypy_cache .ruff_cache .hypothesis build plugins/*.egg-info
	@find $(EXISTING) -name __pycache__ -type d -prune -exec rm -rf {} +
