// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/chaos_store.h"

#include <libpq-fe.h>
#include <sqlite3.h>

#include <memory>

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

Result<std::vector<StoredRow>> ReadSqlite(const fs::path& file) {
  const StoreCopy copy(file);
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(copy.file().c_str(), &opened, SQLITE_OPEN_READWRITE, nullptr);
  const std::unique_ptr<sqlite3, CloseDatabase> database(opened);
  const auto damaged = [&] {
    return DataLossError("the store cannot be read: file=" + file.string() + " error=" + sqlite3_errmsg(opened));
  };
  if (code != SQLITE_OK) return Fail(damaged());
  sqlite3_stmt* prepared = nullptr;
  const std::string sql = std::string(kQuery) + "event ORDER BY sequence";
  if (sqlite3_prepare_v2(opened, sql.c_str(), -1, &prepared, nullptr) != SQLITE_OK) return Fail(damaged());
  const std::unique_ptr<sqlite3_stmt, CloseDatabase> statement(prepared);
  std::vector<StoredRow> rows;
  int step = SQLITE_ROW;
  while ((step = sqlite3_step(prepared)) == SQLITE_ROW) {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(prepared, 2));
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(prepared, 2));
    rows.push_back({sqlite3_column_int64(prepared, 0), static_cast<std::uint64_t>(sqlite3_column_int64(prepared, 1)),
                    std::string(bytes == nullptr ? "" : bytes, size)});
  }
  if (step != SQLITE_DONE) return Fail(damaged());
  return rows;
}

Result<std::vector<StoredRow>> ReadPostgres(const std::string& address) {
  const std::unique_ptr<PGconn, CloseDatabase> connection(PQconnectdb(address.c_str()));
  const std::string sql = std::string(kQuery) + "ferment_event ORDER BY sequence";
  const std::unique_ptr<PGresult, CloseDatabase> answer(
      PQexecParams(connection.get(), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, /*resultFormat=*/1));
  if (PQresultStatus(answer.get()) != PGRES_TUPLES_OK) {
    return Fail(UnavailableError(std::string("the store does not answer: error=") + PQerrorMessage(connection.get())));
  }
  const auto integer = [&](int row, int column) {
    std::uint64_t value = 0;
    const char* bytes = PQgetvalue(answer.get(), row, column);
    for (int i = 0; i < PQgetlength(answer.get(), row, column); ++i) {
      value = value << 8U | static_cast<unsigned char>(bytes[i]);
    }
    return value;
  };
  std::vector<StoredRow> rows;
  for (int row = 0; row < PQntuples(answer.get()); ++row) {
    rows.push_back(
        {static_cast<std::int64_t>(integer(row, 0)), integer(row, 1),
         std::string(PQgetvalue(answer.get(), row, 2), static_cast<std::size_t>(PQgetlength(answer.get(), row, 2)))});
  }
  return rows;
}

}  // namespace

Result<std::vector<StoredRow>> ReadStore(const StoreAddress& address) {
  return address.postgres.empty() ? ReadSqlite(address.sqlite) : ReadPostgres(address.postgres);
}

}  // namespace ferment::chaos
