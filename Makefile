# make demo: train, watch, compare and save in about a minute.   make test: the tests.
# make lecture: the first page of the lecture, with its pictures.
# Each target makes its own virtual environment where it is missing, with the versions of constraints.txt.
#
#   PYTHON=python3.12     another interpreter (3.11 to 3.13)
#   INDEX=URL             a further package index: on Linux the one with PyTorch's CPU builds saves gigabytes of CUDA
#   SEED=1 MINUTES=5      of make fuzz: which damaged inputs, and for how long
#   JSON=FILE             of make fuzz: where to write a summary
#   ONLY=NAME[:NUMBER]    of make fuzz: the readers and folders whose names begin so, or one input again

PYTHON ?= python3
VENV ?= .venv
INDEX ?=
SEED ?= 1
MINUTES ?= 5
JSON ?=
ONLY ?=
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(INDEX),--extra-index-url $(INDEX)) -c constraints.txt

.PHONY: demo lecture test fuzz lint docs wheel bench clean

demo: $(VENV)/.core
	$(BIN)/elman demo

lecture: $(VENV)/.lecture
	$(BIN)/elman lecture 1

test: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --seed $(SEED) --minutes $(MINUTES) $(if $(JSON),--json $(JSON)) $(if $(ONLY),--only $(ONLY))

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

wheel: $(VENV)/.core
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(BIN)/python tests/wheel.py dist

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/loop_overhead.py
	$(BIN)/python benchmarks/encoding.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/.lecture: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[music,sklearn]'
	@touch $@ $(VENV)/.core

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.core

$(VENV)/.docs: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
