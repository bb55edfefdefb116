// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/store/postgres_connection.h"
#include "tests/coordinator/store/postgres_store_fixture.h"

namespace ferment::testing {
namespace {

using coordinator::Event;
using coordinator::OpenPostgresEventStore;
using coordinator::PostgresConnection;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// A server without TLS, as far as one that wants TLS gets.
class ServerWithoutTls {
 public:
  ServerWithoutTls() {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(any);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&any), size), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&any), &size);
    address_ = "postgresql://ferment@127.0.0.1:" + std::to_string(ntohs(any.sin_port)) + "/base?sslmode=require";
    thread_ = std::thread([this] { Serve(); });
  }
  ~ServerWithoutTls() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  const std::string& address() const { return address_; }

 private:
  void Serve() const {
    for (int client = 0; (client = accept(listener_, nullptr, nullptr)) >= 0; close(client)) {
      std::array<char, 8> request{};
      if (recv(client, request.data(), request.size(), MSG_WAITALL) == 8) (void)send(client, "N", 1, MSG_NOSIGNAL);
    }
  }
  int listener_ = socket(AF_INET, SOCK_STREAM, 0);
  std::string address_;
  std::thread thread_;
};

class PostgresRefusals : public PostgresStoreFixture {
 protected:
  /// What is final is told before a second try. Returns: its words.
  static std::string FinalWords(const std::string& address, int exit_code) {
    const auto begin = steady_clock::now();
    auto options = Options(address);
    options.patience = seconds(5);
    const auto store = OpenPostgresEventStore(options);
    EXPECT_LT(steady_clock::now() - begin, seconds(4)) << address;
    if (store) return "";
    EXPECT_EQ(ProcessExitCode(store.error()), exit_code) << store.error().ToString();
    return std::string(store.error().message());
  }
  void MakeRole(const std::string& name, const std::string& rights) {
    RunSql(address_,
           "DO $$ BEGIN CREATE ROLE " + name + " " + rights + "; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
  }
  std::string Database() { return RunSql(address_, "SELECT current_database()"); }
};

TEST_F(PostgresRefusals, AWrongSettingIsWrongUsageAtOnce) {
  EXPECT_THAT(FinalWords(address_ + "&options=-cfoo%3Dbar", exit_code::kUsage), HasSubstr("parameter \"foo\""));
  EXPECT_THAT(FinalWords(address_ + "&options=-cwork_mem%3Dmuch", exit_code::kUsage), HasSubstr("\"work_mem\""));
  const ServerWithoutTls server;
  EXPECT_THAT(FinalWords(server.address(), exit_code::kUsage), HasSubstr("server does not support SSL"));
}

TEST_F(PostgresRefusals, WhoMayNotConnectOrLogInIsToldSoAtOnce) {
  MakeRole("stranger", "LOGIN");
  RunSql(address_, "REVOKE CONNECT ON DATABASE " + Database() + " FROM PUBLIC");
  EXPECT_THAT(FinalWords(address_ + "&user=stranger", exit_code::kNotAllowed),
              AllOf(HasSubstr("refuses the coordinator"), HasSubstr("permission denied for database")));
  MakeRole("group_of_some", "NOLOGIN");
  EXPECT_THAT(FinalWords(address_ + "&user=group_of_some", exit_code::kNotAllowed),
              HasSubstr("is not permitted to log in"));
}

TEST_F(PostgresRefusals, WhereNoSchemaCanBeUsedTheRightsThatAreMissingAreNamed) {
  EXPECT_THAT(FinalWords(address_ + "&options=-csearch_path%3Dnowhere", exit_code::kNotAllowed),
              AllOf(HasSubstr("USAGE and CREATE on its schema"), HasSubstr("search_path")));
}

TEST_F(PostgresRefusals, AReadOnlyServerIsWaitedForAndToldAsThat) {
  auto options = Options(address_ + "&options=-cdefault_transaction_read_only%3Don");
  options.patience = milliseconds(200);
  const auto store = OpenPostgresEventStore(options);
  ASSERT_FALSE(store);
  EXPECT_EQ(ProcessExitCode(store.error()), exit_code::kMissingService);
  EXPECT_THAT(std::string(store.error().message()), AllOf(HasSubstr("is read-only"), Not(HasSubstr("lost"))));
}

TEST_F(PostgresRefusals, ARowThatCannotBeReadIsNamedWithItsDatabase) {
  const auto store = Open(Options(address_));
  RunSql(address_, "INSERT INTO ferment_event VALUES (100, 1, '')");
  const Status status = store->Replay([](const Event&) { return Status(); });
  EXPECT_EQ(ProcessExitCode(status), 65) << "nobody writes an empty one, a newer version neither";
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("row 100 of "), HasSubstr("database=" + Database()), HasSubstr("not an event")));
}

TEST_F(PostgresRefusals, WhatTheServerSaysUnaskedIsALineOfTheLogAndNotEndless) {
  // It warns who connects of a version of collations that the locale does not have.
  RunSql(address_, "UPDATE pg_database SET datcollversion = '0' WHERE datname = current_database()");
  ::testing::internal::CaptureStderr();
  {
    const auto session = PostgresConnection::Open(address_, seconds(10));
    EXPECT_TRUE(session);
    EXPECT_TRUE((*session)->Query("DO $$ BEGIN FOR i IN 1..50 LOOP RAISE WARNING 'it is %', i; END LOOP; END $$"));
    EXPECT_TRUE((*session)->Query("DO $$ BEGIN RAISE WARNING '%', repeat('long ', 10000); END $$"));
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT("\n" + log, Not(HasSubstr("\nWARNING"))) << "a raw line";
  EXPECT_THAT(log, HasSubstr("store.notice"));
  EXPECT_THAT(log, HasSubstr("collation version"));
  EXPECT_THAT(log, HasSubstr("it is 3"));
  EXPECT_LT(log.size(), 10'000U) << log;
}

}  // namespace
}  // namespace ferment::testing
