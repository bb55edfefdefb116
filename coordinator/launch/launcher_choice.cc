// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launch/launcher_choice.h"

#include "common/base/check.h"

namespace ferment::coordinator {
namespace {

class LauncherChoice final : public Launcher {
 public:
  LauncherChoice(std::unique_ptr<Launcher> local, std::unique_ptr<Launcher> slurm)
      : local_(std::move(local)), slurm_(std::move(slurm)) {}

  Status Launch(const LaunchRequest& request) override { return Of(request.key).Launch(request); }
  LaunchState Poll(const LaunchKey& key, const std::filesystem::path& run_dir) override {
    return Of(key).Poll(key, run_dir);
  }
  Status Signal(const LaunchKey& key, const std::filesystem::path& run_dir, int signal) override {
    return Of(key).Signal(key, run_dir, signal);
  }

 private:
  Launcher& Of(const LaunchKey& key) {
    switch (key.launcher) {
      case LauncherKind::kLocal:
        return *local_;
      case LauncherKind::kSlurm:
        return *slurm_;
    }
    FERMENT_CHECK(false) << "launcher=" << static_cast<int>(key.launcher);
    return *local_;
  }

  const std::unique_ptr<Launcher> local_;
  const std::unique_ptr<Launcher> slurm_;
};

}  // namespace

std::unique_ptr<Launcher> MakeLauncherChoice(std::unique_ptr<Launcher> local, std::unique_ptr<Launcher> slurm) {
  return std::make_unique<LauncherChoice>(std::move(local), std::move(slurm));
}

}  // namespace ferment::coordinator
