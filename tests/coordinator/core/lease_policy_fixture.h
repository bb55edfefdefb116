// SPDX-License-Identifier: Apache-2.0
//
// A run whose label job the test plans, and two labelers: a on avx2, b on avx512.
#pragma once

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "coordinator/core/lease_policy.h"
#include "coordinator/core/pipeline.h"

namespace ferment::coordinator {

class LeasePolicyFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    book_.Apply(RunSubmitted{"r", "", "n", "/runs/r", "", PlanJobs({1, false}), 0});
    book_.Apply(LabelerRegistered{"a", "a", "1", "avx2"});
    book_.Apply(LabelerRegistered{"b", "b", "1", "avx512"});
  }
  void Plan(std::size_t shards, const std::string& instruction_set = "") {
    ShardsPlanned event;
    event.run_id = "r";
    event.job_id = "label";
    event.work.instruction_set = instruction_set;
    for (std::size_t i = 0; i < shards; ++i) event.shards.push_back({"", i, 1});
    book_.Apply(event);
  }
  LeaseChoice Choose(const std::string& labeler, const std::vector<std::string>& alive = {}) {
    const auto present = [&] {
      std::vector<Present> found;
      for (const std::string& one : alive) {
        found.push_back({book_.FindLabeler(one), at_work_.contains(one), cool_down_.contains(one)});
      }
      return found;
    };
    return ChooseShard(book_, *book_.FindLabeler(labeler),
                       {present, [&](std::string_view one) { return may_return_.contains(std::string(one)); }});
  }
  void FailOnce(std::uint64_t shard, const std::string& labeler) {
    const LeaseKey key{"r", "label", shard, book_.FindJob("r", "label")->shards[shard].epoch + 1};
    book_.Apply(ShardLeased{key, labeler});
    book_.Apply(ShardReleased{key, ReleaseReason::kFailed, ""});
  }

  JobBook book_;
  std::set<std::string> at_work_;
  std::set<std::string> cool_down_;
  std::set<std::string> may_return_;
};

}  // namespace ferment::coordinator
