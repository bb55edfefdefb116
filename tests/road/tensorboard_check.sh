#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains a job that is killed once, and reads what it wrote in TensorBoard's own reader. Usage: tensorboard_check.sh BIN_DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$(tests/support/test_venv.sh)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$venv/bin/python" tests/road/check_tensorboard.py "$1" "$scratch"
