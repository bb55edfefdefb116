// SPDX-License-Identifier: Apache-2.0
#include "cli/run_description.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <map>
#include <vector>

#include "cli/progress_bar.h"

namespace ferment::cli {
namespace {

/// "JOB_STATE_RUNNING" -> "running".
std::string LastWord(const std::string& enumerator, const std::string& prefix) {
  std::string name = enumerator.substr(std::min(prefix.size(), enumerator.size()));
  std::ranges::transform(name, name.begin(),
                         [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return name;
}

std::string StateName(const v1::JobStatus& job) { return LastWord(v1::JobState_Name(job.state()), "JOB_STATE_"); }

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

/// Lines of "  Label:      value", the values in one column.
class Paragraph {
 public:
  explicit Paragraph(int indent) : indent_(static_cast<std::size_t>(indent)) {}

  void Add(const std::string& label, const std::string& value) {
    if (value.empty()) return;
    constexpr std::size_t kColumn = 14;
    std::string line = std::string(indent_, ' ') + label + ":";
    line += std::string(line.size() < kColumn + indent_ ? kColumn + indent_ - line.size() : 1, ' ');
    text_ += line + value + "\n";
  }
  const std::string& text() const { return text_; }

 private:
  const std::size_t indent_;
  std::string text_;
};

std::string Progress(const v1::JobStatus& job) {
  if (job.total() == 0) return "";
  const std::uint64_t percent = 100 * job.done() / job.total();
  std::string text = std::to_string(job.done()) + " of " + std::to_string(job.total()) +
                     (job.has_shards() ? " shards" : " steps") + " (" + std::to_string(percent) + " %)";
  if (job.rate() > 0) text += ", " + Number(job.rate()) + " a second";
  return text;
}

std::string Cost(const v1::JobStatus& job) {
  if (job.seconds() <= 0) return "";
  std::string text = FormatDuration(job.seconds());
  if (job.cpu_seconds() > 0) text += ", " + FormatDuration(job.cpu_seconds()) + " of processors";
  if (job.peak_rss_bytes() > 0) text += ", at most " + std::to_string(job.peak_rss_bytes() >> 20U) + " MiB";
  return text;
}

std::string Metrics(const v1::JobStatus& job) {
  // The map of the proto has no order.
  const std::map<std::string, double> sorted(job.metrics().begin(), job.metrics().end());
  std::string text;
  for (const auto& [name, value] : sorted) text += (text.empty() ? "" : "  ") + name + " " + Number(value);
  return text;
}

std::string Shards(const v1::ShardCounts& shards) {
  return std::to_string(shards.pending()) + " pending, " + std::to_string(shards.leased()) + " leased, " +
         std::to_string(shards.committed()) + " committed, " + std::to_string(shards.failed()) + " failed";
}

std::string Records(const v1::RecordCounts& records) {
  return std::to_string(records.read()) + " read, " + std::to_string(records.labelled()) + " labelled, " +
         std::to_string(records.abstained()) + " abstained, " + std::to_string(records.quarantined()) + " quarantined";
}

std::string Classes(const v1::RecordCounts& records) {
  std::string text;
  for (const std::uint64_t count : records.class_histogram()) text += (text.empty() ? "" : " ") + std::to_string(count);
  return text.empty() ? "" : text + " (labelled records, in the spec's order)";
}

std::string DescribeJob(const v1::JobStatus& job) {
  Paragraph lines(4);
  const bool again = job.attempts() > 1;
  lines.Add("State", StateName(job) + (again ? ", attempt " + std::to_string(job.attempts()) : ""));
  lines.Add("Failure", job.failure());
  lines.Add("Waiting", job.waiting());
  lines.Add("Progress", Progress(job));
  lines.Add("Took", Cost(job));
  lines.Add("Samples", job.samples() == 0 ? "" : std::to_string(job.samples()));
  lines.Add("Metrics", Metrics(job));
  if (job.has_shards()) lines.Add("Shards", Shards(job.shards()));
  if (job.has_records()) {
    lines.Add("Records", Records(job.records()));
    lines.Add("Classes", Classes(job.records()));
  }
  return "  " + job.job_id() + "\n" + lines.text();
}

std::string DescribeLabeler(const v1::LabelerStatus& labeler) {
  Paragraph lines(4);
  lines.Add("Committed", std::to_string(labeler.shards_committed()) + " shards, " + std::to_string(labeler.records()) +
                             " records" + (labeler.rate() > 0 ? ", " + Number(labeler.rate()) + " a second" : ""));
  if (labeler.failures_in_a_row() > 0) {
    const std::string pause =
        labeler.cool_down_seconds() > 0 ? "; granted nothing for " + FormatDuration(labeler.cool_down_seconds()) : "";
    lines.Add("Failures", std::to_string(labeler.failures_in_a_row()) + " in a row" + pause);
  }
  return "  " + labeler.name() + "\n" + lines.text();
}

/// A tab or a line break within a field would make two of it.
std::string Field(std::string text) {
  std::ranges::replace_if(
      text, [](unsigned char letter) { return std::iscntrl(letter) != 0; }, '?');
  return text.empty() ? "-" : text;
}

}  // namespace

std::string StateName(const v1::RunStatus& run) {
  if (run.ending()) return "ending";
  if (run.suspended()) return "suspended";
  return LastWord(v1::RunState_Name(run.state()), "RUN_STATE_");
}

std::string DescribeRun(const v1::RunStatus& run) {
  Paragraph head(0);
  head.Add("Run", run.run_id());
  head.Add("Name", run.name());
  head.Add("Folder", run.run_dir());
  head.Add("State", StateName(run));
  head.Add("Priority", std::to_string(run.priority()));
  head.Add("Failure", run.failure());
  if (run.exit_code() != 0) head.Add("Exit code", std::to_string(run.exit_code()));
  head.Add("Revision", std::to_string(run.revision()));
  std::string text = head.text() + "Jobs:\n";
  for (const v1::JobStatus& job : run.jobs()) text += DescribeJob(job);
  text += run.labelers().empty() ? "Labelers:     none\n" : "Labelers:\n";
  for (const v1::LabelerStatus& labeler : run.labelers()) text += DescribeLabeler(labeler);
  return text;
}

std::string PlainLine(const v1::RunStatus& run) {
  const auto running =
      std::ranges::find_if(run.jobs(), [](const v1::JobStatus& job) { return job.state() == v1::JOB_STATE_RUNNING; });
  const bool any = running != run.jobs().end();
  const std::vector<std::string> fields = {run.run_id(),
                                           StateName(run),
                                           std::to_string(run.priority()),
                                           run.name(),
                                           any ? running->job_id() : "",
                                           any ? std::to_string(running->done()) : "",
                                           any ? std::to_string(running->total()) : "",
                                           run.run_dir()};
  std::string line;
  for (const std::string& field : fields) line += (line.empty() ? "" : "\t") + Field(field);
  return line;
}

}  // namespace ferment::cli
