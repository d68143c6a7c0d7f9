# The commands; `make help` lists them. Each makes the virtual environment it needs and installs nothing outside it.
# It must not know how the package is built (pip does, through pyproject.toml) or what the tests check.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ASAN   := .venv-asan
EMULATED := .venv-emulated
# What the CUDA plugin of this environment is compiled for, where there is a CUDA compiler: Hopper, and code that other
# GPUs translate for themselves. All that `pip install .` builds would take minutes more.
CUDA_ARCHITECTURES ?= 75;90a-real

export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Here, not where users install it with compilers to come, warnings are errors.
WERROR := --config-settings=cmake.define.FASTREG_WERROR=ON

# What a change of which needs a new install. Tests run against that install, never against python/fastreg.
SOURCES := CMakeLists.txt pyproject.toml $(shell find cmake csrc python -type f -not -name '*.so*' -not -path '*/__pycache__/*')
CXX_FILES := $(shell find csrc tests benchmarks -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.inl' -o -name '*.cu' -o -name '*.cuh' \))
ASAN_TESTS := $(wildcard tests/rules tests/ops tests/session)

.PHONY: help demo test lint format bench bench-quick bench-kernels gpu-check test-asan test-emulated test-native test-neon test-tsan clean
help:
	@echo "make demo         train on handwritten digits under each technique; table, and figures in demo-output/"
	@echo "make test         all tests"
	@echo "make lint         ruff, mypy, clang-format; 'make format' applies what can be applied"
	@echo "make bench        benchmarks against other frameworks; 'make bench-quick' for a first look"
	@echo "make bench-kernels  each kernel's speed, share of the machine's peak, and error; KERNELS_ARGS='--quick'"
	@echo "make test-asan    tests of the kernels and of training under AddressSanitizer and UBSan (g++)"
	@echo "make test-tsan    the C++ test programs under ThreadSanitizer"
	@echo "make test-emulated  tests of CUDA's kernels without a GPU: built as C++, their threads run by an emulator"
	@echo "make gpu-check    on a machine with a GPU, offline: build, test, sanitize, measure; GPU_ARGS='--parts build,parity'"
	@echo "make test-native  the C++ test programs"
	@echo "make test-neon    the same for 64-bit ARM under qemu (see CONTRIBUTING.md)"
	@echo "make clean        remove what all of these made, but for results of benchmarks"
	@echo "Another Python: make PYTHON=/path/to/python3 ..."

demo: $(BIN)/demo.stamp
	$(BIN)/python -m demo

test: $(BIN)/test.stamp
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(BIN)/lint.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)

format: $(BIN)/lint.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

bench: $(BIN)/bench.stamp
	$(BIN)/python benchmarks/run.py

bench-quick: $(BIN)/bench.stamp
	$(BIN)/python benchmarks/run.py --quick

# One install serves every command; the tools of a command come from the extra of its name.
$(BIN)/python:
	@$(PYTHON) tools/preflight.py
	$(PYTHON) -m venv $(VENV)

$(BIN)/package.stamp: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet . \
	    $(WERROR) --config-settings=cmake.define.FASTREG_CUDA_ARCHITECTURES='$(CUDA_ARCHITECTURES)'
	@touch $@

$(BIN)/%.stamp: $(BIN)/package.stamp
	$(BIN)/python -m pip install --quiet 'fastreg[$*]'
	@touch $@

# Sanitizers: the same package, built apart. CPython is not instrumented, so their runtime is loaded first.
$(ASAN)/bin/python:
	@$(PYTHON) tools/preflight.py
	$(PYTHON) -m venv $(ASAN)

$(ASAN)/package.stamp: $(SOURCES) | $(ASAN)/bin/python
	CXX=$(CXX) $(ASAN)/bin/python -m pip install --quiet . \
	    $(WERROR) --config-settings=build-dir=build/asan \
	    --config-settings=cmake.build-type=Debug --config-settings=cmake.define.CMAKE_CXX_FLAGS_DEBUG=-O1 \
	    --config-settings=cmake.define.FASTREG_SANITIZE=address,undefined
	$(ASAN)/bin/python -m pip install --quiet 'fastreg[test]'
	@touch $@

test-asan: $(ASAN)/package.stamp
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	    $(ASAN)/bin/python -m pytest --timeout 1800 $(ASAN_TESTS) $(PYTEST_ARGS)

# The CUDA plugin as C++, run by tests/emulator.
$(EMULATED)/bin/python:
	@$(PYTHON) tools/preflight.py
	$(PYTHON) -m venv $(EMULATED)

$(EMULATED)/package.stamp: $(SOURCES) $(wildcard tests/emulator/*.c* tests/emulator/include/*.h tests/emulator/include/*/*.cuh) | $(EMULATED)/bin/python
	$(EMULATED)/bin/python -m pip install --quiet . $(WERROR) --config-settings=cmake.define.FASTREG_CUDA=EMULATED
	$(EMULATED)/bin/python -m pip install --quiet 'fastreg[test]'
	@touch $@

test-emulated: $(EMULATED)/package.stamp
	FASTREG_TEST_CUDA=1 $(EMULATED)/bin/python -m pytest tests/cuda $(ASAN_TESTS) $(PYTEST_ARGS)

# The kernel benchmark, without Python; its arguments in KERNELS_ARGS.
bench-kernels: $(BIN)/python
	$(BIN)/python -m pip install --quiet cmake ninja
	$(BIN)/cmake -S . -B build/kernels -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) \
	    -DCMAKE_BUILD_TYPE=Release -DFASTREG_WERROR=ON -DFASTREG_PYTHON=OFF -DFASTREG_BENCHMARKS=ON
	$(BIN)/cmake --build build/kernels
	build/kernels/benchmarks/kernels/kernels $(KERNELS_ARGS)

# A machine with a GPU: what it needs must be installed for PYTHON. GPU_ARGS as tools/gpu_check.py takes them.
gpu-check:
	$(PYTHON) tools/gpu_check.py $(GPU_ARGS)

# The native test programs, for this machine and for 64-bit ARM under qemu; a training must give both the same digest.
NATIVE := -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DCMAKE_BUILD_TYPE=Release -DFASTREG_WERROR=ON \
    -DFASTREG_PYTHON=OFF -DFASTREG_NATIVE_TESTS=ON

test-native: $(BIN)/python
	$(BIN)/python -m pip install --quiet cmake ninja
	$(BIN)/cmake -S . -B build/native $(NATIVE)
	$(BIN)/cmake --build build/native
	$(BIN)/ctest --test-dir build/native --output-on-failure

test-tsan: $(BIN)/python
	$(BIN)/python -m pip install --quiet cmake ninja
	$(BIN)/cmake -S . -B build/tsan $(NATIVE) -DFASTREG_CUDA=OFF -DFASTREG_SANITIZE=thread
	$(BIN)/cmake --build build/tsan
	$(BIN)/ctest --test-dir build/tsan --output-on-failure

test-neon: test-native
	$(BIN)/cmake -S . -B build/neon -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake $(NATIVE)
	$(BIN)/cmake --build build/neon
	$(BIN)/ctest --test-dir build/neon --output-on-failure
	build/native/tests/native/op_test --hash > build/native.hash
	qemu-aarch64 -L /usr/aarch64-linux-gnu build/neon/tests/native/op_test --hash > build/neon.hash
	cmp build/native.hash build/neon.hash

clean:
	rm -rf $(VENV) $(ASAN) $(EMULATED) build demo-output .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find benchmarks demo examples python tests tools -name __pycache__ -prune -exec rm -rf {} +
