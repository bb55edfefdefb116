// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/labels/label_set.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <numeric>

#include "common/base/instruction_set.h"
#include "common/base/json.h"
#include "common/dataset/labels/label_files.h"
#include "common/io/atomic_file.h"
#include "common/io/checksum.h"
#include "common/io/formats/npz_file.h"
#include "common/io/formats/zip_archive.h"

namespace ferment::dataset {
namespace {

Json CountsToJson(const LabelCounts& counts) {
  return {{"read", counts.read},
          {"labelled", counts.labelled},
          {"abstained", counts.abstained},
          {"quarantined", counts.quarantined}};
}

Json MetaOf(const LabelSet& labels) {
  Json reasons = Json::object();
  for (const auto& [reason, count] : labels.reasons) reasons[reason] = count;
  return {{"dataset", labels.origin.dataset},
          {"shard", labels.shard},
          {"teacher", labels.origin.teacher},
          {"label_config", labels.origin.label_config},
          {"classes", labels.classes},
          {"counts", CountsToJson(labels.Counts())},
          {"reasons", reasons}};
}

/// Fills all of `labels` that meta holds. Returns: the counts it claims.
Result<LabelCounts> ReadMeta(const std::vector<std::uint8_t>& bytes, LabelSet& labels) {
  FERMENT_ASSIGN_OR_RETURN(const Json meta,
                           ParseJson(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())));
  try {
    labels.origin = {meta.at("dataset").get<std::string>(), meta.at("teacher").get<std::string>(),
                     meta.at("label_config").get<std::string>()};
    labels.shard = meta.at("shard").get_ref<const std::uint64_t&>();
    labels.classes = meta.at("classes").get<std::vector<std::string>>();
    for (const auto& [reason, count] : meta.at("reasons").get_ref<const Json::object_t&>())
      labels.reasons[reason] = count.get_ref<const std::uint64_t&>();
    const Json& counts = meta.at("counts");
    return LabelCounts{counts.at("read").get_ref<const std::uint64_t&>(),
                       counts.at("labelled").get_ref<const std::uint64_t&>(),
                       counts.at("abstained").get_ref<const std::uint64_t&>(),
                       counts.at("quarantined").get_ref<const std::uint64_t&>()};
  } catch (const Json::exception& error) {
    return Fail(DataLossError("meta of the label set lacks a field or has another type: " + std::string(error.what())));
  }
}

/// Deflated zeros take a thousandth of their room: what members unpack to is held against the limit before any is.
Status CheckUnpackedSize(std::span<const std::byte> bytes) {
  FERMENT_ASSIGN_OR_RETURN(const auto entries, io::ReadZipDirectory(bytes));
  std::uint64_t sum = 0;
  for (const io::ZipEntry& entry : entries) {
    if (entry.plain_bytes > kMostLabelSetBytes - sum)
      return DataLossError("members unpack to more than a label set can have: member=" + entry.name + " bytes=" +
                           std::to_string(entry.plain_bytes) + " allowed=" + std::to_string(kMostLabelSetBytes - sum));
    sum += entry.plain_bytes;
  }
  return {};
}

Status CheckConsistency(const LabelSet& labels) {
  const std::size_t n = labels.size();
  const std::size_t c = labels.classes.size();
  if (labels.label.size() != n || labels.confidence_half.size() != n || labels.status.size() != n ||
      labels.probabilities_half.size() != n * c)
    return InvalidArgumentError("members of the label set differ in length: keys=" + std::to_string(n) +
                                " classes=" + std::to_string(c));
  if (std::adjacent_find(labels.key.begin(), labels.key.end(), std::greater_equal<>()) != labels.key.end())
    return InvalidArgumentError("keys of the label set do not ascend");
  for (std::size_t i = 0; i < n; ++i) {
    const bool quarantined = labels.status[i] == LabelStatus::kQuarantined;
    if (labels.status[i] > LabelStatus::kQuarantined ||
        (quarantined ? labels.label[i] != kNoLabel : labels.label[i] >= c))
      return InvalidArgumentError("label set has an impossible row: key=" + std::to_string(labels.key[i]) +
                                  " label=" + std::to_string(labels.label[i]));
  }
  std::uint64_t explained = 0;
  for (const auto& [reason, count] : labels.reasons) {
    if (count > n)
      return InvalidArgumentError("a reason has more records than the label set: reason=" + reason +
                                  " count=" + std::to_string(count) + " records=" + std::to_string(n));
    explained += count;
  }
  if (explained != labels.Counts().quarantined)
    return InvalidArgumentError(
        "reasons do not add up to the quarantined records: reasons=" + std::to_string(explained) +
        " quarantined=" + std::to_string(labels.Counts().quarantined));
  return {};
}

template <typename T>
Result<std::vector<T>> Member(const std::map<std::string, io::NpyArray>& arrays, const std::string& name,
                              std::string_view dtype, std::size_t dimensions) {
  const auto found = arrays.find(name);
  if (found == arrays.end()) return Fail(DataLossError("label set has no member: name=" + name));
  auto values = io::NpyValues<T>(found->second, dtype);
  if (!values) return Fail(values.error().With("member " + name));
  if (found->second.shape.size() != dimensions)
    return Fail(DataLossError("member has another shape: name=" + name +
                              " dimensions=" + std::to_string(found->second.shape.size())));
  return values;
}

}  // namespace

LabelCounts LabelSet::Counts() const {
  const auto with = [this](LabelStatus wanted) {
    return static_cast<std::uint64_t>(std::count(status.begin(), status.end(), wanted));
  };
  return {key.size(), with(LabelStatus::kLabelled), with(LabelStatus::kAbstained), with(LabelStatus::kQuarantined)};
}

std::string LabelConfigDigest(const RunSpec& spec, std::string_view plan, std::string_view instruction_set) {
  // 2: sums in the order of convolution_tiles; 3: with AVX-512 too.
  const int format = instruction_set == "avx512" ? 3 : 2;
  const Json config = {{"format", format},
                       {"classes", std::vector<std::string>(spec.classes().begin(), spec.classes().end())},
                       {"backbone", spec.model().backbone()},
                       {"width", spec.model().width()},
                       {"image_size", spec.model().image_size()},
                       {"batch", spec.labeling().batch()},
                       {"tau", spec.labeling().tau()},
                       {"threshold", spec.labeling().threshold()},
                       {"shard_records", spec.data().fr().shard_records()},
                       {"plan", plan},
                       {"instruction_set", instruction_set}};
  return io::Sha256Hex(config.dump());
}

std::vector<std::string> LabelConfigsOf(const RunSpec& spec) {
  const std::string& device = spec.labeling().device();
  std::vector<std::string> configs;
  for (const std::string_view arithmetic : kArithmeticClasses) {
    if ((arithmetic == kCudaClass ? "cpu" : "cuda") == device) continue;
    configs.push_back(LabelConfigDigest(spec, PlanInUse(spec), arithmetic));
  }
  return configs;
}

std::string_view ArithmeticInUse(const RunSpec& spec) {
  return LabelsOnGpus(spec) ? kCudaClass : InstructionSetClass();
}

std::string PlanInUse(const RunSpec& spec) {
  return spec.labeling().plan() == "auto" ? "fp32" : spec.labeling().plan();
}

Result<std::vector<std::byte>> LabelSetBytes(const LabelSet& labels) {
  FERMENT_RETURN_IF_ERROR(CheckConsistency(labels));
  const auto n = static_cast<std::int64_t>(labels.size());
  std::vector<std::uint8_t> status(labels.size());
  std::transform(labels.status.begin(), labels.status.end(), status.begin(),
                 [](LabelStatus s) { return static_cast<std::uint8_t>(s); });
  const std::string meta = MetaOf(labels).dump();
  io::NpzWriter npz;
  npz.Add("key", io::MakeNpyArray<std::uint64_t>("<u8", {n}, labels.key));
  npz.Add("label", io::MakeNpyArray<std::uint8_t>("|u1", {n}, labels.label));
  npz.Add("confidence", io::MakeNpyArray<std::uint16_t>("<f2", {n}, labels.confidence_half));
  npz.Add("probabilities", io::MakeNpyArray<std::uint16_t>("<f2", {n, static_cast<std::int64_t>(labels.classes.size())},
                                                           labels.probabilities_half));
  npz.Add("status", io::MakeNpyArray<std::uint8_t>("|u1", {n}, status));
  npz.Add("meta", io::MakeNpyArray<char>("|u1", {static_cast<std::int64_t>(meta.size())}, meta));
  return npz.Finish();
}

Result<LabelSet> ParseLabelSet(std::span<const std::byte> bytes) {
  if (const Status fits = CheckUnpackedSize(bytes); !fits.ok()) return Fail(fits);
  FERMENT_ASSIGN_OR_RETURN(const auto arrays, io::ParseNpz(bytes));
  LabelSet labels;
  FERMENT_ASSIGN_OR_RETURN(const auto meta, Member<std::uint8_t>(arrays, "meta", "|u1", 1));
  FERMENT_ASSIGN_OR_RETURN(const LabelCounts counts, ReadMeta(meta, labels));
  FERMENT_ASSIGN_OR_RETURN(labels.key, Member<std::uint64_t>(arrays, "key", "<u8", 1));
  FERMENT_ASSIGN_OR_RETURN(labels.label, Member<std::uint8_t>(arrays, "label", "|u1", 1));
  FERMENT_ASSIGN_OR_RETURN(labels.confidence_half, Member<std::uint16_t>(arrays, "confidence", "<f2", 1));
  FERMENT_ASSIGN_OR_RETURN(labels.probabilities_half, Member<std::uint16_t>(arrays, "probabilities", "<f2", 2));
  FERMENT_ASSIGN_OR_RETURN(const auto status, Member<std::uint8_t>(arrays, "status", "|u1", 1));
  for (const std::uint8_t value : status) labels.status.push_back(static_cast<LabelStatus>(value));
  if (const Status consistent = CheckConsistency(labels); !consistent.ok())
    return Fail(DataLossError(std::string(consistent.message())));
  if (labels.Counts() != counts)
    return Fail(DataLossError("counts in meta are not those of the rows: read=" + std::to_string(counts.read)));
  return labels;
}

Result<LabelFile> WriteLabelSet(const std::filesystem::path& folder, const LabelSet& labels,
                                const std::stop_token& stop) {
  FERMENT_ASSIGN_OR_RETURN(const auto bytes, LabelSetBytes(labels));
  LabelFile written{"", io::Sha256Hex(bytes), labels.Counts()};
  char shard[32];
  std::snprintf(shard, sizeof shard, "%06llu", static_cast<unsigned long long>(labels.shard));
  written.file = std::string(shard) + "-" + written.sha256.substr(0, 16) + ".npz";
  // Also where the file goes to a store: the folder stands for what is there.
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(folder));
  FERMENT_ASSIGN_OR_RETURN(const auto place, OpenLabelFiles(folder, stop));
  FERMENT_RETURN_IF_ERROR(place->WriteOnce(written.file, bytes));
  return written;
}

Result<LabelSet> ReadLabelSet(const std::filesystem::path& folder, const LabelFile& expected) {
  FERMENT_ASSIGN_OR_RETURN(const auto place, OpenLabelFiles(folder));
  return ReadLabelSet(*place, expected);
}

Result<LabelSet> ReadLabelSet(LabelFiles& place, const LabelFile& expected) {
  const std::string path = place.NameOf(expected.file);
  FERMENT_ASSIGN_OR_RETURN(const auto bytes, place.Read(expected.file, kMostLabelSetBytes));
  const std::string digest = io::Sha256Hex(bytes);
  if (digest != expected.sha256)
    return Fail(DataLossError("label set is not the one that was committed: file=" + path + " sha256=" + digest +
                              " committed=" + expected.sha256));
  auto labels = ParseLabelSet(bytes);
  if (!labels) return Fail(labels.error().With(path));
  if (labels->Counts() != expected.counts)
    return Fail(DataLossError("label set has other counts than the index: file=" + path));
  return labels;
}

}  // namespace ferment::dataset
