# Each target sets up what it needs in .venv by itself: Python >= 3.11, a C++ compiler and the package registry do.
#   make demo | test | lint | native | bench | clean
#   make gpu     on a GPU machine: with that machine's own Python and packages, downloading nothing
# OLIFT_NATIVE=0 leaves the compiled kernels out.  PYTHON=python3.12 chooses the interpreter.

PYTHON ?= python3
PYTEST_ARGS ?=
BENCH_ARGS ?= --benchmark-only --benchmark-columns=median,iqr,rounds --benchmark-json=build/benchmarks.json
OUT ?= build/gpu

VENV := .venv
BIN := $(VENV)/bin
SETUP := pyproject.toml constraints.txt
EDITABLE := OLIFT_NATIVE=0 $(BIN)/pip install -q -c constraints.txt --no-build-isolation -C editable.mode=inplace

ifneq (,$(filter 0 n no off false,$(OLIFT_NATIVE)))
NATIVE :=
else
NATIVE := native
endif

# Builds olift_fast/_native*.so in place. $(1): the Python to build for; $(2): the build folder.
define build_native
	@cmake -S . -B $(2) -DCMAKE_BUILD_TYPE=Release -DPython_EXECUTABLE=$(1) > $(2).log 2>&1 \
	  || { cat $(2).log; exit 1; }
	@grep -h "kernels:" $(2).log
	@cmake --build $(2) --parallel
	@cmake --install $(2) --prefix . --component olift > $(2).log
endef

.PHONY: demo test lint native bench gpu clean

demo: $(NATIVE) $(VENV)/.demo
	$(BIN)/olift demo demo-out
	@echo "3D joints: demo-out/lifted.npz   to look at: demo-out/lifted.html"

test: $(NATIVE) $(VENV)/.test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(NATIVE) $(VENV)/.test
	@mkdir -p build
	$(BIN)/python -m pytest benchmarks $(BENCH_ARGS)

native: export CMAKE_GENERATOR = Ninja
native: export PATH := $(CURDIR)/$(BIN):$(PATH)
native: $(VENV)/.base
	@mkdir -p build
	$(call build_native,$(CURDIR)/$(BIN)/python,build/native)

gpu:
	@mkdir -p build $(OUT)
	$(call build_native,$$(command -v $(PYTHON)),build/native-gpu)
	@status=0; \
	PYTHONPATH=. $(PYTHON) -m pytest --junitxml=$(OUT)/tests.xml $(PYTEST_ARGS) > $(OUT)/tests.log 2>&1 || status=1; \
	tail -n 40 $(OUT)/tests.log; \
	PYTHONPATH=. $(PYTHON) -m pytest benchmarks --benchmark-only --benchmark-json=$(OUT)/benchmarks.json \
	  > $(OUT)/benchmarks.log 2>&1 || status=1; \
	tail -n 40 $(OUT)/benchmarks.log; \
	exit $$status

clean:
	rm -rf build dist demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks olift_fast/_native*.so
	find olift_fast tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# torch comes first: what else asks for it then takes the version that constraints.txt names.
$(VENV)/.base: $(SETUP)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed"; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt scikit-build-core pybind11 cmake ninja
	@touch $@

$(VENV)/.demo: $(VENV)/.base
	$(EDITABLE) -e '.[view]'
	@touch $@

$(VENV)/.test: $(VENV)/.base
	$(EDITABLE) -e '.[io,view,test]'
	@touch $@ $(VENV)/.demo

$(VENV)/.lint: $(VENV)/.base
	$(EDITABLE) -e '.[dev]'
	@touch $@
