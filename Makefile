# Everything a person or a CI machine does with this project. `make help` lists it.
#
# Needs only Python 3.11 or newer, make and a compiler. `make demo` and `make test` install what
# they need into .venv, from the hash-pinned requirements files, once.

PYTHON ?= python3.11
VENV   ?= .venv
# The one place that names the folder with real market data; the code is handed it by argument.
CROSSMARGIN_SHARED ?= ../shared
# The days of `make replay`.
DAYS   ?= 2020-03-12 2021-05-19 2022-05-luna 2022-06-steth 2022-11-ftx 2023-03-usdc 2025-10-10
# Workers of the test run.
JOBS   ?= 2
# What is handed on: `make bench ARGS=a`, `make evidence ARGS="--only 3a,3b"`.
ARGS   ?=

export CROSSMARGIN_SHARED
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PY     := $(VENV)/bin/python
BIN    := $(VENV)/bin
# Wheels only, each one checked against its hash.
PIP    := $(PY) -m pip install -qq --only-binary :all: --require-hashes

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install install-dev warmup fresh demo test lint format types house unit bench soak \
        soak-laws soak-seeds soak-kills soak-day real replay mutants wheel evidence lock clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# --- install: stamps make it idempotent -----------------------------------------------------------

$(VENV)/.made:
	@echo "install: making $(VENV) with $(PYTHON)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "install: $(PYTHON) is missing or older than 3.11; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.made requirements.txt requirements-build.txt
	@echo "install: run-time packages"
	@$(PIP) -r requirements.txt
	@$(PIP) -r requirements-build.txt
	@touch $@

$(VENV)/.project: $(VENV)/.runtime pyproject.toml
	@echo "install: crossmargin"
	@$(PY) -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.project requirements-dev.txt
	@echo "install: packages for tests and checks"
	@$(PIP) -r requirements-dev.txt
	@touch $@

install: $(VENV)/.project warmup ## Install crossmargin into .venv and compile its kernels.

install-dev: $(VENV)/.dev

# numba keys its cache on the file of the cached function alone: a cached caller of an edited callee
# would answer with the old code. So the whole cache goes when any kernel source changed.
fresh: $(VENV)/.project
	@$(PY) tools/fresh_kernels.py

warmup: fresh ## Compile the kernels, visibly; a second call finds them cached.
	@if [ -e src/crossmargin/apps/warmup.py ]; then $(PY) -m crossmargin.apps.warmup; fi

# --- use ------------------------------------------------------------------------------------------

demo: install ## The main job on a generated market and book.
	@$(BIN)/crossmargin demo $(ARGS)

# --- checks ---------------------------------------------------------------------------------------

# One after the other and in this order; pytest's closing line comes last.
test: install-dev ## Lint, types, house rules, then every test: what CI runs.
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory warmup
	@$(MAKE) --no-print-directory unit

lint: install-dev ## ruff check and ruff format --check.
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check . ; exit 1; }
	@echo "lint: clean"

format: install-dev ## Rewrite the code as ruff formats it.
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: install-dev ## mypy, strict, on src.
	@$(BIN)/mypy

house: install-dev ## The architecture as tests: floors, bans, budgets, headers, names.
	@$(PY) -m pytest -q tests/house $(ARGS)

# The house rules run first and alone, so that a broken wall is named before anything else.
unit: house ## The house rules, then every test.
	@$(PY) -m pytest -q -n $(JOBS) --dist worksteal $(ARGS)

# --- long runs ------------------------------------------------------------------------------------

bench: install-dev fresh ## Ratios beside targets; ARGS=a runs one; exits 1 where one is missed.
	@$(PY) -m benchmarks $(ARGS)

# Hours. Each part goes on where it was stopped and writes its own page under docs/.
soak: soak-laws soak-seeds soak-kills ## The laws, seeds and kills in full; goes on where it stopped.

soak-laws: install-dev warmup ## The laws with 5,000 examples each: docs/soak.md.
	@$(PY) tools/soak.py --jobs $(JOBS) $(ARGS)

soak-seeds: install-dev warmup ## 10,000 simulated lives of an engine: docs/reliability.md.
	@$(PY) tools/soak_reliability.py --jobs $(JOBS) $(ARGS)

soak-kills: install-dev warmup ## 100 kills a store: docs/crashes.md.
	@$(PY) tools/crash_soak.py $(ARGS)

real: install-dev warmup ## Real markets and books out of CROSSMARGIN_SHARED (default ../shared).
	@test -d "$(CROSSMARGIN_SHARED)" || \
	  { echo "real: no folder $(CROSSMARGIN_SHARED); set CROSSMARGIN_SHARED to the data folder"; exit 1; }
	@$(BIN)/crossmargin real --shared "$(CROSSMARGIN_SHARED)" $(ARGS)
	@test -n "$(ARGS)" || $(BIN)/crossmargin adl --shared "$(CROSSMARGIN_SHARED)"

soak-day: install-dev warmup ## A day of simulated time, lying sources, a dying store: docs/soak-day.md.
	@$(PY) tools/soak_day.py $(ARGS)

replay: install-dev warmup ## Seven days that happened, lived again: out/replay/*.html.
	@for day in $(DAYS); do $(BIN)/crossmargin replay --scenario $$day --shared "$(CROSSMARGIN_SHARED)" \
	  --html out/replay/$$day.html $(ARGS) || exit 1; done

mutants: install-dev ## mutmut on kernels and margin; the share killed, the survivors listed.
	@$(PY) tools/mutants.py $(ARGS)

wheel: install-dev ## Build the wheel, install it into an empty environment, run the demo there.
	@$(PY) tools/check_wheel.py $(ARGS)

evidence: install-dev ## Run docs/evidence.toml and write docs/evidence.md; ARGS="--only 2a,2b".
	@$(PY) tools/evidence.py $(ARGS)

# --- upkeep ---------------------------------------------------------------------------------------

lock: ## Resolve again and export the requirements files (needs uv; users never do).
	@uv lock --python 3.11 $(ARGS)
	@uv export --quiet --frozen --no-annotate --no-header --no-emit-project --no-default-groups \
	  --format requirements.txt --output-file requirements.txt
	@uv export --quiet --frozen --no-annotate --no-header --no-emit-project --only-group build \
	  --format requirements.txt --output-file requirements-build.txt
	@uv export --quiet --frozen --no-annotate --no-header --no-emit-project --group dev \
	  --format requirements.txt --output-file requirements-dev.txt

clean: ## Remove what was built, .venv included.
	@rm -rf $(VENV) build dist out report mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
