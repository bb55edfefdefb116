# The README's two commands and their friends. Each is thin: the work is in CMakePresets.json and tools/.
PRESET ?= release
JOBS ?= $(shell nproc)
BIN := build/release/bin

# The checks in PyTorch, which comes into build/test-venv (3 GB with its CUDA libraries): make test FERMENT_PYTHON_CHECKS= leaves them out.
export FERMENT_PYTHON_CHECKS ?= 1

SEEDS ?= 200000
FIRST ?= 1

.PHONY: demo test test-long sim chaos soak fuzz coverage test-python test-s3 deps programs build cuda lint bench bench-demo-seeds bench-train bench-label bench-coordinator clean

demo: programs
	$(BIN)/ferment demo

test: build
	ctest --preset $(PRESET) -j $(JOBS)

# What takes longer than a change should wait for.
test-long: build
	FERMENT_LONG_TESTS=1 ctest --preset $(PRESET) -L long

# The coordinator in simulated time, on all cores: make sim SEEDS=200000 FIRST=1. A failing seed says how to replay it.
sim: deps
	@[ -f build/$(PRESET)/build.ninja ] || cmake --preset $(PRESET)
	@cmake --build --preset $(PRESET) -j $(JOBS) --target sim_test
	seq 0 $$(( $(JOBS) - 1 )) | xargs -P $(JOBS) -I{} sh -c 'build/$(PRESET)/tests/sim_test \
	  --first $$(( $(FIRST) + {} )) --stride $(JOBS) --count $$(( $(SEEDS) / $(JOBS) ))'

# Clusters of real processes, broken as a seed says: make chaos ROUNDS=30 SEED=1. A round that fails says how to make it again.
ROUNDS ?= 12
SEED ?= 1
chaos: deps
	@[ -f build/$(PRESET)/build.ninja ] || cmake --preset $(PRESET)
	@cmake --build --preset $(PRESET) -j $(JOBS) --target chaos_rounds
	build/$(PRESET)/tests/chaos_rounds --first $(SEED) --count $(ROUNDS)

# An hour of work without end, with a twentieth of those faults; what processes and disk hold must stay: make soak MINUTES=60 SEED=1.
# An odd seed takes PostgreSQL, an even one SQLite. A day: MINUTES=1440, with some 3 GB of memory and 10 GB of disk.
MINUTES ?= 60
soak: deps
	@[ -f build/$(PRESET)/build.ninja ] || cmake --preset $(PRESET)
	@cmake --build --preset $(PRESET) -j $(JOBS) --target chaos_rounds
	build/$(PRESET)/tests/chaos_rounds --kind soak --first $(SEED) --seconds $$(( 60 * $(MINUTES) )) --keep

# Loads exports, that of the last demo among them, and replays recorded steps in PyTorch.
test-python: build
	ctest --preset $(PRESET) -L python
	$(if $(wildcard runs/demo),tests/road/export_check.sh $(BIN) runs/demo)

deps:
	@tools/install_dependencies.sh

# Label sets and packs in an object store: Ceph's radosgw on loopback, without TLS and with it; it takes a quarter of a minute to start.
test-s3: build
	@tools/install_dependencies.sh s3
	FERMENT_S3_TESTS=1 ctest --preset $(PRESET) -R 'ObjectGateway|LabelStore'

# The four programs without the tests: two thirds of the work.
programs: deps
	@[ -f build/$(PRESET)/build.ninja ] || cmake --preset $(PRESET)
	@cmake --build --preset $(PRESET) -j $(JOBS) --target programs

build: deps
	@[ -f build/$(PRESET)/build.ninja ] || cmake --preset $(PRESET)
	@cmake --build --preset $(PRESET) -j $(JOBS)

# For machines with NVIDIA GPUs: fetches 2.3 GB more and builds into build/cuda.
cuda:
	@tools/install_cuda_libraries.sh
	cmake --preset cuda
	cmake --build --preset cuda -j $(JOBS)

lint: build
	@tools/install_dependencies.sh lint
	@tools/lint.sh

bench: deps
	cmake --preset bench
	cmake --build --preset bench -j $(JOBS)

# Beside PyTorch in the venv of the checks, build/test-venv, so that both compare with one version of it; on a GPU: make bench-train DEVICE=cuda.
DEVICE ?= cpu
bench-train:
	$(if $(filter cuda,$(DEVICE)),@tools/install_cuda_libraries.sh)
	@$(MAKE) --no-print-directory bench
	tests/support/test_venv.sh
	tools/bench_train.py --device $(DEVICE)
	$(if $(filter cpu,$(DEVICE)),tools/bench_all_reduce.py)
	$(if $(filter cpu,$(DEVICE)),tools/bench_placement.py)
	$(if $(filter cpu,$(DEVICE)),tools/bench_ranks.py)

# Beside PyTorch, ONNX Runtime and OpenVINO, which come into build/bench-venv: make bench-label PACK=DIR, an InsightFace pack.
bench-label: bench
	bench/bench_venv.sh
	build/bench-venv/bin/python tools/bench_label.py --pack $(PACK)
	tools/bench_label_idle.py

# Needs clang; SECONDS_EACH is for each of the targets of tests/fuzz.
SECONDS_EACH ?= 60
fuzz: deps
	@tools/install_dependencies.sh fuzz
	tools/fuzz.sh $(SECONDS_EACH)

# What tests reach of the coordinator's core and log, by gcov. Fails below 95 % of lines or 90 % of branches.
coverage: deps
	@tools/install_dependencies.sh coverage
	JOBS=$(JOBS) tools/coverage.sh

# Beside queues in PostgreSQL and Redis.
bench-coordinator:
	@tools/install_dependencies.sh bench
	@$(MAKE) --no-print-directory bench
	tools/bench_coordinator.py

bench-demo-seeds: build
	tools/bench_seeds.py examples/demo.yaml --seeds 1 2 3 --fresh

clean:
	rm -rf build
