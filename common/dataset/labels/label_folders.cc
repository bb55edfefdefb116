// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/labels/label_folders.h"

#include <algorithm>
#include <set>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "common/dataset/labels/label_files.h"

namespace ferment::dataset {
namespace {

/// Whether a set is the one that its shard and folder say.
void CheckPlace(const LabelFolder& folder, std::uint64_t shard, const LabelSet& set, const std::string& file,
                std::vector<std::string>& faults) {
  if (set.shard != shard)
    faults.push_back("the file is of another shard: shard=" + std::to_string(set.shard) +
                     " expected=" + std::to_string(shard) + " file=" + file);
  const LabelOrigin& origin = set.origin;
  const auto place =
      std::filesystem::path(origin.dataset) / origin.teacher.substr(0, 16) / origin.label_config.substr(0, 16);
  if (folder.path.lexically_relative(folder.run_dir / "labels") != place)
    faults.push_back("the file's origin is not that of its folder: dataset=" + origin.dataset +
                     " teacher=" + origin.teacher + " label_config=" + origin.label_config + " file=" + file);
}

Result<bool> HasIndex(const std::filesystem::path& folder) {
  FERMENT_ASSIGN_OR_RETURN(const auto place, OpenLabelFiles(folder));
  const auto size = place->Size("index.json");
  if (size) return true;
  if (size.error().code() == StatusCode::kNotFound) return false;
  return Fail(size.error());
}

}  // namespace

Result<std::vector<LabelFolder>> FindLabelFolders(const std::filesystem::path& path) {
  const auto whole = std::filesystem::absolute(path).lexically_normal();
  const auto root = whole.has_filename() ? whole : whole.parent_path();
  std::error_code ignored;
  // RUN/labels/<dataset>/<teacher>/<label config>
  const auto labels = root.parent_path().parent_path().parent_path();
  if (labels.filename() == "labels" || std::filesystem::exists(root / "index.json", ignored)) {
    FERMENT_ASSIGN_OR_RETURN(const bool indexed, HasIndex(root));
    if (indexed) return std::vector<LabelFolder>{{root, labels.parent_path()}};
  }
  std::vector<LabelFolder> folders;
  std::filesystem::recursive_directory_iterator entry(root / "labels", ignored);
  for (; !ignored && entry != std::filesystem::recursive_directory_iterator(); entry.increment(ignored)) {
    if (entry.depth() != 2 || !entry->is_directory(ignored)) continue;
    FERMENT_ASSIGN_OR_RETURN(const bool indexed, HasIndex(entry->path()));
    if (indexed) folders.push_back({entry->path(), root});
  }
  if (folders.empty()) {
    return Fail(NotFoundError("no label sets; give a run folder, or a folder with an index.json: path=" + root.string())
                    .WithExitCode(exit_code::kBadData));
  }
  std::sort(folders.begin(), folders.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return folders;
}

Result<std::vector<LabelSet>> ReadAllLabelSets(const LabelFolder& folder) {
  FERMENT_ASSIGN_OR_RETURN(const auto place, OpenLabelFiles(folder.path));
  FERMENT_ASSIGN_OR_RETURN(const LabelIndex index, ReadLabelIndex(*place));
  if (index.empty()) {
    return Fail(FailedPreconditionError("the index names no label set: folder=" + folder.path.string())
                    .WithExitCode(exit_code::kBadData));
  }
  std::vector<LabelSet> sets;
  for (const auto& [shard, file] : index) {
    FERMENT_ASSIGN_OR_RETURN(LabelSet set, ReadLabelSet(*place, file));
    sets.push_back(std::move(set));
  }
  return sets;
}

LabelFolderFaults CheckLabelFolder(const LabelFolder& folder) {
  const auto place = OpenLabelFiles(folder.path);
  if (!place) return {{std::string(place.error().message())}, {}};
  const auto index = ReadLabelIndex(**place);
  if (!index) return {{std::string(index.error().message())}, {}};
  LabelFolderFaults found;
  std::unordered_map<std::uint64_t, std::uint64_t> shard_of;
  std::set<std::string> named = {"index.json"};
  for (const auto& [shard, file] : *index) {
    named.insert(file.file);
    const auto set = ReadLabelSet(**place, file);
    if (!set) {
      found.faults.emplace_back(set.error().message());
      continue;
    }
    CheckPlace(folder, shard, *set, file.file, found.faults);
    for (const std::uint64_t key : set->key) {
      const auto [other, fresh] = shard_of.emplace(key, shard);
      if (fresh) continue;
      found.faults.push_back("a record is in two shards: key=" + std::to_string(key) + " shards=" +
                             std::to_string(other->second) + "," + std::to_string(shard) + " file=" + file.file);
      break;
    }
  }
  const auto names = (*place)->Names();
  if (!names) found.faults.emplace_back(names.error().message());
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    if (!named.contains(name)) found.notes.push_back("not in the index, so no label set: " + (*place)->NameOf(name));
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
