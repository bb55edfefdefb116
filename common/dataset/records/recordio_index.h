// SPDX-License-Identifier: Apache-2.0
//
// Which key lies where in a .rec: read from the .idx beside it, or found again by reading the .rec through.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/records/recordio_reader.h"
#include "common/io/byte_source.h"

namespace ferment::dataset {

/// Where a record is; `other` where a second index line says otherwise.
struct IndexEntry {
  /// In place of an offset: the pack's header counts the key, and no record with it was found.
  static constexpr std::uint64_t kNowhere = ~std::uint64_t{0};

  std::uint64_t key = 0;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> other;
};

/// A value.
struct RecordioIndex {
  /// By key, each key once.
  std::vector<IndexEntry> entries;
  /// Sorted: places where a record is said to begin.
  std::vector<std::uint64_t> offsets;
  /// Lines of the .idx; 0 for one that was rebuilt.
  std::uint64_t lines = 0;
  /// One sentence each.
  std::vector<std::string> oddities;
};

/// Reads the .idx, `name` in messages. Errors: DataLoss where no line is `<key>\t<offset>`; those of the bytes.
Result<RecordioIndex> ReadIndex(const io::ByteSource& file, const std::string& name);

/// Finds the records without an index, in one pass over the file that goes on behind whatever is damaged.
///
/// A record's key is the id in its image header, as im2rec and InsightFace's tools write it. Where two records share an
/// id (a writer that leaves it 0), keys are the pictures' positions: from 1 in a pack with identity records, else from
/// 0. A damaged record whose id can still be read keeps its key, and Read names the damage. Where the pack's header
/// record counts pictures that were not found, they are entries at kNowhere, so that as many are read as were written.
/// Errors: those of the reader's bytes.
Result<RecordioIndex> RebuildIndex(const RecordioReader& reader);

}  // namespace ferment::dataset
