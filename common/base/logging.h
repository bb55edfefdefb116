// SPDX-License-Identifier: Apache-2.0
//
// Structured log lines on stderr: an event name, then key=value pairs; text on a terminal, one JSON object a line
// elsewhere.
#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace ferment {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// One key=value pair; the value is text by the time it is logged.
struct LogField {
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
  template <typename Number>
  requires(std::integral<Number> || std::floating_point<Number>) &&
      (!std::same_as<Number, bool>)LogField(std::string_view k, Number v) : key(k),
  value(std::to_string(v)) {}

  std::string key;
  std::string value;
};

struct LoggingOptions {
  /// Name of the program, in every JSON line.
  std::string program;
  /// Lines below this are dropped; ranks above 0 use kWarning.
  LogLevel level = LogLevel::kInfo;
  /// JSON even on a terminal.
  bool always_json = false;
  /// Added to every line, such as {"phase", "teacher"}, {"rank", 1}.
  std::initializer_list<LogField> context = {};
};

/// Call once, early in main. Before that, lines go out as text at info level.
void SetUpLogging(const LoggingOptions& options);

/// Thread: any. Waits at most 0.25 s for who reads stderr; leaves lines out after that (`log_lines_left_out`).
void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

inline void LogDebug(std::string_view event, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kDebug, event, fields);
}
inline void LogInfo(std::string_view event, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kInfo, event, fields);
}
inline void LogWarning(std::string_view event, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kWarning, event, fields);
}
inline void LogError(std::string_view event, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kError, event, fields);
}

}  // namespace ferment
