// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "common/event/child_process.h"

namespace ferment::cli {
namespace {

struct PredictFlags {
  std::string model;
  std::vector<std::string> paths;
  bool json = false;
  bool csv = false;
  bool picture_by_picture = false;
};

/// Becomes the labeler, which has LibTorch: its output, exit code and signals are this command's.
void BecomeLabeler(const PredictFlags& flags) {
  const std::string program = (event::ProgramFolder() / "ferment-labeler").string();
  std::vector<std::string> words = {program, "--predict", "--model", flags.model};
  if (flags.json) words.emplace_back("--json");
  if (flags.csv) words.emplace_back("--csv");
  if (flags.picture_by_picture) words.emplace_back("--static");
  words.emplace_back("--");
  words.insert(words.end(), flags.paths.begin(), flags.paths.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  LeaveIfFailed(NotFoundError("cannot start the labeler; build it with `make build`: path=" + program + ": " +
                              std::strerror(errno))
                    .WithExitCode(exit_code::kMissingService));
}

}  // namespace

void AddPredictCommand(CLI::App& app) {
  CLI::App* predict =
      app.add_subcommand("predict", "Classes of pictures, or of a video's frames, by an exported model");
  auto flags = std::make_shared<PredictFlags>();
  predict->add_option("--model", flags->model, "Export folder of a run, such as runs/demo/export")->required();
  predict
      ->add_option("PATHS", flags->paths,
                   "Pictures, or folders of them; a folder of 00001.jpg, 00002.jpg ... is a video")
      ->required();
  CLI::Option* json = predict->add_flag("--json", flags->json, "One JSON array");
  predict->add_flag("--csv", flags->csv, "CSV with a head line")->excludes(json);
  predict->add_flag("--static", flags->picture_by_picture,
                    "Every picture by itself: no temporal encoder, no smoothing over a video's frames");
  predict->callback([flags] { BecomeLabeler(*flags); });
}

}  // namespace ferment::cli
