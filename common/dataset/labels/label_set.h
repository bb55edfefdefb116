// SPDX-License-Identifier: Apache-2.0
//
// The pseudo-labels of one shard by one teacher: a content-addressed NPZ file that numpy.load reads too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/config/run_spec.h"

namespace ferment::dataset {

enum class LabelStatus : std::uint8_t { kLabelled = 0, kAbstained = 1, kQuarantined = 2 };

/// Label of a quarantined record.
inline constexpr std::uint8_t kNoLabel = 255;

struct LabelCounts {
  std::uint64_t read = 0;
  std::uint64_t labelled = 0;
  std::uint64_t abstained = 0;
  std::uint64_t quarantined = 0;

  bool operator==(const LabelCounts&) const = default;
};

/// Whose labels they are, and by which rule: one folder of label sets has one origin.
struct LabelOrigin {
  /// Name of the FR data set, such as "faces_emore".
  std::string dataset;
  /// Digest of the teacher's safetensors file.
  std::string teacher;
  /// LabelConfigDigest().
  std::string label_config;

  bool operator==(const LabelOrigin&) const = default;
};

/// One shard's labels, a row a record, keys ascending. A value.
struct LabelSet {
  LabelOrigin origin;
  std::uint64_t shard = 0;
  std::vector<std::string> classes;
  std::vector<std::uint64_t> key;
  /// Lowest argmax of the row's probabilities; kNoLabel when quarantined.
  std::vector<std::uint8_t> label;
  /// The label's probability, as stored: IEEE half. The threshold applies to this value.
  std::vector<std::uint16_t> confidence_half;
  /// Row after row, classes.size() each; zeros when quarantined.
  std::vector<std::uint16_t> probabilities_half;
  std::vector<LabelStatus> status;
  /// Quarantined records by reason word, such as "jpeg-truncated".
  std::map<std::string, std::uint64_t> reasons;

  std::size_t size() const { return key.size(); }
  LabelCounts Counts() const;
};

/// Returns: a digest (64 hex digits) of all that decides labels besides teacher and records: classes, preprocessing,
/// tau, threshold, batch, shard size, the plan in use ("fp32" ...) and the labeler's class of arithmetic.
std::string LabelConfigDigest(const RunSpec& spec, std::string_view plan, std::string_view instruction_set);

/// Returns: the digests that label sets of this spec may have, one a class of arithmetic: all of them where
/// labeling.device leaves it to the labelers, else those of the device.
std::vector<std::string> LabelConfigsOf(const RunSpec& spec);

/// Returns: the class of arithmetic that labels of this spec are made with: kCudaClass where they are made on GPUs,
/// else InstructionSetClass() of this processor.
std::string_view ArithmeticInUse(const RunSpec& spec);

/// Returns: the arithmetic that labeling.plan stands for, "fp32", "bf16" or "int8": auto is fp32 on every processor, so
/// that nobody's labels change because a labeler was started elsewhere.
std::string PlanInUse(const RunSpec& spec);

/// Returns: the file's bytes; equal label sets are equal bytes. Errors: InvalidArgument where columns differ in length,
/// keys do not ascend, or reasons do not add up to the quarantined rows.
Result<std::vector<std::byte>> LabelSetBytes(const LabelSet& labels);
/// Returns: the label set in a file's bytes. Errors: DataLoss naming the member that is wrong.
Result<LabelSet> ParseLabelSet(std::span<const std::byte> bytes);

struct LabelFile {
  /// Name in its folder: "<shard %06d>-<sha256[:16]>.npz".
  std::string file;
  std::string sha256;
  LabelCounts counts;

  bool operator==(const LabelFile&) const = default;
};

/// Writes the set into `folder`, which is created, atomically under its content's name; the same set again is the same
/// file. It counts as a label set only once the index names it (label_index.h). `stop` as io::OpenObjectStore's.
Result<LabelFile> WriteLabelSet(const std::filesystem::path& folder, const LabelSet& labels,
                                const std::stop_token& stop = {});

/// Returns: the set. Errors: NotFound; DataLoss where the digest is another than `expected.sha256`, or the contents are
/// wrong or have other counts.
Result<LabelSet> ReadLabelSet(const std::filesystem::path& folder, const LabelFile& expected);

}  // namespace ferment::dataset
