// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/road/road_fixture.h"

namespace ferment::road {
namespace {

class BadInput : public RoadTest {
 protected:
  /// Sets to be damaged by the test.
  std::filesystem::path RenderedData() {
    return RenderSets({{"seed", 1},
                       {"faces-train", 64},
                       {"faces-validation", 48},
                       {"fr-records", 64},
                       {"identities", 8},
                       {"videos-train", 1},
                       {"videos-validation", 1},
                       {"videos-test", 0},
                       {"frames", 16}});
  }
  static void DropClass(const std::filesystem::path& data, const std::string& name) {
    std::ifstream in(data / "fer/train.csv");
    std::string kept;
    for (std::string line; std::getline(in, line);)
      if (line.find(name) == std::string::npos) kept += line + "\n";
    std::ofstream(data / "fer/train.csv", std::ios::trunc) << kept;
  }
  std::vector<std::string> RunOn(const std::filesystem::path& data, const std::vector<std::string>& extra = {}) const {
    const auto spec = folder() / "spec.yaml";
    std::ofstream(spec) << "apiVersion: ferment/v1\nname: bad\ndata:\n  fer: {format: folder, path: "
                        << (data / "fer").string()
                        << ", train: train.csv, validation: val.csv}\n  fr: {format: insightface, path: "
                        << (data / "fr").string()
                        << "}\nmodel: {backbone: resnet18, width: 8, image_size: 32}\nteacher: {steps: 2, batch: 8}\n"
                           "labeling: {labelers: 1, batch: 16, min_accuracy: 0}\ncotrain: {steps: 2, batch: 4, mu: "
                           "1}\nfinetune: {steps: 2, batch: 8}\n"
                           "resources: {device: cpu, ranks: 1, threads_per_rank: 1}\n";
    std::vector<std::string> argv = {(BinFolder() / "ferment").string(), "run", spec.string(), "--run-dir",
                                     run_dir().string()};
    argv.insert(argv.end(), extra.begin(), extra.end());
    return argv;
  }
};

TEST_F(BadInput, ABrokenSpecNamesFileLineAndRangeAndStartsNothing) {
  const auto spec = folder() / "broken.yaml";
  std::ofstream(spec) << "apiVersion: ferment/v1\nteacher:\n  stepz: 5\n  lr: -1\n";
  const Outcome outcome =
      Run({(BinFolder() / "ferment").string(), "run", spec.string(), "--run-dir", run_dir().string()});
  EXPECT_EQ(outcome.exit_code, 64);
  EXPECT_NE(outcome.output.find("broken.yaml:3"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("steps"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("broken.yaml:4"), std::string::npos) << outcome.output;
  EXPECT_FALSE(std::filesystem::exists(run_dir()));
}

TEST_F(BadInput, CudaWithoutAGpuNamesWhatIsMissing) {
  const auto trainer = [&](const std::string& device) {
    return Run({(BinFolder() / "ferment-trainer").string(), "--spec",
                std::string(FERMENT_SOURCE_DIR) + "/tests/road/tiny.yaml", "--run-dir", run_dir().string(), "--phase",
                "temporal", "--set", "resources.device=" + device},
               {{"CUDA_VISIBLE_DEVICES", ""}});
  };
  const Outcome cuda = trainer("cuda");
  EXPECT_EQ(cuda.exit_code, 69) << cuda.output;
  EXPECT_NE(cuda.output.find("resources.device=cuda: "), std::string::npos) << cuda.output;
  EXPECT_NE(cuda.output.find("install"), std::string::npos) << cuda.output;
  const Outcome left_to_us = trainer("auto");
  EXPECT_EQ(left_to_us.exit_code, 65) << "it goes on, to find that nothing is published: " << left_to_us.output;
  EXPECT_NE(left_to_us.output.find("device_chosen"), std::string::npos) << left_to_us.output;
}

TEST_F(BadInput, ANumberOutOfRangeIsToldWithTheRangeByEveryProgram) {
  const std::vector<std::vector<std::string>> commands = {
      {"ferment-trainer", "--spec", "s", "--run-dir", "r", "--phase", "cotrain", "--record-dir", "d", "--record-step"},
      {"ferment-labeler", "--run-dir", "r", "--replay"},
      {"ferment-coordinator", "--cool-down-after"},
      {"ferment", "data", "synth", "--out", (folder() / "data").string(), "--seed"}};
  for (std::vector<std::string> argv : commands) {
    SCOPED_TRACE(argv[0]);
    argv[0] = (BinFolder() / argv[0]).string();
    argv.emplace_back("-1");
    const Outcome outcome = Run(argv);
    EXPECT_EQ(outcome.exit_code, exit_code::kUsage) << outcome.output;
    EXPECT_NE(outcome.output.find(argv[argv.size() - 2] + ": must be a whole number from 0 to "), std::string::npos)
        << outcome.output;
  }
  EXPECT_FALSE(std::filesystem::exists(folder() / "data"));
}

TEST_F(BadInput, EveryNumberOfAProgramThatServesHasItsRange) {
  const std::map<std::string, std::vector<std::pair<std::string, std::string>>> ranges = {
      {"ferment-coordinator",
       {{"--drain", "0 to 600"},
        {"--cool-down-first", "1 to 3600"},
        {"--cool-down-longest", "1 to 3600"},
        {"--keep-runs", "0 to 1000000"},
        {"--max-connections", "8 to 100000"},
        {"--max-connections-per-peer", "1 to 100000"},
        {"--max-streams", "1 to 896"},
        {"--max-waiting", "64 to 1000000"}}},
      {"ferment-labeler", {{"--threads", "0 to 1024"}, {"--gpu", "0 to 1024"}}}};
  for (const auto& [program, flags] : ranges) {
    for (const auto& [flag, range] : flags) {
      const Outcome outcome = Run({(BinFolder() / program).string(), flag, "99999999999"});
      EXPECT_EQ(outcome.exit_code, exit_code::kUsage);
      EXPECT_NE(outcome.output.find(flag + ": must be a whole number from " + range + ": 99999999999"),
                std::string::npos)
          << outcome.output;
    }
  }
}

TEST_F(BadInput, AMistypedFlagGetsTheNearestOneFromEachProgram) {
  const std::map<std::string, std::pair<std::string, std::string>> mistyped = {
      {"ferment-coordinator", {"--lissten", "--listen"}},
      {"ferment-labeler", {"--treads", "--threads"}},
      {"ferment-trainer", {"--run-dri", "--run-dir"}}};
  for (const auto& [program, flags] : mistyped) {
    const Outcome outcome = Run({(BinFolder() / program).string(), flags.first, "1"});
    EXPECT_EQ(outcome.exit_code, exit_code::kUsage);
    EXPECT_NE(outcome.output.find("no such flag: " + flags.first + "; nearest: " + flags.second), std::string::npos)
        << outcome.output;
  }
}

TEST_F(BadInput, ARoundThatThePhaseDoesNotHaveIsToldWithTheRange) {
  RunOn(RenderedData());
  std::filesystem::create_directories(folder() / "run");
  const Outcome outcome = Run({(BinFolder() / "ferment-trainer").string(), "--spec", (folder() / "spec.yaml").string(),
                               "--run-dir", (folder() / "run").string(), "--phase", "teacher", "--round", "3"});
  EXPECT_EQ(outcome.exit_code, exit_code::kBadSpec) << outcome.output;
  EXPECT_NE(outcome.output.find("--round: must be a whole number from 0 to 0 of phase teacher: 3"), std::string::npos)
      << outcome.output;
}

TEST_F(BadInput, AConfigurationIsPrintedAndWhatIsWrongWithItToldAsAtAStart) {
  const auto print = [this](const std::string& program, std::vector<std::string> flags) {
    flags.insert(flags.begin(), (BinFolder() / program).string());
    flags.emplace_back("--print-config");
    return Run(flags);
  };
  EXPECT_EQ(print("ferment-coordinator", {}).exit_code, 0);
  const Outcome coordinator = print("ferment-coordinator", {"--listen", "nope"});
  EXPECT_EQ(coordinator.exit_code, exit_code::kUsage);
  EXPECT_NE(coordinator.output.find("\nlisten = nope\n"), std::string::npos) << coordinator.output;
  EXPECT_NE(coordinator.output.find("--listen: "), std::string::npos) << coordinator.output;
  EXPECT_EQ(print("ferment-labeler", {"--coordinator", "127.0.0.1:50400"}).exit_code, 0);
  const Outcome labeler = print("ferment-labeler", {"--offline", "--run-dir", "r", "--label-store", "/nowhere"});
  EXPECT_EQ(labeler.exit_code, exit_code::kUsage);
  EXPECT_NE(labeler.output.find("\nlabel-store = /nowhere\n"), std::string::npos) << labeler.output;
  EXPECT_NE(labeler.output.find("--label-store: "), std::string::npos) << labeler.output;
}

TEST_F(BadInput, EveryProgramSaysItsVersion) {
  const std::string version = Run({(BinFolder() / "ferment").string(), "--version"}).output.substr(7);
  EXPECT_GT(version.size(), 1U);
  for (const char* program : {"ferment-coordinator", "ferment-labeler", "ferment-trainer"}) {
    const Outcome outcome = Run({(BinFolder() / program).string(), "--version"});
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_EQ(outcome.output, program + version);
  }
}

TEST_F(BadInput, AMissingFolderIsNamed) {
  const Outcome outcome = Run(RunOn(folder() / "nowhere"));
  EXPECT_EQ(outcome.exit_code, 65) << outcome.output;
  EXPECT_NE(outcome.output.find("nowhere"), std::string::npos) << outcome.output;
}

TEST_F(BadInput, AnEmptyPackIsNamed) {
  const auto data = RenderedData();
  std::ofstream(data / "fr/train.rec", std::ios::trunc);
  std::ofstream(data / "fr/train.idx", std::ios::trunc);
  const Outcome outcome = Run(RunOn(data));
  EXPECT_EQ(outcome.exit_code, 65) << outcome.output;
  EXPECT_NE(outcome.output.find("train."), std::string::npos) << outcome.output;
}

TEST_F(BadInput, AClassWithoutASampleIsNamed) {
  const auto data = RenderedData();
  DropClass(data, "Fear");
  const Outcome outcome = Run(RunOn(data));
  EXPECT_EQ(outcome.exit_code, 65) << outcome.output;
  EXPECT_NE(outcome.output.find("Fear"), std::string::npos) << outcome.output;
}

TEST_F(BadInput, AnImageSizeOutOfRangeIsToldWithTheRange) {
  const Outcome outcome = Run(RunCommand({"--set", "model.image_size=20"}));
  EXPECT_EQ(outcome.exit_code, 64) << outcome.output;
  EXPECT_NE(outcome.output.find("model.image_size"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("32"), std::string::npos) << outcome.output;
  EXPECT_FALSE(std::filesystem::exists(run_dir()));
}

TEST_F(BadInput, PicturesOfAnotherSizeThanTheModelsAreResized) {
  const Outcome outcome = Run(RunOn(RenderedData(), {"--set", "model.image_size=48", "--set", "labeling.threshold=0"}));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
}

TEST_F(BadInput, AScanTellsOfAPackWhosePropertyNamesAnotherSizeThanItsPictures) {
  const auto data = RenderedData();
  const std::vector<std::string> scan = {(BinFolder() / "ferment").string(), "data", "scan", (data / "fr").string()};
  EXPECT_EQ(Run(scan).output.find("property says"), std::string::npos);
  std::ofstream(data / "fr/property", std::ios::trunc) << "8,112,112\n";
  const Outcome outcome = Run(scan);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("property says pictures of 112x112"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("32x32"), std::string::npos) << outcome.output;
}

// mpirun goes on waiting after a rank has failed: docs/decisions/0012-how-long-mpirun-waits.md.
TEST_F(BadInput, AFailureOfAllRanksIsToldOnceAndWithinSeconds) {
  const auto data = RenderedData();
  DropClass(data, "Fear");
  const auto begin = std::chrono::steady_clock::now();
  const Outcome outcome = Run(RunOn(data, {"--set", "resources.ranks=2"}));
  EXPECT_EQ(outcome.exit_code, 65) << outcome.output;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30)) << outcome.output;
  EXPECT_NE(outcome.output.find("phase teacher failed"), std::string::npos) << outcome.output;
  EXPECT_EQ(outcome.output.find("mpirun"), std::string::npos) << outcome.output;
  std::ifstream log(run_dir() / "logs/teacher.jsonl");
  int told = 0;
  for (std::string line; std::getline(log, line);) told += line.find("job_failed") != std::string::npos ? 1 : 0;
  EXPECT_EQ(told, 1);
}

TEST_F(BadInput, AbsentMpirunSaysWhatToInstall) {
  const Outcome outcome = Run(RunCommand(), {{"PATH", "/nonexistent"}});
  EXPECT_EQ(outcome.exit_code, 69) << outcome.output;
  EXPECT_NE(outcome.output.find("openmpi-bin"), std::string::npos) << outcome.output;
}

TEST_F(BadInput, ABoundPortIsNamed) {
  auto first = Start({(BinFolder() / "ferment-coordinator").string(), "--store",
                      "sqlite:" + (folder() / "a.db").string(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
                      "--address-file", (folder() / "address.json").string()});
  ASSERT_TRUE(WaitUntil(first, [&] { return std::filesystem::exists(folder() / "address.json"); }));
  const std::string address = ReadJson(folder() / "address.json")["grpc"];
  auto second = event::ChildProcess::Start(
      {.argv = {(BinFolder() / "ferment-coordinator").string(), "--store", "sqlite:" + (folder() / "b.db").string(),
                "--listen", address, "--admin", "127.0.0.1:0"},
       .output = folder() / "second.txt"});
  ASSERT_TRUE(second);
  EXPECT_EQ(second->WaitFor(std::chrono::seconds(30)), 69);
  first.Signal(SIGTERM);
  EXPECT_EQ(Wait(first).exit_code, 143);
}

/// A run whose teacher phase has more steps than anybody waits for.
class DamagedCheckpoint : public BadInput {
 protected:
  /// Returns: the steps whose checkpoints came to their end, ascending.
  std::vector<int> Steps() const {
    std::set<int> steps;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(Folder(), error)) {
      const std::string name = entry.path().filename().string();
      if (name.find('.') == std::string::npos && std::filesystem::exists(entry.path() / "MANIFEST.json"))
        steps.insert(std::stoi(name.substr(name.find('-') + 1)));
    }
    return {steps.begin(), steps.end()};
  }
  std::filesystem::path Folder() const { return run_dir() / "phases/teacher/checkpoints"; }
  std::filesystem::path Folder(int step) const { return Folder() / ("step-" + std::to_string(step)); }
  void Damage(int step) const {
    const auto tensors = Folder(step) / "teacher.safetensors";
    std::filesystem::resize_file(tensors, std::filesystem::file_size(tensors) / 2);
  }
  std::vector<std::string> Command() const { return RunCommand({"--set", "teacher.steps=1000000"}); }
  /// Runs until `happened`, and is interrupted.
  void RunUntil(const std::function<bool()>& happened) {
    event::ChildProcess run = Start(Command());
    EXPECT_TRUE(WaitUntil(run, happened));
    run.Signal(SIGINT);
    EXPECT_EQ(Wait(run).exit_code, 130);
  }
  /// Returns: the lines of the trainer's log with this event.
  std::vector<Json> Told(const std::string& event) const {
    std::vector<Json> told;
    std::ifstream log(run_dir() / "logs/teacher.jsonl");
    for (std::string line; std::getline(log, line);) {
      const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (json.is_object() && json.value("msg", "") == event) told.push_back(json);
    }
    return told;
  }
};

TEST_F(DamagedCheckpoint, TheNewestIsPassedOverForTheOneBeforeWhichIsToldAndWithoutAnyIs78) {
  RunUntil([&] { return Steps().size() >= 2; });
  const std::vector<int> left = Steps();
  ASSERT_EQ(left.size(), 2U);
  Damage(left[1]);

  RunUntil([&] { return !Steps().empty() && Steps().back() > left[1]; });
  const auto passed_over = Told("checkpoint_passed_over");
  ASSERT_EQ(passed_over.size(), 1U);
  EXPECT_EQ(passed_over[0]["path"], Folder(left[1]).string());
  EXPECT_NE(passed_over[0]["error"].get<std::string>().find("another digest than the manifest says: path=" +
                                                            (Folder(left[1]) / "teacher.safetensors").string()),
            std::string::npos)
      << passed_over[0];
  ASSERT_EQ(Told("resumed").size(), 1U);
  EXPECT_EQ(Told("resumed")[0]["step"], std::to_string(left[0]));
  EXPECT_TRUE(std::filesystem::exists(Folder() / ("step-" + std::to_string(left[1]) + ".damaged/PASSED_OVER.txt")));

  for (const int step : Steps()) Damage(step);
  const Outcome outcome = Run(Command());
  EXPECT_EQ(outcome.exit_code, 78) << outcome.output;
  EXPECT_NE(
      outcome.output.find("no checkpoint can be read; remove the folder to start anew: path=" + Folder().string()),
      std::string::npos)
      << outcome.output;
}

}  // namespace
}  // namespace ferment::road
