# `make run` and `make test` do all the set-up they need; a second call starts at once.
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check --constraint $(VENV)/constraints.txt

# Any Python from 3.10 to 3.13 that can make environments: `make run PYTHON=python3.12` chooses.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python3.10; do \
  $$name -c 'import ensurepip, sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
  2>/dev/null && echo $$name && break; done)

# The only index to take torch from; without one, bot/app/torch_build.py chooses and says so.
TORCH_INDEX ?=

.PHONY: help setup run test lint bench arm64 clean same-python

help:  ## what can be made
	@sed -n 's/^\([a-z0-9]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(VENV)/.installed  ## the environment, the dependencies and a model
	@$(PY) -m bot.engine.kernels.ensure_library
	$(PY) -m bot fetch

run: setup  ## start the bot: in Slack with tokens in .env, else in a sandbox on localhost
	$(PY) -m bot run

test: $(VENV)/.dev  ## everything that can be tested here
	$(PY) -m bot fetch starter
	$(PY) -m pytest $(TESTS)

lint: $(VENV)/.dev  ## style and types of every file, who may import whom, and unused code
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) -m vulture

bench: $(VENV)/.bench  ## speed beside transformers, llama.cpp and CTranslate2; writes docs/engine-KERNELS.md
	$(PY) -m bot fetch starter
	$(PY) benchmarks/engine.py

arm64: $(VENV)/.dev  ## the whole bot on 64-bit ARM under qemu; a quarter of an hour or more, as root, on Debian
	$(PY) -m bot fetch starter
	sh tests/arm64/run.sh $(ARM64)

clean:  ## remove the environment and the caches; models/ and data/ stay
	rm -rf $(VENV) *.egg-info bot/engine/kernels/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find bot handlers config tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "make: no Python from 3.10 to 3.13 with venv was found: install one" \
	  "(on Debian: apt install python3-venv), or name it: make run PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# An environment that is there keeps its Python, which whoever names another one has to be told.
same-python: | $(PY)
ifneq ($(origin PYTHON),file)
	@version='import sys; print(*sys.version_info[:2], sep=".")'; there=$$($(PY) -c "$$version"); \
	  [ "$$($(PYTHON) -c "$$version" 2>/dev/null)" = "$$there" ] || \
	  echo "make: $(PYTHON) is not used: $(VENV) is of Python $$there; 'make clean' starts anew" >&2
endif

# torch first and alone, so that nothing else chooses its build.
$(VENV)/constraints.txt: pyproject.toml constraints.txt | $(PY) same-python
	$(PY) -m bot.app.torch_build $@ $(if $(TORCH_INDEX),--index $(TORCH_INDEX))

# The kernels are compiled when the package is installed; `setup` looks again, for a library that was lost, and
# for a compiler that came later.
$(VENV)/.installed: $(VENV)/constraints.txt $(wildcard bot/engine/kernels/*.c bot/engine/kernels/*.h)
	@$(PIP) --editable . || { echo "make: where ziglang is what pip cannot have: it compiles the kernels where there" \
	  "is no C compiler. Install one (on Debian: apt install gcc libc6-dev), or go on without kernels, so that torch" \
	  "computes, slowly: WITHOUT_KERNELS=1 make setup" >&2; exit 1; }
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.bench: $(VENV)/.installed
	$(PIP) --editable '.[bench]'
	@touch $@
