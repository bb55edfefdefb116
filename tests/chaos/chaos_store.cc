// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/chaos_store.h"

#include <libpq-fe.h>
#include <sqlite3.h>

#include <memory>
#include <string>

namespace ferment::chaos {
namespace {

namespace fs = std::filesystem;
constexpr char kQuery[] = "SELECT sequence, term, body FROM ";

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGresult* result) const { PQclear(result); }
};

/// The file and its write-ahead log beside each other under another name, for as long as the object lives.
class StoreCopy {
 public:
  explicit StoreCopy(const fs::path& file) : file_(file.string() + ".copy") {
    std::error_code missing;
    for (const char* tail : {"", "-wal"}) {
      fs::remove(file_.string() + tail, missing);
      fs::copy_file(file.string() + tail, file_.string() + tail, missing);
    }
  }
  ~StoreCopy() {
    std::error_code missing;
    for (const char* tail : {"", "-wal", "-shm"}) fs::remove(file_.string() + tail, missing);
  }
  StoreCopy(const StoreCopy&) = delete;
  StoreCopy& operator=(const StoreCopy&) = delete;
  const fs::path& file() const { return file_; }

 private:
  const fs::path file_;
};

/// A copy of a SQLite file, opened.
class SqliteCopy {
 public:
  explicit SqliteCopy(const fs::path& file) : file_(file), copy_(file) {
    sqlite3* opened = nullptr;
    good_ = sqlite3_open_v2(copy_.file().c_str(), &opened, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK;
    database_.reset(opened);
  }

  Result<std::vector<StoredRow>> Rows(const std::string& table) const {
    sqlite3_stmt* prepared = nullptr;
    const std::string sql = std::string(kQuery) + table + " ORDER BY sequence";
    if (!good_ || sqlite3_prepare_v2(database_.get(), sql.c_str(), -1, &prepared, nullptr) != SQLITE_OK) {
      return Fail(Damaged());
    }
    const std::unique_ptr<sqlite3_stmt, CloseDatabase> statement(prepared);
    std::vector<StoredRow> rows;
    int step = SQLITE_ROW;
    while ((step = sqlite3_step(prepared)) == SQLITE_ROW) {
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(prepared, 2));
      const auto size = static_cast<std::size_t>(sqlite3_column_bytes(prepared, 2));
      rows.push_back({sqlite3_column_int64(prepared, 0), static_cast<std::uint64_t>(sqlite3_column_int64(prepared, 1)),
                      std::string(bytes == nullptr ? "" : bytes, size)});
    }
    if (step != SQLITE_DONE) return Fail(Damaged());
    return rows;
  }

 private:
  Status Damaged() const {
    return DataLossError("the store cannot be read: file=" + file_.string() +
                         " error=" + sqlite3_errmsg(database_.get()));
  }

  const fs::path file_;
  const StoreCopy copy_;
  std::unique_ptr<sqlite3, CloseDatabase> database_;
  bool good_ = false;
};

/// A session with PostgreSQL.
class PostgresSession {
 public:
  explicit PostgresSession(const std::string& address) : connection_(PQconnectdb(address.c_str())) {}

  Status Execute(const std::string& sql) const {
    const std::unique_ptr<PGresult, CloseDatabase> answer(PQexec(connection_.get(), sql.c_str()));
    const ExecStatusType status = PQresultStatus(answer.get());
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? Status() : Silent();
  }
  Result<std::vector<StoredRow>> Rows(const std::string& table) const {
    FERMENT_ASSIGN_OR_RETURN(const auto answer, Binary(std::string(kQuery) + table + " ORDER BY sequence"));
    std::vector<StoredRow> rows;
    for (int row = 0; row < PQntuples(answer.get()); ++row) {
      rows.push_back(
          {static_cast<std::int64_t>(Integer(answer.get(), row, 0)), Integer(answer.get(), row, 1),
           std::string(PQgetvalue(answer.get(), row, 2), static_cast<std::size_t>(PQgetlength(answer.get(), row, 2)))});
    }
    return rows;
  }
  Result<std::uint64_t> Number(const std::string& sql) const {
    FERMENT_ASSIGN_OR_RETURN(const auto answer, Binary(sql));
    return Integer(answer.get(), 0, 0);
  }

 private:
  using Answer = std::unique_ptr<PGresult, CloseDatabase>;

  Status Silent() const {
    return UnavailableError(std::string("the store does not answer: error=") + PQerrorMessage(connection_.get()));
  }
  Result<Answer> Binary(const std::string& sql) const {
    Answer answer(PQexecParams(connection_.get(), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 1));
    if (PQresultStatus(answer.get()) != PGRES_TUPLES_OK) return Fail(Silent());
    return answer;
  }
  static std::uint64_t Integer(const PGresult* answer, int row, int column) {
    std::uint64_t value = 0;
    const char* bytes = PQgetvalue(answer, row, column);
    for (int i = 0; i < PQgetlength(answer, row, column); ++i) {
      value = value << 8U | static_cast<unsigned char>(bytes[i]);
    }
    return value;
  }

  const std::unique_ptr<PGconn, CloseDatabase> connection_;
};

constexpr char kKeepSqlite[] =
    "CREATE TABLE kept_event (sequence INTEGER PRIMARY KEY AUTOINCREMENT, term INTEGER NOT NULL, body BLOB NOT NULL);"
    "INSERT INTO kept_event (term, body) SELECT term, body FROM event ORDER BY sequence;"
    "CREATE TRIGGER keep_event AFTER INSERT ON event BEGIN "
    "INSERT INTO kept_event (term, body) VALUES (NEW.term, NEW.body); END;";
constexpr char kKeepPostgres[] =
    "BEGIN;"
    "CREATE TABLE kept_event (sequence bigserial PRIMARY KEY, term bigint NOT NULL, body bytea NOT NULL);"
    "INSERT INTO kept_event (term, body) SELECT term, body FROM ferment_event ORDER BY sequence;"
    "CREATE FUNCTION keep_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "INSERT INTO kept_event (term, body) VALUES (NEW.term, NEW.body); RETURN NEW; END $$;"
    "CREATE TRIGGER keep_event AFTER INSERT ON ferment_event FOR EACH ROW EXECUTE FUNCTION keep_event();"
    "COMMIT";

}  // namespace

Result<std::vector<StoredRow>> ReadStore(const StoreAddress& address) {
  if (address.postgres.empty()) return SqliteCopy(address.sqlite).Rows("event");
  return PostgresSession(address.postgres).Rows("ferment_event");
}

Status KeepEveryRow(const StoreAddress& address) {
  if (!address.postgres.empty()) return PostgresSession(address.postgres).Execute(kKeepPostgres);
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(address.sqlite.c_str(), &opened, SQLITE_OPEN_READWRITE, nullptr);
  const std::unique_ptr<sqlite3, CloseDatabase> database(opened);
  if (code == SQLITE_OK && sqlite3_exec(opened, kKeepSqlite, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return InternalError(std::string("the store cannot be made to keep its rows: error=") + sqlite3_errmsg(opened));
}

Result<KeptStore> ReadKeptStore(const StoreAddress& address) {
  const auto both = [](const auto& store, const char* present) -> Result<KeptStore> {
    KeptStore kept;
    FERMENT_ASSIGN_OR_RETURN(kept.all, store.Rows("kept_event"));
    FERMENT_ASSIGN_OR_RETURN(kept.present, store.Rows(present));
    // A transaction that was undone has used up its numbers.
    for (std::size_t i = 0; i < kept.all.size(); ++i) kept.all[i].sequence = static_cast<std::int64_t>(i) + 1;
    return kept;
  };
  if (address.postgres.empty()) return both(SqliteCopy(address.sqlite), "event");
  const PostgresSession session(address.postgres);
  FERMENT_RETURN_IF_ERROR(session.Execute("BEGIN ISOLATION LEVEL REPEATABLE READ"));
  return both(session, "ferment_event");
}

std::optional<double> StoreBytes(const StoreAddress& address) {
  if (!address.postgres.empty()) {
    const auto bytes = PostgresSession(address.postgres).Number("SELECT pg_total_relation_size('ferment_event')");
    return bytes ? std::optional(static_cast<double>(*bytes)) : std::nullopt;
  }
  double bytes = 0;
  for (const char* tail : {"", "-wal"}) {
    std::error_code missing;
    const std::uintmax_t size = fs::file_size(address.sqlite.string() + tail, missing);
    if (!missing) bytes += static_cast<double>(size);
  }
  return bytes;
}

}  // namespace ferment::chaos
