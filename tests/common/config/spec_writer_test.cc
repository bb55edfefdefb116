// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "common/config/spec_defaults.h"
#include "common/config/spec_loader.h"
#include "common/config/spec_schema.h"
#include "common/config/spec_value.h"
#include "ferment/v1/field_rule.pb.h"

namespace ferment {
namespace {

namespace fs = std::filesystem;
using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;

Result<RunSpec> WriteAndRead(const RunSpec& spec) {
  const fs::path file = fs::path(::testing::TempDir()) / "written_spec.yaml";
  std::ofstream(file) << SpecToYaml(spec);
  return LoadResolvedSpec(file);
}

std::string RandomText(std::mt19937_64& random) {
  static const std::vector<std::string> kPieces = {
      "a", "Z", "7", " ", "#",    ":",    ": ",   "'",   "\"",       "\\",           "-", "[", "{", "*", "&", "!",
      "%", "@", "`", "~", "null", "none", "true", "1e3", "\xc3\xa9", "\xe2\x82\xac", "/", "."};
  std::string text;
  for (std::size_t i = 0; i < 1 + random() % 6; ++i) text += kPieces[random() % kPieces.size()];
  return text;
}

// Any value that the field's rule lets in.
void SetRandomly(Message& message, const SpecField& field, std::mt19937_64& random) {
  const v1::FieldRule& rule = RuleOf(field);
  const auto* const reflection = message.GetReflection();
  const double unit = static_cast<double>(random() >> 11U) * 0x1p-53;
  const double number = rule.min() + unit * (rule.max() - rule.min());
  if (field.cpp_type() == SpecField::CPPTYPE_UINT32) {
    reflection->SetUInt32(&message, &field, static_cast<std::uint32_t>(number));
  } else if (field.cpp_type() == SpecField::CPPTYPE_UINT64) {
    reflection->SetUInt64(&message, &field, static_cast<std::uint64_t>(number));
  } else if (field.cpp_type() == SpecField::CPPTYPE_DOUBLE) {
    if (number > rule.min() && number < rule.max()) reflection->SetDouble(&message, &field, number);
  } else if (field.cpp_type() == SpecField::CPPTYPE_BOOL) {
    reflection->SetBool(&message, &field, random() % 2 == 0);
  } else if (rule.choices_size() > 0) {
    reflection->SetString(&message, &field,
                          rule.choices(static_cast<int>(random() % static_cast<std::uint64_t>(rule.choices_size()))));
  } else {
    const bool path = rule.path() != v1::PATH_BASE_UNSPECIFIED;
    // A path as the loader leaves it: absolute and normal.
    const std::string text = "/x" + RandomText(random) + "y";
    reflection->SetString(&message, &field, path ? fs::path(text).lexically_normal().string() : text);
  }
}

void Scramble(Message& message, std::mt19937_64& random) {
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const SpecField& field = *message.GetDescriptor()->field(i);
    const auto* const reflection = message.GetReflection();
    const bool take = random() % 2 == 0;
    if (IsSectionList(field)) {
      for (std::size_t k = 0; k < random() % 3; ++k) Scramble(*reflection->AddMessage(&message, &field), random);
    } else if (IsSection(field)) {
      if (take || reflection->HasField(message, &field))
        Scramble(*reflection->MutableMessage(&message, &field), random);
    } else if (!field.is_repeated()) {
      const bool required = !RuleOf(field).has_default_value() && !RuleOf(field).may_be_absent();
      if (take || required) SetRandomly(message, field, random);
    }
  }
}

// What the cross-field rules ask for, and this version can do.
void MakeConsistent(RunSpec& spec) {
  spec.set_name("run");
  spec.mutable_temporal()->set_heads(1);
  spec.mutable_temporal()->set_hop(1);
  spec.mutable_cotrain()->set_placement("colocated");
  spec.mutable_cotrain()->clear_dtype();
  spec.mutable_labeling()->clear_plan();
  spec.mutable_labeling()->clear_max_acceptance();
  spec.mutable_evaluate()->clear_select();
  if (spec.data().has_videos()) spec.mutable_data()->mutable_videos()->clear_format();
  spec.mutable_resources()->clear_launcher();
}

TEST(SpecWriter, WritesAnySpecSoThatItReadsBackEqual) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    std::mt19937_64 random(seed);
    RunSpec spec = DefaultSpec();
    Scramble(spec, random);
    MakeConsistent(spec);
    FillDefaults(spec);
    const Result<RunSpec> read = WriteAndRead(spec);
    ASSERT_TRUE(read) << "seed " << seed << "\n" << read.error().message() << "\n" << SpecToYaml(spec);
    std::string difference;
    MessageDifferencer differencer;
    differencer.ReportDifferencesToString(&difference);
    ASSERT_TRUE(differencer.Compare(spec, *read)) << "seed " << seed << "\n" << difference << SpecToYaml(spec);
  }
}

TEST(SpecWriter, KeepsAnEmptySection) {
  RunSpec spec = DefaultSpec();
  spec.mutable_cotrain()->mutable_placement_ranks();
  const Result<RunSpec> read = WriteAndRead(spec);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_TRUE(read->cotrain().has_placement_ranks());
}

TEST(SpecWriter, WritesAResolvedSpecThatStandsByItself) {
  const fs::path example = fs::path(FERMENT_SOURCE_DIR) / "examples" / "real-videos.yaml";
  const std::vector<SpecOverride> flags = {{"data.root", "/faces"}};
  const Result<LoadedSpec> loaded = LoadSpec(example, flags);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->spec.data().videos().path(), "/aff-wild2-mini");
  const Result<RunSpec> read = WriteAndRead(loaded->spec);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_TRUE(MessageDifferencer::Equals(loaded->spec, *read));
}

}  // namespace
}  // namespace ferment
