// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scheduler/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>

#include "tests/support/engine_harness.h"

namespace ferment::testing {
namespace {

using namespace std::chrono_literals;
using coordinator::Scheduler;
using ::testing::Each;
using ::testing::ElementsAre;

constexpr std::size_t kLimit = 8;

/// A scheduler whose thread a test holds while it fills the queue.
class SchedulerTest : public ::testing::Test {
 protected:
  SchedulerTest() {
    EXPECT_TRUE(scheduler_.Start().ok());
    scheduler_.View("", {[this](const auto&) {
                      held_.count_down();
                      go_.wait();
                    }});
    held_.wait();
  }
  ~SchedulerTest() override {
    if (!go_.try_wait()) go_.count_down();
  }

  /// Asks; the answer's code is kept under this name.
  void Look(const std::string& name, std::function<bool()> given_up = nullptr) {
    scheduler_.View("no-such-run", {[this, name](const auto& answer) { Told(name, answer); }, std::move(given_up)});
  }
  void Renew(const std::string& name, std::function<bool()> given_up = nullptr) {
    scheduler_.Renew({{"no-such-run", "label", 0, 1}, ""}, 0,
                     {[this, name](const auto& answer) { Told(name, answer); }, std::move(given_up)});
  }
  /// Lets the scheduler's thread go on. Once.
  void Release() { go_.count_down(); }
  /// Returns: who was told, in order, once so many were.
  std::vector<std::string> AwaitTold(std::size_t count) {
    const MutexLock lock(mutex_);
    told_more_.wait(mutex_, [&]() FERMENT_REQUIRES(mutex_) { return told_.size() >= count; });
    return told_;
  }
  StatusCode CodeOf(const std::string& name) {
    const MutexLock lock(mutex_);
    return codes_.at(name);
  }

  EngineWorld world_;
  std::unique_ptr<metrics::MetricRegistry> registry_ = metrics::MakePrometheusRegistry();
  coordinator::SchedulerMetrics metrics_{*registry_};

 private:
  template <typename Value>
  void Told(const std::string& name, const Result<Value>& answer) {
    const MutexLock lock(mutex_);
    codes_[name] = answer ? StatusCode::kOk : answer.error().code();
    told_.push_back(name);
    told_more_.notify_all();
  }

  std::latch held_{1};
  std::latch go_{1};
  Mutex mutex_;
  CondVar told_more_;
  std::vector<std::string> told_ FERMENT_GUARDED_BY(mutex_);
  std::map<std::string, StatusCode> codes_ FERMENT_GUARDED_BY(mutex_);

 protected:
  // last: its thread uses all of the above
  Scheduler scheduler_{
      Scheduler::Parts{std::make_unique<MemoryEventStore>(world_.log), world_.launcher, world_.run_files, world_.clock,
                       metrics_, [](const auto&, const auto&, const auto&) { return coordinator::LaunchRequest{}; },
                       nullptr},
      {.queue_limit = kLimit, .batch_limit = 4, .tick = 5ms}};
};

TEST_F(SchedulerTest, DecidesARenewalBeforeLookupsThatWaitLonger) {
  Look("look0");
  Look("look1");
  Renew("renewal");
  Release();
  EXPECT_THAT(AwaitTold(3), ElementsAre("renewal", "look0", "look1"));
}

TEST_F(SchedulerTest, AnswersALookupAmongRenewals) {
  for (int i = 0; i < 6; ++i) Renew("renewal" + std::to_string(i));
  Look("look");
  Release();
  EXPECT_THAT(AwaitTold(7),
              ElementsAre("renewal0", "renewal1", "renewal2", "look", "renewal3", "renewal4", "renewal5"));
}

TEST_F(SchedulerTest, TakesARenewalWhereLookupsAreRefused) {
  for (int i = 0; i < 7; ++i) Look("look" + std::to_string(i));
  EXPECT_EQ(CodeOf("look6"), StatusCode::kResourceExhausted);
  for (int i = 0; i < 3; ++i) Renew("renewal" + std::to_string(i));
  EXPECT_EQ(CodeOf("renewal2"), StatusCode::kResourceExhausted);
  EXPECT_EQ(metrics_.rejected.Value(), 1);
  EXPECT_EQ(metrics_.rejected_held_work.Value(), 1);
  Release();
  AwaitTold(10);
  EXPECT_EQ(CodeOf("look5"), StatusCode::kNotFound);
  EXPECT_EQ(CodeOf("renewal1"), StatusCode::kAborted);
}

TEST_F(SchedulerTest, DropsALookupThatNobodyWaitsForAndNoRenewal) {
  bool gone = false;
  const auto given_up = [&] { return gone; };
  Look("look", given_up);
  Look("other");
  Renew("renewal", given_up);
  gone = true;
  Release();
  AwaitTold(3);
  EXPECT_EQ(CodeOf("look"), StatusCode::kCancelled);
  EXPECT_EQ(CodeOf("other"), StatusCode::kNotFound);
  EXPECT_EQ(CodeOf("renewal"), StatusCode::kAborted) << "it says what is so, whoever listens";
  EXPECT_EQ(metrics_.abandoned.Value(), 1);
}

TEST_F(SchedulerTest, RefusesNewWorkWhileItDrainsAndStillAnswersLookups) {
  Release();
  scheduler_.Drain(0ms);
  const auto lease = coordinator::Await<Result<coordinator::LeaseAnswer>>([&](auto then) {
    scheduler_.Lease({"nobody", 1, 1}, std::move(then));
  });
  ASSERT_FALSE(lease);
  EXPECT_EQ(lease.error().code(), StatusCode::kUnavailable);
  Look("look");
  AwaitTold(1);
  EXPECT_EQ(CodeOf("look"), StatusCode::kNotFound);
}

TEST_F(SchedulerTest, TellsAllWhoWaitWhenItStops) {
  Look("look");
  Renew("renewal");
  std::jthread stop([this] { scheduler_.Stop(); });
  AwaitTold(2);
  Release();
  stop.join();
  EXPECT_THAT((std::vector{CodeOf("look"), CodeOf("renewal")}), Each(StatusCode::kUnavailable));
}

}  // namespace
}  // namespace ferment::testing
