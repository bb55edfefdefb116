// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/packed_files.h"

#include <gtest/gtest.h>

namespace ferment::coordinator {
namespace {

TEST(PackedFiles, GivesBackWhatWasPacked) {
  std::vector<std::string> folders;
  const std::vector<std::vector<ResultFile>> shards = {
      {{"labels/x/000000-aa.npz", "aa"}},
      {{"features/x/video.npz", "bb"}, {"features/y/video.npz", "cc"}},
      {{"no-folder", ""}},
      {},
  };
  std::vector<PackedFiles> packed;
  for (const auto& files : shards) packed.emplace_back(files, folders);
  for (std::size_t i = 0; i < shards.size(); ++i) EXPECT_EQ(packed[i].Unpack(folders), shards[i]) << i;
  EXPECT_EQ(folders, (std::vector<std::string>{"labels/x/", "features/x/", "features/y/", ""}));
}

TEST(PackedFiles, KeepsAFolderOnceForAllShards) {
  std::vector<std::string> folders;
  const PackedFiles one(std::vector<ResultFile>{{"labels/x/1.npz", "a"}}, folders);
  const PackedFiles other(std::vector<ResultFile>{{"labels/x/2.npz", "b"}}, folders);
  EXPECT_EQ(folders.size(), 1U);
  EXPECT_NE(one, other);
}

TEST(PackedFiles, TakesMoreFoldersThanAByteNumbers) {
  std::vector<std::string> folders;
  std::vector<PackedFiles> packed;
  const auto files = [](int i) { return std::vector<ResultFile>{{"features/" + std::to_string(i) + "/v.npz", "a"}}; };
  for (int i = 0; i < 300; ++i) packed.emplace_back(files(i), folders);
  EXPECT_EQ(folders.size(), 255U);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(packed[static_cast<std::size_t>(i)].Unpack(folders), files(i)) << i;
}

}  // namespace
}  // namespace ferment::coordinator
