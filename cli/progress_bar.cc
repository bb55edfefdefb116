// SPDX-License-Identifier: Apache-2.0
#include "cli/progress_bar.h"

#include <google/protobuf/util/json_util.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "common/base/json.h"

namespace ferment::cli {
namespace {

constexpr int kBarWidth = 24;
constexpr auto kPlainInterval = std::chrono::seconds(10);
constexpr char kGreen[] = "\x1b[32m";
constexpr char kRed[] = "\x1b[31m";
constexpr char kDim[] = "\x1b[2m";
constexpr char kReset[] = "\x1b[0m";

std::string Padded(const std::string& text, std::size_t width) {
  return text.size() >= width ? text : text + std::string(width - text.size(), ' ');
}

std::string Number(double value) {
  char text[32];
  const double size = std::abs(value);
  std::snprintf(text, sizeof text,
                size >= 1000                ? "%.0f"
                : size >= 10                ? "%.1f"
                : size >= 0.01 || size == 0 ? "%.3f"
                                            : "%.1e",
                value);
  return text;
}

std::string Count(double value) {
  char text[32];
  if (value >= 1e6) {
    std::snprintf(text, sizeof text, "%.1fM", value / 1e6);
  } else if (value >= 1e4) {
    std::snprintf(text, sizeof text, "%.1fk", value / 1e3);
  } else {
    std::snprintf(text, sizeof text, "%.0f", value);
  }
  return text;
}

bool LabelersWork(const v1::JobStatus& job) { return job.phase() == "label" || job.phase() == "features"; }

std::string RateUnit(const v1::JobStatus& job) {
  if (job.phase() == "features") return " frames/s";
  if (job.phase() == "temporal") return " windows/s";
  return " faces/s";
}

/// The figures that matter, in this order, as far as the job has them.
std::string Figures(const v1::JobStatus& job) {
  static constexpr std::pair<const char*, const char*> kNames[] = {{"loss", "loss"},
                                                                   {"student_loss", "student"},
                                                                   {"h", "h"},
                                                                   {"accepted", "accepted"},
                                                                   {"macro_f1", "F1"},
                                                                   {"accuracy", "accuracy"},
                                                                   {"canary_accuracy", "canaries right"}};
  std::string text;
  for (const auto& [key, shown] : kNames) {
    const auto found = job.metrics().find(key);
    if (found != job.metrics().end()) text += "  " + std::string(shown) + " " + Number(found->second);
  }
  if (job.has_records() && job.records().read() > 0) {
    const auto& records = job.records();
    text += "  labelled " + Count(static_cast<double>(records.labelled())) + " of " +
            Count(static_cast<double>(records.read()));
    if (records.quarantined() > 0) text += "  damaged " + Count(static_cast<double>(records.quarantined()));
  }
  return text;
}

std::string Bar(double share) {
  const int full = static_cast<int>(std::lround(share * kBarWidth));
  std::string bar;
  for (int cell = 0; cell < kBarWidth; ++cell) bar += cell < full ? "█" : "░";
  return bar;
}

/// Cuts after `columns` characters of UTF-8.
std::string CutTo(const std::string& text, int columns) {
  int seen = 0;
  for (std::size_t byte = 0; byte < text.size(); ++byte) {
    const bool starts_character = (static_cast<unsigned char>(text[byte]) & 0xC0U) != 0x80U;
    if (starts_character && ++seen > columns) return text.substr(0, byte);
  }
  return text;
}

bool HasEnded(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED || state == v1::JOB_STATE_SKIPPED ||
         state == v1::JOB_STATE_CANCELLED;
}

double Share(const v1::JobStatus& job) {
  return job.total() == 0 ? 0.0 : std::min(1.0, static_cast<double>(job.done()) / static_cast<double>(job.total()));
}

}  // namespace

ProgressStyle StyleOfTerminal(bool json) {
  ProgressStyle style;
  if (json) {
    style.mode = ProgressMode::kJson;
    return style;
  }
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || std::string_view(term) == "dumb";
  if (isatty(STDOUT_FILENO) == 0 || dumb) return style;
  style.mode = ProgressMode::kTerminal;
  const char* no_color = std::getenv("NO_COLOR");
  style.colour = no_color == nullptr || *no_color == '\0';
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) style.columns = size.ws_col;
  return style;
}

std::string FormatDuration(double seconds) {
  const long total = std::lround(std::max(0.0, seconds));
  char text[40];
  if (total >= 3600) {
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", total / 3600, total / 60 % 60, total % 60);
  } else {
    std::snprintf(text, sizeof text, "%ld:%02ld", total / 60, total % 60);
  }
  return text;
}

std::string ToJsonLine(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return "{}";
  return text;
}

void ProgressBar::Show(const v1::RunStatus& run) {
  if (style_.mode == ProgressMode::kQuiet) return;
  if (style_.mode == ProgressMode::kJson) {
    out_ << ToJsonLine(run) << std::endl;
    return;
  }
  bool reached = true;
  for (const v1::JobStatus& job : run.jobs()) {
    const bool skipped_early = job.state() == v1::JOB_STATE_SKIPPED && !reached;
    reached = reached && HasEnded(job.state());
    if (job.state() == v1::JOB_STATE_PENDING || job.state() == v1::JOB_STATE_UNSPECIFIED || skipped_early) continue;
    auto [entry, fresh] = seen_.try_emplace(job.job_id());
    Seen& seen = entry->second;
    if (fresh) seen = {clock_.Now(), job.done(), {}, false};
    if (HasEnded(job.state())) {
      if (!seen.ended) ShowEnded(job);
      seen.ended = true;
    } else {
      ShowRunning(job, seen);
    }
  }
  out_.flush();
}

void ProgressBar::ShowRunning(const v1::JobStatus& job, Seen& seen) {
  const bool terminal = style_.mode == ProgressMode::kTerminal;
  if (!terminal && seen.last_line != MonotonicTime() && clock_.Now() - seen.last_line < kPlainInterval) return;
  seen.last_line = clock_.Now();
  seen.ended = false;
  std::string line = Padded(job.job_id(), 10) + " ";
  if (terminal) line += Bar(Share(job)) + " ";
  char percent[16];
  std::snprintf(percent, sizeof percent, "%3.0f%%", Share(job) * 100);
  line += percent;
  line += "  " + std::to_string(job.done()) + "/" + std::to_string(job.total()) +
          (LabelersWork(job) ? " shards" : " steps");
  if (job.rate() > 0) line += "  " + Count(job.rate()) + RateUnit(job);
  line += TimeLeft(job, seen) + Figures(job);
  if (job.attempts() > 1) line += "  attempt " + std::to_string(job.attempts());
  if (!job.waiting().empty()) line += "  " + job.waiting();
  if (!terminal) {
    out_ << line << "\n";
    return;
  }
  ClearLine();
  out_ << CutTo(line, style_.columns - 1);
  line_open_ = true;
}

void ProgressBar::ShowEnded(const v1::JobStatus& job) {
  ClearLine();
  const std::string name = Padded(job.job_id(), 10) + " ";
  switch (job.state()) {
    case v1::JOB_STATE_SUCCEEDED:
      out_ << Painted("✓ ", kGreen) << name << Padded(FormatDuration(job.seconds()), 7);
      if (job.samples() > 0) out_ << "  " << Count(static_cast<double>(job.samples())) << " samples";
      out_ << Figures(job) << "\n";
      break;
    case v1::JOB_STATE_SKIPPED:
      out_ << Painted("- " + name + (job.failure().empty() ? "skipped: the spec has no use for it" : job.failure()),
                      kDim)
           << "\n";
      break;
    case v1::JOB_STATE_CANCELLED:
      out_ << Painted("- " + name + "cancelled", kDim) << "\n";
      break;
    default:
      out_ << Painted("✗ ", kRed) << name << "failed: " << job.failure() << "\n";
  }
}

std::string ProgressBar::TimeLeft(const v1::JobStatus& job, const Seen& seen) const {
  if (job.done() <= seen.done_then || job.total() <= job.done()) return "";
  const std::chrono::duration<double> passed = clock_.Now() - seen.first;
  const double each = passed.count() / static_cast<double>(job.done() - seen.done_then);
  return "  ETA " + FormatDuration(each * static_cast<double>(job.total() - job.done()));
}

void ProgressBar::Note(const std::string& text) {
  if (style_.mode == ProgressMode::kQuiet) return;
  if (style_.mode == ProgressMode::kJson) {
    out_ << Json{{"event", "note"}, {"text", text}}.dump() << std::endl;
    return;
  }
  ClearLine();
  out_ << Painted("· ", kDim) << text << std::endl;
}

void ProgressBar::Finish() {
  if (line_open_) out_ << std::endl;
  line_open_ = false;
}

std::string ProgressBar::Painted(const std::string& text, const char* colour) const {
  return style_.colour ? colour + text + kReset : text;
}

void ProgressBar::ClearLine() {
  if (line_open_) out_ << "\r\x1b[2K";
  line_open_ = false;
}

}  // namespace ferment::cli
