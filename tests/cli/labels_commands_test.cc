// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <vector>

#include "cli/command.h"
#include "common/base/json.h"
#include "common/config/run_layout.h"
#include "common/config/spec_loader.h"
#include "common/dataset/labels/label_index.h"
#include "common/dataset/records/open_sources.h"
#include "common/io/formats/half_float.h"
#include "tests/support/as_nobody.h"
#include "tests/support/rendered_spec.h"
#include "tests/support/replaced_label_index.h"

namespace ferment::cli {
namespace {

using dataset::LabelStatus;
using ::testing::HasSubstr;
using ::testing::Not;

/// Two folders of label sets of six records in two shards; the second teacher labels one record otherwise.
class LabelsCommandsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(run_);
    first_ = Fill(std::string(64, 'a'), 0);
    second_ = Fill(std::string(64, 'b'), 1);
  }

  dataset::LabelSet SetOf(const dataset::LabelOrigin& origin, std::uint64_t shard, std::uint8_t label_of_key_2) const {
    dataset::LabelSet set;
    set.origin = origin;
    set.shard = shard;
    set.classes = {"calm", "glad"};
    for (std::uint64_t key = 3 * shard + 1; key <= 3 * shard + 3; ++key) {
      const bool damaged = key == 6;
      const bool unsure = key == 5;
      set.key.push_back(key);
      set.label.push_back(damaged ? dataset::kNoLabel : key == 2 ? label_of_key_2 : 0);
      set.status.push_back(damaged  ? LabelStatus::kQuarantined
                           : unsure ? LabelStatus::kAbstained
                                    : LabelStatus::kLabelled);
      const float p = unsure ? 0.5F : 0.75F;
      set.confidence_half.push_back(damaged ? 0 : io::HalfFromFloat(p));
      const bool glad = set.label.back() == 1;
      set.probabilities_half.push_back(damaged ? 0 : io::HalfFromFloat(glad ? 1 - p : p));
      set.probabilities_half.push_back(damaged ? 0 : io::HalfFromFloat(glad ? p : 1 - p));
      if (damaged) set.reasons["jpeg-truncated"] = 1;
    }
    return set;
  }
  std::filesystem::path Fill(const std::string& teacher, std::uint8_t label_of_key_2,
                             const std::string& dataset = "pack") {
    const auto folder = RunLayout(run_).LabelSets(dataset, teacher, config_);
    for (std::uint64_t shard = 0; shard < 2; ++shard) {
      Put(folder, shard, SetOf({dataset, teacher, config_}, shard, label_of_key_2));
    }
    return folder;
  }
  /// The index says that this is the shard, whatever it said before.
  void Put(const std::filesystem::path& folder, std::uint64_t shard, const dataset::LabelSet& set) {
    const auto file = dataset::WriteLabelSet(folder, set);
    ASSERT_TRUE(file) << file.error().message();
    auto index = dataset::ReadLabelIndex(folder);
    ASSERT_TRUE(index);
    (*index)[shard] = *file;
    ASSERT_TRUE(testing::ReplaceLabelIndex(folder, *index).ok());
  }
  /// What is wrong with the first folder when `set` is its second shard; no command takes it for sound.
  std::string FaultOf(const dataset::LabelSet& set) {
    Put(first_, 1, set);
    EXPECT_EQ(Labels({"verify", first_.string()}), exit_code::kBadData) << out_;
    return out_;
  }

  int Labels(std::vector<std::string> words) {
    words.insert(words.begin(), {"ferment", "labels"});
    std::vector<const char*> line;
    for (const std::string& word : words) line.push_back(word.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = RunCommandLine(static_cast<int>(line.size()), line.data());
    out_ = ::testing::internal::GetCapturedStdout();
    err_ = ::testing::internal::GetCapturedStderr();
    return code;
  }

  const std::filesystem::path run_ = std::filesystem::path(::testing::TempDir()) / "labels_run";
  const std::string config_ = std::string(64, 'c');
  std::filesystem::path first_, second_;
  std::string out_, err_;
};

TEST_F(LabelsCommandsTest, ListsEveryFolderWithItsSums) {
  ASSERT_EQ(Labels({"ls", run_.string()}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr(first_.string() + ": shards 2, read 6, labelled 4, abstained 1, quarantined 1, digest "));
  EXPECT_THAT(out_, HasSubstr(second_.string()));
  ASSERT_EQ(Labels({"ls", run_.string(), "--json"}), 0);
  EXPECT_EQ(ParseJson(out_)->size(), 2U);
}

TEST_F(LabelsCommandsTest, ShowsClassesAndReasonsOfOneFolder) {
  ASSERT_EQ(Labels({"show", second_.string(), "--json"}), 0) << err_;
  const Json shown = (*ParseJson(out_))[0];
  EXPECT_EQ(shown["labelled_by_class"], (Json{{"calm", 3}, {"glad", 1}}));
  EXPECT_EQ(shown["quarantined_by_reason"], (Json{{"jpeg-truncated", 1}}));
  EXPECT_EQ(shown["mean_confidence"], 0.75);
  EXPECT_EQ(Labels({"show", second_.string()}), 0);
  EXPECT_THAT(out_, HasSubstr("  glad: 1\n"));
}

TEST_F(LabelsCommandsTest, VerifyFindsAChangedByteAndAnUnnamedFile) {
  std::ofstream(first_ / "000007-stray.npz") << "x";
  ASSERT_EQ(Labels({"verify", run_.string()}), 0) << out_;
  EXPECT_THAT(out_, HasSubstr("not in the index"));
  const auto index = dataset::ReadLabelIndex(first_);
  const auto file = first_ / index->at(1).file;
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekp(200);
  bytes.put('\x55');
  bytes.close();
  EXPECT_EQ(Labels({"verify", run_.string()}), exit_code::kBadData);
  EXPECT_THAT(out_, HasSubstr("NOT sound"));
  EXPECT_THAT(out_, HasSubstr(index->at(1).file));
  EXPECT_THAT(out_, HasSubstr(second_.string() + ": sound"));
}

TEST_F(LabelsCommandsTest, VerifyFindsAFolderOfAnotherTeacher) {
  const auto moved = first_.parent_path().parent_path() / std::string(16, 'd') / first_.filename();
  std::filesystem::create_directories(moved.parent_path());
  std::filesystem::rename(first_, moved);
  EXPECT_EQ(Labels({"verify", moved.string()}), exit_code::kBadData);
  EXPECT_THAT(out_, HasSubstr("origin"));
}

TEST_F(LabelsCommandsTest, DiffCountsWhatChanged) {
  ASSERT_EQ(Labels({"diff", first_.string(), second_.string(), "--json"}), 0) << err_;
  const Json found = *ParseJson(out_);
  EXPECT_EQ(found["records_in_both"], 6);
  EXPECT_EQ(found["same"], 5);
  EXPECT_EQ(found["changed"][0], (Json{{"from", "calm"}, {"to", "glad"}, {"records", 1}}));
  EXPECT_EQ(Labels({"diff", run_.string(), second_.string()}), exit_code::kUsage);
  EXPECT_THAT(err_, HasSubstr("folders=2"));
}

TEST_F(LabelsCommandsTest, DiffSaysWhereKeysAreThoseOfAnotherDataSet) {
  ASSERT_EQ(Labels({"diff", first_.string(), second_.string()}), 0) << err_;
  EXPECT_THAT(out_, Not(HasSubstr("note")));
  const auto other = Fill(std::string(64, 'b'), 1, "other_pack");
  ASSERT_EQ(Labels({"diff", first_.string(), other.string()}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("note: the data sets have other names"));
  EXPECT_THAT(out_, HasSubstr("second=other_pack"));
}

TEST_F(LabelsCommandsTest, AShardWithOtherClassesIsNotAddedToTheOthers) {
  dataset::LabelSet set = SetOf({"pack", std::string(64, 'a'), config_}, 1, 0);
  set.classes = {"calm", "glad", "sad"};
  set.label[0] = 2;
  const std::uint16_t none = 0, sure = io::HalfFromFloat(0.75F), rest = io::HalfFromFloat(0.25F);
  set.probabilities_half = {rest, none, sure, sure, rest, none, none, none, none};
  set.confidence_half = {sure, sure, none};
  EXPECT_THAT(FaultOf(set), HasSubstr("other classes"));
  for (const char* command : {"show", "quarantine"}) EXPECT_NE(Labels({command, first_.string()}), 0) << command;
  EXPECT_EQ(Labels({"diff", second_.string(), first_.string()}), exit_code::kBadData);
  EXPECT_THAT(err_, HasSubstr("other classes"));
}

TEST_F(LabelsCommandsTest, ARecordThatIsInTwoShardsIsNotCountedTwice) {
  dataset::LabelSet set = SetOf({"pack", std::string(64, 'a'), config_}, 0, 0);
  set.shard = 1;
  EXPECT_THAT(FaultOf(set), HasSubstr("a record is in two shards"));
  EXPECT_EQ(Labels({"show", first_.string()}), exit_code::kBadData);
  EXPECT_EQ(Labels({"diff", first_.string(), first_.string()}), exit_code::kBadData) << out_;
}

TEST_F(LabelsCommandsTest, VerifyFindsFiguresThatNoSoftmaxMakes) {
  const dataset::LabelSet sound = SetOf({"pack", std::string(64, 'a'), config_}, 1, 0);
  constexpr std::uint16_t kNan = 0x7E00, kInfinity = 0x7C00;
  std::vector<dataset::LabelSet> wrong(5, sound);
  wrong[0].confidence_half[0] = kNan;
  wrong[1].probabilities_half[1] = kInfinity;
  wrong[2].confidence_half[0] = io::HalfFromFloat(0.5F);
  wrong[3].probabilities_half[1] = io::HalfFromFloat(0.5F);
  wrong[4].probabilities_half[4] = io::HalfFromFloat(0.5F);  // of the damaged record
  for (const dataset::LabelSet& set : wrong) EXPECT_THAT(FaultOf(set), HasSubstr("probabilities"));
  Put(first_, 1, sound);
  EXPECT_EQ(Labels({"verify", first_.string()}), 0) << out_;
}

TEST_F(LabelsCommandsTest, VerifyNotesWhatIsMissing) {
  auto index = *dataset::ReadLabelIndex(first_);
  index.erase(0);
  ASSERT_TRUE(testing::ReplaceLabelIndex(first_, index).ok());
  EXPECT_EQ(Labels({"verify", first_.string()}), 0) << out_;
  EXPECT_THAT(out_, HasSubstr("note: shards below the last one are not in the index: missing=1 last=1"));
  EXPECT_EQ(Labels({"verify", second_.string()}), 0);
  EXPECT_THAT(out_, Not(HasSubstr("missing")));
}

TEST_F(LabelsCommandsTest, VerifyNamesAFolderOfLabelSetsThatHasNoIndex) {
  std::filesystem::remove(first_ / "index.json");
  const auto empty = first_.parent_path() / std::string(16, 'e');
  std::filesystem::create_directories(empty);
  for (const auto& path : {run_, first_}) {
    EXPECT_EQ(Labels({"verify", path.string()}), exit_code::kBadData) << path;
    EXPECT_THAT(out_, HasSubstr(first_.string() + ": NOT sound\n  no index.json"));
    EXPECT_THAT(out_, HasSubstr("files=2"));
    EXPECT_THAT(out_, Not(HasSubstr(empty.string())));
  }
  EXPECT_EQ(Labels({"verify", second_.string()}), 0) << out_;
  EXPECT_EQ(Labels({"ls", run_.string()}), 0) << err_;
  EXPECT_THAT(out_, Not(HasSubstr(first_.string())));
}

TEST_F(LabelsCommandsTest, VerifyKnowsFromSpecAndDataHowManyShardsThereShouldBe) {
  const auto data = std::filesystem::path(::testing::TempDir()) / "labels_data";
  std::filesystem::remove_all(data);
  auto spec = testing::RenderedSpec(data);
  ASSERT_TRUE(spec) << spec.error().message();
  spec->mutable_data()->mutable_fr()->set_shard_records(7);  // of 24
  const auto write = [&] { std::ofstream(RunLayout(run_).Spec()) << SpecToYaml(*spec); };
  write();
  const dataset::LabelOrigin origin = {dataset::DatasetName(spec->data().fr().path()), std::string(64, 'a'),
                                       dataset::LabelConfigsOf(*spec).back()};
  const auto folder = RunLayout(run_).LabelSets(origin.dataset, origin.teacher, origin.label_config);
  const auto verify = [&] {
    EXPECT_EQ(Labels({"verify", folder.string()}), 0) << out_ << err_;
    return out_;
  };
  for (std::uint64_t shard = 0; shard < 4; ++shard) {
    Put(folder, shard, SetOf(origin, shard, 0));
    const std::string missing = "note: shards are not in the index: missing=" + std::to_string(3 - shard) + " of=4\n";
    EXPECT_THAT(verify(), HasSubstr(shard < 3 ? missing : ": sound\n"));
  }
  EXPECT_THAT(out_, Not(HasSubstr("note")));
  spec->mutable_data()->mutable_fr()->set_shard_records(8);
  write();
  EXPECT_THAT(verify(), HasSubstr("note: completeness was not looked at: the label sets are of another data set or"));
  spec->mutable_data()->mutable_fr()->set_shard_records(7);
  write();
  std::filesystem::remove_all(data);
  EXPECT_THAT(verify(), HasSubstr("note: completeness was not looked at: "));
  EXPECT_THAT(out_, HasSubstr(data.string()));
}

TEST_F(LabelsCommandsTest, WhereTheIndexMayNotBeReadVerifySaysSoAsTheOthersDo) {
  std::filesystem::permissions(first_ / "index.json", std::filesystem::perms::none);
  for (const char* command : {"ls", "verify"}) {
    const testing::AsNobody nobody;
    EXPECT_EQ(Labels({command, first_.string()}), exit_code::kNotAllowed) << command << out_;
    EXPECT_THAT(err_, HasSubstr((first_ / "index.json").string())) << command;
  }
}

TEST_F(LabelsCommandsTest, VerifyTakesACopyThatLiesElsewhere) {
  const auto copy = std::filesystem::path(::testing::TempDir()) / "labels_copy";
  std::filesystem::remove_all(copy);
  std::filesystem::copy(first_, copy);
  EXPECT_EQ(Labels({"verify", copy.string()}), 0) << out_;
}

TEST_F(LabelsCommandsTest, WhatCannotBePrintedIsNotSaidToHaveBeen) {
  const int terminal = dup(STDOUT_FILENO);
  const int full = open("/dev/full", O_WRONLY);
  ASSERT_GE(full, 0);
  const std::string run = run_.string();
  for (std::vector<const char*> line : {std::vector{"ferment", "labels", "show", run.c_str()}, {"ferment", "--help"}}) {
    std::cout.flush();
    std::fflush(stdout);
    dup2(full, STDOUT_FILENO);
    ::testing::internal::CaptureStderr();
    const int code = RunCommandLine(static_cast<int>(line.size()), line.data());
    err_ = ::testing::internal::GetCapturedStderr();
    dup2(terminal, STDOUT_FILENO);
    std::clearerr(stdout);
    std::cout.clear();
    EXPECT_EQ(code, exit_code::kStorageFailed) << line[1];
    EXPECT_THAT(err_, HasSubstr("not complete")) << line[1];
  }
  close(full);
  close(terminal);
}

TEST_F(LabelsCommandsTest, AnEmptyPathIsWrongUsage) {
  for (const char* command : {"ls", "show", "verify", "quarantine"}) {
    EXPECT_EQ(Labels({command, ""}), exit_code::kUsage) << err_;
  }
}

TEST_F(LabelsCommandsTest, AFolderWithoutLabelSetsIsSaidToBeOne) {
  EXPECT_EQ(Labels({"ls", (run_ / "nowhere").string()}), exit_code::kBadData);
  EXPECT_THAT(err_, HasSubstr("nowhere"));
}

}  // namespace
}  // namespace ferment::cli
