// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "common/base/check.h"
#include "common/base/json.h"
#include "common/config/run_layout.h"
#include "common/config/spec_defaults.h"
#include "common/config/spec_loader.h"
#include "common/dataset/labels/label_index.h"
#include "common/event/process_record.h"
#include "common/io/folder_hold.h"
#include "common/report/run_report.h"
#include "tests/fuzz/fuzz_file.h"

namespace ferment {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = "== ";

std::string Spec() {
  RunSpec spec;
  FillDefaults(spec);
  spec.set_name("fuzzed");
  spec.add_classes("Neutral");
  spec.add_classes("Happy");
  return SpecToYaml(spec);
}

/// Only paths that stay in the folder.
bool IsInside(const fs::path& path) {
  if (path.empty() || path.is_absolute() || !path.has_filename()) return false;
  for (const fs::path& part : path) {
    if (part == ".." || part == ".") return false;
  }
  return path.string().size() < 200;
}

/// "== PATH" begins a file of the folder, the lines behind it are what is in it.
fs::path Unpack(const std::uint8_t* data, std::size_t size) {
  static const std::string spec = Spec();
  const fs::path folder = FolderWith("spec.yaml", reinterpret_cast<const std::uint8_t*>(spec.data()), spec.size());
  for (const fs::path& entry : fs::directory_iterator(folder)) {
    if (entry.filename() != "spec.yaml") fs::remove_all(entry);
  }
  std::istringstream lines(std::string(reinterpret_cast<const char*>(data), size));
  std::ofstream file;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(kMark)) {
      if (file.is_open()) file << line << '\n';
      continue;
    }
    const fs::path path = line.substr(kMark.size());
    file.close();
    if (!IsInside(path)) continue;
    std::error_code ignored;
    fs::create_directories((folder / path).parent_path(), ignored);
    file.open(folder / path, std::ios::binary);
  }
  return folder;
}

bool IsNamed(const Status& status) {
  return status.code() == StatusCode::kDataLoss || status.code() == StatusCode::kNotFound ||
         status.code() == StatusCode::kInvalidArgument;
}

void CheckReport(const fs::path& folder) {
  const Status written = report::WriteReport(folder, [](const fs::path& file, std::string_view text) {
    FERMENT_CHECK(file.extension() != ".json" || ParseJson(text)) << file << ": " << text;
    return Status();
  });
  FERMENT_CHECK(written.ok() || IsNamed(written)) << written.ToString();
}

void CheckLabels(const fs::path& folder) {
  const fs::path sets = RunLayout(folder).LabelSets("d", "0123456789abcdef", "fedcba9876543210");
  const auto index = dataset::ReadLabelIndex(sets);
  if (!index) return;
  dataset::LabelIndexText text;
  for (const auto& [shard, file] : *index) text.Add(shard, file);
  fs::create_directories(sets);
  std::ofstream(sets / "index.json") << text.TakeEnd();
  const auto again = dataset::ReadLabelIndex(sets);
  FERMENT_CHECK(again && *again == *index) << "shards=" << index->size();
}

}  // namespace
}  // namespace ferment

// Any files in a run's folder: a report with what can be read or the file named that cannot be, an index that is
// written as it was read, and only whole records of processes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferment;
  const std::filesystem::path folder = Unpack(data, size);
  CheckReport(folder);
  CheckLabels(folder);
  for (const auto& record : event::ReadProcessRecords(RunLayout(folder).Processes()))
    FERMENT_CHECK(record.pid > 1) << record.pid;
  io::HolderOf(folder);
  return 0;
}
