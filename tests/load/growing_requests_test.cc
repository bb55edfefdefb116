// SPDX-License-Identifier: Apache-2.0
#include "tests/load/growing_requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <map>

#include "tests/load/hostile_clients.h"
#include "tests/load/loaded_coordinator.h"

namespace ferment::load {
namespace {

TEST(Growing, Measured) {
  const std::size_t bytes = std::atol(std::getenv("BYTES"));
  const int count = std::atoi(std::getenv("COUNT"));
  for (const GrowingRequest& request : GrowingRequests(bytes)) {
    LoadedCoordinator coordinator(std::filesystem::path(::testing::TempDir()) / "growing", 10);
    const double before = coordinator.Now().peak_rss_mib;
    std::map<int, int> codes;
    std::string text;
    for (const auto& status : CallRaw(coordinator.address(), request.method, request.bytes, count)) {
      ++codes[status.error_code()];
      text = status.error_message().substr(0, 160);
    }
    std::cout << request.method << " x" << count << " peak " << before << " -> " << coordinator.Now().peak_rss_mib
              << " now " << coordinator.Now().rss_mib;
    for (auto [code, n] : codes) std::cout << " code" << code << "=" << n;
    std::cout << " " << text << std::endl;
  }
}

}  // namespace
}  // namespace ferment::load
