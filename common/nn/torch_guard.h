// SPDX-License-Identifier: Apache-2.0
//
// The one door out of LibTorch: its exceptions become a Status here.
#pragma once

#include <c10/util/Exception.h>

#include <concepts>
#include <exception>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "common/base/result.h"

namespace ferment::nn {

namespace internal {
template <typename T>
struct GuardedType {
  using type = Result<T>;
};
template <>
struct GuardedType<void> {
  using type = Status;
};
template <>
struct GuardedType<Status> {
  using type = Status;
};
template <typename T>
struct GuardedType<Result<T>> {
  using type = Result<T>;
};

template <typename Outcome>
Outcome GuardFailure(Status status) {
  if constexpr (std::same_as<Outcome, Status>) {
    return status;
  } else {
    return Fail(std::move(status));
  }
}
}  // namespace internal

/// Runs `body`, which may throw what LibTorch throws. Returns: its T as Result<T>; a void body as Status; a Status or
/// Result as it is. Errors: ResourceExhausted where memory ran out, else Internal with LibTorch's first line.
template <typename Body>
auto Guard(Body&& body) -> typename internal::GuardedType<std::invoke_result_t<Body>>::type {
  using Outcome = typename internal::GuardedType<std::invoke_result_t<Body>>::type;
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<Body>>) {
      std::forward<Body>(body)();
      return Status();
    } else {
      return std::forward<Body>(body)();
    }
  } catch (const std::bad_alloc&) {
    return internal::GuardFailure<Outcome>(ResourceExhaustedError("out of memory in a network"));
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    return internal::GuardFailure<Outcome>(InternalError("LibTorch: " + text.substr(0, text.find('\n'))));
  } catch (const std::exception& error) {
    return internal::GuardFailure<Outcome>(InternalError(std::string("LibTorch: ") + error.what()));
  }
}

}  // namespace ferment::nn
