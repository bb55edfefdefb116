#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the venv of the labeler's peers, once, on top of that of the checks in PyTorch.
set -euo pipefail
cd "$(dirname "$0")/.."
torch=$(FERMENT_PYTHON_CHECKS=1 tests/support/test_venv.sh)
venv=build/bench-venv
if ! cmp -s bench/label_requirements.txt "$venv/installed.txt"; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet -r bench/label_requirements.txt >&2
  for packages in "$torch"/lib/python3*/site-packages; do realpath "$packages"; done > "$(echo "$venv"/lib/python3*/site-packages)/zz_torch.pth"
  cp bench/label_requirements.txt "$venv/installed.txt"
fi
echo "$venv"
