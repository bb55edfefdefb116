// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/labels/label_folders.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <span>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "common/config/run_layout.h"
#include "common/config/spec_loader.h"
#include "common/dataset/labels/label_files.h"
#include "common/dataset/records/open_sources.h"
#include "common/io/errno_status.h"
#include "common/io/formats/half_float.h"

namespace ferment::dataset {
namespace {

/// Of whom a folder's label sets must be: what the first is of.
struct Family {
  LabelOrigin origin;
  std::vector<std::string> classes;
};

/// Whether a set is the one that its shard and folder say, and of the same family as the others.
void CheckPlace(const LabelFolder& folder, std::uint64_t shard, const LabelSet& set, const Family& family,
                const std::string& file, std::vector<std::string>& faults) {
  if (set.shard != shard)
    faults.push_back("the file is of another shard: shard=" + std::to_string(set.shard) +
                     " expected=" + std::to_string(shard) + " file=" + file);
  const LabelOrigin& origin = set.origin;
  const auto place =
      std::filesystem::path(origin.dataset) / origin.teacher.substr(0, 16) / origin.label_config.substr(0, 16);
  // A copy may lie anywhere; there the files are only held against each other.
  const auto below = folder.path.lexically_relative(folder.run_dir / "labels");
  if ((!below.native().starts_with("../") && below != place) || origin != family.origin)
    faults.push_back("the file's origin is not that of its folder: dataset=" + origin.dataset +
                     " teacher=" + origin.teacher + " label_config=" + origin.label_config + " file=" + file);
  if (set.classes != family.classes)
    faults.push_back("the file has other classes than the first one: classes=" + std::to_string(set.classes.size()) +
                     " expected=" + std::to_string(family.classes.size()) + " file=" + file);
}

/// Whether a softmax can have made a row: shares of one, none above that of the label, which is the confidence.
bool IsPossible(const LabelSet& set, std::size_t row) {
  const std::size_t classes = set.classes.size();
  const auto shares = std::span(set.probabilities_half).subspan(row * classes, classes);
  const std::uint16_t confidence = set.confidence_half[row];
  if (set.status[row] == LabelStatus::kQuarantined) {
    return confidence == 0 && std::all_of(shares.begin(), shares.end(), [](std::uint16_t half) { return half == 0; });
  }
  const float highest = io::FloatFromHalf(confidence);
  float sum = 0;
  for (const std::uint16_t half : shares) {
    const float share = io::FloatFromHalf(half);
    if (!(share >= 0 && share <= highest)) return false;
    sum += share;
  }
  constexpr float kRounding = 0.01F;  // of float16, and of eight classes many times over
  return shares[set.label[row]] == confidence && std::abs(sum - 1) < kRounding;
}

void CheckFigures(const LabelSet& set, const std::string& file, std::vector<std::string>& faults) {
  for (std::size_t row = 0; row < set.size(); ++row) {
    if (IsPossible(set, row)) continue;
    faults.push_back("a record's probabilities are none, or not those of its label: key=" +
                     std::to_string(set.key[row]) + " label=" + std::to_string(set.label[row]) +
                     " confidence=" + std::to_string(io::FloatFromHalf(set.confidence_half[row])) + " file=" + file);
    return;
  }
}

/// The label sets of a folder by ascending shard, each held against those before it.
class SetsInTurn {
 public:
  SetsInTurn(const LabelFolder& folder, std::vector<std::string>& faults) : folder_(folder), faults_(faults) {}

  void Check(std::uint64_t shard, const LabelSet& set, const std::string& file) {
    if (!family_) family_ = Family{set.origin, set.classes};
    CheckPlace(folder_, shard, set, *family_, file, faults_);
    CheckFigures(set, file, faults_);
    if (!set.key.empty()) {
      // Also where no key is in two shards: who reads a folder goes by this order.
      if (last_key_ && set.key.front() <= *last_key_)
        faults_.push_back("keys reach into those of a shard before: first=" + std::to_string(set.key.front()) +
                          " last_before=" + std::to_string(*last_key_) + " file=" + file);
      last_key_ = set.key.back();
    }
    for (const std::uint64_t key : set.key) {
      const auto [other, fresh] = shard_of_.emplace(key, shard);
      if (fresh) continue;
      faults_.push_back("a record is in two shards: key=" + std::to_string(key) +
                        " shards=" + std::to_string(other->second) + "," + std::to_string(shard) + " file=" + file);
      break;
    }
  }

 private:
  const LabelFolder& folder_;
  std::vector<std::string>& faults_;
  std::optional<Family> family_;
  std::unordered_map<std::uint64_t, std::uint64_t> shard_of_;
  std::optional<std::uint64_t> last_key_;
};

Result<bool> HasIndex(LabelFiles& place) {
  const auto size = place.Size("index.json");
  if (size) return true;
  if (size.error().code() == StatusCode::kNotFound) return false;
  return Fail(size.error());
}

/// Returns: how many of a folder's files look like label sets.
std::size_t CountSets(const std::vector<std::string>& names) {
  return static_cast<std::size_t>(
      std::count_if(names.begin(), names.end(), [](const std::string& name) { return name.ends_with(".npz"); }));
}

Result<bool> IsIndexed(const std::filesystem::path& folder) {
  FERMENT_ASSIGN_OR_RETURN(const auto place, OpenLabelFiles(folder));
  return HasIndex(*place);
}

Result<bool> IsIndexedOrShouldBe(const std::filesystem::path& folder) {
  FERMENT_ASSIGN_OR_RETURN(const auto place, OpenLabelFiles(folder));
  FERMENT_ASSIGN_OR_RETURN(const bool indexed, HasIndex(*place));
  if (indexed) return true;
  const auto names = place->Names();
  if (!names && names.error().code() == StatusCode::kNotFound) return false;
  if (!names) return Fail(names.error());
  return CountSets(*names) > 0;
}

/// Returns: how many shards the folder has once it is complete.
Result<std::uint64_t> CountShards(const LabelFolder& folder) {
  FERMENT_ASSIGN_OR_RETURN(const RunSpec spec, LoadResolvedSpec(RunLayout(folder.run_dir).Spec()));
  const std::string dataset = folder.path.parent_path().parent_path().filename().string();
  const auto configs = LabelConfigsOf(spec);
  const bool ours = dataset == DatasetName(spec.data().fr().path()) &&
                    std::any_of(configs.begin(), configs.end(), [&](const std::string& config) {
                      return config.substr(0, 16) == folder.path.filename();
                    });
  if (!ours) {
    return Fail(
        FailedPreconditionError("the label sets are of another data set or of other settings than the run's "
                                "spec: file=" +
                                RunLayout(folder.run_dir).Spec().string()));
  }
  FERMENT_ASSIGN_OR_RETURN(const auto source, OpenFr(spec));
  const std::uint64_t per_shard = spec.data().fr().shard_records();
  return (source->size() + per_shard - 1) / per_shard;
}

void NoteWhatIsMissing(const LabelFolder& folder, const LabelIndex& index, std::vector<std::string>& notes) {
  const auto shards = CountShards(folder);
  if (!shards) notes.push_back("completeness was not looked at: " + std::string(shards.error().message()));
  const std::uint64_t expected = shards.value_or(index.empty() ? 0 : index.rbegin()->first + 1);
  const auto had = static_cast<std::uint64_t>(std::distance(index.begin(), index.lower_bound(expected)));
  if (had == expected) return;
  notes.push_back(shards ? "shards are not in the index: missing=" + std::to_string(expected - had) +
                               " of=" + std::to_string(expected)
                         : "shards below the last one are not in the index: missing=" + std::to_string(expected - had) +
                               " last=" + std::to_string(expected - 1));
}

Result<std::vector<LabelFolder>> FindFolders(const std::filesystem::path& path,
                                             Result<bool> (*wanted)(const std::filesystem::path&)) {
  if (path.empty()) {
    return Fail(InvalidArgumentError("no folder is named: the path is empty").WithExitCode(exit_code::kUsage));
  }
  const auto whole = std::filesystem::absolute(path).lexically_normal();
  const auto root = whole.has_filename() ? whole : whole.parent_path();
  std::error_code ignored;
  // RUN/labels/<dataset>/<teacher>/<label config>
  const auto labels = root.parent_path().parent_path().parent_path();
  if (labels.filename() == "labels" || std::filesystem::exists(root / "index.json", ignored)) {
    FERMENT_ASSIGN_OR_RETURN(const bool itself, wanted(root));
    if (itself) return std::vector<LabelFolder>{{root, labels.parent_path()}};
  }
  std::vector<LabelFolder> folders;
  std::error_code error;
  std::filesystem::recursive_directory_iterator entry(root / "labels", error);
  for (; !error && entry != std::filesystem::recursive_directory_iterator(); entry.increment(error)) {
    if (entry.depth() != 2 || !entry->is_directory(ignored)) continue;
    FERMENT_ASSIGN_OR_RETURN(const bool found, wanted(entry->path()));
    if (found) folders.push_back({entry->path(), root});
  }
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory) {
    return Fail(io::ReadErrno(error.value(), "cannot look through the folders", root / "labels"));
  }
  if (folders.empty()) {
    return Fail(NotFoundError("no label sets; give a run folder, or a folder with an index.json: path=" + root.string())
                    .WithExitCode(exit_code::kBadData));
  }
  std::sort(folders.begin(), folders.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return folders;
}

}  // namespace

Result<std::vector<LabelFolder>> FindLabelFolders(const std::filesystem::path& path) {
  return FindFolders(path, IsIndexed);
}

Result<std::vector<LabelFolder>> FindLabelFoldersToCheck(const std::filesystem::path& path) {
  return FindFolders(path, IsIndexedOrShouldBe);
}

Result<LabelFolderFaults> CheckLabelFolder(const LabelFolder& folder) {
  FERMENT_ASSIGN_OR_RETURN(const auto place, OpenLabelFiles(folder.path));
  FERMENT_ASSIGN_OR_RETURN(const bool indexed, HasIndex(*place));
  FERMENT_ASSIGN_OR_RETURN(const auto names, place->Names());
  if (!indexed) {
    return LabelFolderFaults{
        {"no index.json, so that none of its files is a label set: files=" + std::to_string(CountSets(names))}, {}};
  }
  const auto index = ReadLabelIndex(*place);
  if (!index && ProcessExitCode(index.error()) != exit_code::kBadData) return Fail(index.error());
  if (!index) return LabelFolderFaults{{std::string(index.error().message())}, {}};
  LabelFolderFaults found;
  SetsInTurn sets(folder, found.faults);
  std::set<std::string> named = {"index.json", kLabelIndexLock};
  for (const auto& [shard, file] : *index) {
    named.insert(file.file);
    if (const auto set = ReadLabelSet(*place, file); set) {
      sets.Check(shard, *set, file.file);
    } else {
      found.faults.emplace_back(set.error().message());
    }
  }
  NoteWhatIsMissing(folder, *index, found.notes);
  for (const std::string& name : names) {
    if (!named.contains(name)) found.notes.push_back("not in the index, so no label set: " + place->NameOf(name));
  }
  return found;
}

Result<std::optional<LabelPlace>> FindLabel(const LabelFolder& folder, std::uint64_t key) {
  FERMENT_ASSIGN_OR_RETURN(const auto place, OpenLabelFiles(folder.path));
  FERMENT_ASSIGN_OR_RETURN(const LabelIndex index, ReadLabelIndex(*place));
  for (const auto& [shard, file] : index) {
    FERMENT_ASSIGN_OR_RETURN(LabelSet set, ReadLabelSet(*place, file));
    const auto at = std::lower_bound(set.key.begin(), set.key.end(), key);
    if (at == set.key.end() || *at != key) continue;
    const auto row = static_cast<std::size_t>(at - set.key.begin());
    return std::optional<LabelPlace>(LabelPlace{std::move(set), row});
  }
  return std::optional<LabelPlace>();
}

}  // namespace ferment::dataset
