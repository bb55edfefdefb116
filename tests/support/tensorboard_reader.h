// SPDX-License-Identifier: Apache-2.0
//
// Reads TensorBoard's event files as TensorBoard does: those of a folder by their names, each up to the first record
// that is not whole.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tensorboard/tensorboard_event.pb.h"

namespace ferment::testing {

/// Returns: those of the folder, as TensorBoard orders them; none where there is no folder.
std::vector<std::filesystem::path> TensorboardFiles(const std::filesystem::path& folder);

std::vector<tensorboard::Event> ReadTensorboardFile(const std::filesystem::path& file);

/// Tag -> step -> value. A step that is there twice fails the test.
using Scalars = std::map<std::string, std::map<std::int64_t, float>>;

/// Returns: what the folder's files say, without what a restart has TensorBoard forget.
Scalars ReadTensorboard(const std::filesystem::path& folder);

/// Returns: the curve file as ReadTensorboard shows what was written of it.
Scalars ScalarsOfCurve(const std::filesystem::path& curve);

}  // namespace ferment::testing
