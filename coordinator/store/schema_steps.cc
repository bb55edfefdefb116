// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/schema_steps.h"

#include "common/base/logging.h"

namespace ferment::coordinator {

Status CheckVersion(SchemaSteps steps, std::int64_t version, const std::string& store) {
  if (version <= static_cast<std::int64_t>(steps.size())) return {};
  return FailedPreconditionError(
             "the store was written by a newer ferment; use that version, or give another "
             "--store: " +
             store + " schema=" + std::to_string(version) + " known=" + std::to_string(steps.size()))
      .WithExitCode(exit_code::kUnreadableState);
}

Status TakeSteps(SchemaSteps steps, std::int64_t version,
                 const std::function<Status(const std::string& sql)>& execute) {
  for (auto step = static_cast<std::size_t>(version); step < steps.size(); ++step) {
    if (version > 0) LogInfo("store.migrates", {{"from", step}, {"to", step + 1}, {"last", steps.size()}});
    const Status status = execute(steps[step]);
    if (!status.ok()) return status.With("migrating the store to version " + std::to_string(step + 1));
  }
  return {};
}

}  // namespace ferment::coordinator
