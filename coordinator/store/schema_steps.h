// SPDX-License-Identifier: Apache-2.0
//
// The steps by which a store's tables come from any former version to this program's.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "common/base/status.h"

namespace ferment::coordinator {

/// What makes of a store of version N, which is N's place here, one of version N + 1; an empty store's is 0. A step
/// that anybody may have taken is never changed: what is to be other is another step. No step ends a transaction.
using SchemaSteps = std::span<const char* const>;

/// `store`: where it is, as name=value.
/// Errors: FailedPrecondition with exit code 78: a newer program has made the tables than one that knows `steps`.
Status CheckVersion(SchemaSteps steps, std::int64_t version, const std::string& store);

/// Gives `execute` each step that a store of `version` has not taken, in order. It is one of the last version once all
/// is well, and the caller has written that down and committed both. Requires: CheckVersion.
/// Errors: those of `execute`, and then no further step is taken.
Status TakeSteps(SchemaSteps steps, std::int64_t version, const std::function<Status(const std::string& sql)>& execute);

}  // namespace ferment::coordinator
