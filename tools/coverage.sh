#!/usr/bin/env bash
# Runs the tests of the coordinator's core and log under gcov, prints how much of both they reach, and fails below the floors.
# With --html also what they do not reach: build/coverage/html/index.html.
set -euo pipefail
cd "$(dirname "$0")/.."

least_lines=95
least_branches=90
tests=(coordinator_core_test coordinator_store_test store_faults_test postgres_store_test)
build=build/coverage

report=()
if [[ ${1:-} == --html ]]; then
  mkdir -p $build/html
  report=(--html-details "$build/html/index.html")
fi

[[ -f $build/build.ninja ]] || cmake --preset coverage
cmake --build --preset coverage -j "${JOBS:-$(nproc)}" --target "${tests[@]}"

find $build -name '*.gcda' -delete  # counts of runs before
for test in "${tests[@]}"; do
  TEST_TMPDIR=$PWD/$build/tests/scratch/$test $build/tests/"$test" --gtest_brief=1
done

gcovr --root . --filter coordinator/core/ --filter coordinator/store/ --exclude-unreachable-branches \
  "${report[@]}" --print-summary --fail-under-line $least_lines --fail-under-branch $least_branches \
  $build/coordinator/core $build/coordinator/store
