// SPDX-License-Identifier: Apache-2.0
#include <hiredis/hiredis.h>
#include <libpq-fe.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/load.h"

// The lease and commit cycle as a good user of PostgreSQL or Redis would build it: a table of shards taken with SKIP
// LOCKED, or two sets and a hash behind scripts; every step durable, epochs compared, one connection a client.
namespace ferment::bench {
namespace {

struct Options {
  std::string postgres;
  int redis = 0;
  std::string mode = "cycle";
  int batch = 1;
  std::uint64_t shards = 100'000;
  LoadOptions load;
};

/// One step of a cycle: takes `batch` shards, or commits what was taken.
class Queue {
 public:
  virtual ~Queue() = default;
  virtual void Fill(std::uint64_t shards) = 0;
  virtual int Lease(int batch) = 0;
  virtual bool CommitAll() = 0;
};

class PostgresQueue final : public Queue {
 public:
  explicit PostgresQueue(const std::string& address) : connection_(PQconnectdb(address.c_str()), PQfinish) {
    if (PQstatus(connection_.get()) != CONNECTION_OK) throw std::runtime_error(PQerrorMessage(connection_.get()));
  }
  void Fill(std::uint64_t shards) override {
    Must(PQexec(connection_.get(),
                ("SET client_min_messages = warning; DROP TABLE IF EXISTS shard; CREATE TABLE shard (id bigint PRIMARY "
                 "KEY, state int NOT NULL DEFAULT 0, "
                 "epoch bigint NOT NULL DEFAULT 0, labeler text, deadline timestamptz, digest text);"
                 "INSERT INTO shard SELECT generate_series(0, " +
                 std::to_string(shards - 1) + "); CREATE INDEX pending ON shard (id) WHERE state = 0; ANALYZE shard")
                    .c_str()));
  }
  void Prepare() {
    Must(
        PQprepare(connection_.get(), "lease",
                  "UPDATE shard SET state = 1, epoch = epoch + 1, labeler = 'labeler', deadline = now() + '30 s' "
                  "WHERE id IN (SELECT id FROM shard WHERE state = 0 ORDER BY id LIMIT $1::int FOR UPDATE SKIP LOCKED) "
                  "RETURNING id, epoch",
                  1, nullptr));
    Must(PQprepare(connection_.get(), "commit",
                   "UPDATE shard SET state = 2, digest = $3 WHERE id = $1::bigint AND epoch = $2::bigint AND state = 1",
                   3, nullptr));
  }
  int Lease(int batch) override {
    const std::string limit = std::to_string(batch);
    const char* values[] = {limit.c_str()};
    held_ = Must(PQexecPrepared(connection_.get(), "lease", 1, values, nullptr, nullptr, 0));
    return PQntuples(held_.get()) > 0 ? PQntuples(held_.get()) : -1;
  }
  bool CommitAll() override {
    static const std::string digest(64, 'a');
    for (int i = 0; i < PQntuples(held_.get()); ++i) {
      const char* values[] = {PQgetvalue(held_.get(), i, 0), PQgetvalue(held_.get(), i, 1), digest.c_str()};
      const Rows rows = Must(PQexecPrepared(connection_.get(), "commit", 3, values, nullptr, nullptr, 0));
      if (std::string(PQcmdTuples(rows.get())) != "1") return false;
    }
    return true;
  }

 private:
  using Rows = std::unique_ptr<PGresult, decltype(&PQclear)>;
  static Rows Must(PGresult* raw) {
    Rows rows(raw, PQclear);
    const ExecStatusType status = PQresultStatus(raw);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) throw std::runtime_error(PQresultErrorMessage(raw));
    return rows;
  }

  std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
  Rows held_{nullptr, PQclear};
};

class RedisQueue final : public Queue {
 public:
  explicit RedisQueue(int port) : context_(redisConnect("127.0.0.1", port), redisFree) {
    if (context_ == nullptr || context_->err != 0) throw std::runtime_error("no Redis at port " + std::to_string(port));
  }
  void Fill(std::uint64_t shards) override {
    Ask("FLUSHALL");
    for (std::uint64_t i = 0; i < shards; i += 1000) {
      std::string command = "SADD pending";
      for (std::uint64_t j = i; j < std::min(i + 1000, shards); ++j) command += " " + std::to_string(j);
      Ask(command.c_str());
    }
  }
  int Lease(int batch) override {
    static constexpr const char* kScript =
        "local got = redis.call('SPOP', 'pending', ARGV[1]) for i, id in ipairs(got) do "
        "got[i] = id .. ':' .. redis.call('HINCRBY', 'epoch', id, 1) redis.call('HSET', 'leased', id, got[i]) end "
        "return got";
    const Reply reply = Ask("EVAL %s 0 %d", kScript, batch);
    held_.clear();
    for (std::size_t i = 0; i < reply->elements; ++i) held_.emplace_back(reply->element[i]->str);
    return held_.empty() ? -1 : static_cast<int>(held_.size());
  }
  bool CommitAll() override {
    static constexpr const char* kScript =
        "if redis.call('HGET', 'leased', ARGV[1]) ~= ARGV[2] then return 0 end redis.call('HDEL', 'leased', ARGV[1]) "
        "redis.call('HSET', 'done', ARGV[1], ARGV[3]) return 1";
    static const std::string digest(64, 'a');
    for (const std::string& lease : held_) {
      const std::string id = lease.substr(0, lease.find(':'));
      if (Ask("EVAL %s 0 %s %s %s", kScript, id.c_str(), lease.c_str(), digest.c_str())->integer != 1) return false;
    }
    return true;
  }

 private:
  struct FreeReply {
    void operator()(redisReply* reply) const { freeReplyObject(reply); }
  };
  using Reply = std::unique_ptr<redisReply, FreeReply>;
  template <typename... Arguments>
  Reply Ask(const char* format, Arguments... arguments) {
    Reply reply(static_cast<redisReply*>(redisCommand(context_.get(), format, arguments...)));
    if (reply == nullptr || reply->type == REDIS_REPLY_ERROR) {
      throw std::runtime_error(reply == nullptr ? context_->errstr : reply->str);
    }
    return reply;
  }

  std::unique_ptr<redisContext, decltype(&redisFree)> context_;
  std::vector<std::string> held_;
};

std::unique_ptr<Queue> Open(const Options& options, bool prepare) {
  if (options.redis != 0) return std::make_unique<RedisQueue>(options.redis);
  auto queue = std::make_unique<PostgresQueue>(options.postgres);
  if (prepare) queue->Prepare();
  return queue;
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Takes shards from a queue in PostgreSQL or Redis and commits them.", "queue_peers");
  auto* postgres = app.add_option("--postgres", options.postgres, "Connection string");
  app.add_option("--redis", options.redis, "Port on 127.0.0.1")->excludes(postgres);
  app.add_option("--mode", options.mode)->check(CLI::IsMember({"cycle", "lease"}))->capture_default_str();
  app.add_option("--batch", options.batch, "Leases a call")->capture_default_str();
  app.add_option("--shards", options.shards)->capture_default_str();
  app.add_option("--clients", options.load.clients)->capture_default_str();
  app.add_option("--seconds", options.load.seconds)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  Open(options, false)->Fill(options.shards);
  const bool cycle = options.mode == "cycle";
  Say(RunLoad(options.load, [&](int /*client*/) -> LoadCall {
    std::shared_ptr<Queue> queue = Open(options, true);
    return [queue, cycle, batch = options.batch] {
      const int leased = queue->Lease(batch);
      return leased > 0 && cycle && !queue->CommitAll() ? -1 : leased;
    };
  }));
  return 0;
}

}  // namespace
}  // namespace ferment::bench

int main(int argc, char** argv) { return ferment::bench::Main(argc, argv); }
