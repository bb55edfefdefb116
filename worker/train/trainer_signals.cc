// SPDX-License-Identifier: Apache-2.0
#include "worker/train/trainer_signals.h"

#include <unistd.h>

#include <csignal>
#include <initializer_list>

namespace ferment::worker {
namespace {

// Handlers may touch nothing else.
volatile std::sig_atomic_t checkpoint_requested = 0;
volatile std::sig_atomic_t stop_requested = 0;
volatile std::sig_atomic_t interrupts = 0;

void OnSignal(int number) {
  if (number == SIGUSR1) {
    checkpoint_requested = 1;
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

bool TakeCheckpointRequest() {
  const bool requested = checkpoint_requested != 0;
  checkpoint_requested = 0;
  return requested;
}

bool StopSignalled() { return stop_requested != 0; }

}  // namespace ferment::worker
