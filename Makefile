# Tasks in a checkout; `make` lists them. Packages are installed into .venv, in the versions of constraints/, and again
# only when pyproject.toml or constraints/ has changed.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints/test.txt
# Build tools are installed first and pinned too: pip would fetch the newest for each build.
PIP_INSTALL = $(BIN)/python -m pip install --quiet $(CONSTRAINTS:%=--constraint %)
# Older setuptools leave an egg-info in the checkout, whose entry points every environment would find before its own.
define install
@$(PIP_INSTALL) --no-build-isolation --editable "$(1)"
@rm -rf lagbench.egg-info
endef

# Debian packages that the tests need; `make test` installs them: Python's own, OpenGL for videos, and the sandbox.
SYSTEM_PACKAGES = $(shell "$(PYTHON)" -c 'import ensurepip' 2>/dev/null || echo python3-venv) $(shell \
  "$(PYTHON)" -c 'from ctypes import CDLL; CDLL("libEGL.so.1"); CDLL("libGL.so.1")' 2>/dev/null || echo libegl1 libgl1) \
  $(shell command -v bwrap >/dev/null || echo bubblewrap)

PYTEST := $(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal
# Minutes of tests that touch every dependency, for versions other than the pinned ones.
DEPENDENCY_TESTS := tests/test_packaging.py tests/test_training.py tests/test_language_runs.py tests/baselines \
  tests/policies tests/tasks tests/sinks tests/records/test_export.py tests/scoring/test_aggregate.py \
  tests/scoring/test_plots.py tests/scoring/test_report.py tests/sweep/test_ray_cluster.py tests/cli/test_run.py \
  tests/cli/test_score.py tests/cli/test_report.py tests/cli/test_export.py tests/cli/test_video.py \
  tests/leaderboard/site/test_in_browser.py tests/docs

export PIP_DISABLE_PIP_VERSION_CHECK := 1
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test test-quick test-floors test-latest constraints bench docs dist format clean system browser

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.base  ## train VACO at lag 8 on Hopper-v5; change it with ARGS="--lag 16"
	@# ARGS comes last: of an option given twice, the last one counts.
	@$(BIN)/lagbench run --algo vaco --lag 8 $(ARGS)

test: system $(VENV)/.test browser  ## lint, type-check and test; pytest takes ARGS="-k vaco"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) $(ARGS)

test-quick: system $(VENV)/.test browser  ## the tests that touch every dependency, in a few minutes
	$(PYTEST) $(ARGS) $(DEPENDENCY_TESTS)

test-floors:  ## the same with the lowest versions that pyproject.toml allows (constraints/floors.txt)
	@$(MAKE) --no-print-directory test-quick VENV=.venv-floors CONSTRAINTS=constraints/floors.txt

test-latest:  ## the same with the newest versions; deprecations are only shown
	@rm -rf .venv-latest
	@$(MAKE) --no-print-directory test-quick VENV=.venv-latest CONSTRAINTS= \
	  ARGS="-W default::DeprecationWarning -W default::PendingDeprecationWarning -W default::FutureWarning $(ARGS)"

constraints:  ## run all tests with the newest versions and, when they pass, pin these in constraints/
	@rm -rf .venv-latest
	@$(MAKE) --no-print-directory test VENV=.venv-latest CONSTRAINTS=
	@# It resolves without installing.
	@.venv-latest/bin/python -m pip install --quiet uv
	@.venv-latest/bin/python scripts/constraints.py

bench: $(VENV)/.bench  ## measure the throughput ratios, and what recording costs
	@$(BIN)/python -m benchmarks.throughput $(ARGS)
	@$(if $(filter-out --quick,$(ARGS)),,$(BIN)/python -m benchmarks.recording $(ARGS))
	@$(if $(filter-out --quick,$(ARGS)),,$(BIN)/python -m benchmarks.language $(ARGS))

# The theme's notice about MkDocs 2 is nothing that a build could mend.
docs: export NO_MKDOCS_2_WARNING := 1
docs: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
docs: $(VENV)/.test  ## build the documentation into site/; warnings are errors
	$(BIN)/python -m mkdocs build $(ARGS)

dist: $(VENV)/.test  ## build the source distribution and, from it, the wheel, into dist/
	$(BIN)/python -m build --no-isolation

format: $(VENV)/.test  ## format, and apply automatic fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove everything generated, except runs/
	rm -rf .venv .venv-floors .venv-latest build dist site *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
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

$(VENV)/.made: $(CONSTRAINTS)
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "lagbench needs Python 3.11 or later, and there is no $(PYTHON); name one: make PYTHON=python3.12 ..." >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(v < (3, 11) and \
	  "lagbench needs Python 3.11 or later, and $(PYTHON) is %d.%d; name another: make PYTHON=python3.12 ..." % v)'
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV)
	@$(PIP_INSTALL) --upgrade setuptools
	@touch $@

$(VENV)/.base: CONSTRAINTS := constraints/run.txt
$(VENV)/.base: pyproject.toml constraints/run.txt | $(VENV)/.made
	@echo "Installing lagbench into $(VENV) (a minute or two)…"
	$(call install,.)
	@touch $@

$(VENV)/.test: pyproject.toml $(CONSTRAINTS) | $(VENV)/.made
	@echo "Installing lagbench and what its tests need into $(VENV) (a minute or two)…"
	$(call install,.[test])
	@touch $@ $(VENV)/.base

$(VENV)/.bench: pyproject.toml $(CONSTRAINTS) | $(VENV)/.made
	@echo "Installing lagbench and what it is measured against into $(VENV) (a few minutes)…"
	$(call install,.[bench])
	@touch $@ $(VENV)/.base
