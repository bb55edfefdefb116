// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/label_index.h"

#include <charconv>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>

#include "common/base/json.h"
#include "common/io/atomic_file.h"
#include "common/io/checksum.h"

namespace ferment::dataset {
namespace {

constexpr char kIndexName[] = "index.json";

std::string ShardName(std::uint64_t shard) {
  char name[32];
  std::snprintf(name, sizeof name, "%06llu", static_cast<unsigned long long>(shard));
  return name;
}

/// A line a shard, and no tree of all of them: a job may have very many.
std::string IndexText(const LabelIndex& index) {
  std::string text = "{\"shards\": {";
  for (const auto& [shard, entry] : index) {
    const Json line = {{"file", entry.file},
                       {"sha256", entry.sha256},
                       {"counts",
                        {{"read", entry.counts.read},
                         {"labelled", entry.counts.labelled},
                         {"abstained", entry.counts.abstained},
                         {"quarantined", entry.counts.quarantined}}}};
    text += (text.back() == '{' ? "\n\"" : ",\n\"") + ShardName(shard) + "\": " + line.dump();
  }
  return text + "\n}}\n";
}

std::optional<std::uint64_t> ParseShard(const std::string& name) {
  std::uint64_t shard = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), shard);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return shard;
}

Result<LabelIndex> ParseIndex(const SortedJson& json) {
  LabelIndex index;
  try {
    for (const auto& [name, entry] : json.at("shards").items()) {
      const auto shard = ParseShard(name);
      const auto file = entry.at("file").get<std::string>();
      if (!shard || file.empty() || file.find('/') != std::string::npos)
        return Fail(DataLossError("impossible shard or file: shard=" + name + " file=" + file));
      const SortedJson& counts = entry.at("counts");
      index[*shard] = {file,
                       entry.at("sha256").get<std::string>(),
                       {counts.at("read").get<std::uint64_t>(), counts.at("labelled").get<std::uint64_t>(),
                        counts.at("abstained").get<std::uint64_t>(), counts.at("quarantined").get<std::uint64_t>()}};
    }
  } catch (const SortedJson::exception& error) {
    return Fail(DataLossError(error.what()));
  }
  return index;
}

}  // namespace

Result<LabelIndex> ReadLabelIndex(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kIndexName;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return LabelIndex{};
  std::ifstream stream(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (!stream.good() && !stream.eof())
    return Fail(UnavailableError("cannot read the index of label sets: file=" + path.string()));
  const std::string context = "index of label sets, file=" + path.string();
  const auto json = ParseJson<SortedJson>(text);
  if (!json) return Fail(json.error().With(context));
  auto index = ParseIndex(*json);
  if (!index) return Fail(index.error().With(context));
  return index;
}

Status WriteLabelIndex(const std::filesystem::path& folder, const LabelIndex& index) {
  return WriteLabelIndex(folder, index, [](const std::filesystem::path& path, std::string_view text) {
    return io::WriteFileAtomically(path, text);
  });
}

Status WriteLabelIndex(const std::filesystem::path& folder, const LabelIndex& index, const io::WriteText& write) {
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(folder));
  return write(folder / kIndexName, IndexText(index));
}

Status CommitToLabelIndex(const std::filesystem::path& folder, std::uint64_t shard, const LabelFile& file) {
  FERMENT_ASSIGN_OR_RETURN(LabelIndex index, ReadLabelIndex(folder));
  const auto found = index.find(shard);
  if (found != index.end()) {
    if (found->second == file) return {};
    return AlreadyExistsError("shard has another committed label set: shard=" + std::to_string(shard) +
                              " committed=" + found->second.sha256 + " offered=" + file.sha256);
  }
  index[shard] = file;
  return WriteLabelIndex(folder, index);
}

std::string LabelIndexDigest(const LabelIndex& index) {
  std::string text;
  for (const auto& [shard, entry] : index) text += ShardName(shard) + " " + entry.sha256 + "\n";
  return io::Sha256Hex(text);
}

Result<std::vector<LabelSet>> ReadLabelSets(const std::filesystem::path& folder, const LabelOrigin& origin) {
  FERMENT_ASSIGN_OR_RETURN(const LabelIndex index, ReadLabelIndex(folder));
  if (index.empty()) {
    return Fail(FailedPreconditionError("no label set is committed: folder=" + folder.string() +
                                        "; run the label phase of this teacher first")
                    .WithExitCode(exit_code::kBadData));
  }
  std::vector<LabelSet> sets;
  for (const auto& [shard, entry] : index) {
    FERMENT_ASSIGN_OR_RETURN(LabelSet set, ReadLabelSet(folder, entry));
    const std::string where = ": file=" + (folder / entry.file).string();
    if (set.origin != origin || set.shard != shard)
      return Fail(DataLossError("label set is of another data set, teacher, label config or shard" + where +
                                " dataset=" + set.origin.dataset + " teacher=" + set.origin.teacher +
                                " shard=" + std::to_string(set.shard)));
    if (!sets.empty() && set.classes != sets.front().classes)
      return Fail(DataLossError("label set has other classes" + where));
    if (!sets.empty() && !sets.back().key.empty() && !set.key.empty() && set.key.front() <= sets.back().key.back())
      return Fail(DataLossError("label set has keys of the shard before it" + where));
    sets.push_back(std::move(set));
  }
  return sets;
}

}  // namespace ferment::dataset
