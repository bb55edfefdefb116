// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_user.h"

namespace ferment::simulation {
namespace {

using coordinator::RunEngine;
using coordinator::RunState;
using coordinator::RunView;
using std::chrono::seconds;

}  // namespace

SimUser::SimUser(SimNetwork& network, std::uint64_t number)
    : network_(network),
      world_(network.world()),
      name_("user-" + std::to_string(number)),
      process_(world_.queue, 1),
      patience_{.retry_for = world_.plan.people_ask_for},
      run_dir_("/runs/" + name_ + "-0") {
  spec_.set_name("run" + std::to_string(number));
  spec_.add_classes("Neutral");
  spec_.mutable_teacher()->set_steps(1);
  spec_.mutable_cotrain()->set_rounds(static_cast<std::uint32_t>(world_.plan.rounds));
  spec_.mutable_labeling()->set_min_accuracy(0.6);
  if (world_.plan.videos > 0) spec_.mutable_data()->mutable_videos()->set_path("/data/clips");
}

void SimUser::Begin() {
  process_.Start();
  // Where runs must succeed there are labelers before them.
  const SimTime later = world_.plan.only_machines_fail ? seconds(10) : seconds(0);
  process_.After(later + world_.Between(seconds(0), seconds(5)), [this] { Submit(); });
}

void SimUser::Submit() { Submit({name_ + "-submit-" + std::to_string(++requests_), spec_, run_dir_}); }

void SimUser::Submit(const coordinator::Submission& submission) {
  world_.history.Say(name_ + " submits " + submission.request_id);
  auto seen = [submission, &oracle = world_.oracle](const Moment&, const Result<std::string>& run_id) {
    oracle.Submitted(submission.request_id, submission.run_dir, run_id);
  };
  auto serve = Asks<Result<std::string>>(
      {[submission](RunEngine& engine) { return engine.runs().Submit(submission); }, seen, std::nullopt, false});
  auto done = [this, submission](const Result<std::string>& run_id) {
    // An outage was too long for it. Whoever is told so says it again.
    const StatusCode code = run_id ? StatusCode::kOk : run_id.error().code();
    if (code != StatusCode::kDeadlineExceeded && code != StatusCode::kUnavailable) return HandleSubmitted(run_id);
    world_.log.AskedAnew(submission.request_id);
    Submit(submission);
  };
  Call<Result<std::string>>({network_, process_, name_, patience_, serve, done});
}

void SimUser::HandleSubmitted(const Result<std::string>& run_id) {
  if (!run_id) {
    const bool repeated = run_id.error().code() == StatusCode::kAlreadyExists;
    world_.history.Violate(repeated ? "T1.3" : "live", "a submission was not taken: " + run_id.error().ToString());
    return;
  }
  run_id_ = *run_id;
  ++watching_;
  Watch();
  if (!world_.Faulty()) return;
  // People who mistyped cancel at once.
  const SimTime latest = world_.Chance(0.5) ? SimTime(seconds(5)) : world_.plan.fault_time;
  if (world_.Chance(world_.plan.cancel)) Sometime(latest, &SimUser::Cancel);
  if (world_.Chance(world_.plan.suspend)) Sometime(world_.plan.fault_time, &SimUser::Suspend);
  if (world_.Chance(world_.plan.roll_back)) Sometime(world_.plan.fault_time, &SimUser::RollBack);
}

void SimUser::Sometime(SimTime latest, void (SimUser::*act)()) {
  process_.After(world_.Between(seconds(0), latest), [this, act, watching = watching_] {
    if (watching == watching_ && !content_) (this->*act)();
  });
}

void SimUser::Watch() {
  auto seen = [run_id = run_id_, &oracle = world_.oracle](const Moment&, const Result<RunView>& view) {
    oracle.Seen(run_id, StatusIn(view));
  };
  auto serve = Asks<Result<RunView>>({[run_id = run_id_](RunEngine& engine) { return engine.View(run_id); }, seen});
  auto done = [this](const Result<RunView>& view) { HandleView(view); };
  Call<Result<RunView>>({network_, process_, name_, patience_, serve, done});
}

void SimUser::HandleView(const Result<RunView>& view) {
  if (!view && view.error().code() == StatusCode::kNotFound) {
    // It was cut off for so long that the run ended and was forgotten meanwhile; the oracle has looked at that.
    content_ = true;
    return;
  }
  if (!view || view->state == RunState::kRunning) {
    // Also where the wish to suspend it arrives only after that to resume it.
    if (view && view->suspended && world_.queue.now() > wants_it_suspended_until_) Update(false);
    process_.After(seconds(1), [this] { Watch(); });
    return;
  }
  world_.history.Say(name_ + " sees " + run_id_ + " " + std::string(RunStateName(view->state)) + " " +
                     view->failure.message);
  const bool well = view->state == RunState::kSucceeded;
  content_ = !world_.Faulty() || !(well || world_.Chance(world_.plan.reopen));
  if (content_) return;
  if (well) run_dir_ = "/runs/" + name_ + "-" + std::to_string(++folders_);
  process_.After(world_.Between(seconds(0), seconds(10)), [this] { Submit(); });
}

void SimUser::Cancel() {
  const std::string request_id = name_ + "-cancel-" + std::to_string(++requests_);
  world_.history.Say(name_ + " cancels " + request_id);
  auto seen = [run_id = run_id_, request_id, &oracle = world_.oracle](const Moment& moment, const Status& taken) {
    oracle.Cancelled(moment, run_id, request_id, taken);
  };
  auto serve = Asks<Status>(
      {[run_id = run_id_, request_id](RunEngine& engine) { return engine.steering().Cancel(run_id, request_id); }, seen,
       coordinator::LeaseKey{run_id_, "", 0, 0}});
  Call<Status>({network_, process_, name_, patience_, serve, [](const Status&) {}});
}

void SimUser::Suspend() {
  wants_it_suspended_until_ = world_.queue.now() + world_.Between(seconds(1), seconds(40));
  Update(true);
}

void SimUser::Update(bool suspended) {
  const coordinator::RunUpdate update{run_id_, name_ + "-update-" + std::to_string(++requests_), suspended, {}};
  world_.history.Say(name_ + (suspended ? " suspends " : " resumes ") + update.request_id);
  auto seen = [update, &oracle = world_.oracle](const Moment&, const Status& taken) {
    oracle.Changed(update.run_id, update.request_id, taken);
  };
  auto serve = Asks<Status>({[update](RunEngine& engine) { return engine.steering().Update(update); }, seen});
  Call<Status>({network_, process_, name_, patience_, serve, [](const Status&) {}});
}

void SimUser::RollBack() {
  const std::string request_id = name_ + "-back-" + std::to_string(++requests_);
  world_.history.Say(name_ + " rolls back " + request_id);
  auto seen = [run_id = run_id_, request_id, &oracle = world_.oracle](const Moment&, const Result<std::string>& job) {
    oracle.Changed(run_id, request_id, StatusIn(job));
  };
  auto serve = Asks<Result<std::string>>({[run_id = run_id_, request_id](RunEngine& engine) {
                                            return engine.steering().RollBackTeacher(run_id, request_id, "");
                                          },
                                          seen});
  Call<Result<std::string>>({network_, process_, name_, patience_, serve, [](const Result<std::string>&) {}});
}

}  // namespace ferment::simulation
