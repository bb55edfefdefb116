// SPDX-License-Identifier: Apache-2.0
#include "tests/support/postgres_server.h"

#include <grp.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <vector>

namespace ferment::testing {
namespace {

const std::filesystem::path kPrograms = "/usr/lib/postgresql/15/bin";

/// Starts a program without root's rights, its output in `log`.
pid_t Spawn(std::vector<std::string> words, const std::filesystem::path& log) {
  const pid_t child = fork();
  if (child != 0) return child;
  if (geteuid() == 0) {
    const passwd* user = getpwnam("postgres");
    if (user == nullptr || setgroups(0, nullptr) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
      _exit(1);
  }
  if (freopen(log.c_str(), "a", stdout) == nullptr || dup2(STDOUT_FILENO, STDERR_FILENO) < 0) _exit(1);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(1);
}

int Wait(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

bool PostgresServer::Installed() { return std::filesystem::exists(kPrograms / "postgres"); }

std::unique_ptr<PostgresServer> PostgresServer::Start() {
  if (!Installed()) return nullptr;
  // Not the test's own folder: a path of a unix socket has room for 107 characters, and another user must reach it.
  std::string folder = "/tmp/ferment-pg-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return nullptr;
  if (geteuid() == 0) {
    const passwd* user = getpwnam("postgres");
    if (user == nullptr || chown(folder.c_str(), user->pw_uid, user->pw_gid) != 0) return nullptr;
  }
  std::unique_ptr<PostgresServer> server(new PostgresServer(folder));
  const int made = Wait(Spawn({kPrograms / "initdb", "-D", server->folder_ / "data", "-U", "ferment", "-A", "trust",
                               "-E", "UTF8", "--locale=C.UTF-8"},
                              server->folder_ / "initdb.log"));
  EXPECT_EQ(made, 0) << "see " << folder << "/initdb.log";
  server->StartAgain();
  return server;
}

PostgresServer::~PostgresServer() {
  Stop();
  if (!::testing::Test::HasFailure()) std::filesystem::remove_all(folder_);
}

void PostgresServer::Stop() {
  if (server_ == 0) return;
  kill(server_, SIGQUIT);
  Wait(server_);
  server_ = 0;
}

void PostgresServer::StartAgain() {
  // No test cuts the power, and without syncs a start after a crash does not go through all files of all databases.
  server_ = Spawn({kPrograms / "postgres", "-D", folder_ / "data", "-c", "listen_addresses=", "-c", "fsync=off", "-c",
                   "unix_socket_directories=" + folder_.string()},
                  folder_ / "server.log");
  const std::string address = "postgresql://ferment@/postgres?host=" + folder_.string();
  for (int i = 0; i < 600 && PQping(address.c_str()) != PQPING_OK; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(PQping(address.c_str()), PQPING_OK) << "see " << folder_ << "/server.log";
}

std::string PostgresServer::FreshDatabase() {
  const std::string name = "fresh" + std::to_string(++databases_);
  const std::string tail = "?host=" + folder_.string();
  RunSql("postgresql://ferment@/postgres" + tail, "CREATE DATABASE " + name);
  return "postgresql://ferment@/" + name + tail;
}

std::string RunSql(const std::string& address, const std::string& sql) {
  PGconn* connection = PQconnectdb(address.c_str());
  PGresult* answer = PQexec(connection, sql.c_str());
  const ExecStatusType status = PQresultStatus(answer);
  EXPECT_TRUE(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) << sql << ": " << PQerrorMessage(connection);
  std::string value;
  if (status == PGRES_TUPLES_OK && PQntuples(answer) > 0) value = PQgetvalue(answer, 0, 0);
  PQclear(answer);
  PQfinish(connection);
  return value;
}

}  // namespace ferment::testing
