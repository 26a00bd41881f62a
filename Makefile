# Two commands do everything on a fresh machine with Python 3.11: `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp is newer than the lock once everything in the lock is installed.
$(VENV)/.installed: requirements.lock pyproject.toml
	@test -x $(BIN)/python || { echo "==> creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "==> installing locked dependencies into $(VENV) (a few minutes, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(VENV)/.installed ## Create .venv, install locked versions, fetch Delta's jars once
	@$(BIN)/python -m streams.session.jars

demo: setup ## Run the whole thing on a simulated agent (HEADLESS=1: by itself, then exit)
	@$(BIN)/tracesieve demo $(if $(HEADLESS),--headless)

test: setup ## Run the tests (LONG=1: also minutes of kill -9 on live runs)
	@$(PYTEST) $(if $(LONG),-m "") $(ARGS)

lint: $(VENV)/.installed ## ruff, mypy --strict, import-linter, sizes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python .ci/sizes.py

bench: setup ## Measure beside Spark, DuckDB and pandas: JSON lines (ARGS="a --size 50000": one, small)
	@$(BIN)/python -m benchmarks $(ARGS)

clean: ## Remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
