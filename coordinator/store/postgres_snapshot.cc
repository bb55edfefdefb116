// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/postgres_snapshot.h"

#include <utility>
#include <vector>

#include "coordinator/store/event_codec.h"

namespace ferment::coordinator {
namespace {

constexpr std::size_t kStatementBytes = std::size_t{4} << 20;

}  // namespace

void EventArray::Add(const Event& event) {
  static constexpr char kHex[] = "0123456789abcdef";
  text_ += size_ == 0 ? "\"\\\\x" : ",\"\\\\x";
  for (const char byte : EncodeEvent(event)) {
    text_ += kHex[static_cast<unsigned char>(byte) >> 4];
    text_ += kHex[static_cast<unsigned char>(byte) & 15];
  }
  text_ += '"';
  ++size_;
}

Result<std::int64_t> WriteSnapshot(PostgresConnection& connection, std::uint64_t term, std::int64_t last,
                                   const std::function<Status(const EventSink&)>& write,
                                   const std::function<void()>& between) {
  // As an append does it: who migrates the tables lets this through before it has either.
  FERMENT_RETURN_IF_ERROR(StatusOf(connection.Query("LOCK TABLE ferment_leader, ferment_event IN ROW EXCLUSIVE MODE")));
  FERMENT_RETURN_IF_ERROR(StatusOf(connection.Query("DELETE FROM ferment_event")));
  EventArray batch;
  const auto flush = [&]() -> Status {
    FERMENT_RETURN_IF_ERROR(
        StatusOf(connection.Query("INSERT INTO ferment_event SELECT $1::bigint + number, $2::bigint, body "
                                  "FROM unnest($3::bytea[]) WITH ORDINALITY AS batch(body, number)",
                                  std::vector{std::to_string(last), std::to_string(term), batch.Text()})));
    last += std::exchange(batch, {}).size();
    between();
    return {};
  };
  FERMENT_RETURN_IF_ERROR(write([&](const Event& event) {
    batch.Add(event);
    return batch.bytes() < kStatementBytes ? Status() : flush();
  }));
  if (batch.size() > 0) FERMENT_RETURN_IF_ERROR(flush());
  return last;
}

}  // namespace ferment::coordinator
