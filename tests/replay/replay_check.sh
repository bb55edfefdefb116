#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Records steps with the built trainer and replays them in PyTorch, in the venv of the export's check. Usage:
# replay_check.sh {pairs|grid|faults} BIN_DIR SCRATCH_DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$(tests/support/test_venv.sh)
if [[ $1 == grid && -z ${FERMENT_LONG_TESTS:-} ]]; then
  echo "skipped: it takes ten minutes; set FERMENT_LONG_TESTS=1 or run \`make test-long\`"
  exit 77
fi
exec "$venv/bin/python" tests/replay/replay_test.py "$1" --bin "$2" --scratch "$3"
