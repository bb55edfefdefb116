// SPDX-License-Identifier: Apache-2.0
//
// Others' weights as one of our backbones takes them: which network they are of, and whether every tensor fits it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/io/formats/torch_file.h"

namespace ferment::io {

/// A tensor a backbone has; an extent of -1 may be any.
struct BackboneTensor {
  std::string name;
  std::vector<std::int64_t> shape;
};

/// Returns: parameters and buffers in the order of PyTorch's state_dict, with torchvision's names (resnet18, resnet50)
/// or InsightFace's (iresnet50, with our `classifier` last). Requires: one of these three names.
std::vector<BackboneTensor> BackboneTensors(std::string_view backbone, std::int64_t width);

/// Returns: what the head's names begin with; a head may be absent from a file.
std::string_view HeadPrefix(std::string_view backbone);

struct ImportedWeights {
  std::string backbone;
  std::int64_t width = 0;
  /// Of the file's head; 0 where it has none.
  std::int64_t classes = 0;
  /// What the file's names began with and no longer do, such as "module.".
  std::string prefix;
  /// num_batches_tracked that older files lack, here 0.
  std::size_t counters_added = 0;
  /// Format, path, and the tensors in the backbone's order.
  WeightsFile weights;
};

/// Takes the tensors of a backbone, found from the names where `backbone` is empty. Errors: DataLoss with every tensor
/// that is missing, surplus, or of another shape or type.
Result<ImportedWeights> ImportWeights(WeightsFile file, std::string_view backbone = "");

}  // namespace ferment::io
