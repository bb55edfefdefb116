// SPDX-License-Identifier: Apache-2.0
//
// Weak and strong views of faces: random per sample, the same on any rank, in any batch, at any time.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>

namespace ferment::nn {

/// `images` [N, 3, H, W], uint8 or float32 in 0..255, and a record key each. What is drawn for a sample depends on
/// (seed, its key, epoch) alone. Returns: float32 [N, 3, H, W] in 0..255, to be normalised. Throws c10::Error: call
/// under Guard.
///
/// Weak: one resampling that flips (p = 0.5), rotates by up to 5 degrees, scales by 0.9..1.1 and shifts by up to 6 %.
torch::Tensor WeakView(const torch::Tensor& images, std::span<const std::uint64_t> keys, std::uint64_t seed,
                       std::uint64_t epoch);

/// Strong: a weak view of its own, then two operations, each with p = 0.5 and a magnitude of 1..10: autocontrast,
/// equalize, brightness, colour, contrast, sharpness (factors on both sides of 1), posterize, solarize (from 128 on),
/// rotate, shear, translate, a covered forehead, a covered square (docs/method.md, "Choices").
torch::Tensor StrongView(const torch::Tensor& images, std::span<const std::uint64_t> keys, std::uint64_t seed,
                         std::uint64_t epoch);

}  // namespace ferment::nn
