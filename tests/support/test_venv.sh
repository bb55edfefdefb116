#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the venv of the checks in PyTorch, once, and prints its folder; exit code 77 where nobody asked for such checks.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [[ -z ${FERMENT_PYTHON_CHECKS:-} ]]; then
  echo "skipped: it downloads PyTorch with its CUDA libraries (3 GB); set FERMENT_PYTHON_CHECKS=1 or run \`make test-python\`" >&2
  exit 77
fi
venv=build/test-venv
mkdir -p build
exec 9>build/test-venv.lock
flock 9
if ! cmp -s tests/road/requirements.txt "$venv/installed.txt"; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet -r tests/road/requirements.txt >&2
  cp tests/road/requirements.txt "$venv/installed.txt"
fi
echo "$venv"
