// SPDX-License-Identifier: Apache-2.0
#include "common/base/logging.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/line_stream.h"
#include "common/base/log_counts.h"

namespace ferment {
namespace {

std::string LeftOutLine(std::uint64_t lines);

/// Whoever logs waits for so long, once, where nobody reads standard error.
constexpr std::chrono::milliseconds kPatience{250};

class StandardError final : public spdlog::sinks::base_sink<std::mutex> {
 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    if (left_out_ > 0 && stream_.Write(LeftOutLine(left_out_))) left_out_ = 0;
    if (left_out_ > 0 || !stream_.Write({line.data(), line.size()})) ++left_out_;
  }
  void flush_() override {}

  LineStream stream_{STDERR_FILENO, kPatience};
  std::uint64_t left_out_ = 0;
};

struct Sink {
  std::shared_ptr<spdlog::logger> logger;
  std::string program;
  std::vector<LogField> context;
  bool json = false;
};

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

Sink& TheSink() {
  static Sink sink = [] {
    Sink fresh;
    fresh.logger = std::make_shared<spdlog::logger>("ferment", std::make_shared<StandardError>());
    fresh.logger->set_pattern("%v");
    return fresh;
  }();
  return sink;
}

std::atomic<std::uint64_t>& CountOf(LogLevel level) {
  static std::array<std::atomic<std::uint64_t>, 4> counts{};
  return counts[static_cast<std::size_t>(level)];
}

std::string JsonLine(const Sink& sink, LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  Json line;
  line["ts"] = FormatUtc(SystemClock().WallNow());
  line["level"] = spdlog::level::to_string_view(ToSpdlog(level)).data();
  line["msg"] = event;
  if (!sink.program.empty()) line["program"] = sink.program;
  for (const LogField& field : sink.context) line[field.key] = field.value;
  for (const LogField& field : fields) line[field.key] = field.value;
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string TextLine(const Sink& sink, LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  std::string line = FormatUtc(SystemClock().WallNow()).substr(11, 12) + ' ';
  line += spdlog::level::to_short_c_str(ToSpdlog(level));
  line += ' ';
  line += event;
  for (const LogField& field : sink.context) line += ' ' + field.key + '=' + field.value;
  for (const LogField& field : fields) line += ' ' + field.key + '=' + field.value;
  return line;
}

std::string Line(const Sink& sink, LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  return sink.json ? JsonLine(sink, level, event, fields) : TextLine(sink, level, event, fields);
}

std::string LeftOutLine(std::uint64_t lines) {
  return Line(TheSink(), LogLevel::kWarning, "log_lines_left_out", {{"lines", lines}}) + '\n';
}

}  // namespace

void SetUpLogging(const LoggingOptions& options) {
  Sink& sink = TheSink();
  sink.program = options.program;
  sink.context.assign(options.context.begin(), options.context.end());
  sink.json = options.always_json || isatty(STDERR_FILENO) == 0;
  sink.logger->set_level(ToSpdlog(options.level));
}

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  Sink& sink = TheSink();
  const auto spdlog_level = ToSpdlog(level);
  if (!sink.logger->should_log(spdlog_level)) return;
  CountOf(level).fetch_add(1, std::memory_order_relaxed);
  sink.logger->log(spdlog_level, Line(sink, level, event, fields));
}

std::uint64_t CountLogged(LogLevel level) { return CountOf(level).load(std::memory_order_relaxed); }

}  // namespace ferment
