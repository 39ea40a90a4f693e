# Each target sets up what it needs in .venv by itself: Python >= 3.11, a C++ compiler and the package registry do.
#   make demo | test | lint | native | bench | bench-full | report | docs | sanitize | clean
#   make wheels  what is published, in dist/, and checked there.  PYTHONS="python3.11 python3.12": for these Pythons
#   make compare BASE=REVISION   fails where the working tree is slower than that revision
#   make kernel-repo REPO=OWNER/NAME   the Triton operations as a repository of the Hugging Face kernel hub
#   make try     the page that lifts in the browser, in build/try (needs npm); docs/try/README.md tells more
#   make fuzz MINUTES=45   damaged files and lines by the thousand: each is read, or refused in one line
#   make gpu     on a GPU machine: with that machine's own Python and packages, downloading nothing
# PYTEST_JOBS=0 runs the tests in one process, which a debugger needs.
# OLIFT_NATIVE=0 leaves the compiled kernels out.  PYTHON=python3.12 chooses the interpreter.

PYTHON ?= python3
PYTEST_ARGS ?=
PYTEST_JOBS ?= logical
COMPARE_ARGS ?=
BENCH_ARGS ?= --benchmark-only --benchmark-columns=median,iqr,rounds --benchmark-json=build/benchmarks.json
OUT ?= build/gpu
PYTHONS ?= $(BIN)/python
DIST ?= dist
OLIFT_CUDA ?= OFF
CHECK_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
SETUP := pyproject.toml constraints.txt
EDITABLE := OLIFT_NATIVE=0 $(BIN)/pip install -q -c constraints.txt --no-build-isolation --config-settings=editable.mode=inplace

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

.PHONY: demo test lint native wheels bench bench-full report docs compare sanitize kernel-repo fuzz try gpu gpu-sanitize
.PHONY: gpu-rehearsal others clean

demo: $(NATIVE) $(VENV)/.demo
	$(BIN)/olift demo demo-out
	@echo "3D joints: demo-out/lifted.npz   to look at: demo-out/lifted.html"

# As many tests at once as there are cores, each with one thread. The tests of a file share its fixtures.
test: export OMP_NUM_THREADS = 1
test: $(NATIVE) $(VENV)/.test
	$(BIN)/python -m pytest -n $(PYTEST_JOBS) --maxprocesses 8 --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $$(find csrc -type f) examples/*.cpp
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

# bench-full has what takes minutes, too: compiled competitors, the longest sequences.
bench-full: export OLIFT_BENCH_FULL = 1
bench bench-full: $(NATIVE) $(VENV)/.test
	@mkdir -p build
	$(BIN)/python -m pytest benchmarks $(BENCH_ARGS)

report: $(VENV)/.bench
	$(BIN)/python -m benchmarks.report
	$(BIN)/python -m benchmarks.scores
	$(BIN)/python -m olift_fast.io.docs docs/formats.md

# Strict: a dead link, a docstring that is missing, or an error in a tutorial fails it. Nothing is fetched.
docs: export NO_MKDOCS_2_WARNING = 1
docs: export PYTHONPATH = .
docs: export IPYTHONDIR = $(CURDIR)/build/ipython
docs: $(NATIVE) $(VENV)/.docs
	$(BIN)/python -m mkdocs build --strict --quiet
	@echo "the site: build/site/index.html   with search: $(BIN)/python -m http.server -d build/site"

# It builds both by itself.
compare: $(VENV)/.test
	@test -n "$(BASE)" || { echo "make compare needs BASE=REVISION"; exit 2; }
	$(BIN)/python -m benchmarks.compare "$(BASE)" $(COMPARE_ARGS)

native: export CMAKE_GENERATOR = Ninja
native: export PATH := $(CURDIR)/$(BIN):$(PATH)
native: $(VENV)/.base
	@mkdir -p build
	$(call build_native,$(CURDIR)/$(BIN)/python,build/native)

# A wheel for each Python of PYTHONS, one in pure Python, and the source distribution, which that one is built from; then
# tests/packaging/check_dist.py looks at all of them. The kernels know nothing of Python, so the builds begin with the
# objects of `make native`, by its compiler: Ninja compiles again only what was compiled otherwise there. OLIFT_CUDA=ON
# adds the CUDA kernels (docs/channels.md).
wheels: export CMAKE_GENERATOR = Ninja
wheels: export PATH := $(CURDIR)/$(BIN):$(PATH)
wheels: export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
wheels: export PIP_BUILD_CONSTRAINT := $(CURDIR)/constraints.txt
wheels: native $(VENV)/.dist
	@rm -rf $(DIST) build/wheels && mkdir -p $(DIST) build/wheels
	$(BIN)/python -m build -q --sdist --no-isolation -o $(DIST) .
	OLIFT_NATIVE=0 $(BIN)/pip wheel -q --no-deps --no-build-isolation -w $(DIST) $(DIST)/*.tar.gz
	@set -e; PATH="$$($(BIN)/python -c 'import cmake; print(cmake.CMAKE_BIN_DIR)'):$$PATH"; \
	CXX="$$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' build/native/CMakeCache.txt)"; export PATH CXX; \
	for python in $(PYTHONS); do \
	  echo "a wheel for $$python"; \
	  rm -rf build/wheel && mkdir -p build/wheel/CMakeFiles; \
	  cp -a build/native/CMakeFiles/kernels_*.dir build/wheel/CMakeFiles; \
	  cp -a build/native/.ninja_log build/native/.ninja_deps build/wheel; \
	  $(BIN)/pip --python "$$python" wheel -q --no-deps -w build/wheels \
	    -C build-dir=build/wheel -C cmake.define.OLIFT_CUDA=$(OLIFT_CUDA) .; \
	done
	$(BIN)/auditwheel repair -w $(DIST) build/wheels/*.whl
	$(BIN)/python tests/packaging/check_dist.py $(DIST) $(CHECK_ARGS)

# The CPU kernels under AddressSanitizer and UndefinedBehaviorSanitizer, in a build beside the usual one. Python itself is
# not built with them, so their runtimes are loaded first, and what it never frees is not looked for.
runtime = $$(c++ -print-file-name=$(1))
sanitize: export CMAKE_GENERATOR = Ninja
sanitize: export PATH := $(CURDIR)/$(BIN):$(PATH)
sanitize: $(VENV)/.test
	@mkdir -p build/sanitize
	@cmake -S . -B build/sanitize -DCMAKE_BUILD_TYPE=Debug -DOLIFT_CUDA=OFF -DOLIFT_SANITIZE=address,undefined \
	  -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python > build/sanitize.log 2>&1 || { cat build/sanitize.log; exit 1; }
	@cmake --build build/sanitize --parallel
	OLIFT_NATIVE=$$(ls $(CURDIR)/build/sanitize/_native*.so) \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	  LD_PRELOAD="$(call runtime,libasan.so) $(call runtime,libubsan.so) $(call runtime,libstdc++.so.6)" \
	  $(BIN)/python -m pytest -q tests/native -p no:cacheprovider --ignore tests/native/test_compile.py \
	  --ignore tests/native/test_arm.py --ignore tests/native/test_procrustes_ptx.py $(PYTEST_ARGS)

# Checkpoints and configurations of trainings are damaged as long as files, after them, where FUZZ_ARGS says nothing.
# FUZZ_ARGS="--seed 7 --format coco --number 123" makes an input again, and reads it; --out FILE records the counts.
MINUTES ?= 1
FUZZ_ARGS ?=
fuzz: export OMP_NUM_THREADS = 1
fuzz: export OPENBLAS_NUM_THREADS = 1
fuzz: $(VENV)/.test
	$(BIN)/python tests/io/fuzz.py --minutes $(MINUTES) $(FUZZ_ARGS)
	$(if $(FUZZ_ARGS),,$(BIN)/python tests/model/fuzz_checkpoints.py --minutes $(MINUTES))

# The examples of archives, and archives on Ray and in S3, for real: by packages of tests/others.txt, in an environment
# over that of .venv. Where they can't be had, it says so and ends well.
OTHERS := build/others
others: export OMP_NUM_THREADS = 1
others: $(NATIVE) $(VENV)/.test
	@test -x $(OTHERS)/bin/python || $(BIN)/python -m venv --without-pip $(OTHERS)
	@packages() { "$$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }; \
	echo "import site; site.addsitedir('$$(packages $(BIN)/python)')" > "$$(packages $(OTHERS)/bin/python)/venv.pth"
	@if $(BIN)/pip --python $(OTHERS)/bin/python install -q --no-deps -r tests/others.txt; then \
	  PATH="$(CURDIR)/$(OTHERS)/bin:$$PATH" $(OTHERS)/bin/python -m pytest -p no:cacheprovider --durations=6 \
	    tests/archive/test_archive_ray.py tests/archive/test_archive_store.py tests/examples \
	    -k "two_nodes or lost or object_store or snakemake or datajoint"; \
	else \
	  echo "not run: the packages of tests/others.txt can't be had here"; \
	fi

# Needs Python alone: it writes build/kernel-repo anew.
kernel-repo:
	@mkdir -p build
	$(PYTHON) packaging/kernel_repo.py build/kernel-repo $(if $(REPO),--repo "$(REPO)")

# MODEL=FILE.onnx takes a file that was exported before.
MODEL ?=
try: $(VENV)/.test
	$(BIN)/python docs/try/build.py build/try $(if $(MODEL),--model $(MODEL))

# What a GPU machine is asked, within eight minutes: does it build, is it right, how fast is it (benchmarks/gpu.py). Logs
# and times go to OUT. gpu-sanitize, after it: does it touch only its own memory, and in order. gpu-rehearsal goes through
# the steps of the first without a GPU.
gpu:
	$(PYTHON) -m benchmarks.gpu $(OUT)
gpu-sanitize:
	$(PYTHON) -m benchmarks.gpu $(OUT) --sanitize
gpu-rehearsal: $(NATIVE) $(VENV)/.test
	$(BIN)/python -m benchmarks.gpu build/gpu-rehearsal --rehearse

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
	$(EDITABLE) -e '.[io,view,smooth,video,stream,train,export,hub,bench,test]'
	@touch $@ $(VENV)/.demo $(VENV)/.bench

$(VENV)/.bench: $(VENV)/.base
	$(EDITABLE) -e '.[bench]'
	@touch $@

$(VENV)/.dist: $(VENV)/.test
	$(EDITABLE) -e '.[dist]'
	@touch $@

$(VENV)/.docs: $(VENV)/.base
	$(EDITABLE) -e '.[docs,view,smooth,stream,train]'
	@touch $@

$(VENV)/.lint: $(VENV)/.base
	$(EDITABLE) -e '.[dev]'
	@touch $@
