// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/postgres_lead.h"

#include <gmock/gmock.h>

#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "tests/coordinator/store/postgres_store_fixture.h"

namespace ferment::testing {
namespace {

using coordinator::EventStore;
using coordinator::OpenPostgresEventStore;
using coordinator::PostgresStoreOptions;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

class PostgresLead : public PostgresStoreFixture {
 protected:
  std::string Sql(const std::string& sql) const { return RunSql(address_, sql); }
  /// One that gives up when it has found another that leads.
  PostgresStoreOptions Impatient(const std::string& address) {
    auto options = Options(address, "impatient");
    options.stop = stop_.get_token();
    options.stands_by = [this](const std::string&) { stop_.request_stop(); };
    return options;
  }
  /// Returns: how it ends; OK: it leads.
  static Status EndOf(const PostgresStoreOptions& options) {
    const auto store = OpenPostgresEventStore(options);
    return store ? Status() : store.error();
  }
  std::stop_source stop_;
};

TEST_F(PostgresLead, ADatabaseWhoseRowOfTheLeaderIsGoneIsRefusedByName) {
  for (const char* table : {"ferment_leader", "ferment_schema, ferment_leader"}) {
    SCOPED_TRACE(table);
    address_ = TheServer()->FreshDatabase();
    const std::string database = "database=" + Sql("SELECT current_database()");
    const auto leads = Open(Options(address_, "first"));
    auto options = Options(address_, "second");
    options.stands_by = [&](const std::string&) { Sql("TRUNCATE " + std::string(table)); };
    const auto stands_by = OpenPostgresEventStore(options);
    ASSERT_FALSE(stands_by);
    EXPECT_EQ(ProcessExitCode(stands_by.error()), exit_code::kUnreadableState) << stands_by.error().ToString();
    EXPECT_THAT(std::string(stands_by.error().message()), HasSubstr(database));
    const Status status = leads->Append(std::vector{Numbered(1)});
    EXPECT_EQ(ProcessExitCode(status), exit_code::kUnreadableState) << status.ToString();
    EXPECT_THAT(std::string(status.message()), HasSubstr(database));
  }
}

TEST_F(PostgresLead, AVersionThatIsGoneWhileAnotherStandsByIsRefused) {
  const auto leads = Open(Options(address_, "first"));
  auto options = Options(address_, "second");
  options.stands_by = [&](const std::string&) { Sql("DELETE FROM ferment_schema"); };
  const auto stands_by = OpenPostgresEventStore(options);
  ASSERT_FALSE(stands_by);
  EXPECT_EQ(ProcessExitCode(stands_by.error()), exit_code::kUnreadableState) << stands_by.error().ToString();
}

TEST_F(PostgresLead, StoresInTwoSchemasOfADatabaseDoNotKnowEachOther) {
  Sql("CREATE SCHEMA one; CREATE SCHEMA other");
  const auto one = Open(Options(address_ + "&options=-csearch_path%3Done", "one"));
  const auto other = OpenPostgresEventStore(Impatient(address_ + "&options=-csearch_path%3Dother"));
  ASSERT_TRUE(other) << other.error().ToString();
  EXPECT_EQ((*other)->term(), one->term());
  EXPECT_TRUE(one->Append(std::vector{Numbered(1)}).ok());
  EXPECT_EQ(CountOf(**other), 0);
  EXPECT_EQ(EndOf(Impatient(address_ + "&options=-csearch_path%3Done")).code(), StatusCode::kCancelled);
}

TEST_F(PostgresLead, ASilentLeaderIsReplacedThoughTheDatabasesClockWasSetBack) {
  const auto first = Open(Options(address_, "first"));
  Sql("UPDATE ferment_leader SET renewed = clock_timestamp() + interval '1 hour'");
  auto options = Options(address_, "second");
  options.silence = milliseconds(200);
  std::stop_source stop;
  options.stop = stop.get_token();
  const std::jthread gives_up([&](const std::stop_token& done) {
    for (int i = 0; i < 300 && !done.stop_requested(); ++i) std::this_thread::sleep_for(milliseconds(50));
    stop.request_stop();
  });
  EXPECT_TRUE(OpenPostgresEventStore(options));
}

TEST_F(PostgresLead, ALeaderKeepsTheLeadThoughTheDatabasesClockLeaps) {
  const auto first = Open(Options(address_, "first"));
  Sql("UPDATE ferment_leader SET renewed = clock_timestamp() - interval '1 hour'");
  EXPECT_EQ(EndOf(Impatient(address_)).code(), StatusCode::kCancelled);
  EXPECT_TRUE(first->Append(std::vector{Numbered(1)}).ok());
}

TEST_F(PostgresLead, ALeaderThatIsHeardIsNotReplaced) {
  const auto first = Open(Options(address_, "first"));
  auto options = Options(address_, "second");
  options.silence = milliseconds(2'000);
  std::stop_source stop;
  options.stop = stop.get_token();
  Status ended;
  std::jthread stands_by([&] { ended = EndOf(options); });
  for (std::uint32_t i = 1; i <= 30; ++i) {
    EXPECT_TRUE(first->Append(std::vector{Numbered(i)}).ok());
    std::this_thread::sleep_for(milliseconds(100));
  }
  stop.request_stop();
  stands_by.join();
  EXPECT_EQ(ended.code(), StatusCode::kCancelled) << ended.ToString();
}

}  // namespace
}  // namespace ferment::testing
