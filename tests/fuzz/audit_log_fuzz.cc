// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "common/base/check.h"
#include "common/io/audit_log.h"
#include "tests/fuzz/fuzz_file.h"

namespace ferment::io {
namespace {

void CheckThatAChangeIsSeen(const std::uint8_t* data, std::size_t size) {
  std::string changed(reinterpret_cast<const char*>(data), size);
  const std::size_t at = data[size / 2] * size / 256;
  changed[at] = static_cast<char>(changed[at] ^ 1);
  const auto folder = FolderWith("changed.log", reinterpret_cast<const std::uint8_t*>(changed.data()), size);
  FERMENT_CHECK(!VerifyAuditLog({folder / "changed.log"})) << "at=" << at;
}

}  // namespace
}  // namespace ferment::io

// Any bytes as an audit log: whole, and then a change of it is seen, or not as it was written. One that can be gone on
// with is as good afterwards as before, and has the line more.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferment;
  const auto file = FolderWith("audit.log", data, size) / "audit.log";
  const auto before = io::VerifyAuditLog({file});
  FERMENT_CHECK(before || before.error().code() == StatusCode::kDataLoss) << before.error().message();
  if (before && size > 0) io::CheckThatAChangeIsSeen(data, size);
  const auto log = io::AuditLog::Open(file, SystemClock());
  FERMENT_CHECK(log || !before) << log.error().message();
  if (!log) return 0;
  const Status appended = (*log)->Append({"who", "reader", "GetRun", "a", "OK"});
  FERMENT_CHECK(appended.ok()) << appended.message();
  const auto after = io::VerifyAuditLog({file});
  FERMENT_CHECK(!before || (after && after->lines == before->lines + 1)) << after.error().message();
  return 0;
}
