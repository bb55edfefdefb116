// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scheduler/run_engine.h"

#include <algorithm>
#include <iterator>

#include "common/base/logging.h"
#include "coordinator/core/run_number.h"
#include "coordinator/desks/wall_time.h"

namespace ferment::coordinator {
namespace {

/// A shard that goes well makes two events. So a snapshot of n shards follows on n events or more, and costs each of
/// those a part of what it cost itself.
constexpr std::uint64_t kEventsAShard = 2;

/// Runs that have ended and of which figures are kept that are not in the log.
constexpr std::size_t kEndedWithFigures = 100;

/// A job of many shards has 20,000 letters; a page ends with the run that comes past this, or it would neither fit a
/// message nor leave the scheduler time for others.
constexpr std::size_t kPageLetters = std::size_t{256} << 10;

}  // namespace

RunEngine::RunEngine(Parts parts)
    : parts_(std::move(parts)),
      compact_at_(parts_.compact_after),
      labelers_(ledger_, parts_.clock, parts_.metrics, {parts_.forget_labelers_after, parts_.cool_down},
                [this](const std::string& labeler_id) { leases_.EndLeasesOf(labeler_id); }),
      leases_(ledger_, labelers_, parts_.clock, parts_.metrics),
      trainers_({ledger_, parts_.clock, parts_.launcher, parts_.launches, parts_.come_back, parts_.plan_launch,
                 parts_.metrics.trainers}),
      teachers_(ledger_, parts_.clock, parts_.metrics),
      steering_(ledger_, parts_.clock, parts_.metrics),
      runs_({ledger_, parts_.clock, trainers_, teachers_, parts_.run_files, parts_.files, parts_.come_back,
             [this] { return parts_.store.Confirm(); }}),
      retention_(parts_.retention) {}

Status RunEngine::Restore() {
  FERMENT_RETURN_IF_ERROR(parts_.store.Replay([this](const Event& event) {
    ledger_.Restore(event);
    if (!OfSnapshot(event)) ++log_events_;
    return Status();
  }));
  labelers_.HearAll();
  leases_.GiveFullLeaseTimes();
  retention_.Restore(book(), parts_.clock.Now());
  for (const std::string& run_id : book().unfinished()) ShowClasses(run_id);
  parts_.metrics.SumUpEnded(book());
  parts_.metrics.Mirror(ledger_.book());
  return {};
}

Status RunEngine::Round(std::span<const Operation> batch, bool poll) {
  // First, while nothing is decided that retention_ has not heard of: no run goes that is being opened again.
  ForgetRuns();
  for (const Operation& operation : batch) operation.decide();
  if (poll) Poll();
  const Status saved = Settle();
  const Status told =
      saved.ok() ? saved : UnavailableError("the coordinator's store failed: " + std::string(saved.message()));
  for (const Operation& operation : batch) {
    if (operation.answer) operation.answer(told);
  }
  if (!saved.ok()) return saved;
  FERMENT_RETURN_IF_ERROR(runs_.disk_failure());
  return CompactIfLong();
}

Status RunEngine::Settle() {
  leases_.ExpireLeases();
  leases_.FailDeadly();
  labelers_.ForgetSilent();
  parts_.metrics.labelers_cooling_down.Set(static_cast<double>(labelers_.CountCoolingDown()));
  std::vector<Event> batch = ledger_.TakeUnsaved();
  while (true) {
    runs_.Advance();
    std::vector<Event> more = ledger_.TakeUnsaved();
    if (more.empty()) break;
    batch.insert(batch.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  if (batch.empty()) {
    // What is answered without a save is true only while this coordinator leads.
    FERMENT_RETURN_IF_ERROR(parts_.store.Confirm());
  } else {
    FERMENT_RETURN_IF_ERROR(parts_.store.Append(batch));
    log_events_ += batch.size();
    NoteEnds(batch);
    ShowClasses(batch);
    parts_.metrics.Mirror(ledger_.book());
  }
  for (const auto& effect : ledger_.TakeEffects()) effect();
  return {};
}

void RunEngine::ForgetRuns() {
  for (const std::string& run_id : retention_.TakeDue(parts_.clock.Now())) {
    LogInfo("run.forgotten", {{"run", run_id}, {"run_dir", book().FindRun(run_id)->run_dir}});
    ForgetFigures(*book().FindRun(run_id));
    ledger_.Record(RunForgotten{run_id});
  }
}

void RunEngine::NoteEnds(std::span<const Event> saved) {
  std::size_t ends = 0;
  bool others_ended = false;
  for (const Event& event : saved) {
    retention_.Note(event, parts_.clock.Now());
    const bool end = std::holds_alternative<RunEnded>(event);
    if (end) ++ends;
    others_ended = others_ended || end || std::holds_alternative<RunReopened>(event) ||
                   std::holds_alternative<RunForgotten>(event);
  }
  if (others_ended) parts_.metrics.SumUpEnded(book());
  for (std::size_t i = 0; i < ends; ++i) {
    const std::string* earlier = retention_.EndedBefore(kEndedWithFigures + i);
    if (earlier != nullptr) ForgetFigures(*book().FindRun(*earlier));
  }
}

void RunEngine::ForgetFigures(const Run& run) {
  runs_.Forget(run);
  trainers_.Forget(run);
  leases_.Forget(run);
  teachers_.Forget(run);
}

void RunEngine::ShowClasses(std::span<const Event> saved) {
  for (const Event& event : saved) {
    if (const auto* submitted = std::get_if<RunSubmitted>(&event)) ShowClasses(submitted->run_id);
    if (const auto* reopened = std::get_if<RunReopened>(&event)) ShowClasses(reopened->run_id);
  }
}

void RunEngine::ShowClasses(std::string_view run_id) {
  const auto spec = ledger_.SpecOf(*book().FindRun(run_id));
  const std::vector<std::string> classes(spec->classes().begin(), spec->classes().end());
  parts_.metrics.ShowClasses(classes);
}

Status RunEngine::CompactIfLong() {
  if (log_events_ < compact_at_) return {};
  const std::uint64_t shards = ledger_.book().CountShards();
  compact_at_ = std::max(parts_.compact_after, kEventsAShard * shards);
  if (log_events_ < compact_at_) return {};
  const auto begin = parts_.clock.Now();
  FERMENT_RETURN_IF_ERROR(
      parts_.store.Replace([this](const EventSink& sink) { return ledger_.book().Snapshot(sink); }));
  const std::chrono::duration<double> taken = parts_.clock.Now() - begin;
  LogInfo("log.compacted", {{"events", log_events_}, {"shards", shards}, {"seconds", taken.count()}});
  log_events_ = 0;
  return {};
}

Result<RunView> RunEngine::View(std::string_view run_id) {
  const Run* run = ledger_.book().FindRun(run_id);
  if (run == nullptr) return Fail(NoSuchRun(run_id));
  return MakeRunView(ledger_.book(), *run, *ledger_.SpecOf(*run),
                     {labelers_, leases_, trainers_, WallMs(parts_.clock), parts_.store.term()});
}

Result<RunPage> RunEngine::Page(std::uint64_t before, std::size_t limit) {
  if (before > book().CountSubmitted()) {
    return Fail(InvalidArgumentError("no run was submitted as this one: number=" + std::to_string(before) +
                                     " runs=" + std::to_string(book().CountSubmitted())));
  }
  RunPage page;
  std::size_t letters = 0;
  const std::vector<std::string>& order = book().run_order();
  const auto is_before = [before](const std::string& run_id) { return before == 0 || RunNumberOf(run_id) < before; };
  const auto end = std::partition_point(order.begin(), order.end(), is_before);
  for (auto run_id = std::make_reverse_iterator(end); run_id != order.rend(); ++run_id) {
    page.more = page.runs.size() >= limit || letters >= kPageLetters;
    if (page.more) break;
    page.runs.push_back(*View(*run_id));
    for (const JobView& job : page.runs.back().jobs) letters += job.shards.grid.size();
  }
  return page;
}

}  // namespace ferment::coordinator
