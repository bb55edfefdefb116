// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/chaos_history.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "common/base/check.h"
#include "common/base/json.h"

namespace ferment::chaos {
namespace {

std::filesystem::path FileOf(const std::filesystem::path& folder, std::string who) {
  std::replace(who.begin(), who.end(), '/', '-');
  return folder / (who + ".jsonl");
}

Json ToJson(const HistoryLine& line) {
  Json json{{"at", line.at.count()}, {"who", line.who}, {"what", line.what}, {"outcome", line.outcome}};
  if (!line.run.empty()) json["run"] = line.run;
  if (!line.job.empty()) json["job"] = line.job;
  if (line.epoch > 0) json["shard"] = line.shard;
  if (line.epoch > 0) json["epoch"] = line.epoch;
  if (line.attempt > 0) json["attempt"] = line.attempt;
  if (!line.digest.empty()) json["digest"] = line.digest;
  if (!line.note.empty()) json["note"] = line.note;
  return json;
}

HistoryLine FromJson(const Json& json) {
  HistoryLine line;
  line.at = std::chrono::nanoseconds(json.value("at", std::int64_t{0}));
  line.who = json.value("who", "");
  line.what = json.value("what", "");
  line.outcome = json.value("outcome", "");
  line.run = json.value("run", "");
  line.job = json.value("job", "");
  line.shard = json.value("shard", std::uint64_t{0});
  line.epoch = json.value("epoch", std::uint64_t{0});
  line.attempt = json.value("attempt", 0U);
  line.digest = json.value("digest", "");
  line.note = json.value("note", "");
  return line;
}

Status ReadFile(const std::filesystem::path& file, std::vector<HistoryLine>& lines) {
  std::ifstream in(file);
  std::string text;
  for (int number = 1; std::getline(in, text); ++number) {
    if (in.eof()) return {};  // no newline behind it: its writer was killed
    const auto json = ParseJson(text);
    if (!json || !json->is_object()) {
      return DataLossError("a line of the history is damaged: file=" + file.string() +
                           " line=" + std::to_string(number));
    }
    lines.push_back(FromJson(*json));
  }
  return {};
}

}  // namespace

HistoryWriter::HistoryWriter(const std::filesystem::path& folder, std::string who)
    : who_(std::move(who)), file_(open(FileOf(folder, who_).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  FERMENT_CHECK(file_ >= 0) << "no history can be written: folder=" << folder.string() << " who=" << who_;
}

HistoryWriter::~HistoryWriter() { close(file_); }

void HistoryWriter::Add(HistoryLine line) {
  line.at = std::chrono::steady_clock::now().time_since_epoch();
  line.who = who_;
  const std::string text = ToJson(line).dump() + "\n";
  const ssize_t written = write(file_, text.data(), text.size());
  FERMENT_CHECK(written == static_cast<ssize_t>(text.size())) << "the history could not be written: who=" << who_;
}

std::string OutcomeOf(const Status& status) {
  if (status.ok()) return "ok";
  switch (status.code()) {
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kResourceExhausted:
    case StatusCode::kCancelled:
    case StatusCode::kUnknown:
    case StatusCode::kInternal:
      return "info";
    default:
      return "fail";
  }
}

Result<std::vector<HistoryLine>> ReadHistory(const std::filesystem::path& folder) {
  std::vector<HistoryLine> lines;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".jsonl") FERMENT_RETURN_IF_ERROR(ReadFile(entry.path(), lines));
  }
  std::stable_sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
  return lines;
}

std::string ToText(const HistoryLine& line) { return ToJson(line).dump(); }

}  // namespace ferment::chaos
