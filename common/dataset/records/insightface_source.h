// SPDX-License-Identifier: Apache-2.0
//
// An InsightFace pack (train.rec, train.idx, property) or an im2rec pack as a source of unlabelled faces.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/records/record_source.h"

namespace ferment::dataset {

/// What opening a pack found; for people.
struct PackFacts {
  /// 0 where there is no .idx.
  std::uint64_t index_lines = 0;
  std::uint64_t images = 0;
  std::uint64_t identity_records = 0;
  /// Whether key 0 is InsightFace's header record; an im2rec pack has none and all its keys are images.
  bool has_header = false;
  /// From `property`: classes, height, width; empty where there is no such file.
  std::string property;
  /// One sentence each: keys without an index line, broken lines, a header that disagrees with the index ...
  std::vector<std::string> oddities;
};

class InsightfaceSource : public RecordSource {
 public:
  virtual const PackFacts& facts() const = 0;
};

/// Opens `path`: a folder with train.rec and train.idx, or with one .rec and its .idx, on a disk or as
/// s3://BUCKET/PREFIX (docs/operations.md). Reads the index and the header record, no picture; without an .idx the .rec
/// is read through once to find its records again, which is an oddity and takes as long as reading the file. The
/// source's Read adds to the reader's reasons: idx-past-end, idx-duplicate-key (two lines, two offsets),
/// length-too-short (no record begins where this one ends), record-empty, record-too-short (for the 24-byte header and
/// its labels), jpeg-empty (labels, no picture), record-missing (counted by the header, not found without an .idx).
/// Errors: NotFound for a missing .rec, DataLoss for an index without a single good line; both exit 65; those of
/// io::ObjectStore. `stop` as io::OpenObjectStore's.
Result<std::unique_ptr<InsightfaceSource>> OpenInsightfacePack(const std::string& path,
                                                               const std::stop_token& stop = {});

/// Looks whether a pack is there, and reads nothing of it. `stop` as OpenInsightfacePack's. Errors: as its for one that
/// is not.
Status FindInsightfacePack(const std::string& path, const std::stop_token& stop = {});

}  // namespace ferment::dataset
