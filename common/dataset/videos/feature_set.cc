// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/videos/feature_set.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "common/base/json_field.h"
#include "common/io/formats/npz_file.h"

namespace ferment::dataset {
namespace {

template <typename T>
Result<std::vector<T>> Member(const std::map<std::string, io::NpyArray>& arrays, const std::string& name,
                              std::string_view dtype) {
  const auto found = arrays.find(name);
  if (found == arrays.end()) return Fail(DataLossError("feature file lacks an array: name=" + name));
  return io::NpyValues<T>(found->second, dtype);
}

Status CheckShape(const FeatureSet& set) {
  const std::size_t n = set.frame.size();
  if (!std::ranges::is_sorted(set.frame)) return DataLossError("frames are not ascending");
  if (n == 0 ? !set.features.empty() : set.features.size() % n != 0 || set.features.empty())
    return DataLossError("features do not fit the frames: frames=" + std::to_string(n) +
                         " values=" + std::to_string(set.features.size()));
  if (set.logits.size() != n * set.classes.size())
    return DataLossError("logits do not fit the frames: frames=" + std::to_string(n) +
                         " values=" + std::to_string(set.logits.size()));
  return {};
}

Result<FeatureSet> Parse(const std::map<std::string, io::NpyArray>& arrays) {
  FeatureSet set;
  FERMENT_ASSIGN_OR_RETURN(const auto meta_bytes, Member<char>(arrays, "meta", "|u1"));
  FERMENT_ASSIGN_OR_RETURN(const Json meta, ParseJson({meta_bytes.data(), meta_bytes.size()}));
  if (!meta.is_object() || !meta.contains("classes") || !meta["classes"].is_array())
    return Fail(DataLossError("feature file's meta has no classes"));
  set.dataset = TextOr(Field(meta, "dataset"), "");
  set.video = TextOr(Field(meta, "video"), "");
  set.model = TextOr(Field(meta, "model"), "");
  for (const Json& name : meta["classes"]) set.classes.push_back(name.is_string() ? name.get<std::string>() : "");
  FERMENT_ASSIGN_OR_RETURN(set.frame, Member<std::uint32_t>(arrays, "frame", "<u4"));
  FERMENT_ASSIGN_OR_RETURN(set.features, Member<float>(arrays, "features", "<f4"));
  FERMENT_ASSIGN_OR_RETURN(set.logits, Member<float>(arrays, "logits", "<f4"));
  FERMENT_RETURN_IF_ERROR(CheckShape(set));
  return set;
}

}  // namespace

std::vector<std::byte> FeatureSetBytes(const FeatureSet& set) {
  Json meta;
  meta["dataset"] = set.dataset;
  meta["video"] = set.video;
  meta["model"] = set.model;
  meta["classes"] = set.classes;
  const std::string meta_text = meta.dump();
  const auto n = static_cast<std::int64_t>(set.frame.size());
  io::NpzWriter writer;
  writer.Add("frame", io::MakeNpyArray<std::uint32_t>("<u4", {n}, set.frame));
  writer.Add("features",
             io::MakeNpyArray<float>("<f4", {n, static_cast<std::int64_t>(set.feature_size())}, set.features));
  writer.Add("logits", io::MakeNpyArray<float>("<f4", {n, static_cast<std::int64_t>(set.classes.size())}, set.logits));
  writer.Add("meta", io::MakeNpyArray<char>("|u1", {static_cast<std::int64_t>(meta_text.size())}, meta_text));
  return writer.Finish();
}

Result<FeatureSet> ReadFeatureSet(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(const auto arrays, io::ReadNpz(path));
  Result<FeatureSet> set = Parse(arrays);
  if (!set) return Fail(set.error().With("reading " + path.string()));
  return set;
}

}  // namespace ferment::dataset
