// SPDX-License-Identifier: Apache-2.0
#include "worker/tensorboard/tensorboard_writer.h"

#include <memory>

#include "worker/tensorboard/tensorboard_event.h"
#include "worker/tensorboard/tensorboard_file.h"

namespace ferment::worker {

TensorboardWriter::TensorboardWriter(const std::filesystem::path& folder, std::uint64_t next_step,
                                     const BackgroundOptions& options, const Clock& clock)
    : clock_(clock),
      writer_("tensorboard", {"folder", folder.string()}, std::make_unique<TensorboardFile>(folder, next_step, clock),
              options) {}

void TensorboardWriter::Write(std::uint64_t step, const std::map<std::string, double>& figures) {
  std::map<std::string, double> scalars;
  for (const auto& [name, value] : figures) scalars.emplace(TagOf(name), value);
  writer_.Write(step, ScalarsRecord(clock_.WallNow(), step, scalars));
}

}  // namespace ferment::worker
