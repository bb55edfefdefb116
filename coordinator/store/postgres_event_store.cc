// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/postgres_event_store.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "common/base/logging.h"
#include "common/base/mutex.h"
#include "coordinator/store/event_codec.h"
#include "coordinator/store/postgres_connection.h"
#include "coordinator/store/postgres_lead.h"
#include "coordinator/store/postgres_snapshot.h"

namespace ferment::coordinator {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Connection = std::unique_ptr<PostgresConnection>;

constexpr milliseconds kFirstPause{50};
constexpr milliseconds kLongestPause{2'000};
/// The session whose snapshot waits for a renewal is ended by the server after 4 s.
constexpr milliseconds kRenewalLimit{2'000};
constexpr int kRowsAtOnce = 5'000;

/// What is known of the log's last row; 0: there is none.
struct Row {
  std::int64_t sequence = 0;
  std::uint64_t term = 0;
};

/// The number of the term, or its parameter, follows.
constexpr const char* kRenewTerm =
    "UPDATE ferment_leader SET renewed = clock_timestamp(), backend = pg_backend_pid() WHERE term = ";

/// A renewal need not survive a power cut, so it waits for no disk.
std::string Renewal(std::uint64_t term) {
  return std::string("BEGIN; SET LOCAL synchronous_commit = off; ") + kRenewTerm + std::to_string(term) + "; COMMIT";
}

Status Fenced(std::uint64_t term, const std::string& latest) {
  return AbortedError("a newer coordinator owns the store: term=" + std::to_string(term) + " latest=" + latest)
      .WithExitCode(exit_code::kFenced);
}

/// Sleeps unless asked to stop. Returns: whether to go on.
bool Pause(milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

class PostgresEventStore final : public EventStore {
 public:
  explicit PostgresEventStore(PostgresStoreOptions options) : options_(std::move(options)) {}

  Status Prepare() {
    return Persist([this] { return MakePostgresTables(*connection_, options_.schema); });
  }

  Status AwaitLead() {
    bool said = false;
    while (term_ == 0) {
      std::string leader;
      FERMENT_RETURN_IF_ERROR(Persist([&]() -> Status {
        FERMENT_ASSIGN_OR_RETURN(const LeadTry result, TryToLead(*connection_, options_, heard_));
        leader = result.leader;
        term_ = result.term;
        return {};
      }));
      if (term_ != 0) break;
      if (!std::exchange(said, true) && options_.stands_by) options_.stands_by(leader);
      if (!Pause(options_.look_every, options_.stop)) return CancelledError("asked to stop while standing by");
    }
    renewed_ = steady_clock::now();
    return Persist([this]() -> Status {
      FERMENT_ASSIGN_OR_RETURN(
          const PostgresRows last,
          connection_->Query("SELECT sequence, term FROM ferment_event ORDER BY sequence DESC LIMIT 1"));
      last_ = last.size() == 0 ? Row{} : Row{last.Integer(0, 0), static_cast<std::uint64_t>(last.Integer(0, 1))};
      return {};
    });
  }

  std::uint64_t term() const override { return term_; }

  Status Append(std::span<const Event> events) override {
    if (events.empty()) return Confirm();
    const MutexLock lock(mutex_);
    if (!failed_.ok()) return failed_;
    EventArray batch;
    for (const Event& event : events) batch.Add(event);
    failed_ = Persist([&, bodies = batch.Text()] { return AppendOnce(bodies, batch.size()); });
    return failed_;
  }

  Status Replace(const std::function<Status(const EventSink&)>& write) override {
    const MutexLock lock(mutex_);
    if (!failed_.ok()) return failed_;
    failed_ = Persist([&] { return ReplaceOnce(write); });
    return failed_;
  }

  Status Confirm() override {
    const MutexLock lock(mutex_);
    if (!failed_.ok()) return failed_;
    failed_ = Persist([this] { return ConfirmOnce(); });
    return failed_;
  }

  Status Replay(const EventSink& visit) override {
    std::int64_t from = 0;
    while (true) {
      FERMENT_RETURN_IF_ERROR(Confirm());  // a long log must not look like silence
      std::vector<Event> events;
      FERMENT_RETURN_IF_ERROR(ReadSome(from, events));
      if (events.empty()) return {};
      for (const Event& event : events) FERMENT_RETURN_IF_ERROR(visit(event));
    }
  }

 private:
  /// Does it, and again in another session where one is lost, for as long as the patience lasts.
  Status Persist(const std::function<Status()>& act) {
    const auto begin = steady_clock::now();
    milliseconds pause = kFirstPause;
    while (true) {
      Status status = Connect();
      if (status.ok()) status = act();
      if (status.code() != StatusCode::kUnavailable) return status;
      const bool had_session = std::exchange(connection_, nullptr) != nullptr;
      if (steady_clock::now() - begin + pause > options_.patience) return status;
      if (had_session || pause == kFirstPause) {
        LogWarning("store.lost", {{"error", status.message()}, {"next", "connecting again, with pauses up to 2 s"}});
      }
      if (!Pause(pause, options_.stop)) return CancelledError("asked to stop while connecting to the store");
      pause = std::min(2 * pause, kLongestPause);
    }
  }

  Status Connect() {
    if (connection_ != nullptr) return {};
    FERMENT_ASSIGN_OR_RETURN(connection_,
                             PostgresConnection::Open(options_.address, options_.answer_limit, options_.watch));
    if (!std::exchange(connected_before_, true)) return {};
    heard_ = {};  // nobody could renew while the database was away
    LogInfo("store.connected_again", {{"term", term_}});
    if (options_.reconnected) options_.reconnected();
    return term_ == 0 ? Status() : HoldTerm(*connection_, term_);
  }

  /// One statement, so one transaction and one round trip: the leader's row is locked and compared, then the batch goes
  /// in. Where an earlier try was done and only its answer was lost, the last sequence says so; whether the replicas
  /// had it is for the renewed lead's commit, behind it, to wait for. The last row must be there: a database that was
  /// put back, or a replica that lagged, would get a log with a hole.
  Status AppendOnce(const std::string& bodies, std::int64_t count) {
    const std::string lead = std::string("WITH lead AS (") + kRenewTerm +
                             "$1 AND ($2::bigint = 0 OR EXISTS (SELECT FROM ferment_event WHERE sequence = $2 AND "
                             "ferment_event.term = $3)) RETURNING term) ";
    std::vector known{std::to_string(term_), std::to_string(last_.sequence), std::to_string(last_.term)};
    std::vector with_bodies = known;
    with_bodies.push_back(bodies);
    const auto answer = connection_->Query(lead +
                                               "INSERT INTO ferment_event SELECT $2::bigint + number, lead.term, body "
                                               "FROM lead, unnest($4::bytea[]) WITH ORDINALITY AS batch(body, number)",
                                           with_bodies);
    if (!answer && answer.error().code() == StatusCode::kAlreadyExists) {
      FERMENT_ASSIGN_OR_RETURN(
          const PostgresRows mine,
          connection_->Query(lead + "SELECT count(*) FROM ferment_event JOIN lead USING (term) WHERE sequence > $2",
                             known));
      if (mine.Integer(0, 0) != count) return Fenced(term_, "unknown");
    } else if (!answer) {
      return answer.error();
    } else if (answer->touched() != count) {
      return SayWhoLeads();
    }
    last_ = {last_.sequence + count, term_};
    renewed_ = steady_clock::now();
    return {};
  }

  /// One transaction, which takes the leader's row at its end, so that another session can renew it meanwhile. Where it
  /// was done and only the answer was lost, doing it again comes to the same.
  Status ReplaceOnce(const std::function<Status(const EventSink&)>& write) {
    FERMENT_RETURN_IF_ERROR(ConfirmOnce());
    std::int64_t last = 0;
    Connection renews;
    FERMENT_RETURN_IF_ERROR(connection_->Transact([&]() -> Status {
      FERMENT_ASSIGN_OR_RETURN(last, WriteSnapshot(*connection_, term_, last_.sequence, write, [&] { Renew(renews); }));
      FERMENT_ASSIGN_OR_RETURN(const PostgresRows lead,
                               connection_->Query(std::string(kRenewTerm) + "$1", std::vector{std::to_string(term_)}));
      return lead.touched() == 1 ? Status() : SayWhoLeads();
    }));
    last_ = last == last_.sequence ? Row{} : Row{last, term_};
    renewed_ = steady_clock::now();
    return {};
  }

  /// Where it is time, in a session beside ours. One that fails costs the lead at worst.
  void Renew(Connection& beside) {
    if (steady_clock::now() - renewed_ < options_.renew_every) return;
    renewed_ = steady_clock::now();
    if (beside == nullptr) {
      auto session = PostgresConnection::Open(options_.address, kRenewalLimit);
      if (session) beside = std::move(*session);
    }
    if (beside != nullptr && !beside->Query(Renewal(term_))) beside = nullptr;
  }

  Status ConfirmOnce() {
    const bool renew = steady_clock::now() - renewed_ >= options_.renew_every;
    const std::string ask = "SELECT term FROM ferment_leader WHERE term = " + std::to_string(term_);
    const auto answer = connection_->Query(renew ? Renewal(term_) + "; " + ask : ask);
    if (!answer) return answer.error();
    if (answer->size() != 1) return SayWhoLeads();
    if (renew) renewed_ = steady_clock::now();
    return {};
  }

  /// Requires: what this term may do touched nothing.
  Status SayWhoLeads() {
    FERMENT_ASSIGN_OR_RETURN(
        const PostgresRows row,
        connection_->Query("SELECT term, holder, (SELECT coalesce(max(sequence), 0) FROM ferment_event) "
                           "FROM ferment_leader"));
    if (row.size() != 1) return NotWhole(*connection_, "its row in ferment_leader");
    const std::string latest = row.Text(0, 0) + " leader=" + row.Text(0, 1);
    if (static_cast<std::uint64_t>(row.Integer(0, 0)) > term_) return Fenced(term_, latest);
    return FailedPreconditionError(
               "rows that this coordinator knows are gone: was the database restored while it ran, or a replica "
               "promoted that lagged? Stop all coordinators, then start them on what is there: expected=" +
               std::to_string(last_.sequence) + " last=" + row.Text(0, 2) + " term=" + std::to_string(term_) +
               " latest=" + latest + " " + connection_->where())
        .WithExitCode(exit_code::kUnreadableState);
  }

  /// Reads on behind the row `from`, and moves it. A snapshot begins behind the rows that it replaced, so the first row
  /// (`from` is 0) has any number.
  Status ReadSome(std::int64_t& from, std::vector<Event>& events) {
    const MutexLock lock(mutex_);
    return Persist([&]() -> Status {
      events.clear();
      FERMENT_ASSIGN_OR_RETURN(
          const PostgresRows rows,
          connection_->Query("SELECT body, convert_to(sequence::text, 'UTF8') FROM ferment_event WHERE sequence > $1 "
                             "ORDER BY sequence LIMIT $2",
                             std::vector{std::to_string(from), std::to_string(kRowsAtOnce)}, true));
      for (int i = 0; i < rows.size(); ++i) {
        const std::string number(rows.Bytes(i, 1));
        const std::int64_t sequence = std::stoll(number);
        if (from != 0 && sequence != from + 1) {
          return DataLossError("row " + std::to_string(from + 1) + " is missing; restore the database: next=" + number +
                               " " + connection_->where());
        }
        from = sequence;
        auto event = DecodeEvent(rows.Bytes(i, 0));
        if (!event) return event.error().With("the store's row " + number + " of " + connection_->where());
        events.push_back(std::move(*event));
      }
      return {};
    });
  }

  // constant after construction
  const PostgresStoreOptions options_;
  // set once, before anybody else has the store
  std::uint64_t term_ = 0;
  // under mutex_ from then on; Confirm may come from any thread
  Mutex mutex_;
  Connection connection_;
  bool connected_before_ = false;
  LeaderHeard heard_;
  Row last_;
  steady_clock::time_point renewed_;
  Status failed_;
};

}  // namespace

Result<std::unique_ptr<EventStore>> OpenPostgresEventStore(PostgresStoreOptions options) {
  auto store = std::make_unique<PostgresEventStore>(std::move(options));
  FERMENT_RETURN_IF_ERROR(store->Prepare());
  FERMENT_RETURN_IF_ERROR(store->AwaitLead());
  return store;
}

}  // namespace ferment::coordinator
