// SPDX-License-Identifier: Apache-2.0
//
// Storage that does not answer until it may.
#pragma once

#include <latch>

#include "tests/support/recorded_run_files.h"

namespace ferment::testing {

/// A coordinator's look at a committed file does not come back until it may.
class HangingStorage {
 public:
  explicit HangingStorage(RecordedRunFiles& files) {
    files.before_file_size = [this] {
      if (!asked_.try_wait()) asked_.count_down();
      answer_.wait();
    };
  }
  void AwaitAsked() { asked_.wait(); }
  void Answer() { answer_.count_down(); }

 private:
  std::latch asked_{1};
  std::latch answer_{1};
};

}  // namespace ferment::testing
