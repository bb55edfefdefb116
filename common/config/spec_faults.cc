// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_faults.h"

#include <algorithm>
#include <tuple>

namespace ferment {
namespace {

constexpr std::size_t kMaxTold = 100;
constexpr std::size_t kMaxKept = 1000;

}  // namespace

void SpecFaults::Add(const SpecOrigin& origin, const std::string& key, const std::string& what) {
  if (full()) return;
  const std::string place = origin.kind == SpecOrigin::Kind::kDefault ? "" : origin.ToString() + ": ";
  faults_.push_back({origin, place + (key.empty() ? "" : key + ": ") + what});
  keys_.insert(key);
}

bool SpecFaults::full() const { return faults_.size() >= kMaxKept; }

Status SpecFaults::ToStatus() const {
  if (faults_.empty()) return {};
  std::vector<const Fault*> order;
  for (const Fault& fault : faults_) order.push_back(&fault);
  const auto rank = [](const Fault* fault) {
    const bool in_file = fault->origin.kind == SpecOrigin::Kind::kFile;
    return std::tuple(in_file ? 0 : 1, fault->origin.line, fault->origin.column);
  };
  std::ranges::stable_sort(order, {}, rank);
  std::string message;
  for (std::size_t i = 0; i < std::min(order.size(), kMaxTold); ++i) message += (i > 0 ? "\n" : "") + order[i]->text;
  if (order.size() > kMaxTold) {
    message += "\nand " + std::to_string(order.size() - kMaxTold) + (full() ? " or more" : " more") + " faults";
  }
  return InvalidArgumentError(message).WithExitCode(exit_code::kBadSpec);
}

}  // namespace ferment
