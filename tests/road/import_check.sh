#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Saves networks by torch.save, imports them and compares. Usage: import_check.sh BIN_DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$(tests/support/test_venv.sh)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$venv/bin/python" tests/road/check_import.py "$1/ferment" "$scratch"
