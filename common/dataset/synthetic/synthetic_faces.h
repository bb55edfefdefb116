// SPDX-License-Identifier: Apache-2.0
//
// Draws parametric faces: who it is, how the head is turned and lit, and which facial action units are at work.
#pragma once

#include <array>
#include <cstdint>

#include "common/dataset/pictures/image.h"

namespace ferment::dataset {

/// Facial action units (Ekman and Friesen), intensity 0..1 each.
enum class ActionUnit : std::uint8_t {
  kInnerBrowRaiser,     // AU1
  kOuterBrowRaiser,     // AU2
  kBrowLowerer,         // AU4
  kUpperLidRaiser,      // AU5
  kCheekRaiser,         // AU6
  kLidTightener,        // AU7
  kNoseWrinkler,        // AU9
  kUpperLipRaiser,      // AU10
  kLipCornerPuller,     // AU12
  kDimpler,             // AU14, on the face's left side only
  kLipCornerDepressor,  // AU15
  kChinRaiser,          // AU17
  kLipStretcher,        // AU20
  kLipTightener,        // AU23
  kLipsPart,            // AU25
  kJawDrop,             // AU26
  kEyesClosed,          // AU43
};
inline constexpr std::size_t kActionUnits = 17;
using Expression = std::array<float, kActionUnits>;

/// What stays the same in all pictures of one person. Colours are linear 0..1; lengths are in face half-widths.
struct FaceIdentity {
  std::array<float, 3> skin, hair, iris, lips;
  float face_length, jaw_width, chin;
  float eye_distance, eye_size, eye_tilt, brow_height, brow_thickness, brow_tilt;
  float nose_length, nose_width, mouth_width, lip_thickness, mouth_height, mouth_curve;
  int hair_style;
  bool glasses, beard, moustache;
  float freckles, wrinkles;
};

/// One picture of a person. Angles are in radians.
struct FaceShot {
  Expression expression{};
  float yaw = 0, pitch = 0, roll = 0;
  float scale = 1, shift_x = 0, shift_y = 0;
  float light_angle = 0, light_strength = 0, brightness = 1, contrast = 1, warmth = 0;
  float blur = 0, noise = 0;
  std::uint64_t background_seed = 0;
  /// A hand, cup or strand of hair before the face: 0 none; else kind and place by this number.
  std::uint64_t occluder = 0;
};

/// Returns: the picture, `size` pixels a side, anti-aliased; a function of its arguments alone.
Image RenderFace(const FaceIdentity& identity, const FaceShot& shot, int size);

}  // namespace ferment::dataset
