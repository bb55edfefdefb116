// SPDX-License-Identifier: Apache-2.0
//
// Why and when a coordinator ends.
#pragma once

#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <future>
#include <stop_token>

#include "common/base/status.h"

namespace ferment::coordinator {

/// The first reason to end, from a signal or from the store.
///
/// Thread: any, but Wait and OnSignal, which have one each.
class Ending {
 public:
  void Because(int exit_code) {
    if (!asked_.exchange(true)) reason_.set_value(exit_code);
  }
  /// A signal that asks for the end. A second INT does not wait for the drain: all that was answered is in the store.
  void OnSignal(int number) {
    if (number == SIGINT && ++interrupts_ > 1) std::_Exit(exit_code::kInterrupted);
    Because(exit_code::kTerminated);
    leaving_.request_stop();
  }
  /// Requested by signals alone.
  std::stop_token leaving() const { return leaving_.get_token(); }
  int Wait() { return reason_.get_future().get(); }

 private:
  int interrupts_ = 0;
  std::atomic<bool> asked_{false};
  std::promise<int> reason_;
  std::stop_source leaving_;
};

}  // namespace ferment::coordinator
