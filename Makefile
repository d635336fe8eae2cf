# Chores of a checkout; `make` lists them. What they install lies in .venv, and is installed again only when pyproject.toml
# has changed.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --editable

# Debian packages that the tests need; `make test` installs them: Python's own, and OpenGL for videos.
SYSTEM_PACKAGES = $(shell "$(PYTHON)" -c 'import ensurepip' 2>/dev/null || echo python3-venv) $(shell \
  "$(PYTHON)" -c 'from ctypes import CDLL; CDLL("libEGL.so.1"); CDLL("libGL.so.1")' 2>/dev/null || echo libegl1 libgl1)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test bench format clean system browser

help:  ## list what there is to do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.base  ## train VACO at lag 8 on Hopper-v5; change it with ARGS="--lag 16"
	@# ARGS comes last: of an option given twice, the last one counts.
	@$(BIN)/lagbench run --algo vaco --lag 8 $(ARGS)

test: system $(VENV)/.test browser  ## lint, type-check and test; pytest takes ARGS="-k vaco"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

bench: $(VENV)/.bench  ## measure the throughput ratios, and what recording costs
	@$(BIN)/python benchmarks/throughput.py $(ARGS)
	@$(if $(filter-out --quick,$(ARGS)),,$(BIN)/python -m benchmarks.recording $(ARGS))
	@$(if $(filter-out --quick,$(ARGS)),,$(BIN)/python -m benchmarks.language $(ARGS))

format: $(VENV)/.test  ## format, and fix what can be fixed without thinking
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove all that make and the tools made; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

system:
	@packages="$(strip $(SYSTEM_PACKAGES))"; \
	if [ -n "$$packages" ] && command -v apt-get >/dev/null; then \
	  echo "Installing $$packages…"; \
	  if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	  $$sudo apt-get update -qq && $$sudo apt-get install -y -qq $$packages; \
	fi

# The one that the leaderboard's pages are tested in; installed where there is none.
browser: $(VENV)/.test
	@$(BIN)/python scripts/browser.py >/dev/null

$(VENV)/.made:
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "lagbench needs Python 3.11 or later, and there is no $(PYTHON); name one: make PYTHON=python3.12 ..." >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(v < (3, 11) and \
	  "lagbench needs Python 3.11 or later, and $(PYTHON) is %d.%d; name another: make PYTHON=python3.12 ..." % v)'
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.base: pyproject.toml | $(VENV)/.made
	@echo "Installing lagbench into $(VENV) (a minute or two)…"
	@$(PIP_INSTALL) .
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/.made
	@echo "Installing lagbench and what its tests need into $(VENV) (a minute or two)…"
	@$(PIP_INSTALL) ".[test]"
	@touch $@ $(VENV)/.base

$(VENV)/.bench: pyproject.toml | $(VENV)/.made
	@echo "Installing lagbench and what it is measured against into $(VENV) (a few minutes)…"
	@$(PIP_INSTALL) ".[bench]"
	@touch $@ $(VENV)/.base
