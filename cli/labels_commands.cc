// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/label_comparison.h"
#include "common/base/json.h"
#include "common/base/whole_number.h"
#include "common/config/run_layout.h"
#include "common/config/spec_loader.h"
#include "common/dataset/labels/label_folders.h"
#include "common/dataset/pictures/picture_decoder.h"
#include "common/dataset/records/open_sources.h"
#include "common/event/child_process.h"
#include "common/io/formats/half_float.h"

namespace ferment::cli {
namespace {

using dataset::LabelFolder;
using dataset::LabelSet;
using dataset::LabelStatus;

struct LabelsFlags {
  std::string path;
  std::string other;
  std::uint64_t key = 0;
  bool json = false;
};

/// Returns: the value; leaves the command where there is none.
template <typename T>
T ValueOrLeave(Result<T> result) {
  if (!result) LeaveIfFailed(result.error());
  return std::move(*result);
}

std::vector<LabelFolder> FoldersOrLeave(const std::string& path) {
  return ValueOrLeave(dataset::FindLabelFolders(path));
}

Json JsonOf(const dataset::LabelCounts& counts) {
  return {{"read", counts.read},
          {"labelled", counts.labelled},
          {"abstained", counts.abstained},
          {"quarantined", counts.quarantined}};
}

std::string TextOf(const dataset::LabelCounts& counts) {
  return "read " + std::to_string(counts.read) + ", labelled " + std::to_string(counts.labelled) + ", abstained " +
         std::to_string(counts.abstained) + ", quarantined " + std::to_string(counts.quarantined);
}

void Add(const dataset::LabelCounts& part, dataset::LabelCounts& sum) {
  sum.read += part.read;
  sum.labelled += part.labelled;
  sum.abstained += part.abstained;
  sum.quarantined += part.quarantined;
}

void Print(const Json& json) { std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n'; }

void List(const LabelsFlags& flags) {
  Json all = Json::array();
  for (const LabelFolder& folder : FoldersOrLeave(flags.path)) {
    const auto index = ValueOrLeave(dataset::ReadLabelIndex(folder.path));
    dataset::LabelCounts sum;
    for (const auto& [shard, file] : index) Add(file.counts, sum);
    const std::string digest = dataset::LabelIndexDigest(index);
    if (!flags.json) {
      std::cout << folder.path.string() << ": shards " << index.size() << ", " << TextOf(sum) << ", digest "
                << digest.substr(0, 16) << '\n';
    }
    all.push_back(
        {{"folder", folder.path.string()}, {"shards", index.size()}, {"counts", JsonOf(sum)}, {"digest", digest}});
  }
  if (flags.json) Print(all);
}

Json Summary(const LabelFolder& folder, const std::vector<LabelSet>& sets) {
  dataset::LabelCounts sum;
  std::vector<std::uint64_t> classes(sets.front().classes.size());
  std::map<std::string, std::uint64_t> reasons;
  double confidence = 0;
  for (const LabelSet& set : sets) {
    Add(set.Counts(), sum);
    for (const auto& [reason, count] : set.reasons) reasons[reason] += count;
    for (std::size_t i = 0; i < set.size(); ++i) {
      if (set.status[i] != LabelStatus::kLabelled) continue;
      ++classes[set.label[i]];
      confidence += static_cast<double>(io::FloatFromHalf(set.confidence_half[i]));
    }
  }
  Json histogram = Json::object();
  for (std::size_t c = 0; c < classes.size(); ++c) histogram[sets.front().classes[c]] = classes[c];
  const auto labelled = static_cast<double>(sum.labelled);
  return {{"folder", folder.path.string()},
          {"dataset", sets.front().origin.dataset},
          {"teacher", sets.front().origin.teacher},
          {"label_config", sets.front().origin.label_config},
          {"counts", JsonOf(sum)},
          {"labelled_by_class", histogram},
          {"mean_confidence", sum.labelled == 0 ? Json() : Json(confidence / labelled)},
          {"quarantined_by_reason", reasons}};
}

void Show(const LabelsFlags& flags) {
  Json all = Json::array();
  for (const LabelFolder& folder : FoldersOrLeave(flags.path)) {
    all.push_back(Summary(folder, ValueOrLeave(dataset::ReadLabelSets(folder.path))));
    if (flags.json) continue;
    for (const auto& [name, value] : all.back().items()) {
      if (!value.is_object()) {
        std::cout << name << ": " << (value.is_string() ? value.get<std::string>() : value.dump()) << '\n';
        continue;
      }
      std::cout << name << ":\n";
      for (const auto& [part, count] : value.items()) std::cout << "  " << part << ": " << count.dump() << '\n';
    }
  }
  if (flags.json) Print(all);
}

void Verify(const LabelsFlags& flags) {
  bool sound = true;
  Json all = Json::array();
  for (const LabelFolder& folder : ValueOrLeave(dataset::FindLabelFoldersToCheck(flags.path))) {
    const auto [faults, notes] = ValueOrLeave(dataset::CheckLabelFolder(folder));
    sound = sound && faults.empty();
    all.push_back({{"folder", folder.path.string()}, {"faults", faults}, {"notes", notes}});
    if (flags.json) continue;
    std::cout << folder.path.string() << ": " << (faults.empty() ? "sound" : "NOT sound") << '\n';
    for (const std::string& fault : faults) std::cout << "  " << fault << '\n';
    for (const std::string& note : notes) std::cout << "  note: " << note << '\n';
  }
  if (flags.json) Print(all);
  if (!sound) LeaveWith(exit_code::kBadData);
}

/// Returns: the only folder at `path`; leaves the command where there are several.
std::vector<LabelSet> SetsOfOnlyFolder(const std::string& path) {
  const auto folders = FoldersOrLeave(path);
  if (folders.size() > 1) {
    LeaveIfFailed(InvalidArgumentError("several folders of label sets here; give one of those that `ferment labels ls` "
                                       "prints: path=" +
                                       path + " folders=" + std::to_string(folders.size()))
                      .WithExitCode(exit_code::kUsage));
  }
  return ValueOrLeave(dataset::ReadLabelSets(folders.front().path));
}

void Diff(const LabelsFlags& flags) {
  const auto first = SetsOfOnlyFolder(flags.path);
  const auto second = SetsOfOnlyFolder(flags.other);
  const Json found = ValueOrLeave(CompareLabelSets(first, second));
  if (flags.json) return Print(found);
  for (const auto& [key, value] : found.items()) {
    if (value.is_number()) std::cout << key << ": " << value.dump() << '\n';
  }
  for (const Json& move : found["changed"]) {
    std::cout << "  " << move["from"].get<std::string>() << " -> " << move["to"].get<std::string>() << ": "
              << move["records"].dump() << '\n';
  }
  for (const Json& note : found["notes"]) std::cout << "note: " << note.get<std::string>() << '\n';
}

/// Returns: why a record cannot be labelled, found anew in the data; the label set keeps sums by reason alone.
Json WhyQuarantined(const dataset::RecordSource& source, std::uint64_t key) {
  const auto index = dataset::IndexOfKey(source, key);
  if (!index) return {{"reason", Json()}, {"why", "the data no longer have this record"}};
  const auto record = source.Read(*index);
  const auto image = record ? dataset::DecodePicture(record->image) : Result<dataset::Image>(Fail(record.error()));
  if (image) return {{"reason", Json()}, {"why", "readable now; its logits were not finite, or the data were changed"}};
  const bool damaged = image.error().code() == StatusCode::kDataLoss;
  return {{"reason", damaged ? Json(dataset::DamageReason(image.error())) : Json()},
          {"why", std::string(image.error().message())}};
}

void Quarantine(const LabelsFlags& flags) {
  Json all = Json::array();
  const auto folders = FoldersOrLeave(flags.path);
  for (const LabelFolder& folder : folders) {
    const auto spec = ValueOrLeave(LoadResolvedSpec(RunLayout(folder.run_dir).Spec()));
    const auto source = ValueOrLeave(dataset::OpenFr(spec));
    if (!flags.json && folders.size() > 1) std::cout << folder.path.string() << ":\n";
    for (const LabelSet& set : ValueOrLeave(dataset::ReadLabelSets(folder.path))) {
      for (std::size_t i = 0; i < set.size(); ++i) {
        if (set.status[i] != LabelStatus::kQuarantined) continue;
        Json one = WhyQuarantined(*source, set.key[i]);
        if (!flags.json) {
          std::cout << "shard " << set.shard << " key " << set.key[i] << ": " << one["why"].get<std::string>() << '\n';
        }
        one.update({{"folder", folder.path.string()}, {"shard", set.shard}, {"key", set.key[i]}});
        all.push_back(std::move(one));
      }
    }
  }
  if (flags.json) Print(all);
}

/// Becomes the labeler, which has LibTorch.
void Replay(const LabelsFlags& flags) {
  const std::string program = (event::ProgramFolder() / "ferment-labeler").string();
  std::vector<std::string> words = {program, "--replay", std::to_string(flags.key), "--run-dir", flags.path};
  if (flags.json) words.emplace_back("--json");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::cout.flush();
  execv(program.c_str(), argv.data());
  LeaveIfFailed(NotFoundError("cannot start the labeler; build it with `make build`: path=" + program + ": " +
                              std::strerror(errno))
                    .WithExitCode(exit_code::kMissingService));
}

void AddOne(CLI::App& group, const char* name, const char* help, void (*run)(const LabelsFlags&)) {
  const auto flags = std::make_shared<LabelsFlags>();
  CLI::App* const command = group.add_subcommand(name, help);
  command->add_option("PATH", flags->path, "Run folder, or one of its folders of label sets")->required();
  if (std::string(name) == "diff")
    command->add_option("OTHER", flags->other, "Another run folder, or folder of label sets")->required();
  if (std::string(name) == "replay") {
    command->add_option("RECORD", flags->key, "Key of the record")->required()->check(WholeNumber(0, UINT64_MAX));
  }
  command->add_flag("--json", flags->json, "As JSON");
  command->callback([flags, run] { run(*flags); });
}

}  // namespace

void AddLabelsCommands(CLI::App& app) {
  CLI::App* const labels = app.add_subcommand("labels", "Label sets of a run folder, looked at without a server");
  labels->require_subcommand(1);
  AddOne(*labels, "ls", "Folders of label sets with their counts and digest", List);
  AddOne(*labels, "show", "Counts, classes, confidence, reasons", Show);
  AddOne(*labels, "verify", "Reads every file and checks what the index says; 65 where something is wrong", Verify);
  AddOne(*labels, "diff", "What two teachers, or two runs, label differently", Diff);
  AddOne(*labels, "quarantine", "Each record without a label, and why", Quarantine);
  AddOne(*labels, "replay",
         "Labels one record again with the teacher of its label set; 65 where it comes out otherwise", Replay);
}

}  // namespace ferment::cli
