#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks a run's export in PyTorch, in a venv of its own under build/. Usage: export_check.sh RUN_DIR [check_export.py's options]
set -euo pipefail
cd "$(dirname "$0")/../.."
if [[ -z ${FERMENT_PYTHON_CHECKS:-} ]]; then
  echo "skipped: it downloads PyTorch with its CUDA libraries (3 GB); set FERMENT_PYTHON_CHECKS=1 or run \`make test-python\`"
  exit 77
fi
if [[ ! -d ${1:-runs/demo} ]]; then
  echo "skipped: no run at ${1:-runs/demo}; \`make demo\` makes it"
  exit 77
fi
venv=build/test-venv
if ! cmp -s tests/road/requirements.txt "$venv/installed.txt"; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet -r tests/road/requirements.txt
  cp tests/road/requirements.txt "$venv/installed.txt"
fi
exec "$venv/bin/python" tests/road/check_export.py "${@:-runs/demo}"
