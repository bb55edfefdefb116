// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_loader.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/config/spec_defaults.h"

namespace ferment {
namespace {

namespace fs = std::filesystem;
using google::protobuf::util::MessageDifferencer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A folder of its own for each test, with the spec `road.yaml` in it.
class SpecLoader : public ::testing::Test {
 protected:
  SpecLoader()
      : folder_(fs::path(::testing::TempDir()) / ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~SpecLoader() override { fs::remove_all(folder_); }

  fs::path Write(const std::string& yaml) const {
    std::ofstream(folder_ / "road.yaml", std::ios::binary) << yaml;
    return folder_ / "road.yaml";
  }
  Result<LoadedSpec> Load(const std::string& yaml, const std::vector<SpecOverride>& flags = {}) const {
    return LoadSpec(Write(yaml), flags);
  }
  // The faults without the folder, so that they read "road.yaml:1:2: ...".
  std::string Faults(const std::string& yaml, const std::vector<SpecOverride>& flags = {}) const {
    const Result<LoadedSpec> loaded = Load(yaml, flags);
    if (loaded) return "no fault";
    EXPECT_EQ(ProcessExitCode(loaded.error()), exit_code::kBadSpec);
    std::string text(loaded.error().message());
    const std::string prefix = folder_.string() + "/";
    for (auto at = text.find(prefix); at != std::string::npos; at = text.find(prefix)) text.erase(at, prefix.size());
    return text;
  }

  fs::path folder_;
};

class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

TEST_F(SpecLoader, FillsAnEmptyFileWithDefaults) {
  const Result<LoadedSpec> loaded = Load("");
  ASSERT_TRUE(loaded) << loaded.error().message();
  RunSpec expected = DefaultSpec();
  expected.set_name("road");
  expected.mutable_data()->set_root(folder_.string());
  EXPECT_TRUE(MessageDifferencer::Equals(loaded->spec, expected)) << loaded->spec.DebugString();
  EXPECT_TRUE(UsesSyntheticSets(loaded->spec));
}

TEST_F(SpecLoader, GivesTheDefaultsThatTheSchemaStates) {
  const RunSpec spec = DefaultSpec();
  EXPECT_EQ(spec.api_version(), "ferment/v1");
  EXPECT_EQ(spec.classes_size(), 8);
  EXPECT_EQ(spec.classes(7), "Other");
  EXPECT_DOUBLE_EQ(spec.teacher().weight_decay(), 5e-4);
  EXPECT_EQ(spec.cotrain().feedback().form(), "first_order");
  EXPECT_GE(spec.resources().threads_per_rank(), 1U);
  EXPECT_FALSE(spec.data().has_fr());
  EXPECT_FALSE(spec.data().has_videos());
  EXPECT_FALSE(spec.cotrain().has_placement_ranks());
}

TEST_F(SpecLoader, TellsAllFaultsAtOnceInTheOrderOfTheFile) {
  const std::string faults = Faults(
      "apiVersion: ferment/v2\n"
      "teacher:\n"
      "  lr: -1\n"
      "  batchs: 3\n"
      "model: {backbone: resnet19}\n",
      {{"cotrain.mu", "65"}});
  EXPECT_EQ(faults,
            "road.yaml:1:13: apiVersion: \"ferment/v2\" is not a choice; allowed: ferment/v1; nearest: ferment/v1\n"
            "road.yaml:3:7: teacher.lr: -1 is out of range; allowed: 0 to 100\n"
            "road.yaml:4:3: teacher.batchs: unknown key; nearest: teacher.batch\n"
            "road.yaml:5:19: model.backbone: \"resnet19\" is not a choice; allowed: resnet50 | resnet18 | iresnet50; "
            "nearest: resnet18\n"
            "--set cotrain.mu=65: cotrain.mu: 65 is out of range; allowed: 1 to 64");
}

TEST_F(SpecLoader, ReadsOneSourceOrAList) {
  const Result<LoadedSpec> one = Load("data: {fer: {path: a}, fr: {path: b}}");
  ASSERT_TRUE(one) << one.error().message();
  EXPECT_EQ(one->spec.data().fer_size(), 1);
  EXPECT_FALSE(UsesSyntheticSets(one->spec));

  const Result<LoadedSpec> two =
      Load("data:\n  fer:\n    - {path: a, format: rafdb}\n    - path: c\n  fr: {path: b}\n");
  ASSERT_TRUE(two) << two.error().message();
  ASSERT_EQ(two->spec.data().fer_size(), 2);
  EXPECT_EQ(two->spec.data().fer(0).format(), "rafdb");
  EXPECT_EQ(two->spec.data().fer(1).format(), "folder");
  EXPECT_EQ(two->spec.data().fer(1).path(), (folder_ / "c").string());
  EXPECT_EQ(two->origins.at("data.fer[1].path").line, 4);
}

TEST_F(SpecLoader, ReadsAliases) {
  const Result<LoadedSpec> loaded = Load("teacher: {lr: &rate 0.25, steps: 9}\ncotrain: {lr_teacher: *rate}\n");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_DOUBLE_EQ(loaded->spec.cotrain().lr_teacher(), 0.25);
  EXPECT_EQ(loaded->origins.at("cotrain.lr_teacher").line, 2);
}

TEST_F(SpecLoader, TakesAnAbsentPartAsNone) {
  const Result<LoadedSpec> loaded =
      Load("data: {fer: {path: a, train: none}, fr: {path: b}, videos: none}\nlabeling: {truth: ~}\nteacher:\n");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_FALSE(loaded->spec.data().has_videos());
  EXPECT_FALSE(loaded->spec.labeling().has_truth());
  EXPECT_FALSE(loaded->spec.data().fer(0).has_train());
  EXPECT_EQ(loaded->spec.teacher().steps(), DefaultSpec().teacher().steps());
}

TEST_F(SpecLoader, KeepsShardRecordsOfRenderedSets) {
  const Result<LoadedSpec> loaded = Load("data: {fr: {shard_records: 256}}");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_TRUE(UsesSyntheticSets(loaded->spec));
  EXPECT_EQ(loaded->spec.data().fr().shard_records(), 256U);
}

TEST_F(SpecLoader, KeepsClassesAsWrittenInAnyCase) {
  const Result<LoadedSpec> loaded = Load("classes: [happiness, NEUTRAL]");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->spec.classes(0), "happiness");
  EXPECT_EQ(loaded->spec.classes(1), "NEUTRAL");
}

TEST_F(SpecLoader, LetsFlagsWinOverEnvironmentOverFile) {
  const std::string yaml = "teacher: {steps: 2, batch: 2, lr: 2}\n";
  const Variable steps("FERMENT_TEACHER_STEPS", "3");
  const Variable batch("FERMENT_TEACHER_BATCH", "3");
  const Result<LoadedSpec> loaded = Load(yaml, {{"teacher.steps", "4"}});
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->spec.teacher().steps(), 4U);
  EXPECT_EQ(loaded->spec.teacher().batch(), 3U);
  EXPECT_DOUBLE_EQ(loaded->spec.teacher().lr(), 2);
  EXPECT_EQ(loaded->origins.at("teacher.steps").ToString(), "--set teacher.steps=4");
  EXPECT_EQ(loaded->origins.at("teacher.batch").ToString(), "FERMENT_TEACHER_BATCH");
  EXPECT_EQ(loaded->origins.at("teacher.lr").ToString(), (folder_ / "road.yaml").string() + ":1:35");
  EXPECT_FALSE(loaded->origins.contains("teacher.momentum"));
}

TEST_F(SpecLoader, TakesTheLastOfTwoFlagsForOneKey) {
  const Result<LoadedSpec> loaded = Load("", {{"seed", "2"}, {"seed", "3"}});
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->spec.seed(), 3U);
}

TEST_F(SpecLoader, AddressesSourcesFromFlags) {
  const std::string yaml = "data: {fer: [{path: a}, {path: b}], fr: {path: c}, videos: {path: d}}";
  const Result<LoadedSpec> loaded =
      Load(yaml, {{"data.fer.path", "/x"}, {"data.fer[1].path", "/y"}, {"data.videos", "none"}});
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->spec.data().fer(0).path(), "/x");
  EXPECT_EQ(loaded->spec.data().fer(1).path(), "/y");
  EXPECT_FALSE(loaded->spec.data().has_videos());

  const Result<LoadedSpec> fresh =
      Load("", {{"data.fer.path", "/x"}, {"data.fr.path", "/z"}, {"classes", "Fear,Other"}});
  ASSERT_TRUE(fresh) << fresh.error().message();
  EXPECT_EQ(fresh->spec.data().fer(0).path(), "/x");
  EXPECT_EQ(fresh->spec.data().fr().shard_records(), 4096U);
  EXPECT_EQ(fresh->spec.classes_size(), 2);

  const Result<LoadedSpec> section = Load("", {{"teacher", "{steps: 7, lr: 0.5}"}});
  ASSERT_TRUE(section) << section.error().message();
  EXPECT_EQ(section->spec.teacher().steps(), 7U);
}

TEST_F(SpecLoader, TakesAPathWithOddCharactersFromAFlagAsItIs) {
  const Result<LoadedSpec> loaded = Load("", {{"data.root", "/a: [b] #c"}});
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->spec.data().root(), "/a: [b] #c");
}

TEST_F(SpecLoader, ResolvesPathsAgainstTheRoot) {
  const std::string yaml =
      "data: {root: sets/, fer: {path: fer/, train: t.csv}, fr: {path: /abs/fr}, videos: {path: ../videos}}\n"
      "labeling: {truth: fr/truth.csv}\n";
  const Result<LoadedSpec> loaded = Load(yaml);
  ASSERT_TRUE(loaded) << loaded.error().message();
  const v1::DataSpec& data = loaded->spec.data();
  EXPECT_EQ(data.root(), (folder_ / "sets").string());
  EXPECT_EQ(data.fer(0).path(), (folder_ / "sets/fer").string());
  EXPECT_EQ(data.fer(0).train(), "t.csv");
  EXPECT_EQ(data.fr().path(), "/abs/fr");
  EXPECT_EQ(data.videos().path(), (folder_ / "videos").string());
  EXPECT_EQ(loaded->spec.labeling().truth(), (folder_ / "sets/fr/truth.csv").string());
  EXPECT_EQ(loaded->spec.model().init(), "random");

  const Result<LoadedSpec> flag = Load(yaml, {{"data.root", "here"}});
  ASSERT_TRUE(flag) << flag.error().message();
  EXPECT_EQ(flag->spec.data().root(), (fs::current_path() / "here").string());
}

TEST_F(SpecLoader, LeavesAPackInAnObjectStoreWhereItIs) {
  const Result<LoadedSpec> loaded = Load("data: {root: /d, fer: {path: a}, fr: {path: 's3://faces/ms1mv2/'}}");
  ASSERT_TRUE(loaded) << loaded.error().ToString();
  EXPECT_EQ(loaded->spec.data().fr().path(), "s3://faces/ms1mv2/");
  std::ofstream(folder_ / "resolved.yaml") << SpecToYaml(loaded->spec);
  const Result<RunSpec> again = LoadResolvedSpec(folder_ / "resolved.yaml");
  ASSERT_TRUE(again) << again.error().ToString();
  EXPECT_TRUE(MessageDifferencer::Equals(*again, loaded->spec));
}

TEST_F(SpecLoader, RefusesAllElseInAnObjectStore) {
  EXPECT_THAT(Faults("data: {fer: [{path: a}, {path: 's3://faces/fer'}], fr: {path: b}}"),
              HasSubstr("data.fer[1].path: \"s3://faces/fer\" is in an object store"));
  EXPECT_THAT(Faults("data: {fer: {path: a}, fr: {path: 's3://faces/b', format: folder}}"),
              HasSubstr("data.fr.format: \"folder\" cannot be read from an object store"));
  EXPECT_THAT(Faults("model: {init: 's3://weights/r50.pt'}"), HasSubstr("model.init: \"s3://weights/r50.pt\""));
  EXPECT_THAT(Faults("data: {root: 's3://faces'}"), HasSubstr("data.root: \"s3://faces\""));
}

TEST_F(SpecLoader, HalvesTheRanksOfASplit) {
  const Result<LoadedSpec> loaded = Load("cotrain: {placement: split}\nresources: {ranks: 5}");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->spec.cotrain().placement_ranks().teacher(), 3U);
  EXPECT_EQ(loaded->spec.cotrain().placement_ranks().student(), 2U);

  const Result<LoadedSpec> one =
      Load("cotrain: {placement: split, placement_ranks: {student: 4}}\nresources: {ranks: 5}");
  ASSERT_TRUE(one) << one.error().message();
  EXPECT_EQ(one->spec.cotrain().placement_ranks().teacher(), 1U);
}

struct BadSpec {
  std::string yaml;
  std::string fault;
};

TEST_F(SpecLoader, TellsEachKindOfFault) {
  const std::vector<BadSpec> bad = {
      {"teacher: {momentum: 1}", "road.yaml:1:21: teacher.momentum: 1 is out of range; allowed: 0 to below 1"},
      {"labeling: {tau: 0}", "road.yaml:1:17: labeling.tau: 0 is out of range; allowed: 0.001 to 100"},
      // What float32 takes for 0 made labels without a number in them.
      {"labeling: {tau: 1e-50}", "road.yaml:1:17: labeling.tau: 1e-50 is out of range; allowed: 0.001 to 100"},
      {"seed: 1.5", "road.yaml:1:7: seed: 1.5 is not a whole number; allowed: 0 to 9007199254740992"},
      {"seed: 9007199254740993", "seed: 9007199254740993 is out of range"},
      {"seed: 99999999999999999999999", "is out of range"},
      {"seed: -1", "seed: -1 is out of range"},
      {"seed: 0x10", "seed: \"0x10\" is not a whole number"},
      {"teacher: {steps: \"5\"}", "road.yaml:1:18: teacher.steps: \"5\" is text in quotes"},
      {"teacher: {lr: .nan}", "\".nan\" is not a number"},
      {"teacher: {lr: nan}", "\"nan\" is not a number"},
      {"teacher: {lr: 1e999}", "\"1e999\" is not a number"},
      {"teacher: {nesterov: yes}", "teacher.nesterov: \"yes\" is neither true nor false; allowed: true or false"},
      {"teacher: {lr: }", "teacher.lr: has no value; allowed: 0 to 100"},
      {"teacher: {lr: [1]}", "teacher.lr: a list in place of one value"},
      {"teacher: 5", "road.yaml:1:10: teacher: \"5\" where keys are expected; allowed here: steps, batch"},
      {"teacher: [1]", "teacher: a list where keys are expected"},
      {"- 1", "road.yaml:1:1: a list where keys are expected"},
      {"hello", "road.yaml:1:1: \"hello\" where keys are expected"},
      {"seed: 1\nseed: 1", "road.yaml:2:1: seed: given twice; first in line 1"},
      {"api_version: ferment/v1", "road.yaml:1:1: api_version: unknown key; nearest: apiVersion"},
      {"temporal: {window_size: 3}", "temporal.window_size: unknown key; nearest: temporal.window"},
      {"teacher: {half_width: 3}", "teacher.half_width: unknown key; nearest: smoothing.half_width"},
      {"teacher.lr: 3", "road.yaml:1:1: teacher.lr: unknown key; in a file keys stand inside their section"},
      {"zzzzzzzzzz: 3", "zzzzzzzzzz: unknown key; allowed here: apiVersion, name, seed"},
      {"classes: [Neutral, Hapiness]",
       "road.yaml:1:20: classes: \"Hapiness\" is not a known class; allowed: a list of "
       "Neutral, Anger, Disgust, Fear, Happiness, Sadness, Surprise, Other; nearest: Happiness"},
      {"classes: []", "classes: an empty list"},
      {"classes: Neutral", "classes: \"Neutral\" is not a list"},
      {"classes: [Fear]", "classes: a single class"},
      {"classes: [Fear, Anger, fear]", "classes: \"fear\" stands in the list twice"},
      {"classes: [Fear, {a: b}]", "classes: a map in place of one value"},
      {"name: a/b", "name: \"a/b\" does not name a folder"},
      {"name: ..", "name: \"..\" does not name a folder"},
      {"name: \"\"", "name: is empty"},
      {"name: \"a\\nb\"", "name: \"a\\x0ab\" holds a control character"},
      {"data: {fer: {}, fr: {path: b}}", "road.yaml:1:13: data.fer.path: is required here; allowed: a path"},
      {"data: {fer: [{path: a}, {format: expw}], fr: {path: b}}", "data.fer[1].path: is required here"},
      {"data: {fer: {path: a}}", "data.fr.path: no unlabelled faces"},
      {"data: {fr: {path: a}}", "data.fer: no labelled faces"},
      {"data: {videos: {path: a}}", "data.fer: no labelled faces"},
      {"temporal: {d_model: 65}",
       "road.yaml:1:21: temporal.heads: 8 does not divide temporal.d_model 65; allowed: 1, 5, 13"},
      {"temporal: {hop: 65}", "temporal.hop: 65 skips frames between windows; allowed: at most temporal.window 64"},
      {"labeling: {plan: bf16}",
       "road.yaml:1:18: labeling.plan: \"bf16\" is not in this version for labels made on CPUs; allowed: auto | fp32 | "
       "int8"},
      {"resources: {launcher: slurm}",
       "road.yaml:1:23: resources.threads_per_rank: how many cores a rank shall get of a machine that is not known yet "
       "must be said with resources.launcher slurm; allowed: 1 to 1024"},
      {"resources: {launcher: kubernetes}",
       "road.yaml:1:23: resources.launcher: \"kubernetes\" is not in this version; allowed: local | slurm"},
      {"cotrain: {placement: split}", "road.yaml:1:22: cotrain.placement: split needs a rank"},
      {"cotrain: {placement: split, placement_ranks: {teacher: 1, student: 2}}\nresources: {ranks: 2}",
       "road.yaml:1:56: cotrain.placement_ranks.teacher: 1 and 2 for the student make 3; allowed: a sum of "
       "resources.ranks 2"},
      {"cotrain: {placement: split, placement_ranks: {student: 2}}\nresources: {ranks: 2}", "make 3; allowed"},
  };
  for (const BadSpec& spec : bad) EXPECT_THAT(Faults(spec.yaml), HasSubstr(spec.fault)) << spec.yaml;
}

TEST_F(SpecLoader, WantsCanariesWhereAFloorIsToBeMeasured) {
  EXPECT_EQ(Faults("labeling: {canary_share: 0}"),
            "road.yaml:1:26: labeling.canary_share: 0 leaves labeling.min_accuracy 0.6 nothing to measure; allowed: "
            "above 0, or labeling.min_accuracy 0");
  EXPECT_EQ(Faults("labeling: {canary_share: 0, min_accuracy: 0}"), "no fault");
}

TEST_F(SpecLoader, WantsAcceptanceLimitsThatATeacherCanKeep) {
  EXPECT_EQ(Faults("labeling: {min_acceptance: 0.2, max_acceptance: 0.9, max_drift: 0.5}"), "no fault");
  EXPECT_EQ(Faults("labeling: {min_acceptance: 0.5, max_acceptance: 0.4}"),
            "road.yaml:1:28: labeling.min_acceptance: 0.5 stops every teacher; allowed: at most "
            "labeling.max_acceptance 0.4");
}

TEST_F(SpecLoader, OffersThePlansOfWhatMakesTheLabels) {
  EXPECT_EQ(Faults("labeling: {plan: bf16, device: cuda}"), "no fault");
  EXPECT_EQ(Faults("labeling: {plan: bf16}\nresources: {device: cuda}"), "no fault");
  EXPECT_EQ(Faults("labeling: {plan: int8, device: cpu}\nresources: {device: cuda}"), "no fault");
  EXPECT_THAT(Faults("labeling: {plan: int8}\nresources: {device: cuda}"),
              HasSubstr("made on GPUs; allowed: auto | fp32 | bf16"));
}

TEST_F(SpecLoader, LetsAnEncoderWithoutHeadsHaveAnyWidth) {
  EXPECT_EQ(Faults("temporal: {encoder: gru, d_model: 65}"), "no fault");
  EXPECT_EQ(Faults("temporal: {encoder: none, d_model: 65}"), "no fault");
}

TEST_F(SpecLoader, JudgesNoValueByOneThatIsAFaultItself) {
  EXPECT_EQ(Faults("temporal: {hop: 64, window: x}"),
            "road.yaml:1:29: temporal.window: \"x\" is not a whole number; allowed: 1 to 65536");
}

TEST_F(SpecLoader, NamesTheFlagOrVariableThatIsWrong) {
  const std::vector<std::pair<SpecOverride, std::string>> bad = {
      {{"teacher.stepz", "1"}, "--set teacher.stepz=1: teacher.stepz: unknown key; nearest: teacher.steps"},
      {{"steps", "1"}, "--set steps=1: steps: unknown key; nearest: teacher.steps"},
      {{"teacher.lr.x", "1"}, "--set teacher.lr.x=1: teacher.lr: is a value and has no keys of its own"},
      {{"teacher.lr", ""}, "--set teacher.lr=: teacher.lr: has no value"},
      {{"data.fer[2].path", "/a"}, "data.fer[2]: no such entry; allowed: [0] to [0]"},
      {{"data.fer[x].path", "/a"}, "data.fer[x]: no such entry"},
      {{"data.fer[0", "/a"}, "data.fer[0: no such entry"},
      {{"data.fer[0]", "/a"}, "a list entry is set by its keys; allowed: format, path"},
      {{"teacher", "5"}, "--set teacher=5: teacher: \"5\" where keys are expected"},
      {{"teacher", "{lr: "}, "--set teacher={lr: : teacher: not valid YAML"},
      {{"data.root", "a\xff"}, "data.root: text that is not UTF-8 is not UTF-8"},
      {{"", "1"}, "unknown key"},
      {{".", "1"}, "unknown key"},
      {{"teacher.", "1"}, "unknown key"},
  };
  for (const auto& [flag, fault] : bad) EXPECT_THAT(Faults("", {flag}), HasSubstr(fault)) << flag.key;

  const Variable variable("FERMENT_SEED", "many");
  EXPECT_EQ(Faults(""), "FERMENT_SEED: seed: \"many\" is not a whole number; allowed: 0 to 9007199254740992");
}

TEST_F(SpecLoader, SplitsFlagsAtTheFirstEquals) {
  const std::vector<std::string> flags = {"a.b=c=d", "e="};
  const auto overrides = ParseOverrides(flags);
  ASSERT_TRUE(overrides);
  EXPECT_EQ((*overrides)[0].value, "c=d");
  EXPECT_EQ((*overrides)[1].value, "");
  for (const std::string flag : {"seed", "=1", ""}) {
    const auto refused = ParseOverrides(std::vector<std::string>{flag});
    ASSERT_FALSE(refused) << flag;
    EXPECT_EQ(ProcessExitCode(refused.error()), exit_code::kBadSpec);
  }
}

TEST_F(SpecLoader, RefusesWhatIsNoFile) {
  for (const fs::path& path : {folder_, folder_ / "missing.yaml"}) {
    const Result<LoadedSpec> loaded = LoadSpec(path);
    ASSERT_FALSE(loaded);
    EXPECT_EQ(ProcessExitCode(loaded.error()), exit_code::kBadSpec);
    EXPECT_THAT(std::string(loaded.error().message()), HasSubstr(path.string()));
  }
}

TEST_F(SpecLoader, EndsSoonOnAHostileFile) {
  std::string keys;
  for (int i = 0; i < 50000; ++i) keys += "k" + std::to_string(i) + ": 1, ";
  std::string sources = "data: {fer: [&a {" + keys + "}";
  for (int i = 0; i < 60; ++i) sources += ", *a";
  EXPECT_THAT(Faults(sources + "]}"), HasSubstr("\nand 900 or more faults"));
  EXPECT_THAT(Faults("classes: [" + std::string(500000, 'x') + "]"),
              HasSubstr("... (500000 bytes) is not a known class"));
}

}  // namespace
}  // namespace ferment
