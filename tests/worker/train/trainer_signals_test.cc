// SPDX-License-Identifier: Apache-2.0
#include "worker/train/trainer_signals.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

namespace ferment::worker {
namespace {

TEST(TrainerSignals, ACheckpointAskedForWhileTheLoopLooksIsNotForgotten) {
  InstallTrainerSignals();
  std::atomic<int> taken = 0;
  const std::jthread loop([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) taken += TakeCheckpointRequest() ? 1 : 0;
  });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (int request = 1; request <= 20'000; ++request) {
    ASSERT_EQ(raise(SIGUSR1), 0);
    while (taken < request && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    ASSERT_EQ(taken, request) << "lost, or taken twice";
  }
}

}  // namespace
}  // namespace ferment::worker
