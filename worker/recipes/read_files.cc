// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/read_files.h"

#include <string>

#include "common/io/checksum.h"

namespace ferment::worker {
namespace {

void Enter(const std::string& key, const std::filesystem::path& file, JobInputs& inputs) {
  if (const auto digest = io::Sha256OfFile(file)) inputs[key] = *digest;
}

}  // namespace

JobInputs InitialWeights(const RunSpec& spec) {
  JobInputs inputs;
  if (spec.model().init() != "random") Enter("model.init", spec.model().init(), inputs);
  return inputs;
}

JobInputs FaceLists(const RunSpec& spec, dataset::FaceSplit split) {
  const std::string list = split == dataset::FaceSplit::kTrain ? ".train" : ".validation";
  JobInputs inputs;
  for (int i = 0; i < spec.data().fer_size(); ++i) {
    const std::string source = i == 0 ? "data.fer" : "data.fer[" + std::to_string(i) + "]";
    Enter(source + list, dataset::ListFile(spec.data().fer(i), split), inputs);
  }
  return inputs;
}

}  // namespace ferment::worker
