// SPDX-License-Identifier: Apache-2.0
//
// Somebody whom permissions bind, where root runs the tests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

namespace ferment::testing {

/// From construction to destruction. Thread: one; it concerns the whole process.
class AsNobody {
 public:
  AsNobody() { EXPECT_TRUE(!root_ || ::seteuid(65534) == 0); }
  ~AsNobody() { EXPECT_TRUE(!root_ || ::seteuid(0) == 0); }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;

 private:
  const bool root_ = ::geteuid() == 0;
};

}  // namespace ferment::testing
