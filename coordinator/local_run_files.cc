// SPDX-License-Identifier: Apache-2.0
#include "coordinator/local_run_files.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <utility>

#include "common/base/mutex.h"
#include "common/config/run_layout.h"
#include "common/dataset/faces/canary_faces.h"
#include "common/dataset/labels/label_files.h"
#include "common/dataset/labels/label_index.h"
#include "common/dataset/records/open_sources.h"
#include "common/dataset/videos/video_list.h"
#include "common/io/atomic_file.h"
#include "common/io/fenced_writer.h"
#include "common/io/folder_hold.h"
#include "common/io/local_file_system.h"
#include "common/io/object/conditional_writes.h"
#include "common/io/object/s3_object_store.h"
#include "common/report/run_report.h"
#include "coordinator/folder_entry.h"

namespace ferment::coordinator {
namespace {

/// A labeler waits for the answer to its commit, and commits again.
constexpr std::chrono::seconds kStorePatience{10};

std::uint32_t LeaseMs(const RunSpec& spec) {
  return static_cast<std::uint32_t>(std::max(1.0, spec.labeling().lease_seconds() * 1000));
}

/// Syncs of the event store wait behind no more than so many bytes of an index.
constexpr std::size_t kUnsyncedBytes = 512 << 10;

/// Relative to the run's folder: the layout of an empty root.
const RunLayout kRelative{std::filesystem::path()};

/// Buckets that stay open; each is asked for no longer than a caller may wait. Synchronizes itself.
class OpenBuckets {
 public:
  Result<std::shared_ptr<io::ObjectStore>> Of(const io::ObjectUrl& url) {
    const MutexLock lock(mutex_);
    std::shared_ptr<io::ObjectStore>& bucket = buckets_[url.bucket];
    if (bucket == nullptr) {
      FERMENT_ASSIGN_OR_RETURN(io::S3Settings settings, io::S3SettingsFromEnvironment());
      settings.request_deadline = settings.retry_for = kStorePatience;
      FERMENT_ASSIGN_OR_RETURN(bucket, io::OpenS3Bucket(settings, url.bucket));
    }
    return bucket;
  }

 private:
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<io::ObjectStore>> buckets_ FERMENT_GUARDED_BY(mutex_);
};

class IndexInAFile final : public LabelIndexMaking {
 public:
  using Publish = std::function<Status(io::AtomicFile, const Fence&)>;
  IndexInAFile(io::AtomicFile file, Publish publish) : file_(std::move(file)), publish_(std::move(publish)) {}

  Status Append(std::span<const LabelEntry> entries) override {
    for (const LabelEntry& entry : entries) {
      const RecordCounts& counts = entry.counts;
      text_.Add(entry.shard, {std::filesystem::path(entry.file.file).filename().string(),
                              entry.file.sha256,
                              {counts.read, counts.labelled, counts.abstained, counts.quarantined}});
    }
    return Write(text_.Take());
  }
  Status Finish(const Fence& fence) override {
    FERMENT_RETURN_IF_ERROR(Write(text_.TakeEnd()));
    return publish_(std::move(file_), fence);
  }

 private:
  Status Write(const std::string& text) {
    FERMENT_RETURN_IF_ERROR(file_.Append(text));
    unsynced_bytes_ += text.size();
    if (unsynced_bytes_ < kUnsyncedBytes) return {};
    unsynced_bytes_ = 0;
    return file_.SyncSoFar();
  }

  io::AtomicFile file_;
  const Publish publish_;
  dataset::LabelIndexText text_;
  std::size_t unsynced_bytes_ = 0;
};

class LocalRunFiles final : public RunFiles {
 public:
  explicit LocalRunFiles(std::string label_store) : label_store_(std::move(label_store)) {}

  Status PrepareRun(const RunSpec& spec, const std::filesystem::path& run_dir, const std::string& owner) override {
    FERMENT_RETURN_IF_ERROR(Hold(run_dir, owner));
    const RunLayout layout(run_dir);
    if (const Status kept = KeepRunSpec(layout.Spec(), spec); !kept.ok()) return Refused(run_dir, kept);
    refused_.erase(run_dir);
    FERMENT_RETURN_IF_ERROR(io::CreateFolders(layout.Log("any").parent_path()));
    FERMENT_RETURN_IF_ERROR(io::CreateFolders(layout.Processes()));
    if (!label_store_.empty()) FERMENT_RETURN_IF_ERROR(dataset::PlaceLabels(run_dir, spec.name(), label_store_));
    return Status();
  }

  void LeaveRun(const std::filesystem::path& run_dir) override {
    holds_.erase(run_dir);
    refused_.erase(run_dir);
  }

  Result<ShardPlan> PlanLabelling(const RunSpec& spec, const ModelFile& teacher) override {
    FERMENT_ASSIGN_OR_RETURN(const auto source, dataset::OpenFr(spec));
    if (source->size() == 0) {
      return Fail(DataLossError("the FR source has no record: data.fr.path=" + spec.data().fr().path()));
    }
    if (spec.labeling().canary_share() > 0) {
      if (const auto faces = dataset::CanaryFaces::Open(spec); !faces) return Fail(faces.error());
    }
    ShardPlan plan;
    plan.work.dataset = dataset::DatasetName(spec.data().fr().path());
    plan.work.instruction_set = std::string(dataset::ArithmeticInUse(spec));
    plan.work.label_config = dataset::LabelConfigDigest(spec, dataset::PlanInUse(spec), plan.work.instruction_set);
    plan.work.lease_ms = LeaseMs(spec);
    plan.work.max_damage = spec.labeling().max_damage();
    plan.work.models.push_back(
        {"teacher", teacher.file, teacher.sha256,
         kRelative.LabelSets(plan.work.dataset, teacher.sha256, plan.work.label_config).string()});
    const std::uint64_t shard_records = std::max<std::uint64_t>(1, spec.data().fr().shard_records());
    for (std::uint64_t first = 0; first < source->size(); first += shard_records) {
      plan.shards.push_back({"", first, std::min(shard_records, source->size() - first)});
    }
    return plan;
  }

  Result<ShardPlan> PlanFeatures(const RunSpec& spec, std::span<const ModelFile> models) override {
    FERMENT_ASSIGN_OR_RETURN(const auto videos, dataset::LoadVideos(spec));
    ShardPlan plan;
    plan.work.dataset = dataset::DatasetName(spec.data().videos().path());
    plan.work.lease_ms = LeaseMs(spec);
    for (const ModelFile& model : models) {
      // Fine-tuning calls the teacher-phase network after the same finetune its baseline.
      plan.work.models.push_back({model.role == "baseline" ? "teacher" : model.role, model.file, model.sha256,
                                  kRelative.Features(plan.work.dataset, model.sha256).string()});
    }
    for (const dataset::Video& video : videos) {
      if (!video.frames_with_image.empty()) plan.shards.push_back({video.name, 0, video.frames_with_image.size()});
    }
    if (plan.shards.empty()) {
      return Fail(DataLossError("no video has a frame: data.videos.path=" + spec.data().videos().path()));
    }
    return plan;
  }

  Result<std::unique_ptr<LabelIndexMaking>> BeginLabelIndex(const std::filesystem::path& folder,
                                                            const Fence& fence) override {
    FERMENT_RETURN_IF_ERROR(io::CreateFolders(folder));
    FERMENT_ASSIGN_OR_RETURN(const auto url, dataset::LabelUrlOf(folder));
    const std::filesystem::path path = dataset::LabelIndexFile(folder);
    FERMENT_ASSIGN_OR_RETURN(io::AtomicFile file, writer_.Begin(path, fence));
    if (url) return ObjectIndex(std::move(file), url->Below(path.filename().string()));
    return std::make_unique<IndexInAFile>(std::move(file), &io::FencedWriter::Finish);
  }

  Status WithdrawResult(const std::filesystem::path& run_dir, const std::string& job_id) override {
    FERMENT_RETURN_IF_ERROR(MayWrite(run_dir));
    const std::filesystem::path result = RunLayout(run_dir).Result(job_id);
    std::error_code unreadable;
    if (!std::filesystem::exists(result, unreadable) && !unreadable) return {};
    FERMENT_RETURN_IF_ERROR(io::MakeLocalFileSystem()->Remove(result));
    return io::SyncFolder(result.parent_path());
  }

  Status WritePhaseTable(const std::filesystem::path& run_dir, const std::string& text, const Fence& fence) override {
    FERMENT_RETURN_IF_ERROR(MayWrite(run_dir));
    return writer_.Write(RunLayout(run_dir).PhaseTable(), text, fence);
  }

  Status WriteReport(const std::filesystem::path& run_dir, const Fence& fence) override {
    FERMENT_RETURN_IF_ERROR(MayWrite(run_dir));
    return report::WriteReport(run_dir, Through(fence));
  }

  Result<std::uint64_t> FileSize(const std::filesystem::path& file) override {
    FERMENT_ASSIGN_OR_RETURN(const auto url, dataset::LabelUrlOf(file.parent_path()));
    if (url) {
      FERMENT_ASSIGN_OR_RETURN(const auto bucket, buckets_.Of(*url));
      FERMENT_ASSIGN_OR_RETURN(const io::ObjectFacts facts, bucket->Head(url->Below(file.filename().string()).key));
      return facts.size;
    }
    std::error_code missing;
    const std::uintmax_t size = std::filesystem::file_size(file, missing);
    if (missing) return Fail(NotFoundError("no such file: file=" + file.string()));
    return size;
  }

 private:
  struct Held {
    std::string owner;
    io::FolderHold hold;
  };

  Status Hold(const std::filesystem::path& run_dir, const std::string& owner) {
    if (const auto held = holds_.find(run_dir); held != holds_.end() && held->second.owner == owner) return {};
    LeaveRun(run_dir);
    auto hold = TakeRunFolder(run_dir, owner);
    if (!hold) return Refused(run_dir, hold.error());
    holds_.emplace(run_dir, Held{owner, std::move(*hold)});
    return {};
  }

  /// Returns: `why`, having noted it down where it is no failure of the disk.
  Status Refused(const std::filesystem::path& run_dir, const Status& why) {
    const bool refusal = why.code() == StatusCode::kAborted || why.code() == StatusCode::kInvalidArgument;
    if (refusal) refused_.insert_or_assign(run_dir, why);
    return why;
  }

  /// A run that was refused its folder writes no last word there.
  Status MayWrite(const std::filesystem::path& run_dir) const {
    const auto refused = refused_.find(run_dir);
    return refused == refused_.end() ? Status() : refused->second;
  }

  /// A store takes an object whole: it is made in a file, and sent from there.
  std::unique_ptr<LabelIndexMaking> ObjectIndex(io::AtomicFile file, const io::ObjectUrl& place) {
    return std::make_unique<IndexInAFile>(
        std::move(file), [this, place](io::AtomicFile made, const Fence& fence) -> Status {
          const auto text = io::ReadTextFile(made.temporary());
          if (!text) {
            FERMENT_RETURN_IF_ERROR(fence());  // a later coordinator removes what this one left
            return text.error();
          }
          return object_writer_.Write(place, *text, fence);
        });
  }

  io::WriteText Through(const Fence& fence) {
    return [this, &fence](const std::filesystem::path& path, std::string_view text) {
      return writer_.Write(path, text, fence);
    };
  }

  const std::string label_store_;
  std::map<std::filesystem::path, Held> holds_;
  std::map<std::filesystem::path, Status> refused_;
  OpenBuckets buckets_;
  io::FencedWriter writer_;
  io::FencedObjectWriter object_writer_{[this](const io::ObjectUrl& url) { return buckets_.Of(url); }};
};

}  // namespace

std::unique_ptr<RunFiles> MakeLocalRunFiles(std::string label_store) {
  return std::make_unique<LocalRunFiles>(std::move(label_store));
}

}  // namespace ferment::coordinator
