// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/folder_source.h"

#include <gtest/gtest.h>

#include "common/dataset/records/open_sources.h"
#include "tests/common/dataset/pack_builder.h"

namespace ferment::dataset {
namespace {

TEST(FolderSource, NumbersPicturesInTheOrderOfTheirPaths) {
  const auto root = FreshFolder("folder");
  WriteText(root / "b" / "1.jpg", "second");
  WriteText(root / "a.JPEG", "first");
  WriteText(root / "c.Png", "third");
  WriteText(root / ".hidden.jpg", "x");
  WriteText(root / "notes.txt", "x");
  const auto source = OpenFolderSource(root);
  ASSERT_TRUE(source.has_value()) << source.error().ToString();
  ASSERT_EQ((*source)->size(), 3U);
  EXPECT_EQ((*source)->KeyAt(1), 2U);
  EXPECT_EQ((*source)->Read(0)->image.size(), 5U);
  std::filesystem::remove(root / "b" / "1.jpg");
  const Status missing = (*source)->Read(1).error();
  EXPECT_EQ(DamageReason(missing), "file-missing");
  EXPECT_NE(missing.message().find("key=2"), std::string_view::npos);
  EXPECT_EQ(missing.message().find("1.jpg"), std::string_view::npos) << "it may be a person's name";
}

TEST(FolderSource, NothingToReadIsExitCode65) {
  EXPECT_EQ(ProcessExitCode(OpenFolderSource("/nonexistent").error()), exit_code::kBadData);
  EXPECT_EQ(ProcessExitCode(OpenFolderSource(FreshFolder("nothing")).error()), exit_code::kBadData);
}

TEST(OpenSources, ASpecWithoutFacesOrWithAnUnknownFormatIsExitCode64) {
  RunSpec spec;
  EXPECT_EQ(ProcessExitCode(OpenFr(spec).error()), exit_code::kBadSpec);
  spec.mutable_data()->mutable_fr()->set_path("/x");
  spec.mutable_data()->mutable_fr()->set_format("tar");
  EXPECT_EQ(ProcessExitCode(OpenFr(spec).error()), exit_code::kBadSpec);
  EXPECT_EQ(DatasetName("/data/fr/"), "fr");
  EXPECT_EQ(DatasetName("/data/fr"), "fr");
}

}  // namespace
}  // namespace ferment::dataset
