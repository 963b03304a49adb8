# Every verb first sets up what it needs: a virtual environment with the package and its tools in it.
# A machine needs make and Python 3.11 or newer (on Debian and Ubuntu: apt install make python3-venv).
#
#   make demo PYTHON=python3.12      another interpreter
#   make test VENV=/elsewhere/venv   another virtual environment
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test slow data lint type bench

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## install the package and its tools into .venv

demo: $(INSTALLED) ## train an agent on the embedded default and show what it found
	$(BIN)/codesign-gym demo

test: $(INSTALLED) ## run the fast tests and the checks of the house, a process a core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

slow: $(INSTALLED) ## run the tests that train for minutes
	$(BIN)/python -m pytest -m slow

data: $(INSTALLED) ## fetch Fashion-MNIST: Debian's package, else a verified download
	$(BIN)/python -m codesign_gym.simulators.accuracy.fetch

lint: $(INSTALLED) ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(INSTALLED) ## check types
	$(BIN)/mypy

bench: $(INSTALLED) ## run the benchmarks
	$(BIN)/python -m pytest benchmarks

# The stamp is younger than both files exactly when they are what is installed.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "codesign-gym needs Python 3.11 or newer and found %s; name another one, as in: make PYTHON=python3.12" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev,search]'
	@touch $@
