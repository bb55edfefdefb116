#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# PID 1 of a worker pod. When PID 1 ends, the kernel kills all else at once, so on TERM it asks the ranks for a checkpoint
# (USR2) and waits for them before it lets sshd, and itself, go.
set -u
budget_seconds=${FERMENT_CHECKPOINT_BUDGET_SECONDS:-120}

drain() {
  # Nothing is started yet.
  [[ -n ${!:-} ]] || exit 143
  pkill -USR2 -x ferment-trainer || true
  for ((i = 0; i < budget_seconds; ++i)); do
    pgrep -x ferment-trainer >/dev/null || break
    sleep 1
  done
  kill -TERM "$!" 2>/dev/null
  wait "$!"
  exit 143
}
trap drain TERM INT

"$@" &
# A trapped signal interrupts the wait; any other end of it is the child's.
wait "$!"
