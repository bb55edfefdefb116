// SPDX-License-Identifier: Apache-2.0
#include "worker/curve/curve_writer.h"

#include <chrono>
#include <memory>
#include <utility>

#include "worker/curve/curve_file.h"

namespace ferment::worker {
namespace {

constexpr std::chrono::seconds kPatience(2);

}  // namespace

CurveWriter::CurveWriter(const std::filesystem::path& path, std::uint64_t next_step, io::Fence may_write,
                         const BackgroundOptions& options)
    : writer_("curve", {"file", path.string()}, std::make_unique<CurveFile>(path, next_step, std::move(may_write)),
              options) {}

void CurveWriter::Write(std::uint64_t step, const std::map<std::string, double>& figures) {
  writer_.Write(step, CurveRow(step, figures));
}

void CurveWriter::Await() const { (void)writer_.Await(kPatience); }

}  // namespace ferment::worker
