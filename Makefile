# `make demo` and `make test` set up .venv with everything they need, then run.
# Another Python: make test PYTHON=python3.12    Part of the tests: make test ARGS="-k plot"

PYTHON ?= python3
ARGS ?=
# Processes that share the tests, a file at a time.
PROCESSES ?= 2
VENV := .venv
BIN := $(VENV)/bin
# The lowest versions that setup.cfg allows have wheels for this Python.
PYTHON_OLDEST ?= python3.10
OLDEST := .venv-oldest
RELEASE := .venv-release
KERAS3 := .venv-keras3
HLS4ML := .venv-hls4ml
PINS := setup.cfg setup.py pyproject.toml constraints.txt $(wildcard native/*.cc native/*.h native/*.inc native/*.txt)
OLDEST_TESTS := tests/deploy tests/runtime tests/test_cli_deploy.py tests/test_import.py \
  tests/keras3 tests/test_two_kerases.py
# Where it is set, each run rewrites all modules of tests anew.
unexport PYTHONDONTWRITEBYTECODE
export TF_CPP_MIN_LOG_LEVEL ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-oldest test-keras3 test-native devices-setup hls4ml-setup test-targets fuzz wasm lint \
  format bench guard release structure docs docs-check docs-outputs first-picture clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.run-ready ## train a small binary network on real images (under 3 minutes)
	$(BIN)/lq demo $(ARGS)

test: $(VENV)/.dev-ready ## run the tests, the examples in docstrings and the notebooks
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder \
	  -m "not slow and not targets" --nbmake $(ARGS)

test-all: $(VENV)/.dev-ready ## the same with the slow tests
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder \
	  -m "not targets" --nbmake $(ARGS)

test-oldest: $(OLDEST)/.ready ## test deployment with the lowest versions of setup.cfg
	$(OLDEST)/bin/python -m pytest -p no:cacheprovider -n $(PROCESSES) --dist loadfile \
	  -W "ignore:non-integer arguments to randrange" -m "not slow and not targets" $(OLDEST_TESTS) $(ARGS)

test-keras3: $(KERAS3)/.ready ## test larqlite.keras3 on JAX, and on PyTorch if it installs for CPUs
	KERAS_BACKEND=jax $(KERAS3)/bin/python -m pytest -p no:cacheprovider tests/keras3 $(ARGS)
	@if $(KERAS3)/bin/python -c "import torch" 2> /dev/null; then \
	  KERAS_BACKEND=torch $(KERAS3)/bin/python -m pytest -p no:cacheprovider tests/keras3 $(ARGS); \
	else \
	  echo 'make: PyTorch is not installed, so nothing was tested with it. Fix: make it known to' \
	    'pip where its builds for CPUs are (PIP_FIND_LINKS), and make clean test-keras3' >&2; \
	fi
	$(KERAS3)/bin/python -m tests.keras3.gradients

test-native: ## test the C++ kernels under sanitizers, and for ARM if its compiler is there
	native/test.sh $(ARGS)

devices-setup: ## install what tests for other machines need: cross compilers, QEMU (Debian)
	tools/devices_setup.sh $(ARGS)

hls4ml-setup: $(HLS4ML)/.ready ## make .venv-hls4ml: hls4ml and FINN, for tests of what goes to FPGAs

test-targets: $(VENV)/.dev-ready ## test at length what runs on other machines (under 60 minutes)
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile -m targets tests $(ARGS)

fuzz: $(VENV)/.dev-ready ## load 20,000 damaged models under the address sanitizer
	native/fuzz.sh $(BIN)/python --count 20000 $(ARGS)

wasm: ## compile the kernels to WebAssembly: web/larqlite.wasm (needs clang, see devices-setup)
	web/build.sh

lint: $(VENV)/.dev-ready ## check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(VENV)/.dev-ready ## rewrite files in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev-ready ## measure speed against the other side (an environment of its own)
	$(BIN)/python benchmarks/run.py $(ARGS)

guard: $(VENV)/.dev-ready ## compare what is computed with a commit: BASE=<commit>
	PYTHONPATH=tools $(BIN)/python -m guard $(BASE) $(ARGS)

release: $(RELEASE)/.ready ## build what is published in dist/, check it, print how to publish it
	PYTHONPATH=tools $(RELEASE)/bin/python -m release $(ARGS)

structure: ## count files, imports past the doors, circles and homonyms
	@python3 tools/structure.py $(ARGS)

docs: $(VENV)/.dev-ready ## build the documentation in docs/_build/html; warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

# From nothing: pages that Sphinx does not read again lose their words in the index.
docs-check: $(VENV)/.dev-ready ## build the documentation, and look at it in the system's Chromium
	rm -rf docs/_build/html
	$(MAKE) docs
	PYTHONPATH=tools $(BIN)/python -m docs_site.check $(ARGS)

docs-outputs: $(VENV)/.dev-ready ## write what pages and notebooks print into them
	PYTHONPATH=tools $(BIN)/python -m docs_site.outputs $(ARGS)

first-picture: $(VENV)/.dev-ready ## measure the network of the README again, and draw it
	PYTHONPATH=tools $(BIN)/python -m docs_site.first_network $(ARGS)

clean: ## remove .venv, .venv-oldest, .venv-keras3, .venv-hls4ml, .venv-release and everything built; keep runs/
	rm -rf $(VENV) $(OLDEST) $(KERAS3) $(HLS4ML) $(RELEASE) .guard build dist docs/_build native/build *.egg-info .pytest_cache .ruff_cache .hypothesis

$(VENV)/.run-ready: $(PINS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev-ready: $(PINS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@ $(VENV)/.run-ready

$(RELEASE)/.ready: tools/release/requirements.txt
	$(PYTHON) -m venv --clear $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --upgrade pip
	$(RELEASE)/bin/python -m pip install --quiet --requirement $<
	@touch $@

$(OLDEST)/.ready: $(PINS) $(wildcard tests/oldest/*)
	@command -v $(PYTHON_OLDEST) > /dev/null || { \
	  echo 'make: no program "$(PYTHON_OLDEST)". Fix: install Python 3.10, or name it:' \
	    'make test-oldest PYTHON_OLDEST=/path/to/python3.10' >&2; exit 1; }
	$(PYTHON_OLDEST) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python tests/oldest/lowest.py setup.cfg > $(OLDEST)/lowest.txt
	$(OLDEST)/bin/python -m pip install --quiet --constraint tests/oldest/constraints.txt \
	  --requirement $(OLDEST)/lowest.txt pytest pytest-xdist hypothesis setuptools wheel
	$(OLDEST)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# PyTorch's builds for CPUs are not where pip looks by itself, and its other ones are large.
$(KERAS3)/.ready: $(PINS) $(wildcard tests/keras3/*.txt) | $(BIN)/python
	$(BIN)/python -m venv --clear $(KERAS3)
	$(KERAS3)/bin/python -m pip install --quiet --constraint constraints.txt \
	  --requirement tests/keras3/jax.txt --editable ".[test]"
	-$(KERAS3)/bin/python -m pip install --quiet --constraint constraints.txt \
	  --requirement tests/keras3/torch.txt
	@touch $@

# FINN's front end alone: what it is installed with builds hardware.
$(HLS4ML)/.ready: tests/devices/hls4ml.txt
	$(PYTHON) -m venv --clear $(HLS4ML)
	$(HLS4ML)/bin/python -m pip install --quiet --requirement $<
	$(HLS4ML)/bin/python -m pip install --quiet --no-deps finn-plus==1.6.1
	@touch $@

# TensorFlow has wheels for these versions of Python only.
$(BIN)/python:
	@command -v $(PYTHON) > /dev/null || { \
	  echo 'make: no program "$(PYTHON)". Fix: install Python 3.10 to 3.13, or name it:' \
	    'make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "make: $(PYTHON) is $$($(PYTHON) --version 2>&1), but TensorFlow needs Python" \
	    "3.10 to 3.13. Fix: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip
