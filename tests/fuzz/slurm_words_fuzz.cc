// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "common/config/slurm_script.h"
#include "common/event/slurm_record.h"
#include "coordinator/launch/slurm_queue.h"
#include "tests/fuzz/fuzz_file.h"

namespace ferment {
namespace {

bool AllDigits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

void CheckQueue(std::string_view text) {
  const auto jobs = coordinator::ParseSlurmJobs(text);
  FERMENT_CHECK(jobs || jobs.error().code() == StatusCode::kDataLoss) << jobs.error().message();
  if (!jobs) return;
  for (const coordinator::SlurmQueueJob& job : *jobs) {
    FERMENT_CHECK(AllDigits(job.number)) << job.number;
    FERMENT_CHECK(job.ExitCode() >= 0 && job.ExitCode() <= 255) << job.ExitCode();
    FERMENT_CHECK(job.UnbegunCode() > 0) << job.UnbegunCode();
    const auto* found = coordinator::FindSlurmJob(*jobs, job.name, "");
    FERMENT_CHECK(found != nullptr && (found->Lives() || !job.Lives())) << job.name;
  }
}

void CheckNumber(std::string_view text) {
  const auto number = coordinator::ParseSlurmNumber(text);
  FERMENT_CHECK(number ? AllDigits(*number) : number.error().code() == StatusCode::kDataLoss) << text;
}

/// The bytes as each of the files that a start leaves.
void CheckRecord(const std::uint8_t* data, std::size_t size) {
  const auto root = FolderWith("text", data, size);
  const event::SlurmRecord record(root, "teacher-1-ferment-0123456789abcdef");
  std::filesystem::create_directories(record.stem().parent_path());
  for (const char* ending : {kSlurmScript, kSlurmBegin, kSlurmEnd, ".job"})
    std::filesystem::copy_file(root / "text", record.stem().string() + ending,
                               std::filesystem::copy_options::overwrite_existing);
  const auto end = record.End();
  FERMENT_CHECK(end || end.error().code() == StatusCode::kDataLoss) << end.error().message();
  if (end) FERMENT_CHECK(end->value().exit_code >= 0 && end->value().exit_code <= 255) << end->value().exit_code;
  FERMENT_CHECK(record.Began() && record.BegunBy() && record.Job());
  event::UnfinishedSlurmStarts(root);
}

}  // namespace
}  // namespace ferment

// Any bytes as what Slurm's programs print and as what a start leaves on disk: jobs with numbers, states and exit
// codes, or damage.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  ferment::CheckQueue(text);
  ferment::CheckNumber(text);
  ferment::CheckRecord(data, size);
  return 0;
}
