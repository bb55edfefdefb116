// SPDX-License-Identifier: Apache-2.0
#include "worker/trace/trace_file.h"

#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/io/atomic_file.h"
#include "worker/collective/rank_agreement.h"

namespace ferment::worker {
namespace {

double Microseconds(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1000; }

Json NamedRow(const char* what, int rank, int row, const std::string& name) {
  return {{"ph", "M"}, {"name", what}, {"pid", rank}, {"tid", row}, {"args", {{"name", name}}}};
}

/// Returns: this rank's events, each with a comma after it.
std::string EventsOf(const Trace& trace, int rank) {
  std::array<char, 256> host = {};
  gethostname(host.data(), host.size() - 1);
  const auto row = [](TraceRow traced) { return static_cast<int>(traced); };
  std::vector<Json> events = {NamedRow("process_name", rank, 0, "rank " + std::to_string(rank) + " on " + host.data()),
                              NamedRow("thread_name", rank, row(TraceRow::kTraining), "training"),
                              NamedRow("thread_name", rank, row(TraceRow::kCollectives), "collectives")};
  int sum = 0;
  for (const TracedSpan& span : trace.Spans()) {
    Json event = {{"name", span.name}, {"pid", rank}, {"tid", row(span.row)}, {"ts", Microseconds(span.begin)}};
    if (span.amount >= 0) event["args"] = {{span.row == TraceRow::kTraining ? "step" : "bytes", span.amount}};
    if (span.row != TraceRow::kSums) {
      event["ph"] = "X";
      event["dur"] = Microseconds(span.end - span.begin);
      events.push_back(event);
      continue;
    }
    event["cat"] = "sum";
    event["id"] = std::to_string(rank) + "." + std::to_string(sum++);
    event["ph"] = "b";
    events.push_back(event);
    event["ph"] = "e";
    event["ts"] = Microseconds(span.end);
    events.push_back(event);
  }
  std::string text;
  for (const Json& event : events) text += event.dump() + ",\n";
  return text;
}

}  // namespace

Status WriteTraceFile(const std::filesystem::path& file, const Trace& trace, Collective& world) {
  const std::string own = EventsOf(trace, world.rank());
  std::array sizes = {static_cast<std::uint64_t>(own.size()), trace.forgotten()};
  std::vector<std::uint64_t> all(sizes.size() * static_cast<std::size_t>(world.size()));
  FERMENT_RETURN_IF_ERROR(
      world.AllGather(std::as_bytes(std::span(sizes)), std::as_writable_bytes(std::span<std::uint64_t>(all))));
  std::string text = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
  std::uint64_t forgotten = 0;
  for (int rank = 0; rank < world.size(); ++rank) {
    std::string events = rank == world.rank() ? own : std::string(all[2 * static_cast<std::size_t>(rank)], '\0');
    FERMENT_RETURN_IF_ERROR(world.Broadcast(std::as_writable_bytes(std::span(events)), rank));
    forgotten += all[2 * static_cast<std::size_t>(rank) + 1];
    if (world.rank() == 0) text += events;
  }
  // Every event has a comma after it, and JSON wants none after the last.
  text.resize(text.size() - 2);
  text += "\n],\"otherData\":{\"forgotten\":" + std::to_string(forgotten) + "}}\n";
  return AgreeOnStatus(world, world.rank() == 0 ? io::WriteFileAtomically(file, text) : Status());
}

}  // namespace ferment::worker
