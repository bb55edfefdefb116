// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#include "common/base/instruction_set.h"
#include "common/base/json.h"
#include "common/config/run_layout.h"
#include "common/dataset/labels/label_index.h"
#include "common/dataset/pictures/picture_decoder.h"
#include "common/dataset/records/open_sources.h"
#include "common/io/checksum.h"
#include "common/io/folder_hold.h"
#include "common/nn/backbone.h"
#include "common/nn/convolution/quantized_convolution.h"
#include "common/nn/tensor_io.h"
#include "labeler/labeler_loop.h"
#include "labeler/offline_lease_client.h"
#include "labeler/replay_record.h"
#include "labeler/shard_pipeline.h"
#include "labeler/torch_annotator.h"
#include "tests/support/rendered_spec.h"

namespace ferment::labeler {
namespace {

/// A run folder whose teacher phase has ended; the teacher's weights follow from the seed.
class OfflineRun {
 public:
  OfflineRun(const std::filesystem::path& folder, RunSpec spec) : layout_(folder), spec_(std::move(spec)) {
    std::filesystem::create_directories(layout_.Job("teacher"));
    std::ofstream(layout_.Spec()) << SpecToYaml(spec_);
    const auto weights = layout_.Job("teacher") / "teacher.safetensors";
    EXPECT_TRUE(nn::SaveTensors(weights, nn::StateOf(*nn::MakeBackbone(nn::BackboneOf(spec_), 7, 0))).ok());
    teacher_ = *io::Sha256OfFile(weights);
    const Json model = {{"role", "teacher"}, {"file", "phases/teacher/teacher.safetensors"}, {"sha256", teacher_}};
    Json result;
    result["models"] = Json::array({model});
    std::ofstream(layout_.Result("teacher")) << result.dump();
  }

  std::filesystem::path Labels() const {
    const std::string dataset = dataset::DatasetName(spec_.data().fr().path());
    return layout_.LabelSets(dataset, teacher_,
                             dataset::LabelConfigDigest(spec_, dataset::PlanInUse(spec_), InstructionSetClass()));
  }

  /// Empties the label folder and fills it anew.
  void Label(int labelers, int threads) {
    std::filesystem::remove_all(Labels());
    auto client = MakeOfflineLeaseClient(layout_.root(), "label");
    ASSERT_TRUE(client) << client.error().message();
    std::vector<std::jthread> workers;
    for (int i = 0; i < labelers; ++i) {
      workers.emplace_back([&] {
        WorkRunner runner(
            [](const RunSpec& spec, const Model& model) { return MakeTorchAnnotator(spec, model.file, model.digest); },
            threads);
        EXPECT_TRUE(LabelerLoop(**client, runner, /*exit_when_idle=*/true).Run({}).ok());
      });
    }
  }

  std::vector<dataset::LabelSet> Sets() const {
    std::vector<dataset::LabelSet> sets;
    const auto index = dataset::ReadLabelIndex(Labels());
    EXPECT_TRUE(index);
    for (const auto& [shard, file] : *index) sets.push_back(*dataset::ReadLabelSet(Labels(), file));
    return sets;
  }
  std::filesystem::path teacher_file() const { return layout_.Job("teacher") / "teacher.safetensors"; }
  const RunSpec& spec() const { return spec_; }

 private:
  RunLayout layout_;
  RunSpec spec_;
  std::string teacher_;
};

std::filesystem::path Scratch(const std::string& name) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / name;
  std::filesystem::remove_all(folder);
  return folder;
}

class OfflinePlans : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Plans, OfflinePlans, ::testing::Values("fp32", "int8"));

TEST_P(OfflinePlans, NeitherLabelersNorThreadsChangeABit) {
  const std::string plan = GetParam();
  if (plan == "int8" && !nn::QuantizedConvolution::SuitsThisProcessor()) GTEST_SKIP() << "int8 needs AVX2 and FMA";
  const auto folder = Scratch("labelers_" + plan);
  auto spec = testing::RenderedSpec(folder);
  ASSERT_TRUE(spec) << spec.error().message();
  spec->mutable_labeling()->set_plan(plan);
  spec->mutable_data()->mutable_fr()->set_shard_records(3);
  OfflineRun run(folder / "run", *spec);
  std::string expected;
  for (const int labelers : {1, 2, 8}) {
    for (const int threads : {1, 2}) {
      run.Label(labelers, threads);
      const auto index = dataset::ReadLabelIndex(run.Labels());
      ASSERT_TRUE(index);
      EXPECT_EQ(index->size(), 8U);
      const std::string digest = dataset::LabelIndexDigest(*index);
      if (expected.empty()) expected = digest;
      EXPECT_EQ(digest, expected) << labelers << " labelers, threads each " << threads;
    }
  }
  const auto replayed = ReplayRecord(folder / "run", run.Sets().front().key.front(), /*json=*/false);
  ASSERT_TRUE(replayed) << replayed.error().message();
  EXPECT_TRUE(replayed->same) << replayed->text;
  RunSpec other = *spec;
  other.mutable_labeling()->set_plan(plan == "int8" ? "auto" : "int8");
  EXPECT_NE(dataset::LabelConfigDigest(other, dataset::PlanInUse(other), "avx2"),
            dataset::LabelConfigDigest(*spec, dataset::PlanInUse(*spec), "avx2"));
}

TEST(OfflineLabels, AFolderThatACoordinatorRunsIsLeftToIt) {
  const auto folder = Scratch("held_folder");
  const auto spec = testing::RenderedSpec(folder);
  ASSERT_TRUE(spec);
  OfflineRun run(folder / "run", *spec);
  {
    const auto coordinator = io::FolderHold::Take(folder / "run", "demo-1@7");
    ASSERT_TRUE(coordinator);
    const auto refused = MakeOfflineLeaseClient(folder / "run", "label");
    ASSERT_FALSE(refused);
    EXPECT_EQ(ProcessExitCode(refused.error()), exit_code::kFenced);
  }
  const auto client = MakeOfflineLeaseClient(folder / "run", "label");
  ASSERT_TRUE(client) << client.error().message();
  EXPECT_FALSE(io::FolderHold::Take(folder / "run", "demo-1@7"));
  EXPECT_TRUE(MakeOfflineLeaseClient(folder / "run", "label")) << "another one by hand";
}

TEST(OfflineLabels, WhereTheTeacherIsGoneItIsSaidOnceWithItsPath) {
  const auto folder = Scratch("teacher_gone");
  const auto spec = testing::RenderedSpec(folder);
  ASSERT_TRUE(spec);
  const OfflineRun run(folder / "run", *spec);
  const auto client = MakeOfflineLeaseClient(folder / "run", "label");
  ASSERT_TRUE(client) << client.error().message();
  std::filesystem::remove(run.teacher_file());
  WorkRunner runner(
      [](const RunSpec& of, const Model& model) { return MakeTorchAnnotator(of, model.file, model.digest); }, 1);
  ::testing::internal::CaptureStderr();
  const Status status = LabelerLoop(**client, runner, /*exit_when_idle=*/true, NextLease::kTakenWhenBegun).Run({});
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(ProcessExitCode(status), exit_code::kBadData);
  EXPECT_THAT(std::string(status.message()), ::testing::StartsWith("shard 0: "));
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(run.teacher_file().string()));
  EXPECT_THAT(log, ::testing::Not(::testing::HasSubstr("result_refused")));
}

TEST(OfflineLabels, ACommitThatFailsForAFileEndsTheWorkThoughNoLeaseIsLost) {
  const auto folder = Scratch("index_gone");
  const auto spec = testing::RenderedSpec(folder);
  ASSERT_TRUE(spec);
  const OfflineRun run(folder / "run", *spec);
  const auto client = MakeOfflineLeaseClient(folder / "run", "label");
  ASSERT_TRUE(client) << client.error().message();
  const auto offer = (*client)->Take();
  ASSERT_TRUE(offer);
  std::filesystem::create_directories(run.Labels().parent_path());
  std::ofstream(run.Labels()) << "a file in the folder's place";
  const auto committed =
      (*client)->Commit(offer->leases.front(), {.files = {{"a.npz", "a"}}, .counts = {}, .reasons = {}});
  ASSERT_FALSE(committed);
  EXPECT_EQ(committed.error().code(), StatusCode::kFailedPrecondition) << committed.error().ToString();
  EXPECT_EQ(ProcessExitCode(committed.error()), exit_code::kCannotWrite);
}

TEST(OfflineLabels, RemovesWhatLabelersThatWereKilledLeftAnHourAgo) {
  const auto folder = Scratch("abandoned");
  const auto spec = testing::RenderedSpec(folder);
  ASSERT_TRUE(spec);
  const OfflineRun run(folder / "run", *spec);
  std::filesystem::create_directories(run.Labels());
  const auto old = run.Labels() / ".000000-ab.npz.1-2-3.ferment-tmp", young = run.Labels() / ".b.1-2-4.ferment-tmp";
  for (const auto& file : {old, young}) std::ofstream(file) << "half";
  std::filesystem::last_write_time(old, std::filesystem::file_time_type::clock::now() - std::chrono::minutes(61));
  EXPECT_TRUE(MakeOfflineLeaseClient(folder / "run", "label"));
  EXPECT_FALSE(std::filesystem::exists(old));
  EXPECT_TRUE(std::filesystem::exists(young));
}

/// A labeler of which no more is seen than what it takes, and that it commits it.
class Committer {
 public:
  explicit Committer(const std::filesystem::path& run) {
    auto client = MakeOfflineLeaseClient(run, "label");
    EXPECT_TRUE(client) << client.error().message();
    client_ = std::move(*client);
  }
  /// Returns: the shard that it has begun; none where there is nothing left.
  std::optional<std::uint64_t> Begin() {
    auto offer = client_->Take();
    EXPECT_TRUE(offer) << offer.error().message();
    if (offer->leases.empty()) return std::nullopt;
    lease_ = offer->leases.front();
    return lease_.key.shard;
  }
  void End() {
    const std::string digest = std::to_string(lease_.key.shard);
    EXPECT_TRUE(client_->Commit(lease_, {.files = {{digest + ".npz", digest}}, .counts = {}, .reasons = {}}));
  }

 private:
  std::unique_ptr<LeaseClient> client_;
  Lease lease_;
};

class LabelersTogether : public ::testing::Test {
 protected:
  void SetUp() override {
    auto spec = testing::RenderedSpec(folder_);
    ASSERT_TRUE(spec) << spec.error().message();
    spec->mutable_data()->mutable_fr()->set_shard_records(1);
    const OfflineRun run(folder_ / "run", *spec);
  }

  static constexpr std::size_t kShards = 24;
  const std::filesystem::path folder_ = Scratch("labelers_together");
};

TEST_F(LabelersTogether, OneAloneGoesInOrder) {
  Committer alone(folder_ / "run");
  for (std::uint64_t shard = 0; shard < kShards; ++shard) {
    EXPECT_EQ(alone.Begin(), shard);
    alone.End();
  }
  EXPECT_EQ(alone.Begin(), std::nullopt);
}

TEST_F(LabelersTogether, WhatOneHasCommittedIsBegunByNoOther) {
  Committer first(folder_ / "run"), second(folder_ / "run");
  std::set<std::uint64_t> done;
  for (std::size_t i = 0; i + 1 < kShards; ++i) {
    done.insert(*first.Begin());
    first.End();
  }
  const auto left = second.Begin();
  ASSERT_TRUE(left);
  EXPECT_FALSE(done.contains(*left)) << *left;
  second.End();
  EXPECT_EQ(first.Begin(), std::nullopt);
  EXPECT_EQ(second.Begin(), std::nullopt);
}

TEST_F(LabelersTogether, ThoseThatBeginTogetherShareTheWork) {
  Committer first(folder_ / "run"), second(folder_ / "run");
  std::size_t begun = 0;
  for (bool more = true; more;) {
    const bool by_first = first.Begin().has_value(), by_second = second.Begin().has_value();
    if (by_first) first.End();
    if (by_second) second.End();
    begun += (by_first ? 1U : 0U) + (by_second ? 1U : 0U);
    more = by_first || by_second;
  }
  // The first by both, and others by chance: two more on average.
  EXPECT_GT(begun, kShards);
  EXPECT_LT(begun, 2 * kShards - 8);
}

TEST(OfflineLabels, CanariesChangeNoByteOfALabelSetAndAreTheSameForEveryLabeler) {
  const auto folder = Scratch("canary_bytes");
  auto spec = testing::RenderedSpec(folder);
  ASSERT_TRUE(spec);
  spec->mutable_data()->mutable_fr()->set_shard_records(7);
  spec->mutable_labeling()->set_min_accuracy(0);
  std::string expected;
  for (const double share : {0.0, 0.005, 0.5}) {
    spec->mutable_labeling()->set_canary_share(share);
    OfflineRun run(folder / ("run" + std::to_string(share)), *spec);
    run.Label(1, 2);
    const auto index = dataset::ReadLabelIndex(run.Labels());
    ASSERT_TRUE(index);
    const std::string digest = run.Labels().filename().string() + dataset::LabelIndexDigest(*index);
    if (expected.empty()) expected = digest;
    EXPECT_EQ(digest, expected) << share;
  }
}

/// Commits nowhere; keeps what it was given.
class ListeningClient final : public LeaseClient {
 public:
  explicit ListeningClient(LeaseClient& inner) : inner_(inner) {}
  Result<LeaseOffer> Take() override { return inner_.Take(); }
  Result<std::chrono::milliseconds> Renew(const LeaseKey& key, std::uint64_t done) override {
    return inner_.Renew(key, done);
  }
  Result<LeaseOffer> Commit(const Lease& lease, const ShardResult& result) override {
    canaries[lease.key.shard] = result.canaries;
    confidence[lease.key.shard] = result.confidence;
    return inner_.Commit(lease, result);
  }
  Status Return(const LeaseKey& key) override { return inner_.Return(key); }
  Status FailShard(const LeaseKey& key, const ShardFailure& failure) override { return inner_.FailShard(key, failure); }

  std::map<std::uint64_t, CanaryCounts> canaries;
  std::map<std::uint64_t, metrics::Distribution> confidence;

 private:
  LeaseClient& inner_;
};

TEST(OfflineLabels, CanariesAreThoseOfTheShardWhateverTheThreads) {
  const auto folder = Scratch("canary_counts");
  auto spec = testing::RenderedSpec(folder);
  ASSERT_TRUE(spec);
  spec->mutable_data()->mutable_fr()->set_shard_records(6);
  spec->mutable_labeling()->set_canary_share(0.5);
  std::map<std::uint64_t, CanaryCounts> expected;
  for (const int threads : {1, 2}) {
    OfflineRun run(folder / ("run" + std::to_string(threads)), *spec);
    auto inner = MakeOfflineLeaseClient(folder / ("run" + std::to_string(threads)), "label");
    ASSERT_TRUE(inner);
    ListeningClient client(**inner);
    WorkRunner runner(
        [](const RunSpec& of, const Model& model) { return MakeTorchAnnotator(of, model.file, model.digest); },
        threads);
    EXPECT_TRUE(LabelerLoop(client, runner, /*exit_when_idle=*/true).Run({}).ok());
    ASSERT_EQ(client.canaries.size(), 4U);
    for (const auto& [shard, counts] : client.canaries) EXPECT_EQ(counts.checked, 3U);
    if (expected.empty()) expected = client.canaries;
    EXPECT_EQ(client.canaries, expected);
    for (const dataset::LabelSet& set : run.Sets()) {
      const auto& counts = client.confidence[set.shard].counts;
      EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0U), set.Counts().labelled + set.Counts().abstained);
    }
  }
}

TEST(OfflineLabels, ARecordReplayedIsItsRowAgainAndATamperedRowIsNot) {
  const auto folder = Scratch("replayed");
  auto spec = testing::RenderedSpec(folder);
  ASSERT_TRUE(spec);
  OfflineRun run(folder / "run", *spec);
  run.Label(1, 2);
  auto sets = run.Sets();
  ASSERT_EQ(sets.size(), 1U);
  for (const std::uint64_t key : {sets[0].key.front(), sets[0].key.back()}) {
    const auto replayed = ReplayRecord(folder / "run", key, /*json=*/false);
    ASSERT_TRUE(replayed) << replayed.error().message();
    EXPECT_TRUE(replayed->same) << replayed->text;
  }
  EXPECT_EQ(ReplayRecord(folder / "run", 999'999, false).error().code(), StatusCode::kNotFound);

  sets[0].probabilities_half[0] ^= 1;
  std::filesystem::remove(run.Labels() / "index.json");
  const auto file = dataset::WriteLabelSet(run.Labels(), sets[0]);
  ASSERT_TRUE(file);
  ASSERT_TRUE(dataset::CommitToLabelIndex(run.Labels(), 0, *file));
  const auto replayed = ReplayRecord(run.Labels(), sets[0].key.front(), /*json=*/true);
  ASSERT_TRUE(replayed) << replayed.error().message();
  EXPECT_FALSE(replayed->same);
}

TEST(OfflineLabels, AReplayWhoseTeachersResultIsDamagedNamesTheFile) {
  const auto folder = Scratch("replay_damaged");
  const auto spec = testing::RenderedSpec(folder);
  ASSERT_TRUE(spec);
  OfflineRun run(folder / "run", *spec);
  run.Label(1, 2);
  const std::uint64_t key = run.Sets().front().key.front();
  const auto result = RunLayout(folder / "run").Result("teacher");
  std::ofstream(result) << R"({"models": [)";
  std::filesystem::create_directories(RunLayout(folder / "run").Job("unfinished"));
  const auto replayed = ReplayRecord(folder / "run", key, /*json=*/false);
  ASSERT_FALSE(replayed);
  EXPECT_EQ(ProcessExitCode(replayed.error()), exit_code::kBadData);
  EXPECT_THAT(std::string(replayed.error().message()), ::testing::HasSubstr(result.string()));
  EXPECT_THAT(std::string(replayed.error().message()), ::testing::HasSubstr("not valid JSON, it ends too soon"));
  std::filesystem::remove(result);
  EXPECT_THAT(std::string(ReplayRecord(folder / "run", key, false).error().message()),
              ::testing::HasSubstr("no phase of the run published this teacher"));
}

/// Returns: kinds of the records that damage.csv wants quarantined, by key.
std::map<std::uint64_t, std::string> QuarantineList(const std::filesystem::path& folder) {
  std::map<std::uint64_t, std::string> kinds;
  std::ifstream file(folder / "damage.csv");
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string key, offset, kind, expect;
    std::getline(std::getline(std::getline(std::getline(fields, key, ','), offset, ','), kind, ','), expect, ',');
    if (expect == "quarantine") kinds[std::stoull(key)] = kind;
  }
  return kinds;
}

struct DamagedCase {
  const char* pack;
  const char* plan;
};

class DamagedPack : public ::testing::TestWithParam<DamagedCase> {};

TEST_P(DamagedPack, QuarantinesWhatDamageCsvListsAndLabelsTheRestAsIfItWereNotThere) {
  const char* faces = std::getenv("FERMENT_REAL_FACES");
  if (faces == nullptr)
    GTEST_SKIP() << "FERMENT_REAL_FACES is not set: it names the folder real-faces of the test data";
  const std::string plan = GetParam().plan;
  if (plan == "int8" && !nn::QuantizedConvolution::SuitsThisProcessor()) GTEST_SKIP() << "int8 needs AVX2 and FMA";
  const auto pack = std::filesystem::path(faces) / GetParam().pack;
  const auto folder = Scratch(GetParam().pack + plan);
  auto spec = testing::RenderedSpec(folder);
  ASSERT_TRUE(spec);
  spec->mutable_data()->mutable_fr()->set_path(pack.string());
  spec->mutable_data()->mutable_fr()->set_format("insightface");
  spec->mutable_data()->mutable_fr()->set_shard_records(128);
  spec->mutable_labeling()->set_max_damage(1);
  spec->mutable_labeling()->set_plan(plan);
  OfflineRun run(folder / "run", *spec);
  run.Label(2, 1);

  const auto source = dataset::OpenFr(*spec);
  ASSERT_TRUE(source);
  const auto annotator = MakeTorchAnnotator(*spec, run.teacher_file(), "");
  ASSERT_TRUE(annotator);
  auto expected = QuarantineList(pack);
  std::map<std::string, std::uint64_t> expected_reasons, reasons;
  for (const auto& [key, kind] : expected) ++expected_reasons[kind];
  std::uint64_t read = 0;
  for (const dataset::LabelSet& set : run.Sets()) {
    const auto counts = set.Counts();
    EXPECT_EQ(counts.read, counts.labelled + counts.abstained + counts.quarantined);
    read += counts.read;
    for (const auto& [reason, count] : set.reasons) reasons[reason] += count;
    for (std::size_t i = 0; i < set.size(); ++i) {
      const bool quarantined = set.status[i] == dataset::LabelStatus::kQuarantined;
      ASSERT_EQ(quarantined, expected.contains(set.key[i])) << "key " << set.key[i];
      if (quarantined) continue;
      // Alone, so without damage anywhere near it.
      const auto record = (*source)->Read(*dataset::IndexOfKey(**source, set.key[i]));
      ASSERT_TRUE(record);
      const auto image = dataset::DecodePicture(record->image);
      const auto annotation = (*annotator)->Annotate({&*image, 1});
      ASSERT_TRUE(annotation);
      const LabelRow row = ApplyLabelRule({spec->labeling().tau(), spec->labeling().threshold()}, annotation->logits);
      EXPECT_EQ(row.label, set.label[i]);
      EXPECT_EQ(row.confidence_half, set.confidence_half[i]) << "key " << set.key[i];
    }
  }
  EXPECT_EQ(read, (*source)->size());
  EXPECT_EQ(reasons, expected_reasons);
  const auto replayed = ReplayRecord(folder / "run", expected.begin()->first, /*json=*/false);
  ASSERT_TRUE(replayed) << replayed.error().message();
  EXPECT_TRUE(replayed->same);
  EXPECT_THAT(replayed->text, ::testing::HasSubstr("damage: " + expected.begin()->second));
}

INSTANTIATE_TEST_SUITE_P(OfTheSharedFaces, DamagedPack,
                         ::testing::Values(DamagedCase{"fr_damaged", "fp32"}, DamagedCase{"fr_damaged_light", "fp32"},
                                           DamagedCase{"fr_damaged", "int8"}));

}  // namespace
}  // namespace ferment::labeler
