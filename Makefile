# `make` alone prints this list. Everything lands in .venv*/ and runs/; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.goalsight-setup
RECORD := docs/results/$(shell date +%F)
CODE := src envs planners benchmarks tests scripts examples

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-isa test-lerobot test-foreign docs check format perf manifests tasks models checkpoints clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SETUP) ## virtual environment, pinned dependencies, a GL library that renders

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "goalsight needs Python 3.11 or newer: make setup PYTHON=/path/to/python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.goalsight-packages: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  --no-build-isolation -e '.[dev,docs]'
	@touch $@

$(SETUP): $(VENV)/.goalsight-packages scripts/ensure_gl.py
	$(BIN)/python scripts/ensure_gl.py
	@touch $@

demo: setup ## collect, train, plan and benchmark at the tiny size, under 10 minutes on 2 cores
	$(BIN)/goalsight demo

# In the order of the folders: by default files of few tests, which take longest, would come last.
TWO := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
test: setup ## every test, under 6 minutes on 2 cores
	OMP_NUM_THREADS=1 $(TWO) $(PYTEST)

test-slow: setup ## the long tests that `make test` leaves out
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow $(PYTEST)

NUMERICS = $(TWO) -m "numerics and not slow" $(PYTEST)
test-isa: setup ## numerical tests without AVX, with AVX2, with all this processor has: before a release
	ATEN_CPU_CAPABILITY=default MKL_ENABLE_INSTRUCTIONS=SSE4_2 ONEDNN_MAX_CPU_ISA=SSE41 \
	  OMP_NUM_THREADS=1 $(NUMERICS)
	ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 \
	  OMP_NUM_THREADS=1 $(NUMERICS)
	env -u ATEN_CPU_CAPABILITY -u MKL_ENABLE_INSTRUCTIONS -u ONEDNN_MAX_CPU_ISA \
	  OMP_NUM_THREADS=1 $(NUMERICS)

LEROBOT := .venv-lerobot
$(LEROBOT)/.goalsight-packages: tests/lerobot/requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "lerobot 0.4.4 wants Python 3.11: make test-lerobot PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(LEROBOT)
	$(LEROBOT)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	$(LEROBOT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps lerobot==0.4.4
	@touch $@

test-lerobot: $(LEROBOT)/.goalsight-packages ## datasets to and from the lerobot package, 8 GB of its own
	OMP_NUM_THREADS=1 PYTHONPATH=src:envs:planners $(LEROBOT)/bin/python -m pytest -m lerobot \
	  -W default tests/lerobot $(PYTEST)

FOREIGN := .venv-foreign/bin/python
.venv-foreign/.goalsight-packages: pyproject.toml constraints.txt constraints-foreign.txt
	$(PYTHON) -m venv .venv-foreign
	@{ grep -v '^mujoco' constraints.txt; cat constraints-foreign.txt; } > .venv-foreign/constraints.txt
	$(FOREIGN) -m pip install --quiet --disable-pip-version-check -c .venv-foreign/constraints.txt \
	  hatchling editables
	$(FOREIGN) -m pip install --quiet --disable-pip-version-check -c .venv-foreign/constraints.txt \
	  --no-build-isolation -e '.[dev]' gymnasium-robotics
	@touch $@

test-foreign: .venv-foreign/.goalsight-packages ## Gymnasium-Robotics on MuJoCo 3.10: tests, then Fetch Reach end to end
	OMP_NUM_THREADS=1 $(FOREIGN) -m pytest -m foreign tests/foreign $(PYTEST)
	OMP_NUM_THREADS=1 $(FOREIGN) -m pytest tests/envs tests/foreign $(PYTEST)
	$(FOREIGN) scripts/foreign.py fetch-reach

docs: setup ## the site, with its reference, into runs/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

check: setup docs ## formatting, lint, types, the site
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy

format: setup ## put the code into the house's format
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

perf: setup ## speed beside its floor: collecting, deciding, reading, training; benchmarks/README.md
	mkdir -p runs/perf
	$(BIN)/python -m benchmarks.collect --json > runs/perf/collect.json
	$(BIN)/python -m benchmarks.deciding --json > runs/perf/deciding.json
	cat runs/perf/collect.json runs/perf/deciding.json
	$(BIN)/python -m benchmarks.reading
	rm -rf runs/perf/data
	$(BIN)/goalsight collect --env Goalsight/Push-v0 --episodes 40 --out runs/perf/data
	$(BIN)/python -m benchmarks.training --config tiny --data runs/perf/data --steps 50

manifests: setup ## make the benchmark's frozen pairs again; the result is committed
	$(BIN)/python -m scripts.make_manifests

tasks: setup ## expert and random on every task and shift level, steps a second: a record
	$(BIN)/python -m scripts.tasks_table runs/tasks --page $(RECORD)-tasks.md --speed
	$(BIN)/goalsight envs --pictures docs/images/tasks

models: setup ## every kind of model on one dataset and budget: hours, resumable
	$(BIN)/goalsight compare --comparison models --jobs 2 --page $(RECORD)-models.md
	$(BIN)/goalsight compare --comparison plannability --out runs/plannability \
	  --data runs/compare/data --jobs 2 --page $(RECORD)-models.md

checkpoints: setup ## the shipped models from nothing, resumable; `--only STEP --minutes 10` by hand
	$(BIN)/python -m scripts.make_checkpoints

clean: ## remove caches and built files; keeps .venv/ and runs/
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +
