# The README's two commands and their friends. Each is thin: the work is in CMakePresets.json and tools/.
PRESET ?= release
JOBS ?= $(shell nproc)
BIN := build/release/bin

.PHONY: demo test test-python deps build lint bench bench-demo-seeds clean

demo: build
	$(BIN)/ferment demo

test: build
	ctest --preset $(PRESET) -j $(JOBS)

# Loads the exports of tiny runs and of the last demo in PyTorch and compares; downloads PyTorch into build/test-venv.
test-python: build
	FERMENT_PYTHON_CHECKS=1 tests/road/export_check.sh $(BIN) $(wildcard runs/demo)

deps:
	@tools/install_dependencies.sh

build: deps
	@[ -f build/$(PRESET)/build.ninja ] || cmake --preset $(PRESET)
	@cmake --build --preset $(PRESET) -j $(JOBS)

lint: build
	@tools/lint.sh

bench: deps
	cmake --preset bench
	cmake --build --preset bench -j $(JOBS)

bench-demo-seeds: build
	tools/bench_seeds.py examples/demo.yaml --seeds 1 2 3 --fresh

clean:
	rm -rf build
