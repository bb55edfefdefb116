// SPDX-License-Identifier: Apache-2.0
#include "worker/tensorboard/tensorboard_event.h"

#include <array>
#include <chrono>
#include <cmath>
#include <span>

#include "common/io/checksum.h"
#include "tensorboard/tensorboard_event.pb.h"

namespace ferment::worker {
namespace {

void AppendNumber(std::uint64_t number, int bytes, std::string& to) {
  for (int i = 0; i < bytes; ++i) to += static_cast<char>(number >> (8 * i) & 0xFF);
}

/// The format turns and shifts a check sum, for records that hold check sums themselves.
void AppendChecksum(std::string_view of, std::string& to) {
  const std::uint32_t sum = io::Crc32c(std::as_bytes(std::span(of)));
  const std::uint32_t turned = sum >> 15 | sum << 17;
  AppendNumber(turned + 0xA282EAD8U, 4, to);
}

std::string Framed(const tensorboard::Event& event) {
  const std::string data = event.SerializeAsString();
  std::string record;
  AppendNumber(data.size(), 8, record);
  AppendChecksum(std::string(record), record);
  record += data;
  AppendChecksum(data, record);
  return record;
}

tensorboard::Event EventOf(WallTime now, std::uint64_t step) {
  tensorboard::Event event;
  event.set_wall_time(std::chrono::duration<double>(now.time_since_epoch()).count());
  event.set_step(static_cast<std::int64_t>(step));
  return event;
}

}  // namespace

std::string VersionRecord(WallTime now) {
  tensorboard::Event event = EventOf(now, 0);
  event.set_file_version("brain.Event:2");
  return Framed(event);
}

std::string RestartRecord(WallTime now, std::uint64_t step) {
  tensorboard::Event event = EventOf(now, step);
  event.mutable_session_log()->set_status(tensorboard::SessionLog::START);
  return Framed(event);
}

std::string ScalarsRecord(WallTime now, std::uint64_t step, const std::map<std::string, double>& scalars) {
  tensorboard::Event event = EventOf(now, step);
  tensorboard::Summary& summary = *event.mutable_summary();
  for (const auto& [tag, scalar] : scalars) {
    const auto value = static_cast<float>(scalar);
    if (!std::isfinite(value)) continue;
    tensorboard::Summary::Value& shown = *summary.add_value();
    shown.set_tag(tag);
    shown.set_simple_value(value);
  }
  return Framed(event);
}

std::string TagOf(std::string_view figure) {
  struct Section {
    std::string_view part;
    std::string_view name;
  };
  // The first whose part is in the figure's name.
  static constexpr std::array kSections = {
      Section{"loss", "loss"},          Section{"macro_f1", "validation"}, Section{"lr", "learning_rate"},
      Section{"grad_norm", "gradient"}, Section{"h_raw", "feedback"},      Section{"baseline", "feedback"},
      Section{"feedback_", "feedback"},
  };
  std::string_view section = figure == "h" ? "feedback" : "training";
  for (const Section& one : kSections) {
    if (figure.find(one.part) == std::string_view::npos) continue;
    section = one.name;
    break;
  }
  return std::string(section) + "/" + std::string(figure);
}

}  // namespace ferment::worker
