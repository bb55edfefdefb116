// SPDX-License-Identifier: Apache-2.0
#include "common/metrics/process_metrics.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <vector>

#include "common/base/log_counts.h"
#include "common/metrics/prometheus_registry.h"

namespace ferment::metrics {
namespace {

class ProcessMetricsTest : public ::testing::Test {
 protected:
  double Value(const std::string& name) { return registry_->MakeGauge(name, "").Value(); }
  double Logged(const std::string& level) {
    return registry_->MakeCounter("ferment_log_messages_total", "", {{"level", level}}).Value();
  }

  std::unique_ptr<MetricRegistry> registry_ = MakePrometheusRegistry();
  ProcessMetrics process_{*registry_};
};

TEST_F(ProcessMetricsTest, FollowWhatTheProcessDoes) {
  const double open = Value("process_open_fds");
  const double resident = Value("process_resident_memory_bytes");
  const double spent = registry_->MakeCounter("process_cpu_seconds_total", "").Value();
  std::vector<int> files;
  for (int i = 0; i < 5; ++i) files.push_back(::open("/dev/null", O_RDONLY));
  std::vector<char> memory(64 << 20, 'x');
  ASSERT_EQ(memory.back(), 'x');
  process_.Refresh();
  EXPECT_EQ(Value("process_open_fds"), open + 5);
  EXPECT_GT(Value("process_resident_memory_bytes"), resident + (60 << 20));
  EXPECT_GE(Value("process_virtual_memory_bytes"), Value("process_resident_memory_bytes"));
  EXPECT_GE(registry_->MakeCounter("process_cpu_seconds_total", "").Value(), spent);
  EXPECT_GE(Value("process_max_fds"), open + 5);
  for (const int file : files) ::close(file);
}

TEST_F(ProcessMetricsTest, ItsStartIsATimeOfDay) {
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_LE(Value("process_start_time_seconds"), now + 2) << "the machine's start is told in whole seconds";
  EXPECT_GT(Value("process_start_time_seconds"), now - 24 * 3600);
}

TEST_F(ProcessMetricsTest, EveryLineOfAWarningOrAnErrorCountsOnce) {
  EXPECT_NE(registry_->Exposition().find("ferment_log_messages_total{level=\"error\"} "), std::string::npos);
  const double warnings = Logged("warning");
  const double errors = Logged("error");
  LogWarning("a.warning");
  for (int i = 0; i < 3; ++i) LogError("an.error");
  LogInfo("news");
  process_.Refresh();
  process_.Refresh();
  EXPECT_EQ(Logged("warning"), warnings + 1);
  EXPECT_EQ(Logged("error"), errors + 3);
  const std::uint64_t before = CountLogged(LogLevel::kDebug);
  LogDebug("dropped");
  EXPECT_EQ(CountLogged(LogLevel::kDebug), before);
}

}  // namespace
}  // namespace ferment::metrics
