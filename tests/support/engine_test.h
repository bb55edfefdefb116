// SPDX-License-Identifier: Apache-2.0
//
// What tests of the coordinator without its thread begin with: one engine after another over one world.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/support/engine_harness.h"

namespace ferment::testing {

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() { Restart(); }

  /// kill -9 and a new process on the same store.
  void Restart() {
    engine_.reset();
    engine_ = std::make_unique<EngineHarness>(world_);
    ASSERT_TRUE(engine_->restored().ok());
  }
  EngineHarness& engine() { return *engine_; }
  void Settle() { ASSERT_TRUE(engine().Settle().ok()); }

  /// Registers as a new process does: it takes the name from whoever has it.
  std::string TakeName(coordinator::LabelerIdentity identity) {
    auto answer = engine()->labelers().Register(identity);
    if (answer && !answer->held_by.empty()) {
      identity.replaces = answer->held_by;
      answer = engine()->labelers().Register(identity);
    }
    EXPECT_TRUE(answer && answer->held_by.empty());
    return answer->labeler_id;
  }

  EngineWorld world_;
  std::unique_ptr<EngineHarness> engine_;
  std::string run_id_;
};

}  // namespace ferment::testing
