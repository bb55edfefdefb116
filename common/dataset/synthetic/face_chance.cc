// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/synthetic/face_chance.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace ferment::dataset {
namespace {

using enum ActionUnit;

struct Part {
  ActionUnit unit;
  float strength;
};
/// One way to show an expression; the units marked by `optional_from` on come with a chance of one half each.
struct Combination {
  std::array<Part, 7> parts;
  std::size_t count;
  std::size_t optional_from;
};

constexpr std::array<Combination, 3> kAnger = {{
    {{{{kBrowLowerer, 1}, {kLidTightener, 0.8F}, {kLipTightener, 0.9F}, {kChinRaiser, 0.5F}, {kUpperLidRaiser, 0.4F}}},
     5,
     3},
    {{{{kBrowLowerer, 1}, {kUpperLidRaiser, 0.7F}, {kLipTightener, 1}, {kChinRaiser, 0.6F}}}, 4, 3},
    {{{{kBrowLowerer, 1},
       {kUpperLidRaiser, 0.6F},
       {kLipsPart, 0.8F},
       {kUpperLipRaiser, 0.5F},
       {kLipCornerDepressor, 0.3F}}},
     5,
     4},
}};
constexpr std::array<Combination, 2> kDisgust = {{
    {{{{kNoseWrinkler, 1}, {kUpperLipRaiser, 0.9F}, {kBrowLowerer, 0.35F}, {kChinRaiser, 0.5F}, {kLidTightener, 0.4F}}},
     5,
     2},
    {{{{kNoseWrinkler, 0.7F},
       {kUpperLipRaiser, 1},
       {kLipsPart, 0.6F},
       {kLipCornerDepressor, 0.5F},
       {kCheekRaiser, 0.4F}}},
     5,
     3},
}};
constexpr std::array<Combination, 2> kFear = {{
    {{{{kInnerBrowRaiser, 1},
       {kOuterBrowRaiser, 0.6F},
       {kBrowLowerer, 0.6F},
       {kUpperLidRaiser, 0.9F},
       {kLipStretcher, 1},
       {kLipsPart, 0.6F}}},
     6,
     5},
    {{{{kInnerBrowRaiser, 1},
       {kBrowLowerer, 0.5F},
       {kUpperLidRaiser, 1},
       {kLipStretcher, 0.8F},
       {kJawDrop, 0.3F},
       {kLipsPart, 0.5F}}},
     6,
     4},
}};
constexpr std::array<Combination, 2> kHappiness = {{
    {{{{kLipCornerPuller, 1}, {kCheekRaiser, 0.8F}, {kLipsPart, 0.8F}}}, 3, 2},
    {{{{kLipCornerPuller, 1}, {kCheekRaiser, 0.6F}, {kLipsPart, 0.7F}, {kJawDrop, 0.35F}, {kOuterBrowRaiser, 0.3F}}},
     5,
     2},
}};
constexpr std::array<Combination, 2> kSadness = {{
    {{{{kInnerBrowRaiser, 1},
       {kLipCornerDepressor, 1},
       {kBrowLowerer, 0.5F},
       {kChinRaiser, 0.6F},
       {kLidTightener, 0.3F}}},
     5,
     2},
    {{{{kInnerBrowRaiser, 0.9F},
       {kBrowLowerer, 0.6F},
       {kLipCornerDepressor, 0.8F},
       {kEyesClosed, 0.5F},
       {kLipsPart, 0.25F}}},
     5,
     3},
}};
constexpr std::array<Combination, 2> kSurprise = {{
    {{{{kInnerBrowRaiser, 1}, {kOuterBrowRaiser, 1}, {kUpperLidRaiser, 0.8F}, {kJawDrop, 1}, {kLipsPart, 0.6F}}}, 5, 4},
    {{{{kInnerBrowRaiser, 0.9F}, {kOuterBrowRaiser, 0.9F}, {kJawDrop, 0.7F}, {kUpperLidRaiser, 0.5F}}}, 4, 3},
}};
constexpr std::array<Combination, 3> kOther = {{
    {{{{kDimpler, 1}, {kLidTightener, 0.3F}, {kOuterBrowRaiser, 0.3F}}}, 3, 1},
    {{{{kEyesClosed, 1}, {kJawDrop, 0.9F}, {kLipsPart, 0.5F}}}, 3, 2},
    {{{{kOuterBrowRaiser, 0.8F}, {kChinRaiser, 1}, {kLipTightener, 0.8F}}}, 3, 3},
}};

std::span<const Combination> CombinationsOf(int label) {
  switch (label) {
    case 1:
      return kAnger;
    case 2:
      return kDisgust;
    case 3:
      return kFear;
    case 4:
      return kHappiness;
    case 5:
      return kSadness;
    case 6:
      return kSurprise;
    case 7:
      return kOther;
    default:
      return {};
  }
}

float Between(RandomSequence& random, double low, double high) { return static_cast<float>(random.Uniform(low, high)); }

float Bell(RandomSequence& random, double spread) {
  return static_cast<float>(std::clamp(random.Normal(), -2.5, 2.5) * spread);
}

std::array<float, 3> DrawSkin(RandomSequence& random) {
  constexpr std::array<float, 3> kLight = {0.95F, 0.80F, 0.70F};
  constexpr std::array<float, 3> kDark = {0.36F, 0.23F, 0.17F};
  const float depth = Between(random, 0, 1);
  std::array<float, 3> skin{};
  for (std::size_t c = 0; c < 3; ++c) skin[c] = kLight[c] + (kDark[c] - kLight[c]) * depth + Bell(random, 0.015);
  return skin;
}

std::array<float, 3> DrawHair(RandomSequence& random) {
  constexpr std::array<std::array<float, 3>, 6> kHair = {{{0.08F, 0.06F, 0.05F},
                                                          {0.22F, 0.13F, 0.08F},
                                                          {0.42F, 0.27F, 0.14F},
                                                          {0.78F, 0.62F, 0.34F},
                                                          {0.62F, 0.26F, 0.12F},
                                                          {0.68F, 0.68F, 0.68F}}};
  std::array<float, 3> hair = kHair[random.Below(kHair.size())];
  for (float& channel : hair) channel += Bell(random, 0.02);
  return hair;
}

}  // namespace

FaceIdentity DrawIdentity(std::uint64_t seed, std::uint64_t index) {
  RandomSequence random(seed, RandomBits(StreamOf("synthetic/identity"), index, 0));
  FaceIdentity who{};
  who.skin = DrawSkin(random);
  who.hair = DrawHair(random);
  constexpr std::array<std::array<float, 3>, 4> kIris = {
      {{0.25F, 0.15F, 0.08F}, {0.30F, 0.45F, 0.62F}, {0.30F, 0.42F, 0.25F}, {0.12F, 0.08F, 0.06F}}};
  who.iris = kIris[random.Below(kIris.size())];
  const float redness = Between(random, 0.15, 0.6);
  who.lips = {who.skin[0] * (0.95F - 0.1F * redness), who.skin[1] * (0.85F - 0.45F * redness),
              who.skin[2] * (0.85F - 0.4F * redness)};
  who.face_length = 1.25F + Bell(random, 0.07);
  who.jaw_width = 0.80F + Bell(random, 0.06);
  who.chin = Between(random, 0.2, 0.45);
  who.eye_distance = 0.41F + Bell(random, 0.025);
  who.eye_size = 0.17F + Bell(random, 0.018);
  who.eye_tilt = Bell(random, 0.025);
  who.brow_height = Bell(random, 0.035);
  who.brow_thickness = Between(random, 0.05, 0.12);
  who.brow_tilt = Bell(random, 0.035);
  who.nose_length = 0.40F + Bell(random, 0.04);
  who.nose_width = 0.16F + Bell(random, 0.025);
  who.mouth_width = 0.34F + Bell(random, 0.03);
  who.lip_thickness = Between(random, 0.05, 0.10);
  who.mouth_height = 0.66F + Bell(random, 0.03);
  who.mouth_curve = Bell(random, 0.03);
  who.hair_style = static_cast<int>(random.Below(5));
  who.glasses = random.Uniform(0, 1) < 0.18;
  who.beard = random.Uniform(0, 1) < 0.14;
  who.moustache = who.beard || random.Uniform(0, 1) < 0.06;
  who.freckles = random.Uniform(0, 1) < 0.2 ? Between(random, 0.2, 1) : 0;
  who.wrinkles = random.Uniform(0, 1) < 0.35 ? Between(random, 0.1, 0.7) : 0;
  return who;
}

Expression DrawExpression(RandomSequence& random, int label, double intensity) {
  Expression expression{};
  // Stray units: nobody's face is at rest, and strays are what makes weak expressions ambiguous.
  const std::uint64_t strays = random.Below(3);
  for (std::uint64_t i = 0; i < strays; ++i) expression[random.Below(kActionUnits)] = Between(random, 0, 0.2);
  const auto combinations = CombinationsOf(label);
  if (!combinations.empty()) {
    const Combination& chosen = combinations[random.Below(combinations.size())];
    for (std::size_t i = 0; i < chosen.count; ++i) {
      const bool shown = i < chosen.optional_from || random.Uniform(0, 1) < 0.5;
      const float uneven = Between(random, 0.65, 1.15);
      if (!shown) continue;
      float& unit = expression[static_cast<std::size_t>(chosen.parts[i].unit)];
      unit = std::max(unit, std::min(1.0F, chosen.parts[i].strength * uneven * static_cast<float>(intensity)));
    }
  }
  // A blink has nothing to do with what somebody feels.
  if (random.Uniform(0, 1) < 0.03) expression[static_cast<std::size_t>(kEyesClosed)] = 1;
  return expression;
}

FaceShot DrawShot(RandomSequence& random) {
  FaceShot shot;
  shot.yaw = Bell(random, 0.10);
  shot.pitch = Bell(random, 0.06);
  shot.roll = Bell(random, 0.05);
  shot.scale = 1 + Bell(random, 0.03);
  shot.shift_x = Bell(random, 0.025);
  shot.shift_y = Bell(random, 0.025);
  shot.light_angle = Between(random, 0, 6.2832);
  shot.light_strength = Between(random, 0, 0.25);
  shot.brightness = Between(random, 0.8, 1.15);
  shot.contrast = Between(random, 0.85, 1.15);
  shot.warmth = Bell(random, 0.04);
  shot.blur = random.Uniform(0, 1) < 0.3 ? Between(random, 0.2, 0.7) : 0;
  shot.noise = Between(random, 0.003, 0.02);
  shot.background_seed = random();
  shot.occluder = random.Uniform(0, 1) < 0.05 ? random() | 1 : 0;
  return shot;
}

}  // namespace ferment::dataset
