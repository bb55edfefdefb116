// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scheduler.h"

#include <algorithm>
#include <filesystem>
#include <future>
#include <type_traits>
#include <utility>

#include "common/base/logging.h"

namespace ferment::coordinator {
namespace {

template <typename Answer>
Answer AnswerWith(const Status& failure) {
  if constexpr (std::is_same_v<Answer, Status>) {
    return failure;
  } else {
    return Fail(failure);
  }
}

}  // namespace

Scheduler::Scheduler(Parts parts, SchedulerConfig config)
    : parts_(std::move(parts)),
      config_(config),
      launches_(std::make_unique<ThreadTaskRunner>()),
      files_(std::make_unique<ThreadTaskRunner>()) {
  engine_ = std::make_unique<RunEngine>(RunEngine::Parts{*parts_.store, parts_.launcher, parts_.run_files, parts_.clock,
                                                         parts_.metrics, *launches_, *files_, parts_.plan_launch,
                                                         [this](std::function<void()> work) {
                                                           const MutexLock lock(mutex_);
                                                           if (!stopped_.ok()) return;
                                                           queue_.push_back({std::move(work), nullptr});
                                                           queued_.notify_one();
                                                         },
                                                         config_.cool_down});
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
  launches_.reset();
  files_.reset();
}

void Scheduler::Drain(std::chrono::milliseconds patience) {
  {
    const MutexLock lock(mutex_);
    draining_ = true;
  }
  const auto deadline = std::chrono::steady_clock::now() + patience;
  const Status asked = Call<Status>([this] {
    engine_->trainers().Drain();
    return Status();
  });
  if (!asked.ok()) return;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto live = Call<Result<bool>>([this]() -> Result<bool> { return engine_->trainers().AnyLive(); });
    if (!live || !*live) return;
    std::this_thread::sleep_for(config_.tick);
  }
  LogWarning("drain.timeout", {{"next", "trainers that still run are adopted by the next coordinator"}});
}

void Scheduler::Refuse(const Status& why) {
  std::deque<Operation> waiting;
  {
    const MutexLock lock(mutex_);
    if (stopped_.ok()) stopped_ = why;
    waiting.swap(queue_);
  }
  for (const Operation& operation : waiting) {
    if (operation.answer) operation.answer(why);
  }
}

Status Scheduler::Enqueue(Operation operation, bool while_draining) {
  const MutexLock lock(mutex_);
  if (!stopped_.ok()) return stopped_;
  if (draining_ && !while_draining) return UnavailableError("the coordinator is draining; come back in a moment");
  if (queue_.size() >= config_.queue_limit) {
    parts_.metrics.rejected.Increment();
    return ResourceExhaustedError("too many requests wait; come back in a moment: waiting=" +
                                  std::to_string(queue_.size()));
  }
  queue_.push_back(std::move(operation));
  queued_.notify_one();
  return {};
}

template <typename Answer>
Answer Scheduler::Call(std::function<Answer()> decide, bool while_draining) {
  // Shared, since the caller may give up before the scheduler comes to it.
  auto promise = std::make_shared<std::promise<Answer>>();
  auto decided = std::make_shared<Answer>(AnswerWith<Answer>(InternalError("undecided")));
  std::future<Answer> future = promise->get_future();
  Operation operation;
  operation.decide = [decide = std::move(decide), decided] { *decided = decide(); };
  operation.answer = [promise, decided](const Status& saved) {
    promise->set_value(saved.ok() ? std::move(*decided) : AnswerWith<Answer>(saved));
  };
  const Status queued = Enqueue(std::move(operation), while_draining);
  if (!queued.ok()) return AnswerWith<Answer>(queued);
  if (future.wait_for(config_.answer_limit) != std::future_status::ready) {
    return AnswerWith<Answer>(UnavailableError("no answer in time; whether it was done is unknown, ask again"));
  }
  return future.get();
}

std::vector<Operation> Scheduler::TakeBatch(const std::stop_token& stop) {
  std::vector<Operation> batch;
  const MutexLock lock(mutex_);
  queued_.wait_for(mutex_, stop, config_.tick, [this]() FERMENT_REQUIRES(mutex_) { return !queue_.empty(); });
  parts_.metrics.queue_depth.Set(static_cast<double>(queue_.size()));
  while (!queue_.empty() && batch.size() < config_.batch_limit) {
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
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

Result<std::string> Scheduler::Submit(Submission submission) {
  return Call<Result<std::string>>(
      [this, submission = std::move(submission)] { return engine_->runs().Submit(submission); }, false);
}

Status Scheduler::Cancel(const std::string& run_id, const std::string& request_id) {
  return Call<Status>([=, this] { return engine_->steering().Cancel(run_id, request_id); });
}

Status Scheduler::Update(const RunUpdate& update) {
  return Call<Status>([=, this] { return engine_->steering().Update(update); });
}

Result<std::string> Scheduler::RollBackTeacher(const std::string& run_id, const std::string& request_id,
                                               const std::string& reason) {
  return Call<Result<std::string>>(
      [=, this] { return engine_->steering().RollBackTeacher(run_id, request_id, reason); });
}

Result<RunView> Scheduler::View(const std::string& run_id) {
  return Call<Result<RunView>>([=, this] { return engine_->View(run_id); });
}

Result<std::vector<RunView>> Scheduler::List(std::size_t offset, std::size_t limit) {
  return Call<Result<std::vector<RunView>>>([=, this]() -> Result<std::vector<RunView>> {
    std::vector<RunView> views;
    const std::vector<std::string>& order = engine_->book().run_order();
    for (std::size_t i = offset; i < order.size() && views.size() < limit; ++i) {
      views.push_back(*engine_->View(order[order.size() - 1 - i]));
    }
    return views;
  });
}

Result<Registration> Scheduler::Register(const LabelerIdentity& identity) {
  return Call<Result<Registration>>([=, this] { return engine_->labelers().Register(identity); }, false);
}

Result<LeaseAnswer> Scheduler::Lease(const LeaseRequest& request) {
  return Call<Result<LeaseAnswer>>([=, this] { return engine_->leases().Lease(request); }, false);
}

Result<std::chrono::milliseconds> Scheduler::Renew(const LeaseKey& key, std::uint64_t records_done) {
  return Call<Result<std::chrono::milliseconds>>([=, this] { return engine_->leases().Renew(key, records_done); });
}

Result<std::string> Scheduler::HolderOf(const LeaseKey& key) {
  return Call<Result<std::string>>([=, this]() -> Result<std::string> { return engine_->leases().HolderOf(key); });
}

Result<std::string> Scheduler::RunDirOf(const std::string& run_id) {
  {
    const MutexLock lock(mutex_);
    if (const auto known = run_dirs_.find(run_id); known != run_dirs_.end()) return known->second;
  }
  auto run_dir = Call<Result<std::string>>([this, run_id]() -> Result<std::string> {
    const Run* run = engine_->book().FindRun(run_id);
    if (run == nullptr) return Fail(AbortedError("no such run; drop the work: run=" + run_id));
    return run->run_dir;
  });
  if (!run_dir) return run_dir;
  const MutexLock lock(mutex_);
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

Result<Scheduler::CommitAnswer> Scheduler::Commit(const ShardResult& result, const std::optional<LeaseRequest>& next) {
  FERMENT_RETURN_IF_ERROR(CheckFiles(result));
  return Call<Result<CommitAnswer>>([=, this]() -> Result<CommitAnswer> {
    CommitAnswer answer;
    FERMENT_ASSIGN_OR_RETURN(answer.duplicate, engine_->leases().Commit(result));
    if (!next) return answer;
    if (auto leases = engine_->leases().Lease(*next)) answer.next = std::move(*leases);
    return answer;
  });
}

Status Scheduler::Return(const LeaseKey& key) {
  return Call<Status>([=, this] { return engine_->leases().Return(key); });
}

Status Scheduler::FailShard(const ShardFailure& failure) {
  return Call<Status>([=, this] { return engine_->leases().FailShard(failure); });
}

Result<std::uint64_t> Scheduler::TakeToken(const TokenRequest& request) {
  return Call<Result<std::uint64_t>>([=, this] { return engine_->trainers().TakeToken(request); });
}

Result<bool> Scheduler::Report(const TokenKey& key, TrainerProgress progress) {
  return Call<Result<bool>>([=, this] { return engine_->trainers().Report(key, progress); });
}

Status Scheduler::Complete(const TokenKey& key, const TrainerResult& result) {
  return Call<Status>([=, this] { return engine_->trainers().Complete(key, result); });
}

Status Scheduler::FailJob(const TokenKey& key, const Failure& failure) {
  return Call<Status>([=, this] { return engine_->trainers().FailJob(key, failure); });
}

}  // namespace ferment::coordinator
