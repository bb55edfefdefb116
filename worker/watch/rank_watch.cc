// SPDX-License-Identifier: Apache-2.0
#include "worker/watch/rank_watch.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <utility>

#include "common/base/check.h"
#include "common/base/logging.h"
#include "worker/watch/process_pulse.h"

namespace ferment::worker {
namespace {

/// How long a rank that is through waits for the farewells of the others.
constexpr std::chrono::seconds kFarewellPatience(30);
/// What rank 1 has over the others in saying that rank 0 is lost: mpirun has ended them by then, and one line is
/// logged.
constexpr std::chrono::milliseconds kPrecedence(6000);

WatchLimits LimitsOf(int rank, WatchLimits limits) {
  if (rank > 1) {
    limits.farewell += kPrecedence;
    limits.silence += kPrecedence;
  }
  return limits;
}

int CodeOf(Fate fate) { return fate == Fate::kDead ? exit_code::kPeerLost : exit_code::kHang; }

const char* Explain(Fate fate) {
  switch (fate) {
    case Fate::kDead:
      return "its process is gone";
    case Fate::kStopped:
      return "its process says nothing any more: stopped, or its host is cut off";
    case Fate::kStuck:
      return "it does not go on, and the others wait for it";
  }
  return "";
}

}  // namespace

std::unique_ptr<RankWatch> RankWatch::Start(Collective& world, const RankBoard& board, RankWatchOptions options) {
  if (world.size() == 1) return nullptr;
  auto meeting = MeetForWatch(world);
  if (!meeting) {
    if (world.rank() == 0) {
      LogWarning("watch_off", {{"error", meeting.error().ToString()},
                               {"effect", "a stuck rank is noticed by the collective's deadline, and not named"}});
    }
    return nullptr;
  }
  return std::make_unique<RankWatch>(world.rank(), *std::move(meeting), board, std::move(options));
}

RankWatch::RankWatch(int rank, WatchMeeting meeting, const RankBoard& board, RankWatchOptions options)
    : rank_(rank),
      meeting_(std::move(meeting)),
      board_(board),
      options_(std::move(options)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      table_(static_cast<int>(meeting_.links.size()), LimitsOf(rank, options_.limits),
             std::chrono::steady_clock::now()) {
  FERMENT_CHECK(wake_ >= 0) << "no eventfd";
  thread_ = std::jthread([this] { Watch(); });
}

RankWatch::~RankWatch() {
  {
    MutexLock lock(mutex_);
    ending_ = true;
    ending_since_ = std::chrono::steady_clock::now();
  }
  Tell({.kind = WatchFrame::Kind::kFarewell, .rank = rank_});
  eventfd_write(wake_, 1);
  thread_.join();
  close(wake_);
}

void RankWatch::SayFailed(int exit_code) {
  BeQuiet();
  Tell({.kind = WatchFrame::Kind::kFarewell, .rank = rank_, .exit_code = exit_code});
}

void RankWatch::BeQuiet() {
  MutexLock lock(mutex_);
  quiet_ = true;
}

void RankWatch::AwaitVerdict(std::chrono::milliseconds patience) {
  MutexLock lock(mutex_);
  if (!changed_.wait_for(mutex_, patience, [this] { return has_verdict_; })) return;
  // The process ends under us, once the coordinator has been told.
  changed_.wait(mutex_, [this] { return ending_; });
}

bool RankWatch::quiet() const {
  MutexLock lock(mutex_);
  return quiet_;
}

void RankWatch::Watch() {
  auto next = std::chrono::steady_clock::now();
  while (!over_) {
    Listen(next);
    const auto now = std::chrono::steady_clock::now();
    if (over_ || Done(now)) return;
    if (now < next) continue;
    next = now + options_.beat;
    Beat(now);
    const auto verdict = table_.Judge(now);
    if (leads()) options_.tell_idle(table_.IdleSeconds(now));
    if (quiet()) continue;
    if (verdict) return EndBy(*verdict);
    if (!leads()) continue;
    if (const auto awaited = table_.NewlyAwaited(now)) WarnOf(*awaited);
  }
}

void RankWatch::Listen(MonotonicTime until) {
  std::vector<pollfd> readable = {{wake_, POLLIN, 0}};
  for (const auto& link : meeting_.links) {
    if (link != nullptr && !link->closed()) readable.push_back({link->handle(), POLLIN, 0});
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
  poll(readable.data(), readable.size(), static_cast<int>(std::max<long>(left, 0)));
  eventfd_t woken = 0;
  eventfd_read(wake_, &woken);
  const auto now = std::chrono::steady_clock::now();
  for (std::size_t l = 0; l < meeting_.links.size(); ++l)
    if (meeting_.links[l] != nullptr) Hear(l, now);
}

void RankWatch::Hear(std::size_t link, MonotonicTime now) {
  const int peer = static_cast<int>(link);
  for (const WatchFrame& frame : meeting_.links[link]->Receive()) {
    if (over_) return;
    if (frame.kind == WatchFrame::Kind::kSign) table_.HearSign(peer, frame.sign, now);
    if (frame.kind == WatchFrame::Kind::kFarewell) {
      table_.HearFarewell(peer);
      if (frame.exit_code != 0) BeQuiet();
    }
    if (frame.kind == WatchFrame::Kind::kLeave && !quiet()) {
      over_ = true;
      LogWarning("leaving", {{"why", "rank 0 has named a lost rank"}, {"exit_code", frame.exit_code}});
      return options_.leave(frame.exit_code);
    }
    if (frame.kind == WatchFrame::Kind::kNamed && !quiet()) return EndAsNamed(frame);
  }
  if (meeting_.links[link]->closed()) table_.HearEnd(peer, now);
}

void RankWatch::Beat(MonotonicTime now) {
  RankSign sign = board_.Sign();
  const ProcessPulse pulse = PulseOfThisProcess();
  sign.cpu_microseconds = pulse.cpu_microseconds;
  sign.at_disk = pulse.at_disk;
  if (leads()) table_.HearSign(0, sign, now);
  Tell({.kind = WatchFrame::Kind::kSign, .rank = rank_, .sign = sign});
}

bool RankWatch::Done(MonotonicTime now) {
  MutexLock lock(mutex_);
  if (!ending_) return false;
  if (leads()) table_.HearFarewell(0);
  // A rank other than 0 has no more to do once rank 0 has heard it, which closes the connection in its turn.
  const bool heard = table_.AllHaveLeft() || (!leads() && meeting_.links[0]->closed());
  return quiet_ || heard || now - ending_since_ >= kFarewellPatience;
}

void RankWatch::Tell(const WatchFrame& frame) const {
  for (const auto& link : meeting_.links)
    if (link != nullptr) link->Send(frame);
}

std::string RankWatch::Describe(const Verdict& verdict) const {
  const RankName& name = meeting_.names[static_cast<std::size_t>(verdict.rank)];
  return "rank " + std::to_string(verdict.rank) + " is " + NameOf(verdict.fate) + ", " + Explain(verdict.fate) +
         ": host=" + name.host + " pid=" + std::to_string(name.pid) + " phase=" + options_.job +
         " step=" + std::to_string(verdict.last.step) + " activity=" + NameOf(verdict.last.activity) +
         " collective=" + std::to_string(verdict.last.collectives) +
         " seconds=" + std::to_string(std::chrono::duration<double>(verdict.since).count());
}

void RankWatch::HaveVerdict() {
  over_ = true;
  MutexLock lock(mutex_);
  has_verdict_ = true;
  changed_.notify_all();
}

void RankWatch::EndBy(const Verdict& verdict) {
  HaveVerdict();
  const int code = CodeOf(verdict.fate);
  const RankName& name = meeting_.names[static_cast<std::size_t>(verdict.rank)];
  const RankSign& sign = verdict.last;
  const double seconds = std::chrono::duration<double>(verdict.since).count();
  const char* verb = NameOf(sign.verb);
  LogError("rank_lost", {{"lost_rank", verdict.rank},
                         {"what", NameOf(verdict.fate)},
                         {"why", Explain(verdict.fate)},
                         {"host", name.host},
                         {"pid", name.pid},
                         {"phase", options_.job},
                         {"step", sign.step},
                         {"activity", NameOf(sign.activity)},
                         {"collective", sign.collectives},
                         {"verb", verb},
                         {"in_collective", sign.waiting},
                         {"seconds", seconds},
                         {"step_here", board_.Sign().step},
                         {"exit_code", code}});
  if (!leads()) {
    Tell({.kind = WatchFrame::Kind::kNamed, .rank = rank_, .sign = sign, .silent_ms = verdict.since.count()});
  }
  Leave(code, Describe(verdict));
}

void RankWatch::WarnOf(const Verdict& awaited) const {
  const RankName& name = meeting_.names[static_cast<std::size_t>(awaited.rank)];
  const double left = std::chrono::duration<double>(options_.limits.wait - awaited.since).count();
  LogWarning("rank_awaited", {{"awaited_rank", awaited.rank},
                              {"host", name.host},
                              {"pid", name.pid},
                              {"phase", options_.job},
                              {"step", awaited.last.step},
                              {"activity", NameOf(awaited.last.activity)},
                              {"collective", awaited.last.collectives},
                              {"seconds", std::chrono::duration<double>(awaited.since).count()},
                              {"next", "others wait for it; unless it moves the job ends in " +
                                           std::to_string(static_cast<long>(left)) + " s"}});
}

void RankWatch::EndAsNamed(const WatchFrame& word) {
  HaveVerdict();
  // Of a rank 0 whose connection lives nothing else can be said.
  const Verdict verdict{0, Fate::kStopped, std::chrono::milliseconds(word.silent_ms), word.sign};
  const int code = CodeOf(verdict.fate);
  LogWarning("named_lost", {{"by_rank", word.rank},
                            {"seconds", std::chrono::duration<double>(verdict.since).count()},
                            {"exit_code", code},
                            {"next", "this rank leaves too, and names nobody who has left"}});
  Leave(code, Describe(verdict) + " named_by_rank=" + std::to_string(word.rank));
}

void RankWatch::Leave(int code, const std::string& why) {
  if (leads()) {
    options_.report(code, why);
    Tell({.kind = WatchFrame::Kind::kLeave, .rank = rank_, .exit_code = code});
  }
  options_.leave(code);
}

}  // namespace ferment::worker
