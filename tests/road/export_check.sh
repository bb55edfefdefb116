#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes tiny runs, loads their exports in PyTorch and compares; then the runs given. PyTorch lives in a venv under build/.
# Usage: export_check.sh BIN_DIR [RUN_DIR...]
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$(tests/support/test_venv.sh)
bin=$1
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Each backbone and each encoder once.
tiny_run() {
  local name=$1
  shift
  "$bin/ferment" run tests/road/tiny.yaml --run-dir "$scratch/$name" "$@" >"$scratch/$name.log" 2>&1 || {
    cat "$scratch/$name.log"
    return 1
  }
}
tiny_run resnet18
tiny_run resnet50 --set model.backbone=resnet50 --set temporal.encoder=gru
tiny_run iresnet50 --set model.backbone=iresnet50 --set temporal.encoder=tcn

"$venv/bin/python" tests/road/check_export.py "$scratch/resnet18" "$scratch/resnet50" "$scratch/iresnet50" "$@"
"$venv/bin/python" tests/road/check_export_faults.py "$scratch/resnet18"
"$venv/bin/python" examples/load_in_pytorch.py "$scratch/iresnet50/export" "$scratch/iresnet50/synthetic/fer/images/val_000001.jpg"
