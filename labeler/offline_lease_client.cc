// SPDX-License-Identifier: Apache-2.0
#include "labeler/offline_lease_client.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <random>
#include <utility>

#include "common/base/json_field.h"
#include "common/base/logging.h"
#include "common/base/mutex.h"
#include "common/config/run_layout.h"
#include "common/config/spec_loader.h"
#include "common/dataset/labels/label_files.h"
#include "common/dataset/labels/label_index.h"
#include "common/dataset/records/open_sources.h"
#include "common/io/atomic_file.h"
#include "common/io/folder_hold.h"
#include "common/io/local_file_system.h"
#include "labeler/late_stop.h"

namespace ferment::labeler {
namespace {

/// Offline nobody takes the lease away; renewals are rare.
constexpr std::chrono::minutes kLeaseTime{10};

/// Nobody takes so long to write a file.
constexpr std::chrono::hours kAbandoned{1};

/// Returns: the round of a label job's name.
Result<std::uint32_t> RoundOf(const std::string& job) {
  std::uint32_t round = 0;
  const std::string prefix = "label-";
  if (job == "label") return round;
  const bool numbered = job.starts_with(prefix) &&
                        std::from_chars(job.data() + prefix.size(), job.data() + job.size(), round).ec == std::errc();
  if (numbered && JobId("label", round) == job) return round;
  return Fail(InvalidArgumentError("offline a labeler does label jobs: --job label, label-1 ...: job=" + job)
                  .WithExitCode(exit_code::kUsage));
}

Result<Model> TeacherOf(const RunLayout& layout, std::uint32_t round) {
  const std::string job = round == 0 ? JobId("teacher") : JobId("cotrain", round - 1);
  const auto path = layout.Result(job);
  const auto file = io::ReadTextFile(path);
  if (!file) return Fail(file.error().With("the teacher's job " + job + " has not finished"));
  const auto result = ParseJson(*file);
  if (!result) return Fail(result.error().With("result of the teacher's job, file=" + path.string()));
  for (const Json& model : Field(*result, "models")) {
    if (TextOr(Field(model, "role"), "") == "teacher") {
      return Model{layout.root() / TextOr(Field(model, "file"), ""), TextOr(Field(model, "sha256"), ""), {}};
    }
  }
  return Fail(DataLossError("the job published no teacher: file=" + path.string()));
}

/// NotFound and Aborted say that the lease is gone; here, where none can be, they are of a file.
Status NoLostLease(const Status& failure) {
  if (failure.code() != StatusCode::kNotFound && failure.code() != StatusCode::kAborted) return failure;
  return FailedPreconditionError(std::string(failure.message())).WithExitCode(ProcessExitCode(failure));
}

class OfflineLeaseClient final : public LeaseClient {
 public:
  OfflineLeaseClient(io::FolderHold hold, std::deque<Lease> leases, std::filesystem::path folder,
                     std::stop_token ending)
      : hold_(std::move(hold)), folder_(std::move(folder)), ending_(std::move(ending)), waiting_(std::move(leases)) {}

  Result<LeaseOffer> Take() override {
    const MutexLock lock(mutex_);
    if (!failure_.ok()) return Fail(failure_);
    if (!waiting_.empty()) FERMENT_RETURN_IF_ERROR(LeaveOutWhatIsDone());
    if (waiting_.empty()) {
      TellCanaries();
      return LeaseOffer{{}, std::chrono::milliseconds(0), /*idle=*/true};
    }
    // Labelers that go through the shards in one order do the same ones, each at its own pace.
    const std::size_t last = others_at_work_ ? waiting_.size() - 1 : 0;
    const auto next =
        waiting_.begin() + static_cast<std::ptrdiff_t>(std::uniform_int_distribution<std::size_t>(0, last)(random_));
    LeaseOffer offer{{std::move(*next)}, std::chrono::milliseconds(0), false};
    waiting_.erase(next);
    return offer;
  }

  Result<std::chrono::milliseconds> Renew(const LeaseKey& /*key*/, std::uint64_t /*records_done*/) override {
    return std::chrono::milliseconds(kLeaseTime);
  }

  Result<LeaseOffer> Commit(const Lease& lease, const ShardResult& result) override {
    const MutexLock lock(mutex_);
    const LateStop ending(ending_);
    const ResultFile& file = result.files.front();
    const Counts& counts = result.counts;
    const auto first =
        dataset::CommitToLabelIndex(folder_, lease.key.shard,
                                    {file.file.filename().string(),
                                     file.sha256,
                                     {counts.read, counts.labelled, counts.abstained, counts.quarantined}},
                                    ending.token());
    if (!first) return Fail(NoLostLease(first.error()));
    others_at_work_ = others_at_work_ || !*first;
    canaries_.checked += result.canaries.checked;
    canaries_.correct += result.canaries.correct;
    return LeaseOffer();
  }

  Status Return(const LeaseKey& /*key*/) override { return Status(); }

  /// The next Take tells it.
  Status FailShard(const LeaseKey& key, const ShardFailure& failure) override {
    const MutexLock lock(mutex_);
    failure_ = failure.status.With("shard " + std::to_string(key.shard));
    return {};
  }

 private:
  Status LeaveOutWhatIsDone() FERMENT_REQUIRES(mutex_) {
    FERMENT_ASSIGN_OR_RETURN(const auto index, dataset::ReadLabelIndex(folder_, ending_));
    const auto done = std::erase_if(waiting_, [&](const Lease& lease) { return index.contains(lease.key.shard); });
    others_at_work_ = others_at_work_ || done > 0;
    return {};
  }

  /// Says how the teacher did on faces whose class is known. Nobody stops it here: that is the coordinator's.
  void TellCanaries() FERMENT_REQUIRES(mutex_) {
    if (canaries_.checked == told_) return;
    told_ = canaries_.checked;
    LogInfo("canaries",
            {{"checked", canaries_.checked},
             {"right", canaries_.correct},
             {"accuracy", static_cast<double>(canaries_.correct) / static_cast<double>(canaries_.checked)}});
  }

  // Constant after construction.
  const io::FolderHold hold_;
  const std::filesystem::path folder_;
  const std::stop_token ending_;
  // Under mutex_.
  Mutex mutex_;
  std::deque<Lease> waiting_ FERMENT_GUARDED_BY(mutex_);
  /// Somebody else has committed a shard since this one began.
  bool others_at_work_ FERMENT_GUARDED_BY(mutex_) = false;
  std::mt19937_64 random_ FERMENT_GUARDED_BY(mutex_){std::random_device()()};
  Status failure_ FERMENT_GUARDED_BY(mutex_);
  CanaryCounts canaries_ FERMENT_GUARDED_BY(mutex_);
  std::uint64_t told_ FERMENT_GUARDED_BY(mutex_) = 0;
};

}  // namespace

Result<std::unique_ptr<LeaseClient>> MakeOfflineLeaseClient(const std::filesystem::path& run_dir,
                                                            const std::string& job, const std::string& label_store,
                                                            std::string_view arithmetic,
                                                            const std::stop_token& ending) {
  FERMENT_ASSIGN_OR_RETURN(const std::uint32_t round, RoundOf(job));
  const RunLayout layout(std::filesystem::absolute(run_dir));
  FERMENT_ASSIGN_OR_RETURN(RunSpec spec, LoadResolvedSpec(layout.Spec()));
  // Side by side with others that label this job by hand, and with no coordinator.
  FERMENT_ASSIGN_OR_RETURN(io::FolderHold hold, io::FolderHold::Take(layout.root(), job + "-by-hand"));
  FERMENT_ASSIGN_OR_RETURN(const auto source, dataset::OpenFr(spec, ending));
  FERMENT_ASSIGN_OR_RETURN(Model teacher, TeacherOf(layout, round));
  const std::string dataset = dataset::DatasetName(spec.data().fr().path());
  const std::string config = dataset::LabelConfigDigest(spec, dataset::PlanInUse(spec), arithmetic);
  teacher.output_dir = layout.LabelSets(dataset, teacher.digest, config);
  if (!label_store.empty()) {
    FERMENT_RETURN_IF_ERROR(dataset::PlaceLabels(layout.root(), spec.name(), label_store, ending));
  }
  FERMENT_ASSIGN_OR_RETURN(const auto index, dataset::ReadLabelIndex(teacher.output_dir, ending));
  FERMENT_ASSIGN_OR_RETURN(const auto store, dataset::LabelUrlOf(teacher.output_dir));
  // Who committed what is left out below may have been killed before the folder's sync.
  if (!store && !index.empty()) FERMENT_RETURN_IF_ERROR(io::SyncFolder(teacher.output_dir));
  if (!store) FERMENT_RETURN_IF_ERROR(io::RemoveTemporariesIn(teacher.output_dir, kAbandoned));

  const auto shared = std::make_shared<const RunSpec>(std::move(spec));
  const std::uint64_t per_shard = shared->data().fr().shard_records();
  std::deque<Lease> leases;
  for (std::uint64_t shard = 0; shard * per_shard < source->size(); ++shard) {
    if (index.contains(shard)) continue;
    const std::uint64_t first = shard * per_shard;
    leases.push_back({{shared->name(), job, shard, 1},
                      kLeaseTime,
                      layout.root(),
                      shared,
                      LabelTask{dataset, first, std::min(per_shard, source->size() - first), teacher, config}});
  }
  return std::make_unique<OfflineLeaseClient>(std::move(hold), std::move(leases), teacher.output_dir, ending);
}

}  // namespace ferment::labeler
