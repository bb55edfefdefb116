// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include <algorithm>
#include <utility>

#include "tests/simulation/sim_platform.h"

namespace ferment::simulation {
namespace {

using coordinator::RunEngine;
using coordinator::TokenKey;
using coordinator::TokenRequest;
using coordinator::TrainerResult;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr SimTime kStep = seconds(1);

}  // namespace

SimTrainer::SimTrainer(Parts parts)
    : parts_(std::move(parts)),
      network_(parts_.network),
      world_(network_.world()),
      name_("trainer-" + std::to_string(parts_.number)),
      process_(world_.queue, world_.ClockRate()) {}

void SimTrainer::Begin() {
  process_.Start();
  process_.After(world_.Between(milliseconds(100), seconds(3)), [this] { TakeToken(); });
  if (!world_.Faulty() || !world_.Chance(world_.plan.trainer_dies)) return;
  process_.After(world_.Between(seconds(0), world_.plan.trainer_work), [this] {
    static constexpr int kCodes[] = {exit_code::kKilled, exit_code::kPeerLost, exit_code::kHang,
                                     exit_code::kBug,    exit_code::kOk,       exit_code::kBadData};
    const int code = kCodes[world_.random.Below(std::size(kCodes))];
    if (token_ != 0 && (code == exit_code::kBadData || world_.Chance(0.3))) {
      Fail(code == exit_code::kOk ? exit_code::kPeerLost : code);
    } else {
      Exit(code == exit_code::kBadData ? exit_code::kKilled : code);
    }
  });
}

void SimTrainer::Exit(int exit_code) {
  if (!process_.alive()) return;
  world_.history.Say(name_ + " exits with " + std::to_string(exit_code));
  process_.Kill();
  world_.oracle.TrainerGone(parts_.number);
  world_.outage.TrainerGone(parts_.number);
  parts_.exited(exit_code);
}

void SimTrainer::Signal(int signal) {
  if (signal == SIGKILL) return Exit(exit_code::kKilled);
  told_to_leave_ = true;
  world_.outage.TrainerGone(parts_.number);
  if (token_ != 0 && world_.Faulty() && world_.Chance(world_.plan.last_word)) {
    world_.until_reopened.emplace(parts_.key.run_id, [this] {
      world_.history.Say(name_ + " is heard once more");
      if (SimCoordinator* coordinator = network_.Reach()) Completes()(*coordinator, [](const Status&) {});
    });
  }
  process_.After(world_.Between(milliseconds(10), seconds(2)), [this] { Exit(exit_code::kTerminated); });
}

void SimTrainer::TakeToken() {
  const TokenRequest request{parts_.key.run_id, parts_.key.job_id, parts_.key.attempt, name_, "host", 1,
                             parts_.run_dir};
  auto seen = [request, &oracle = world_.oracle](const Moment&, const Result<std::uint64_t>& token) {
    oracle.TokenGiven(request, token);
  };
  auto serve = Asks<Result<std::uint64_t>>(
      {[request](RunEngine& engine) { return engine.trainers().TakeToken(request); }, seen});
  auto done = [this](const Result<std::uint64_t>& token) {
    if (!token) return Exit(ProcessExitCode(token.error()));
    token_ = *token;
    world_.history.Say(name_ + " holds token " + std::to_string(token_));
    world_.oracle.TrainerWrites(parts_.key, parts_.number, told_to_leave_ || !traced_, world_.queue.now());
    Step();
  };
  Call<Result<std::uint64_t>>({network_, process_, name_, kLongPatience, serve, done});
}

void SimTrainer::Step() {
  process_.After(std::min(kStep, parts_.work_left), [this] {
    if (leaving_) return;
    world_.oracle.TrainerWrites(parts_.key, parts_.number, told_to_leave_ || !traced_, world_.queue.now());
    parts_.work_left = std::max(SimTime(0), parts_.work_left - kStep);
    if (parts_.work_left == SimTime(0)) return Complete();
    Report();
    Step();
  });
}

void SimTrainer::Report() {
  const TokenKey key{parts_.key.run_id, parts_.key.job_id, token_};
  auto seen = [this](const Moment&, const Result<bool>& stop) {
    if (stop) world_.oracle.TrainerHeard(parts_.key, world_.queue.now());
  };
  auto serve = Asks<Result<bool>>({[key](RunEngine& engine) {
                                     return engine.trainers().Report(key, {1, 2, {}, {}});
                                   },
                                   seen});
  auto done = [this](const Result<bool>& stop) {
    if (stop && *stop) return Exit(exit_code::kTerminated);
    if (!stop && stop.error().code() == StatusCode::kAborted) Exit(exit_code::kFenced);
  };
  Call<Result<bool>>({network_, process_, name_, {}, serve, done});
}

SimCall<Status>::Serve SimTrainer::Completes() const {
  const TokenKey key{parts_.key.run_id, parts_.key.job_id, token_};
  const std::string& job = parts_.key.job_id;
  const TrainerResult result{
      {64, 1.5, 1000},
      {{"teacher", job + ".t", job + "-t"}, {"student", job + ".s", job + "-s"}, {"baseline", job + ".b", job + "-b"}},
      {}};
  auto seen = [key, &oracle = world_.oracle](const Moment& moment, const Status& taken) {
    oracle.JobCompleted(moment, key, taken);
  };
  return Asks<Status>({[key, result](RunEngine& engine) { return engine.trainers().Complete(key, result); }, seen,
                       coordinator::LeaseKey{key.run_id, key.job_id, 0, 0}});
}

void SimTrainer::Complete() {
  leaving_ = true;
  const auto serve = Completes();
  auto done = [this](const Status& taken) { Exit(taken.ok() ? exit_code::kOk : ProcessExitCode(taken)); };
  auto call = [this, serve, done] { Call<Status>({network_, process_, name_, kLongPatience, serve, done}); };
  if (world_.Faulty() && world_.Chance(world_.plan.stops_before_end)) {
    world_.history.Say(name_ + " stops before it completes");
    process_.Stop();
    world_.queue.After(world_.Between(seconds(1), seconds(90)), [this] { process_.Continue(); });
  }
  process_.After(milliseconds(1), call);
}

void SimTrainer::Fail(int exit_code) {
  leaving_ = true;
  // It writes nothing more.
  world_.oracle.TrainerGone(parts_.number);
  world_.outage.TrainerGone(parts_.number);
  const TokenKey key{parts_.key.run_id, parts_.key.job_id, token_};
  const coordinator::Failure failure{"it cannot go on", exit_code};
  auto serve = Asks<Status>({[key, failure](RunEngine& engine) { return engine.trainers().FailJob(key, failure); }});
  auto done = [this, exit_code](const Status&) { Exit(exit_code); };
  Call<Status>({network_, process_, name_, {seconds(5), seconds(5)}, serve, done});
}

}  // namespace ferment::simulation
