#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command that is to leave with a code. Usage: expect_code.sh CODE COMMAND...
set -u
expected=$1
shift
"$@"
code=$?
[[ $code == "$expected" ]] && exit 0
echo "left with $code, expected $expected: $*" >&2
exit 1
