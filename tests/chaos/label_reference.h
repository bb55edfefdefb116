// SPDX-License-Identifier: Apache-2.0
//
// The labels that nothing disturbed: made anew in this process, without leases, and compared with those of a round.
#pragma once

#include <filesystem>
#include <vector>

#include "tests/chaos/chaos_oracle.h"

namespace ferment::chaos {

/// Labels every shard of each label job that was planned in `rows` with the hashing annotator, into `folder`, each
/// teacher once. Breach of P11 where the log has another digest.
void CompareWithUndisturbedLabels(const std::vector<StoredRow>& rows, const std::filesystem::path& folder,
                                  std::vector<Breach>& breaches);

}  // namespace ferment::chaos
