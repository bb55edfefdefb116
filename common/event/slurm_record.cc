// SPDX-License-Identifier: Apache-2.0
#include "common/event/slurm_record.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <iterator>

#include "common/config/run_layout.h"
#include "common/config/slurm_script.h"
#include "common/io/atomic_file.h"
#include "common/io/checksum.h"
#include "common/io/errno_status.h"

namespace ferment::event {
namespace {

namespace fs = std::filesystem;

constexpr char kJob[] = ".job";
constexpr char kLost[] = "lost";
constexpr std::size_t kDigits = 16;

fs::path RecordsOf(const fs::path& run_dir) { return RunLayout(run_dir).Processes() / "slurm"; }

/// The part of a name that is of owner and folder.
std::string OwnerPart(const std::string& owner, const fs::path& run_dir) {
  return "-ferment-" + io::Sha256Hex(owner + "\n" + run_dir.lexically_normal().string()).substr(0, kDigits);
}

/// Returns: the file's text without the line end; nothing where there is no such file.
Result<std::optional<std::string>> ReadLine(const fs::path& file) {
  // By hand: whether a file is absent or cannot be read at the moment decides whether a job is started.
  const int handle = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (handle < 0 && errno == ENOENT) return std::optional<std::string>();
  if (handle < 0) return Fail(io::ReadErrno(errno, "open", file));
  char bytes[256];
  const ssize_t size = read(handle, bytes, sizeof bytes);
  const int error = errno;
  close(handle);
  if (size < 0) return Fail(io::ReadErrno(error, "read", file));
  std::string text(bytes, static_cast<std::size_t>(size));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return std::optional(std::move(text));
}

Result<SlurmEnd> ParseEnd(const std::string& text, const fs::path& file) {
  if (text == kLost) return SlurmEnd{.lost = true};
  SlurmEnd end;
  const char* const last = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), last, end.exit_code);
  const std::string_view word(rest, static_cast<std::size_t>(last - rest));
  end.asked = word == std::string(" ") + kSlurmAsked;
  if (error != std::errc() || end.exit_code < 0 || end.exit_code > 255 || (!word.empty() && !end.asked)) {
    return Fail(DataLossError("not how a job ended (an exit code 0 to 255, with or without \" asked\"): file=" +
                              file.string() + " text=" + text));
  }
  return end;
}

}  // namespace

std::string SlurmName(const std::string& owner, const fs::path& run_dir, const std::string& job_id,
                      std::uint32_t attempt) {
  return job_id + "-" + std::to_string(attempt) + OwnerPart(owner, run_dir);
}

bool IsSlurmNameOf(std::string_view name, const std::string& owner, const fs::path& run_dir) {
  return name.ends_with(OwnerPart(owner, run_dir));
}

SlurmRecord::SlurmRecord(const fs::path& run_dir, const std::string& name) : stem_(RecordsOf(run_dir) / name) {}

fs::path SlurmRecord::Script() const { return stem_.string() + kSlurmScript; }

Status SlurmRecord::Want(std::string_view script) const {
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(stem_.parent_path()));
  return io::WriteFileAtomically(Script(), script);
}

Result<bool> SlurmRecord::Wanted() const {
  FERMENT_ASSIGN_OR_RETURN(const auto text, ReadLine(Script()));
  return text.has_value();
}

Status SlurmRecord::NoteJob(const std::string& number) const {
  return io::WriteFileAtomically(stem_.string() + kJob, number + "\n");
}

Result<std::optional<std::string>> SlurmRecord::Job() const { return ReadLine(stem_.string() + kJob); }

Result<SlurmRecord::Begin> SlurmRecord::Began() const {
  FERMENT_ASSIGN_OR_RETURN(const auto text, ReadLine(stem_.string() + kSlurmBegin));
  if (!text) return Begin::kNot;
  return *text == kSlurmWithdrawn ? Begin::kWithdrawn : Begin::kBegun;
}

Result<std::string> SlurmRecord::BegunBy() const {
  FERMENT_ASSIGN_OR_RETURN(const auto text, ReadLine(stem_.string() + kSlurmBegin));
  return text && *text != kSlurmWithdrawn ? *text : std::string();
}

Result<bool> SlurmRecord::Withdraw() const { return MakeOnce(kSlurmBegin, kSlurmWithdrawn); }

Result<bool> SlurmRecord::MakeOnce(const char* ending, std::string_view word) const {
  // Linked, not written: whoever finds the file finds the word in it. And a network file system asks its server.
  const fs::path file = stem_.string() + ending;
  const fs::path draft = file.string() + ".draft";
  FERMENT_RETURN_IF_ERROR(io::WriteFileAtomically(draft, std::string(word) + "\n"));
  const bool linked = link(draft.c_str(), file.c_str()) == 0;
  const int error = errno;
  std::error_code ignored;
  fs::remove(draft, ignored);
  if (linked) FERMENT_RETURN_IF_ERROR(io::SyncFolder(file.parent_path()));
  if (linked || error == EEXIST) return linked;
  return Fail(io::WriteErrno(error, "make", file));
}

Result<std::optional<SlurmEnd>> SlurmRecord::End() const {
  const fs::path file = stem_.string() + kSlurmEnd;
  FERMENT_ASSIGN_OR_RETURN(const auto text, ReadLine(file));
  if (!text) return std::optional<SlurmEnd>();
  FERMENT_ASSIGN_OR_RETURN(const SlurmEnd end, ParseEnd(*text, file));
  return std::optional(end);
}

Result<bool> SlurmRecord::NoteLost() const { return MakeOnce(kSlurmEnd, kLost); }

std::vector<std::string> UnfinishedSlurmStarts(const fs::path& run_dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(RecordsOf(run_dir), error)) {
    if (entry.path().extension() != kSlurmScript) continue;
    const std::string name = entry.path().stem().string();
    const SlurmRecord record(run_dir, name);
    const auto end = record.End();
    const auto began = record.Began();
    const bool over = (end && end->has_value()) || (began && *began == SlurmRecord::Begin::kWithdrawn);
    if (!over) names.push_back(name);
  }
  return names;
}

}  // namespace ferment::event
