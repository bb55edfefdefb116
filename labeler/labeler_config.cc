// SPDX-License-Identifier: Apache-2.0
#include "labeler/labeler_config.h"

#include "common/config/spec_value.h"

namespace ferment::labeler {
namespace {

constexpr std::size_t kLongestName = 128;

bool IsName(const std::string& text) { return text.size() <= kLongestName && IsUtf8(text); }

}  // namespace

Status Check(const LabelerConfig& config) {
  const auto usage = [](const char* text) { return InvalidArgumentError(text).WithExitCode(exit_code::kUsage); };
  const int modes = (config.coordinator.empty() ? 0 : 1) + (config.offline ? 1 : 0) + (config.predict ? 1 : 0) +
                    (config.replay ? 1 : 0);
  if (modes != 1) return usage("give one of --coordinator HOST:PORT, --offline, --predict and --replay KEY");
  if (config.offline && config.run_dir.empty()) return usage("--offline needs --run-dir DIR");
  if (config.replay && config.run_dir.empty()) return usage("--replay needs --run-dir DIR");
  if (config.predict && (config.prediction.model.empty() || config.prediction.paths.empty())) {
    return usage("--predict needs --model EXPORT_DIR and pictures or folders of them");
  }
  if (!config.predict && !config.prediction.paths.empty()) return usage("pictures and folders are for --predict");
  if (!IsName(config.name)) return usage("--name is UTF-8, of at most 128 bytes");
  if (!IsName(config.host)) return usage("--host is UTF-8, of at most 128 bytes");
  if (config.gpu < 0 || config.gpu > 1024) return usage("--gpu is 0 to 1024");
  if (config.threads < 0 || config.threads > 1024) return usage("--threads is 0 (all cores) to 1024");
  return Status();
}

}  // namespace ferment::labeler
