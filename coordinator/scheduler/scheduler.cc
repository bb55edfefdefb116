// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scheduler/scheduler.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "common/base/logging.h"

namespace ferment::coordinator {

Scheduler::Scheduler(Parts parts, SchedulerConfig config)
    : parts_(std::move(parts)),
      config_(config),
      queue_(config.queue_limit),
      local_launches_(std::make_unique<ThreadTaskRunner>()),
      slurm_launches_(std::make_unique<ThreadTaskRunner>()),
      files_(std::make_unique<ThreadTaskRunner>()),
      looks_(config.looks) {
  auto come_back = [this](std::function<void()> work) { (void)Enqueue(RequestKind::kOwn, {std::move(work), nullptr}); };
  auto launches = [this](LauncherKind kind) -> TaskRunner& {
    return kind == LauncherKind::kSlurm ? *slurm_launches_ : *local_launches_;
  };
  engine_ = std::make_unique<RunEngine>(RunEngine::Parts{
      *parts_.store, parts_.launcher, parts_.run_files, parts_.clock, parts_.metrics, std::move(launches), *files_,
      parts_.plan_launch, std::move(come_back), config_.cool_down, config_.retention});
}

Scheduler::~Scheduler() { Stop(); }

Status Scheduler::Start() {
  FERMENT_RETURN_IF_ERROR(engine_->Restore());
  thread_ = std::jthread([this](std::stop_token stop) { Loop(std::move(stop)); });
  return {};
}

void Scheduler::Stop() {
  Refuse(UnavailableError("the coordinator is stopping"));
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
  local_launches_.reset();
  slurm_launches_.reset();
  files_.reset();
}

void Scheduler::Drain(std::chrono::milliseconds patience) {
  {
    const MutexLock lock(mutex_);
    draining_ = true;
  }
  const auto deadline = std::chrono::steady_clock::now() + patience;
  const Status asked = Wait<Status>([this] {
    engine_->trainers().Drain();
    return Status();
  });
  if (!asked.ok()) return;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto live = Wait<Result<bool>>([this]() -> Result<bool> { return engine_->trainers().AnyLive(); });
    if (!live || !*live) return;
    std::this_thread::sleep_for(config_.tick);
  }
  LogWarning("drain.timeout", {{"next", "trainers that still run are adopted by the next coordinator"}});
}

void Scheduler::Refuse(const Status& why) {
  std::vector<Operation> waiting;
  {
    const MutexLock lock(mutex_);
    if (stopped_.ok()) stopped_ = why;
    waiting = queue_.Take(queue_.size());
  }
  for (const Operation& operation : waiting) {
    if (operation.answer) operation.answer(why);
  }
}

Status Scheduler::Enqueue(RequestKind kind, Operation operation) {
  bool wake = false;
  {
    const MutexLock lock(mutex_);
    if (!stopped_.ok()) return stopped_;
    if (draining_ && kind == RequestKind::kNewWork) {
      return UnavailableError("the coordinator is draining; come back in a moment");
    }
    if (!queue_.HasRoomFor(kind)) return Crowded(kind, queue_.size());
    queue_.Push(kind, std::move(operation));
    wake = std::exchange(idle_, false);
  }
  // Outside, or the woken thread would wait for the lock at once.
  if (wake) queued_.notify_one();
  return {};
}

Status Scheduler::Crowded(RequestKind kind, std::size_t waiting) {
  SchedulerMetrics& metrics = parts_.metrics;
  (kind == RequestKind::kHeldWork ? metrics.rejected_held_work : metrics.rejected).Increment();
  return ResourceExhaustedError("too many requests wait; come back in a moment: waiting=" + std::to_string(waiting));
}

template <typename Answer>
void Scheduler::Ask(RequestKind kind, std::shared_ptr<Reply<Answer>> reply, std::function<Answer()> decide) {
  const bool droppable = kind == RequestKind::kLookup || kind == RequestKind::kNewWork;
  Operation operation;
  operation.decide = [this, droppable, decide = std::move(decide), reply] {
    if (droppable && reply->GivenUp()) {
      parts_.metrics.abandoned.Increment();
    } else {
      reply->Decide(decide());
    }
  };
  operation.answer = [reply](const Status& saved) { reply->Send(saved); };
  const Status queued = Enqueue(kind, std::move(operation));
  if (!queued.ok()) reply->Send(queued);
}

template <typename Answer>
void Scheduler::Ask(RequestKind kind, Then<Answer> then, std::function<Answer()> decide) {
  Ask(kind, std::make_shared<Reply<Answer>>(std::move(then)), std::move(decide));
}

template <typename Answer>
Answer Scheduler::Wait(const std::function<Answer()>& decide) {
  return Await<Answer>([&](Then<Answer> then) { Ask<Answer>(RequestKind::kOwn, std::move(then), decide); });
}

std::vector<Operation> Scheduler::TakeBatch(const std::stop_token& stop) {
  const MutexLock lock(mutex_);
  idle_ = queue_.empty();
  queued_.wait_for(mutex_, stop, config_.tick, [this]() FERMENT_REQUIRES(mutex_) { return !queue_.empty(); });
  idle_ = false;
  parts_.metrics.queue_depth.Set(static_cast<double>(queue_.size()));
  return queue_.Take(config_.batch_limit);
}

void Scheduler::Loop(std::stop_token stop) {
  auto next_poll = std::chrono::steady_clock::now();
  while (!stop.stop_requested()) {
    const std::vector<Operation> batch = TakeBatch(stop);
    const auto now = std::chrono::steady_clock::now();
    const bool poll = now >= next_poll;
    if (poll) next_poll = now + config_.tick;
    const Status saved = engine_->Round(batch, poll);
    if (saved.ok()) continue;
    LogError("store.failed", {{"error", saved.message()}, {"next", "this coordinator stops"}});
    Refuse(UnavailableError("the coordinator's store failed: " + std::string(saved.message())));
    if (parts_.on_store_failed) parts_.on_store_failed(saved);
    return;
  }
}

void Scheduler::Submit(Submission submission, Then<Result<std::string>> then) {
  Ask<Result<std::string>>(RequestKind::kNewWork, std::move(then),
                           [this, submission = std::move(submission)] { return engine_->runs().Submit(submission); });
}

void Scheduler::Cancel(const std::string& run_id, const std::string& request_id, Then<Status> then) {
  Ask<Status>(RequestKind::kHeldWork, std::move(then),
              [=, this] { return engine_->steering().Cancel(run_id, request_id); });
}

void Scheduler::Update(const RunUpdate& update, Then<Status> then) {
  Ask<Status>(RequestKind::kHeldWork, std::move(then), [=, this] { return engine_->steering().Update(update); });
}

void Scheduler::RollBackTeacher(const std::string& run_id, const std::string& request_id, const std::string& reason,
                                Then<Result<std::string>> then) {
  Ask<Result<std::string>>(RequestKind::kHeldWork, std::move(then),
                           [=, this] { return engine_->steering().RollBackTeacher(run_id, request_id, reason); });
}

void Scheduler::View(const std::string& run_id, Then<Result<RunView>> then) {
  Ask<Result<RunView>>(RequestKind::kLookup, std::move(then), [=, this] { return engine_->View(run_id); });
}

void Scheduler::List(std::uint64_t before, std::size_t limit, Then<Result<RunPage>> then) {
  Ask<Result<RunPage>>(RequestKind::kLookup, std::move(then), [=, this] { return engine_->Page(before, limit); });
}

void Scheduler::Register(const LabelerIdentity& identity, Then<Result<Registration>> then) {
  Ask<Result<Registration>>(RequestKind::kNewWork, std::move(then),
                            [=, this] { return engine_->labelers().Register(identity); });
}

void Scheduler::Lease(const LeaseRequest& request, Then<Result<LeaseAnswer>> then) {
  Ask<Result<LeaseAnswer>>(RequestKind::kNewWork, std::move(then),
                           [=, this] { return engine_->leases().Lease(request); });
}

Status Scheduler::MayTouch(const LeaseKey& key, const std::string& caller) const {
  if (caller.empty()) return {};
  const std::string holder = engine_->leases().HolderOf(key);
  if (holder.empty() || holder == caller) return {};
  return PermissionDeniedError("another labeler holds this lease: labeler=" + caller +
                               " shard=" + std::to_string(key.shard) + " epoch=" + std::to_string(key.epoch));
}

void Scheduler::Renew(const CalledLease& lease, std::uint64_t records_done,
                      Then<Result<std::chrono::milliseconds>> then) {
  Ask<Result<std::chrono::milliseconds>>(RequestKind::kHeldWork, std::move(then),
                                         [=, this]() -> Result<std::chrono::milliseconds> {
                                           FERMENT_RETURN_IF_ERROR(MayTouch(lease.key, lease.caller));
                                           return engine_->leases().Renew(lease.key, records_done);
                                         });
}

Result<std::string> Scheduler::RunDirOf(const std::string& run_id) {
  {
    const MutexLock lock(mutex_);
    if (const auto known = run_dirs_.find(run_id); known != run_dirs_.end()) return known->second;
  }
  auto run_dir = Wait<Result<std::string>>([this, run_id]() -> Result<std::string> {
    const Run* run = engine_->book().FindRun(run_id);
    if (run == nullptr) return Fail(AbortedError("no such run; drop the work: run=" + run_id));
    return run->run_dir;
  });
  if (!run_dir) return run_dir;
  const MutexLock lock(mutex_);
  if (run_dirs_.size() >= kRunDirsKept) run_dirs_.clear();
  run_dirs_[run_id] = *run_dir;
  return run_dir;
}

Status Scheduler::CheckFiles(const ShardResult& result) {
  FERMENT_ASSIGN_OR_RETURN(const std::string run_dir, RunDirOf(result.key.run_id));
  for (const ResultFile& file : result.files) {
    const std::filesystem::path relative = file.file;
    if (relative.is_absolute() || std::find(relative.begin(), relative.end(), "..") != relative.end()) {
      return InvalidArgumentError("a result file leaves the run's folder: file=" + file.file);
    }
    const std::filesystem::path path = std::filesystem::path(run_dir) / relative;
    const auto size = parts_.run_files.FileSize(path);
    if (!size && size.error().code() != StatusCode::kNotFound) return size.error().With("looking for a result file");
    if (!size || *size == 0) {
      return DataLossError(
          "a result file is missing or empty; is the run's folder on storage that coordinator and "
          "labelers share? file=" +
          path.string());
    }
  }
  return {};
}

void Scheduler::Commit(const std::string& caller, ShardResult result, std::optional<LeaseRequest> next,
                       Then<Result<CommitAnswer>> then) {
  const auto reply = std::make_shared<Reply<Result<CommitAnswer>>>(std::move(then));
  if (const std::size_t before = looking_.fetch_add(1); before >= config_.queue_limit) {
    --looking_;
    reply->Send(Crowded(RequestKind::kHeldWork, before));
    return;
  }
  const std::string run_id = result.key.run_id;
  looks_.Post(run_id, [=, this, result = std::make_shared<ShardResult>(std::move(result))] {
    const Status found = CheckFiles(*result);
    --looking_;
    if (!found.ok()) {
      reply->Send(found);
      return;
    }
    Ask<Result<CommitAnswer>>(RequestKind::kHeldWork, reply, [=, this]() -> Result<CommitAnswer> {
      FERMENT_RETURN_IF_ERROR(MayTouch(result->key, caller));
      CommitAnswer answer;
      FERMENT_ASSIGN_OR_RETURN(answer.duplicate, engine_->leases().Commit(*result));
      if (!next || reply->GivenUp()) return answer;
      if (auto leases = engine_->leases().Lease(*next)) answer.next = std::move(*leases);
      return answer;
    });
  });
}

void Scheduler::Return(const CalledLease& lease, Then<Status> then) {
  Ask<Status>(RequestKind::kHeldWork, std::move(then), [=, this]() -> Status {
    FERMENT_RETURN_IF_ERROR(MayTouch(lease.key, lease.caller));
    return engine_->leases().Return(lease.key);
  });
}

void Scheduler::FailShard(const std::string& caller, const ShardFailure& failure, Then<Status> then) {
  Ask<Status>(RequestKind::kHeldWork, std::move(then), [=, this]() -> Status {
    FERMENT_RETURN_IF_ERROR(MayTouch(failure.key, caller));
    return engine_->leases().FailShard(failure);
  });
}

void Scheduler::TakeToken(const TokenRequest& request, Then<Result<std::uint64_t>> then) {
  Ask<Result<std::uint64_t>>(RequestKind::kHeldWork, std::move(then),
                             [=, this] { return engine_->trainers().TakeToken(request); });
}

void Scheduler::Report(const TokenKey& key, TrainerProgress progress, Then<Result<bool>> then) {
  Ask<Result<bool>>(RequestKind::kHeldWork, std::move(then),
                    [=, this, progress = std::move(progress)] { return engine_->trainers().Report(key, progress); });
}

void Scheduler::Complete(const TokenKey& key, const TrainerResult& result, Then<Status> then) {
  Ask<Status>(RequestKind::kHeldWork, std::move(then), [=, this] { return engine_->trainers().Complete(key, result); });
}

void Scheduler::FailJob(const TokenKey& key, const Failure& failure, Then<Status> then) {
  Ask<Status>(RequestKind::kHeldWork, std::move(then), [=, this] { return engine_->trainers().FailJob(key, failure); });
}

}  // namespace ferment::coordinator
