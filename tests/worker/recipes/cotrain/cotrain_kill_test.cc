// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/io/local_file_system.h"
#include "tests/support/disk_faults.h"
#include "tests/worker/recipes/cotrain/cotrain_job_test.h"

namespace ferment::worker {
namespace {

using testing::DiskFaults;

/// Later than any call that the job makes.
constexpr int kNever = 1'000'000;

/// Each life of the job is a process of its own: autograd's threads do not survive a fork, so that nothing is trained
/// in this one.
class CotrainKillTest : public CotrainJobTest {
 protected:
  /// Returns: how the process ended, as waitpid tells it. SIGKILL comes in place of the `call`th call of the disk.
  int Live(const std::string& run, int call = kNever) const {
    const pid_t child = fork();
    if (child == 0) {
      torch::set_num_threads(1);  // LibTorch makes its pool anew after a fork, which two ranks must not do at once
      const DiskFaults faults(Layout(run).Job("cotrain"), DiskFaults::Kind::kKill, call);
      testing::RecordedRunClient client;
      const Status status = Train(run, client, {.checkpoint_every = 2});
      if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
      _exit(status.ok() ? 0 : 1);
    }
    int ended = 0;
    EXPECT_EQ(waitpid(child, &ended, 0), child);
    return ended;
  }
  std::vector<std::string> Published(const std::string& run) const {
    const auto text = io::ReadTextFile(Layout(run).Result("cotrain"));
    EXPECT_TRUE(text) << run;
    std::vector<std::string> digests;
    if (!text) return digests;
    const Json result = ParseJson(*text).value();
    for (const Json& model : result.at("models")) digests.push_back(model.at("sha256"));
    return digests;
  }
};

TEST_F(CotrainKillTest, Check6AJobKilledBetweenCallsOfTheDiskGoesOnToTheBitsOfAnUninterruptedOne) {
  Colocate(2);
  spec_.mutable_cotrain()->set_lr_student(0.01);
  ASSERT_EQ(Live("whole"), 0);
  const std::vector<std::string> whole = Published("whole");
  ASSERT_EQ(whole.size(), 3U);
  int killed = 0;
  for (int call = 1;; ++call) {
    const std::string run = "killed-" + std::to_string(call);
    SCOPED_TRACE(run);
    const int ended = Live(run, call);
    if (WIFEXITED(ended)) {
      EXPECT_EQ(WEXITSTATUS(ended), 0);
      break;
    }
    ASSERT_EQ(WTERMSIG(ended), SIGKILL);
    ++killed;
    ASSERT_EQ(Live(run), 0);
    EXPECT_EQ(Published(run), whole);
    EXPECT_EQ(Curve(run), Curve("whole"));
    std::filesystem::remove_all(folder_ / run);
  }
  EXPECT_GT(killed, 54);
}

}  // namespace
}  // namespace ferment::worker
