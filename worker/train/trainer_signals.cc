// SPDX-License-Identifier: Apache-2.0
#include "worker/train/trainer_signals.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <initializer_list>

namespace ferment::worker {
namespace {

// Handlers may touch nothing else. The request is taken in one piece: a signal between a look and a reset would be
// forgotten.
std::atomic<bool> checkpoint_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);
volatile std::sig_atomic_t stop_requested = 0;
volatile std::sig_atomic_t interrupts = 0;

void OnSignal(int number) {
  if (number == SIGUSR1) {
    checkpoint_requested = true;
    return;
  }
  stop_requested = 1;
  if (number == SIGINT) {
    if (interrupts != 0) _exit(exit_code::kInterrupted);
    interrupts = 1;
  }
}

}  // namespace

void InstallTrainerSignals() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) sigaction(number, &action, nullptr);
  action.sa_handler = SIG_IGN;
  for (const int number : {SIGPIPE, SIGHUP}) sigaction(number, &action, nullptr);
}

bool TakeCheckpointRequest() { return checkpoint_requested.exchange(false); }

bool StopSignalled() { return stop_requested != 0; }

}  // namespace ferment::worker
