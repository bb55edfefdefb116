// SPDX-License-Identifier: Apache-2.0
#include "tests/road/road_fixture.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

#include "common/base/check.h"
#include "common/event/process_record.h"

namespace ferment::road {
namespace {

constexpr auto kPatience = std::chrono::minutes(4);

std::string ReadText(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

}  // namespace

std::filesystem::path BinFolder() { return FERMENT_BIN_DIR; }

void RoadTest::SetUp() {
  const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
  folder_ = std::filesystem::path(::testing::TempDir()) /
            ("road-" + std::string(info->name()) + "-" + std::to_string(getpid()));
  std::filesystem::remove_all(folder_);
  std::filesystem::create_directories(folder_);
}

void RoadTest::TearDown() {
  (void)event::EndOrphans(run_dir() / "processes");
  if (HasFailure()) {
    std::fprintf(stderr, "output of the last program:\n%s\nleft for a look: %s\n",
                 ReadText(folder_ / "output.txt").c_str(), folder_.c_str());
    return;
  }
  std::filesystem::remove_all(folder_);
}

std::vector<std::string> RoadTest::RunCommand(const std::vector<std::string>& extra) const {
  std::vector<std::string> argv = {(BinFolder() / "ferment").string(), "run",
                                   FERMENT_SOURCE_DIR "/tests/road/tiny.yaml", "--run-dir", run_dir().string()};
  argv.insert(argv.end(), extra.begin(), extra.end());
  return argv;
}

event::ChildProcess RoadTest::Start(const std::vector<std::string>& argv,
                                    const std::vector<std::pair<std::string, std::string>>& env) {
  std::filesystem::remove(folder_ / "output.txt");
  auto process = event::ChildProcess::Start({.argv = argv, .env = env, .output = folder_ / "output.txt"});
  FERMENT_CHECK(process.has_value()) << process.error().ToString();
  return std::move(*process);
}

Outcome RoadTest::Wait(event::ChildProcess& process) {
  const auto code = process.WaitFor(kPatience);
  if (!code) {
    ADD_FAILURE() << "still running after four minutes";
    process.SignalGroup(SIGKILL);
  }
  return {code.value_or(-1), ReadText(folder_ / "output.txt")};
}

Outcome RoadTest::Run(const std::vector<std::string>& argv,
                      const std::vector<std::pair<std::string, std::string>>& env) {
  event::ChildProcess process = Start(argv, env);
  return Wait(process);
}

std::filesystem::path RoadTest::RenderSets(const std::vector<std::pair<std::string, int>>& sizes) {
  const std::filesystem::path data = folder() / "data";
  std::vector<std::string> argv = {
      (BinFolder() / "ferment").string(), "data", "synth", "--out", data.string(), "--image-size", "32"};
  for (const auto& [flag, size] : sizes) argv.insert(argv.end(), {"--" + flag, std::to_string(size)});
  const Outcome rendered = Run(argv);
  EXPECT_EQ(rendered.exit_code, 0) << rendered.output;
  return data;
}

std::filesystem::path RoadTest::RenderSmallestSets() {
  return RenderSets({{"faces-train", 32},
                     {"faces-validation", 8},
                     {"fr-records", 48},
                     {"identities", 8},
                     {"videos-train", 1},
                     {"videos-validation", 1},
                     {"videos-test", 1},
                     {"frames", 16}});
}

std::string RoadTest::SmallestSpec(const std::filesystem::path& sets, const std::string& keys) {
  return "apiVersion: ferment/v1\ndata:\n  fer: {format: folder, path: " + (sets / "fer").string() +
         ", train: train.csv, validation: val.csv}\n  fr: {format: insightface, path: " + (sets / "fr").string() +
         "}\nmodel: {backbone: resnet18, width: 8, image_size: 32}\nresources: {device: cpu, threads_per_rank: 1}\n" +
         keys;
}

bool RoadTest::WaitUntil(event::ChildProcess& process, const std::function<bool()>& happened) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    if (happened()) return true;
    if (process.Poll()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

std::optional<int> RoadTest::PidOf(const std::string& role) const {
  for (const auto& record : event::ReadProcessRecords(run_dir() / "processes"))
    if (record.role == role && record.Alive()) return record.pid;
  return std::nullopt;
}

bool RoadTest::HasCheckpoint(const std::string& job) const {
  const auto checkpoints = run_dir() / "phases" / job / "checkpoints";
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(checkpoints, error))
    if (std::filesystem::exists(entry.path() / "MANIFEST.json")) return true;
  return false;
}

bool RoadTest::HasResult(const std::string& job) const {
  return std::filesystem::exists(run_dir() / "phases" / job / "result.json");
}

Json RoadTest::ReadJson(const std::filesystem::path& file) const {
  const auto json = ParseJson(ReadText(file));
  if (!json) {
    ADD_FAILURE() << file << ": " << json.error().ToString();
    return Json::object();
  }
  return *json;
}

void RoadTest::ExpectFinishedRun() const {
  const Json report = ReadJson(run_dir() / "report.json");
  EXPECT_EQ(report.value("status", ""), "succeeded");
  ASSERT_TRUE(report.contains("evaluation")) << report.dump(1);
  EXPECT_EQ(report["evaluation"]["static"].size(), 3U);
  EXPECT_EQ(report["evaluation"]["video"].size(), 8U);
  EXPECT_EQ(report["evaluation"]["ablation"].size(), 8U);
  EXPECT_EQ(report["phases"].size(), 7U);
  for (const Json& phase : report["phases"]) EXPECT_EQ(phase["status"], "succeeded") << phase.dump();
  ASSERT_EQ(report["pseudo_labels"].size(), 1U);
  const Json& labels = report["pseudo_labels"][0];
  EXPECT_EQ(labels["records"].get<int>(),
            labels["labelled"].get<int>() + labels["abstained"].get<int>() + labels["quarantined"].get<int>());
  for (const char* file : {"report.html", "export/student.safetensors", "export/temporal.safetensors",
                           "export/model.json", "evaluation/static_validation.csv", "evaluation/video_validation.csv"})
    EXPECT_TRUE(std::filesystem::exists(run_dir() / file)) << file;
  EXPECT_FALSE(std::filesystem::is_empty(run_dir() / "submission"));
}

void RoadTest::ExpectNoProcessLeft() const {
  for (const auto& record : event::ReadProcessRecords(run_dir() / "processes"))
    EXPECT_FALSE(record.Alive()) << record.role << " pid=" << record.pid;
}

}  // namespace ferment::road
