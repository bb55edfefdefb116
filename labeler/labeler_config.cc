// SPDX-License-Identifier: Apache-2.0
#include "labeler/labeler_config.h"

#include "common/config/spec_value.h"
#include "common/io/object/object_url.h"

namespace ferment::labeler {
namespace {

constexpr std::size_t kLongestName = 128;

bool IsName(const std::string& text) { return text.size() <= kLongestName && IsUtf8(text); }

}  // namespace

std::string Describe(const LabelerConfig& config) {
  const auto on = [](bool flag) { return flag ? "true" : "false"; };
  return "coordinator = " + config.coordinator + "\nname = " + config.name + "\nhost = " + config.host +
         "\nthreads = " + std::to_string(config.threads) + "\ndevice = " + config.device +
         "\ngpu = " + std::to_string(config.gpu) + "\nexit-when-idle = " + on(config.exit_when_idle) +
         "\noffline = " + on(config.offline) + "\nrun-dir = " + config.run_dir.string() + "\njob = " + config.job +
         "\nlabel-store = " + config.label_store + "\ntls-dir = " + config.credentials.tls_dir +
         "\ntls-cert = " + config.credentials.tls_cert + "\ntls-key = " + config.credentials.tls_key +
         "\ntls-ca = " + config.credentials.tls_ca + "\ntls-crl = " + config.credentials.tls_crl +
         "\ntoken-file = " + config.credentials.token_file + "\n";
}

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
  if (!config.label_store.empty()) {
    const auto place = io::ParseObjectUrl(config.label_store);
    if (!place) return place.error().With("--label-store").WithExitCode(exit_code::kUsage);
  }
  if (!IsName(config.name)) return usage("--name is UTF-8, of at most 128 bytes");
  if (!IsName(config.host)) return usage("--host is UTF-8, of at most 128 bytes");
  if (config.gpu < 0 || config.gpu > 1024) return usage("--gpu is 0 to 1024");
  if (config.threads < 0 || config.threads > 1024) return usage("--threads is 0 (all cores) to 1024");
  return Status();
}

}  // namespace ferment::labeler
