// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/sqlite_event_store.h"

#include <sqlite3.h>

#include <array>
#include <string>
#include <utility>

#include "common/base/logging.h"
#include "common/io/network_file_system.h"
#include "coordinator/store/event_codec.h"
#include "coordinator/store/schema_steps.h"

namespace ferment::coordinator {
namespace {

constexpr int kApplicationId = 0x66726D74;  // "frmt"
constexpr std::array<const char*, 1> kSteps = {
    "CREATE TABLE term (one INTEGER PRIMARY KEY CHECK (one = 1), value INTEGER NOT NULL) STRICT;"
    "CREATE TABLE event (sequence INTEGER PRIMARY KEY, term INTEGER NOT NULL, body BLOB NOT NULL) STRICT"};
constexpr auto kSchemaVersion = static_cast<std::int64_t>(kSteps.size());
/// Ends within a transaction. What the write-ahead log keeps of the disk after a snapshot went through it is 16 MiB.
constexpr const char* kSetUp =
    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
    "PRAGMA journal_size_limit=16777216;"
    "BEGIN IMMEDIATE";
constexpr const char* kNextTerm = "INSERT INTO term VALUES (1, 1) ON CONFLICT (one) DO UPDATE SET value = value + 1";

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

/// What a SQLite result code means to whoever runs the coordinator.
Status Describe(sqlite3* database, int code, const std::string& file, std::string_view doing) {
  const std::string what =
      std::string(doing) + ": " + (database != nullptr ? sqlite3_errmsg(database) : "no memory") + ": store=" + file;
  switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return AbortedError("another coordinator holds the store; stop it, or give this one another --store: " + what)
          .WithExitCode(exit_code::kFenced);
    case SQLITE_FULL:
    case SQLITE_IOERR:
      return InternalError("the store cannot be written; free space or check the disk, then start again: " + what)
          .WithExitCode(exit_code::kStorageFailed);
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return PermissionDeniedError("the store cannot be opened for writing; its folder must exist and be writable: " +
                                   what)
          .WithExitCode(exit_code::kCannotWrite);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return FailedPreconditionError("the store is damaged or no store at all; give another --store: " + what)
          .WithExitCode(exit_code::kUnreadableState);
    default:
      return InternalError(what);
  }
}

Status CheckFileSystem(const std::filesystem::path& file, bool may_be_on_network) {
  const std::string file_system = io::NetworkFileSystemOf(file);
  if (file_system.empty()) return {};
  if (may_be_on_network) {
    LogWarning("store.on_network_file_system",
               {{"store", file.string()},
                {"file_system", file_system},
                {"next", "what is acknowledged is as safe as its syncs and locks; one machine at a time"}});
    return {};
  }
  return InvalidArgumentError(
             "a SQLite store must not lie on a network file system, where two coordinators may both have it and syncs "
             "lose data; give --store a local disk, a block volume or a PostgreSQL; or --store-on-network, where one "
             "machine alone ever opens it: store=" +
             file.string() + " file_system=" + file_system)
      .WithExitCode(exit_code::kUsage);
}

class SqliteEventStore final : public EventStore {
 public:
  SqliteEventStore(Database database, std::string file) : database_(std::move(database)), file_(std::move(file)) {}

  Status Prepare() {
    FERMENT_RETURN_IF_ERROR(CheckOwner());
    FERMENT_RETURN_IF_ERROR(Execute(kSetUp, "setting up the store"));
    FERMENT_RETURN_IF_ERROR(Migrate());
    FERMENT_RETURN_IF_ERROR(Execute(kNextTerm, "setting up the store"));
    FERMENT_ASSIGN_OR_RETURN(const std::int64_t term, Integer("SELECT value FROM term"));
    FERMENT_RETURN_IF_ERROR(Execute("COMMIT", "setting up the store"));
    term_ = static_cast<std::uint64_t>(term);
    FERMENT_ASSIGN_OR_RETURN(begin_, Compile("BEGIN IMMEDIATE"));
    FERMENT_ASSIGN_OR_RETURN(latest_, Compile("SELECT value FROM term"));
    FERMENT_ASSIGN_OR_RETURN(insert_, Compile("INSERT INTO event (term, body) VALUES (?, ?)"));
    FERMENT_ASSIGN_OR_RETURN(commit_, Compile("COMMIT"));
    return {};
  }

  std::uint64_t term() const override { return term_; }

  Status Append(std::span<const Event> events) override {
    if (!failed_.ok()) return failed_;
    Status status = AppendAll(events);
    if (!status.ok()) {
      failed_ = status;
      sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    }
    return status;
  }

  /// The file is locked for as long as this process lives.
  Status Confirm() override { return {}; }

  Status Replace(const std::function<Status(const EventSink&)>& write) override {
    if (!failed_.ok()) return failed_;
    Status status = ReplaceAll(write);
    if (!status.ok()) {
      failed_ = status;
      sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    }
    return status;
  }

  Status Replay(const EventSink& visit) override {
    FERMENT_ASSIGN_OR_RETURN(Statement statement, Compile("SELECT sequence, body FROM event ORDER BY sequence"));
    int code = SQLITE_ROW;
    std::int64_t previous = 0;  // a snapshot begins at 1 again
    while ((code = sqlite3_step(statement.get())) == SQLITE_ROW) {
      const std::int64_t sequence = sqlite3_column_int64(statement.get(), 0);
      if (sequence != previous + 1) {
        return DataLossError("row " + std::to_string(previous + 1) +
                             " is missing; restore the file: next=" + std::to_string(sequence))
            .With("store " + file_);
      }
      previous = sequence;
      const auto* body = static_cast<const char*>(sqlite3_column_blob(statement.get(), 1));
      const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement.get(), 1));
      const auto event = DecodeEvent({body, size});
      if (!event) return event.error().With("store " + file_ + ", row " + std::to_string(sequence));
      FERMENT_RETURN_IF_ERROR(visit(*event));
    }
    return code == SQLITE_DONE ? Status() : Describe(database_.get(), code, file_, "reading the log");
  }

 private:
  Status CheckOwner() {
    FERMENT_ASSIGN_OR_RETURN(const std::int64_t owner, Integer("PRAGMA application_id"));
    FERMENT_ASSIGN_OR_RETURN(const std::int64_t version, Integer("PRAGMA user_version"));
    FERMENT_ASSIGN_OR_RETURN(const std::int64_t tables, Integer("SELECT count(*) FROM sqlite_master"));
    const bool fresh = owner == 0 && version == 0 && tables == 0;
    const bool ours = owner == kApplicationId && version > 0;
    if (!fresh && !ours) {
      return FailedPreconditionError("this SQLite file belongs to another program; give another --store: store=" +
                                     file_)
          .WithExitCode(exit_code::kUnreadableState);
    }
    return CheckVersion(kSteps, version, "store=" + file_);
  }

  /// Within the transaction of the new term: the file is of its former version, or of this one and all of it.
  Status Migrate() {
    // Another may have had the file since it was looked at.
    FERMENT_RETURN_IF_ERROR(CheckOwner());
    FERMENT_ASSIGN_OR_RETURN(const std::int64_t version, Integer("PRAGMA user_version"));
    if (version == kSchemaVersion) return {};
    FERMENT_RETURN_IF_ERROR(
        TakeSteps(kSteps, version, [this](const std::string& sql) { return Execute(sql, "a step"); }));
    return Execute("PRAGMA application_id=" + std::to_string(kApplicationId) +
                       "; PRAGMA user_version=" + std::to_string(kSchemaVersion),
                   "migrating the store");
  }

  Status AppendAll(std::span<const Event> events) {
    FERMENT_RETURN_IF_ERROR(Begin());
    for (const Event& event : events) FERMENT_RETURN_IF_ERROR(Insert(event));
    return Step(commit_, SQLITE_DONE);
  }

  /// The pages of the old rows are used again by the next ones; the file does not shrink.
  Status ReplaceAll(const std::function<Status(const EventSink&)>& write) {
    FERMENT_RETURN_IF_ERROR(Begin());
    FERMENT_RETURN_IF_ERROR(Execute("DELETE FROM event", "replacing the log"));
    FERMENT_RETURN_IF_ERROR(write([this](const Event& event) { return Insert(event); }));
    return Step(commit_, SQLITE_DONE);
  }

  /// A transaction of this term.
  Status Begin() {
    FERMENT_RETURN_IF_ERROR(Step(begin_, SQLITE_DONE));
    FERMENT_RETURN_IF_ERROR(Step(latest_, SQLITE_ROW));
    const std::int64_t latest = sqlite3_column_int64(latest_.get(), 0);
    sqlite3_reset(latest_.get());
    if (static_cast<std::uint64_t>(latest) == term_) return {};
    return AbortedError("a newer coordinator owns the store: store=" + file_ + " term=" + std::to_string(term_) +
                        " latest=" + std::to_string(latest))
        .WithExitCode(exit_code::kFenced);
  }

  Status Insert(const Event& event) {
    const std::string body = EncodeEvent(event);
    sqlite3_bind_int64(insert_.get(), 1, static_cast<std::int64_t>(term_));
    sqlite3_bind_blob64(insert_.get(), 2, body.data(), body.size(), SQLITE_STATIC);
    return Step(insert_, SQLITE_DONE);
  }

  /// Runs a statement to its one row, which stays to be read, or to its end.
  Status Step(const Statement& statement, int expected) {
    const int code = sqlite3_step(statement.get());
    if (code != expected) {
      Status status = Describe(database_.get(), code, file_, "appending to the log");
      sqlite3_reset(statement.get());
      return status;
    }
    if (code == SQLITE_DONE) sqlite3_reset(statement.get());
    return {};
  }

  Status Execute(const std::string& sql, std::string_view doing) {
    const int code = sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr);
    return code == SQLITE_OK ? Status() : Describe(database_.get(), code, file_, doing);
  }

  Result<Statement> Compile(const char* sql) {
    sqlite3_stmt* raw = nullptr;
    const int code = sqlite3_prepare_v2(database_.get(), sql, -1, &raw, nullptr);
    if (code != SQLITE_OK) return Fail(Describe(database_.get(), code, file_, sql));
    return Statement(raw);
  }

  Result<std::int64_t> Integer(const char* sql) {
    FERMENT_ASSIGN_OR_RETURN(Statement statement, Compile(sql));
    const int code = sqlite3_step(statement.get());
    if (code != SQLITE_ROW) return Fail(Describe(database_.get(), code, file_, sql));
    return sqlite3_column_int64(statement.get(), 0);
  }

  Database database_;
  std::string file_;
  std::uint64_t term_ = 0;
  Status failed_;
  // What every append runs, compiled once.
  Statement begin_;
  Statement latest_;
  Statement insert_;
  Statement commit_;
};

}  // namespace

Result<std::unique_ptr<EventStore>> OpenSqliteEventStore(const std::filesystem::path& file, bool may_be_on_network) {
  FERMENT_RETURN_IF_ERROR(CheckFileSystem(file, may_be_on_network));
  sqlite3* raw = nullptr;
  const int code =
      sqlite3_open_v2(file.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  Database database(raw);
  if (code != SQLITE_OK) return Fail(Describe(raw, code, file.string(), "opening"));
  auto store = std::make_unique<SqliteEventStore>(std::move(database), file.string());
  FERMENT_RETURN_IF_ERROR(store->Prepare());
  return store;
}

}  // namespace ferment::coordinator
