// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/weights_import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "common/base/json.h"

namespace ferment::io {
namespace {

using ::testing::HasSubstr;

/// A file with the backbone's names; any extent that may be any is 8.
WeightsFile FileOf(const std::string& backbone, std::int64_t width, const std::string& prefix = "") {
  WeightsFile file;
  for (BackboneTensor tensor : BackboneTensors(backbone, width)) {
    if (tensor.name.starts_with("classifier.")) continue;
    std::size_t bytes = tensor.shape.empty() ? 8 : 4;
    for (std::int64_t& extent : tensor.shape) bytes *= static_cast<std::size_t>(extent = extent < 0 ? 8 : extent);
    file.Add(prefix + tensor.name, {tensor.shape.empty() ? "I64" : "F32", tensor.shape, {}},
             std::vector<std::byte>(bytes));
  }
  return file;
}

void Drop(WeightsFile& file, const std::string& name) {
  std::erase_if(file.views, [&](const auto& view) { return view.first == name; });
}

TEST(WeightsImport, ListsTheNamesAndShapesOfTheReferenceLibraries) {
  for (const std::string name : {"resnet18", "resnet50", "iresnet50"}) {
    std::ifstream stream(std::string(FERMENT_FIXTURES) + "/torchvision/" + name + ".json");
    const auto json = ParseJson(std::string(std::istreambuf_iterator<char>(stream), {}));
    ASSERT_TRUE(json);
    const Json& entries = json->at("entries");
    const auto tensors = BackboneTensors(name, 64);
    ASSERT_EQ(tensors.size(), entries.size() + (name == "iresnet50" ? 2 : 0));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      EXPECT_EQ(tensors[i].name, entries[i][0]);
      const auto shape = entries[i][1].get<std::vector<std::int64_t>>();
      ASSERT_EQ(tensors[i].shape.size(), shape.size()) << tensors[i].name;
      for (std::size_t d = 0; d < shape.size(); ++d)
        EXPECT_TRUE(tensors[i].shape[d] == shape[d] || tensors[i].shape[d] == -1) << tensors[i].name;
    }
  }
}

TEST(WeightsImport, TellsBackboneAndWidthFromTheTensors) {
  for (const std::string name : {"resnet18", "resnet50", "iresnet50"}) {
    const auto imported = ImportWeights(FileOf(name, 4, "module."));
    ASSERT_TRUE(imported) << imported.error().message();
    EXPECT_EQ(imported->backbone, name);
    EXPECT_EQ(imported->width, 4);
    EXPECT_EQ(imported->classes, name == "iresnet50" ? 0 : 8);
    EXPECT_EQ(imported->prefix, "module.");
    EXPECT_EQ(imported->weights.views.front().first, "conv1.weight");
  }
}

TEST(WeightsImport, AddsCountersThatOlderFilesLack) {
  WeightsFile file = FileOf("resnet18", 4);
  Drop(file, "bn1.num_batches_tracked");
  const auto imported = ImportWeights(std::move(file));
  ASSERT_TRUE(imported);
  EXPECT_EQ(imported->counters_added, 1U);
  EXPECT_EQ(imported->weights.views.size(), BackboneTensors("resnet18", 4).size());
  EXPECT_EQ(imported->weights.views[5].first, "bn1.num_batches_tracked");
}

TEST(WeightsImport, AFileWithoutAHeadIsTaken) {
  WeightsFile file = FileOf("resnet18", 4);
  Drop(file, "fc.weight");
  Drop(file, "fc.bias");
  const auto imported = ImportWeights(std::move(file));
  ASSERT_TRUE(imported);
  EXPECT_EQ(imported->classes, 0);
}

TEST(WeightsImport, ListsEveryFaultAtOnce) {
  WeightsFile file = FileOf("resnet18", 4);
  Drop(file, "layer1.0.bn1.weight");
  file.Add("extra", {"F32", {1}, {}}, std::vector<std::byte>(4));
  for (auto& [name, view] : file.views) {
    if (name == "layer2.0.bn1.bias") view.shape = {2, 4};
    if (name == "layer3.0.bn1.bias") view.dtype = "I32";
  }
  const auto imported = ImportWeights(std::move(file));
  ASSERT_FALSE(imported);
  const std::string message(imported.error().message());
  for (const char* fault : {"missing layer1.0.bn1.weight", "surplus extra", "layer2.0.bn1.bias is [2, 4], wanted [8]",
                            "layer3.0.bn1.bias is of type I32", "faults=4"})
    EXPECT_THAT(message, HasSubstr(fault));
}

TEST(WeightsImport, RefusesAnotherNetwork) {
  EXPECT_FALSE(ImportWeights(FileOf("resnet18", 4), "resnet50"));
  WeightsFile other;
  other.Add("encoder.weight", {"F32", {1}, {}}, std::vector<std::byte>(4));
  const auto imported = ImportWeights(std::move(other));
  ASSERT_FALSE(imported);
  EXPECT_THAT(std::string(imported.error().message()), HasSubstr("first=encoder.weight"));
}

}  // namespace
}  // namespace ferment::io
