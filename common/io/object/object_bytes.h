// SPDX-License-Identifier: Apache-2.0
//
// An object as a ByteSource: few large requests where it is read along, one small one where it is read here and there.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/io/byte_source.h"
#include "common/io/object/object_store.h"

namespace ferment::io {

struct ObjectBytesOptions {
  /// What is asked for at a time by a reader that goes along; a multiple of the others.
  std::uint64_t chunk_bytes = 8 << 20;
  /// What is asked for at least by one that jumps; grows with what is read, so that a record takes one request.
  std::uint64_t window_bytes = 32 << 10;
  /// Kept in memory; the chunk that is being read ahead comes on top. A larger view is not kept.
  std::uint64_t cache_bytes = 64 << 20;
};

/// Several threads may read along a few places at a time. While the second half of a chunk is read, the next one is
/// fetched behind the reader's back. All is of the object as it was when opened: where it is replaced, reads fail with
/// FailedPrecondition. Errors: those of ObjectStore::Head; of View those of ObjectStore::Read.
Result<std::unique_ptr<ByteSource>> OpenObjectBytes(std::shared_ptr<ObjectStore> store, const std::string& key,
                                                    const ObjectBytesOptions& options = {});

}  // namespace ferment::io
