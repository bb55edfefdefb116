// SPDX-License-Identifier: Apache-2.0
//
// A value or the Status that says why there is none, and the two macros that pass a failure up.
#pragma once

#include <tl/expected.hpp>
#include <utility>

#include "common/base/status.h"

namespace ferment {

/// Construct from a T, or from tl::unexpected / Fail(status). Read with ok-test `if (!result)` and `*result`.
template <typename T>
using Result = tl::expected<T, Status>;

/// Returns: what converts to any failed Result<T>. Requires: status is not ok.
inline tl::unexpected<Status> Fail(Status status) { return tl::unexpected<Status>(std::move(status)); }

namespace internal {
/// Lets FERMENT_RETURN_IF_ERROR serve functions that return Status and functions that return Result.
struct Failed {
  Status status;
  // NOLINTBEGIN(google-explicit-constructor)
  operator Status() && { return std::move(status); }
  template <typename T>
  operator tl::expected<T, Status>() && {
    return tl::unexpected<Status>(std::move(status));
  }
  // NOLINTEND(google-explicit-constructor)
};
}  // namespace internal

}  // namespace ferment

#define FERMENT_RETURN_IF_ERROR(expression)                                                  \
  do {                                                                                       \
    ::ferment::Status ferment_status = (expression);                                         \
    if (!ferment_status.ok()) return ::ferment::internal::Failed{std::move(ferment_status)}; \
  } while (false)

#define FERMENT_CONCAT_INNER(a, b) a##b
#define FERMENT_CONCAT(a, b) FERMENT_CONCAT_INNER(a, b)

/// FERMENT_ASSIGN_OR_RETURN(auto file, Open(path));
#define FERMENT_ASSIGN_OR_RETURN(declaration, expression) \
  FERMENT_ASSIGN_OR_RETURN_IMPL(FERMENT_CONCAT(ferment_result_, __LINE__), declaration, expression)
#define FERMENT_ASSIGN_OR_RETURN_IMPL(result, declaration, expression)        \
  auto result = (expression);                                                 \
  if (!result) return ::ferment::internal::Failed{std::move(result).error()}; \
  declaration = std::move(*result)
