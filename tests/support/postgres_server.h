// SPDX-License-Identifier: Apache-2.0
//
// A PostgreSQL server of the test's own: a fresh cluster in a temporary folder, on a unix socket alone.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>

namespace ferment::testing {

/// Runs as the user postgres where the test is root (the server refuses root). Ends with the object.
class PostgresServer {
 public:
  static bool Installed();
  /// Returns: nullptr where PostgreSQL 15 is not installed.
  static std::unique_ptr<PostgresServer> Start();
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  /// Returns: the address of an empty database.
  std::string FreshDatabase();
  /// Stops the server at once, as a crash does, and starts it on the same files.
  void Stop();
  void StartAgain();

 private:
  explicit PostgresServer(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::filesystem::path folder_;
  pid_t server_ = 0;
  int databases_ = 0;
};

/// Runs SQL in a session of its own. Returns: the first value of the answer, "" where there is none.
std::string RunSql(const std::string& address, const std::string& sql);

}  // namespace ferment::testing
