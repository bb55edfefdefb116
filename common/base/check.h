// SPDX-License-Identifier: Apache-2.0
//
// FERMENT_CHECK stops the process on a bug of ours; what the world does wrong is a Status.
#pragma once

#include <sstream>

namespace ferment::internal {

/// Collects the message, then prints it with file and line and aborts.
class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition);
  [[noreturn]] ~CheckFailure();
  CheckFailure(const CheckFailure&) = delete;
  CheckFailure& operator=(const CheckFailure&) = delete;
  std::ostream& stream() { return stream_; }

 private:
  std::ostringstream stream_;
};

}  // namespace ferment::internal

#define FERMENT_CHECK(condition) \
  while (!(condition)) ::ferment::internal::CheckFailure(__FILE__, __LINE__, #condition).stream()
