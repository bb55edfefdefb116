// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "common/config/run_layout.h"
#include "labeler/labeler_loop.h"
#include "labeler/late_stop.h"
#include "labeler/offline_lease_client.h"
#include "labeler/torch_annotator.h"
#include "tests/common/dataset/pack_builder.h"
#include "tests/support/rendered_spec.h"
#include "tests/support/scripted_annotator.h"
#include "tests/support/scripted_http_server.h"

namespace ferment::labeler {
namespace {

using testing::HttpCall;
using testing::HttpPart;
using testing::HttpText;
using testing::ScriptedAnswer;
using testing::ScriptedHttpServer;

std::string ReadAll(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A bucket with one pack, which falls silent at one kind of call: it takes the call and never answers.
class SilentStore {
 public:
  SilentStore(std::filesystem::path pack, std::function<bool(const HttpCall&)> silent_at)
      : pack_(std::move(pack)), silent_at_(std::move(silent_at)) {}

  void AwaitSilence() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return silent_; });
  }
  /// Returns: whether it fell silent; whoever waits for that goes on either way.
  bool EndsWait() {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
    return std::exchange(silent_, true);
  }
  std::string endpoint() const { return server_.endpoint(); }

 private:
  ScriptedAnswer Answer(const HttpCall& call) {
    if (silent_at_(call)) {
      const std::lock_guard lock(mutex_);
      silent_ = true;
      changed_.notify_all();
      return {"", true};
    }
    if (call.target.find("list-type=2") != std::string::npos) return HttpText(200, Listing());
    if (call.method == "PUT") return HttpText(200, "", "ETag: \"e1\"\r\n");
    const std::string object = ReadAll(pack_ / std::filesystem::path(call.target).filename());
    if (object.empty()) return HttpText(404, "<Error><Code>NoSuchKey</Code></Error>");
    if (call.method == "HEAD") {
      return {"HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"e1\"\r\nContent-Length: " +
                  std::to_string(object.size()) + "\r\n\r\n",
              false};
    }
    return HttpPart(call, object);
  }
  std::string Listing() const {
    std::string text = "<ListBucketResult>";
    for (const char* name : {"train.idx", "train.rec"}) {
      text += "<Contents><Key>pack/" + std::string(name) + "</Key><Size>" +
              std::to_string(std::filesystem::file_size(pack_ / name)) + "</Size></Contents>";
    }
    return text + "</ListBucketResult>";
  }

  const std::filesystem::path pack_;
  /// Also sees all other calls.
  const std::function<bool(const HttpCall&)> silent_at_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool silent_ = false;
  ScriptedHttpServer server_{[this](const HttpCall& call, std::size_t) { return Answer(call); }};
};

/// One lease, of all the pack's records.
class OneLease final : public LeaseClient {
 public:
  explicit OneLease(Lease lease) : lease_(std::move(lease)) {}
  Result<LeaseOffer> Take() override {
    if (std::exchange(taken_, true)) return LeaseOffer{{}, std::chrono::milliseconds(1), true};
    return LeaseOffer{{lease_}, std::chrono::milliseconds(0), false};
  }
  Result<std::chrono::milliseconds> Renew(const LeaseKey&, std::uint64_t) override { return lease_.duration; }
  Result<LeaseOffer> Commit(const Lease&, const ShardResult&) override {
    ++committed;
    return LeaseOffer();
  }
  Status Return(const LeaseKey&) override {
    ++returned;
    return {};
  }
  Status FailShard(const LeaseKey&, const ShardFailure& failure) override {
    ADD_FAILURE() << failure.status.ToString();
    return {};
  }
  int committed = 0;
  int returned = 0;

 private:
  const Lease lease_;
  bool taken_ = false;
};

Result<std::unique_ptr<Annotator>> OpenScript(const RunSpec& /*spec*/, const Model& /*model*/) {
  return std::make_unique<testing_support::ScriptedAnnotator>(2);
}

class SilentStoreTest : public ::testing::Test {
 protected:
  using SilentAt = std::function<bool(const HttpCall&)>;

  SilentStoreTest() {
    folder_ = std::filesystem::path(::testing::TempDir()) / ("silent-store-" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    dataset::PackBuilder pack;
    for (std::uint64_t key = 1; key <= kRecords; ++key) {
      // Larger than what is asked for at once, so that not all comes with the header record.
      const std::string picture = dataset::Fixture("jpeg/rgb.jpg") + std::string(50'000, '\0');
      pack.AppendIndexed(key, dataset::ImagePayload(0, {1}, picture, key));
    }
    pack_ = pack.Write("silent-pack");
    std::ofstream(folder_ / "credentials") << "[default]\naws_access_key_id=AK\naws_secret_access_key=SK\n";
  }
  ~SilentStoreTest() override { std::filesystem::remove_all(folder_); }

  Lease MakeLease(const std::string& plan) const {
    RunSpec spec;
    spec.mutable_labeling()->set_plan(plan);
    spec.mutable_data()->mutable_fr()->set_path("s3://faces/pack");
    for (const char* name : {"a", "b", "c", "d"}) spec.add_classes(name);
    spec.mutable_labeling()->set_tau(1.0);
    spec.mutable_labeling()->set_max_damage(1.0);
    Lease lease;
    lease.duration = std::chrono::hours(1);
    lease.spec = std::make_shared<const RunSpec>(std::move(spec));
    lease.work = LabelTask{"pack", 0, kRecords, {"teacher", "t", folder_ / "labels" / "pack" / "t" / "c"}, "c"};
    return lease;
  }

  void ReadFrom(const SilentStore& store) const {
    setenv("AWS_ENDPOINT_URL", store.endpoint().c_str(), 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", (folder_ / "credentials").c_str(), 1);
  }

  /// Has `work` done until the store falls silent, and asks it to stop then.
  void ExpectAnEndAtOnce(const SilentAt& silent_at, const std::function<Status(const std::stop_token&)>& work) {
    SilentStore store(pack_, silent_at);
    ReadFrom(store);
    std::stop_source ending;
    std::chrono::steady_clock::time_point asked;
    std::jthread operator_at_work([&] {
      store.AwaitSilence();
      asked = std::chrono::steady_clock::now();
      ending.request_stop();
    });
    const Status status = work(ending.get_token());
    EXPECT_TRUE(store.EndsWait()) << "the store was never asked for that";
    operator_at_work.join();
    EXPECT_EQ(status.code(), StatusCode::kCancelled) << status.ToString();
    // By itself a request takes a minute, and is made again for two.
    EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds(20));
  }

  void ExpectTheLeaseBackAtOnce(const SilentAt& silent_at, const std::string& plan = "fp32") {
    OneLease client(MakeLease(plan));
    ExpectAnEndAtOnce(silent_at, [&](const std::stop_token& ending) {
      const auto open_network = [&](const RunSpec& spec, const Model& model) {
        return MakeTorchAnnotator(spec, model.file, "", {}, ending);
      };
      WorkRunner runner(plan == "fp32" ? OpenAnnotator(OpenScript) : open_network, 2, ending);
      return LabelerLoop(client, runner, /*exit_when_idle=*/true).Run(ending);
    });
    EXPECT_EQ(client.returned, 1);
    EXPECT_EQ(client.committed, 0);
  }

  /// A run's folder whose teacher phase has ended, and whose data is the pack.
  RunLayout MakeRun() const {
    auto spec = *testing::RenderedSpec(folder_ / "rendered");
    spec.mutable_data()->mutable_fr()->set_path("s3://faces/pack");
    spec.mutable_classes()->DeleteSubrange(4, spec.classes_size() - 4);
    spec.mutable_labeling()->set_canary_share(0);
    spec.mutable_labeling()->set_min_accuracy(0);
    spec.mutable_labeling()->set_max_damage(1.0);
    RunLayout run(folder_ / "run");
    std::filesystem::create_directories(run.Job("teacher"));
    std::ofstream(run.Spec()) << SpecToYaml(spec);
    std::ofstream(run.Result("teacher")) << R"({"models": [{"role": "teacher", "file": "f", "sha256": "d"}]})";
    return run;
  }
  void ExpectAnEndOfflineAtOnce(const RunLayout& run, const SilentAt& silent_at) {
    ExpectAnEndAtOnce(silent_at, [&](const std::stop_token& ending) -> Status {
      FERMENT_ASSIGN_OR_RETURN(const auto client, MakeOfflineLeaseClient(run.root(), "label", "s3://faces/labels",
                                                                         InstructionSetClass(), ending));
      WorkRunner runner(OpenScript, 2, ending);
      return LabelerLoop(*client, runner, /*exit_when_idle=*/true).Run(ending);
    });
  }
  static void PlaceLabelsInTheStore(const RunLayout& run) {
    std::filesystem::create_directories(run.root() / "labels");
    std::ofstream(run.root() / "labels" / "store.json") << R"({"url":"s3://faces/labels"})";
  }

  static constexpr std::uint64_t kRecords = 6;
  std::filesystem::path folder_;
  std::filesystem::path pack_;
};

TEST_F(SilentStoreTest, AStopReturnsTheLeaseWhileThePackIsLookedFor) {
  ExpectTheLeaseBackAtOnce([](const HttpCall&) { return true; });
}

TEST_F(SilentStoreTest, AStopReturnsTheLeaseWhileARecordIsRead) {
  int reads = 0;
  ExpectTheLeaseBackAtOnce([&reads](const HttpCall& call) {
    // The first looks for the header record.
    return call.method == "GET" && call.target.ends_with("train.rec") && ++reads > 1;
  });
}

TEST_F(SilentStoreTest, AStopReturnsTheLeaseWhileTheLabelSetIsWritten) {
  std::filesystem::create_directories(folder_ / "labels");
  std::ofstream(folder_ / "labels" / "store.json") << R"({"url":"s3://faces/labels"})";
  ExpectTheLeaseBackAtOnce([](const HttpCall& call) { return call.method == "PUT"; });
}

TEST_F(SilentStoreTest, AStopReturnsTheLeaseWhileThePackIsLookedForToCompareAPlan) {
  int listings = 0;
  ExpectTheLeaseBackAtOnce(
      [&listings](const HttpCall& call) {
        // The first is for labelling.
        return call.target.find("list-type=2") != std::string::npos && ++listings > 1;
      },
      "int8");
}

TEST_F(SilentStoreTest, AStopBetweenAFinishedShardAndItsCommitLosesNothing) {
  const RunLayout run = MakeRun();
  PlaceLabelsInTheStore(run);
  std::stop_source ending;
  int committed = 0;
  SilentStore store(pack_, [&](const HttpCall& call) {
    if (call.method == "PUT" && call.target.ends_with(".npz")) ending.request_stop();
    committed += call.method == "PUT" && call.target.ends_with("index.json") ? 1 : 0;
    return false;
  });
  ReadFrom(store);
  const auto client =
      MakeOfflineLeaseClient(run.root(), "label", "s3://faces/labels", InstructionSetClass(), ending.get_token());
  ASSERT_TRUE(client) << client.error().message();
  WorkRunner runner(OpenScript, 2, ending.get_token());
  const Status status = LabelerLoop(**client, runner, /*exit_when_idle=*/true).Run(ending.get_token());
  EXPECT_EQ(status.code(), StatusCode::kCancelled) << status.ToString();
  EXPECT_EQ(committed, 1);
}

TEST(LateStop, ComesAfterTheOtherAndNotWithIt) {
  std::stop_source first;
  const LateStop late(first.get_token(), std::chrono::hours(1));
  const LateStop next(first.get_token(), std::chrono::milliseconds(0));
  EXPECT_FALSE(next.token().stop_requested());
  first.request_stop();
  while (!next.token().stop_requested()) std::this_thread::yield();
  EXPECT_FALSE(late.token().stop_requested());
}

TEST(LateStop, NeverComesWhereNobodyCanAsk) { EXPECT_FALSE(LateStop({}).token().stop_requested()); }

TEST_F(SilentStoreTest, AStopEndsAnOfflineLabelerThatLooksForThePack) {
  ExpectAnEndOfflineAtOnce(MakeRun(), [](const HttpCall&) { return true; });
}

TEST_F(SilentStoreTest, AStopEndsAnOfflineLabelerThatTriesTheStoreForItsLabels) {
  ExpectAnEndOfflineAtOnce(MakeRun(), [](const HttpCall& call) { return call.method == "PUT"; });
}

TEST_F(SilentStoreTest, AStopEndsAnOfflineLabelerThatReadsItsIndex) {
  const RunLayout run = MakeRun();
  PlaceLabelsInTheStore(run);
  ExpectAnEndOfflineAtOnce(run, [](const HttpCall& call) { return call.target.ends_with("index.json"); });
}

TEST_F(SilentStoreTest, AStopEndsAnOfflineLabelerThatCommits) {
  const RunLayout run = MakeRun();
  PlaceLabelsInTheStore(run);
  ExpectAnEndOfflineAtOnce(
      run, [](const HttpCall& call) { return call.method == "PUT" && call.target.ends_with("index.json"); });
}

}  // namespace
}  // namespace ferment::labeler
