// SPDX-License-Identifier: Apache-2.0
#include "worker/trace/trace.h"

#include <gmock/gmock.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "common/base/json.h"
#include "tests/contract/collective_endings.h"
#include "worker/collective/thread_collective.h"
#include "worker/trace/trace_file.h"
#include "worker/trace/traced_collective.h"

namespace ferment::worker {
namespace {

using ::testing::ElementsAre;

/// Ranks as threads, each with a trace of its own.
void RunTraced(int ranks, const std::function<void(Collective&, Trace&)>& body) {
  auto collectives = MakeThreadCollectives(ranks, std::chrono::seconds(60));
  std::vector<std::jthread> threads;
  for (auto& inner : collectives) {
    threads.emplace_back([&body, inner = std::move(inner)]() mutable {
      Trace trace;
      const auto traced = MakeTracedCollective(std::move(inner), trace);
      body(*traced, trace);
    });
  }
}

std::vector<std::string> NamesOf(const Trace& trace) {
  std::vector<std::string> names;
  for (const TracedSpan& span : trace.Spans()) names.emplace_back(span.name);
  return names;
}

TEST(Trace, KeepsWhatAScopeTookAndItsAmount) {
  Trace trace;
  trace.StartNow();
  {
    const TraceScope outer(&trace, "step", 7);
    const TraceScope inner(&trace, "forward");
    const TraceScope nothing(nullptr, "untraced");
  }
  const std::vector<TracedSpan> spans = trace.Spans();
  ASSERT_THAT(NamesOf(trace), ElementsAre("forward", "step"));
  EXPECT_EQ(spans[1].amount, 7);
  EXPECT_LE(spans[1].begin, spans[0].begin);
  EXPECT_LE(spans[0].end, spans[1].end);
  EXPECT_GE(spans[1].begin.count(), 0);
}

TEST(Trace, CountsWhatItForgets) {
  Trace trace(/*limit=*/2);
  for (int i = 0; i < 5; ++i) const TraceScope scope(&trace, "step", i);
  EXPECT_EQ(trace.Spans().size(), 2u);
  EXPECT_EQ(trace.forgotten(), 3u);
}

TEST(TracedCollective, KeepsTheContract) {
  for (const int ranks : {1, 2, 3})
    RunTraced(ranks, [](Collective& collective, Trace&) { testing::ExpectTheContract(collective); });
}

TEST(TracedCollective, AnAbortEndsTheJob) {
  RunTraced(3, [](Collective& collective, Trace&) {
    testing::ExpectAnAbortEndsTheJob(testing::ContractMemory(), collective, exit_code::kHang);
  });
}

TEST(TracedCollective, DrawsEveryVerbAndABegunSumToItsEnd) {
  RunTraced(2, [](Collective& collective, Trace& trace) {
    std::vector<float> values(3);
    ASSERT_TRUE(collective.BeginSum(std::span<float>(values)).ok());
    ASSERT_TRUE(collective.Barrier().ok());
    ASSERT_TRUE(collective.AwaitSums().ok());
    ASSERT_THAT(NamesOf(trace), ElementsAre("barrier", "sum", "wait for sums"));
    const TracedSpan sum = trace.Spans()[1];
    EXPECT_EQ(sum.row, TraceRow::kSums);
    EXPECT_EQ(sum.amount, 12);
    EXPECT_LE(sum.begin, trace.Spans()[0].begin);
    EXPECT_GE(sum.end, trace.Spans()[0].end);
  });
}

class TraceFile : public ::testing::Test {
 protected:
  std::filesystem::path file_ = std::filesystem::path(::testing::TempDir()) / "trace.json";
};

TEST_F(TraceFile, HoldsAllRanksInTheTraceEventFormat) {
  RunTraced(3, [this](Collective& collective, Trace& trace) {
    trace.StartNow();
    { const TraceScope scope(&trace, "step", 4); }
    std::vector<float> values(3);
    ASSERT_TRUE(collective.BeginSum(std::span<float>(values)).ok());
    ASSERT_TRUE(collective.AwaitSums().ok());
    ASSERT_TRUE(WriteTraceFile(file_, trace, collective).ok());
  });
  std::ostringstream text;
  text << std::ifstream(file_).rdbuf();
  const auto trace = ParseJson(text.str());
  ASSERT_TRUE(trace) << text.str();
  std::map<std::string, std::set<int>> ranks_of;
  std::map<std::string, double> open;
  for (const Json& event : (*trace)["traceEvents"]) {
    ranks_of[event["name"]].insert(event["pid"].get<int>());
    if (event["ph"] == "b") open[event["id"]] = event["ts"];
    if (event["ph"] == "e") {
      ASSERT_TRUE(open.contains(event["id"]));
      EXPECT_GE(event["ts"].get<double>(), open[event["id"]]);
    }
    if (event["name"] == "step") {
      EXPECT_EQ(event["args"]["step"], 4);
    }
  }
  EXPECT_EQ(open.size(), 3u);
  for (const char* name : {"process_name", "thread_name", "step", "sum", "wait for sums"})
    EXPECT_THAT(ranks_of[name], ElementsAre(0, 1, 2)) << name;
  EXPECT_EQ((*trace)["otherData"]["forgotten"], 0);
}

TEST_F(TraceFile, SaysOnEveryRankThatItCannotBeWritten) {
  RunTraced(2, [](Collective& collective, Trace& trace) {
    const Status status = WriteTraceFile("/absent/folder/trace.json", trace, collective);
    EXPECT_FALSE(status.ok());
    EXPECT_NE(status.message().find("/absent/folder"), std::string::npos) << status.ToString();
  });
}

}  // namespace
}  // namespace ferment::worker
