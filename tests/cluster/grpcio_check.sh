#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Calls a coordinator with TLS by Python's gRPC, in the venv of the export's check. Usage: grpcio_check.sh BIN_DIR SCRATCH_DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$(tests/support/test_venv.sh)
exec "$venv/bin/python" tests/cluster/grpcio_check.py --bin "$1" --scratch "$2"
