// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/synthetic/synthetic_faces.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "common/base/random.h"
#include "common/dataset/synthetic/face_canvas.h"

namespace ferment::dataset {
namespace {

using enum ActionUnit;

constexpr Colour kDark = {0.07F, 0.05F, 0.05F};

/// One picture being painted. Face coordinates: x right, y down, 1 = half the face's width, (0, 0) between eyes and
/// nose.
class Painter {
 public:
  Painter(const FaceIdentity& who, const FaceShot& shot, int size)
      : who_(who), shot_(shot), canvas_(size), unit_(0.49F * static_cast<float>(size) * shot.scale) {}

  Image Paint() {
    Background();
    BackHair();
    Head();
    Wrinkles();
    for (const float side : {-1.0F, 1.0F}) {
      Eye(side);
      Brow(side);
    }
    Nose();
    Beard();
    Mouth();
    FrontHair();
    if (who_.glasses) Glasses();
    Occluder();
    Light();
    return canvas_.ToImage();
  }

 private:
  float Au(ActionUnit unit) const { return shot_.expression[static_cast<std::size_t>(unit)]; }

  /// Returns: where a point of the face, `lift` before the ellipsoid of the head, stands in the picture.
  Point At(float x, float y, float lift = 0) const {
    const float inside = 1 - 0.75F * x * x - 0.45F * y * y;
    const float z = (inside > 0 ? 0.75F * std::sqrt(inside) : 0) + lift;
    const float turned_x = x * std::cos(shot_.yaw) + z * std::sin(shot_.yaw);
    const float turned_z = z * std::cos(shot_.yaw) - x * std::sin(shot_.yaw);
    const float turned_y = y * std::cos(shot_.pitch) + turned_z * std::sin(shot_.pitch);
    const float px = turned_x * std::cos(shot_.roll) - turned_y * std::sin(shot_.roll) + shot_.shift_x;
    const float py = turned_x * std::sin(shot_.roll) + turned_y * std::cos(shot_.roll) + shot_.shift_y + 0.02F;
    const float middle = static_cast<float>(canvas_.size()) / 2;
    return {middle + px * unit_, middle + py * unit_};
  }

  Coverage Line(std::initializer_list<Point> face_points, float begin_width, float end_width) const {
    std::vector<Point> points;
    for (const Point p : face_points) points.push_back(At(p.x, p.y));
    return canvas_.Stroke(points, begin_width * unit_, end_width * unit_);
  }

  /// Returns: a curve through three points (a parabola), `steps` + 1 points, in face coordinates.
  static void AddCurve(Point a, Point middle, Point b, std::vector<Point>& points, int steps = 8) {
    const Point control = {2 * middle.x - (a.x + b.x) / 2, 2 * middle.y - (a.y + b.y) / 2};
    for (int i = 0; i <= steps; ++i) {
      const float t = static_cast<float>(i) / static_cast<float>(steps);
      const float u = 1 - t;
      points.push_back(
          {u * u * a.x + 2 * u * t * control.x + t * t * b.x, u * u * a.y + 2 * u * t * control.y + t * t * b.y});
    }
  }

  /// Half an ellipse over the base line, from left to right.
  static void AddDome(float half_width, float height, float base, std::vector<Point>& points) {
    for (int i = 0; i <= 16; ++i) {
      const float angle = static_cast<float>(i) * std::numbers::pi_v<float> / 16;
      points.push_back({-half_width * std::cos(angle), base - height * std::sin(angle)});
    }
  }

  Coverage Shape(std::vector<Point> face_points, float lift = 0) const {
    for (Point& p : face_points) p = At(p.x, p.y, lift);
    return canvas_.Outline(face_points);
  }

  Coverage Ellipse(Point centre, float rx, float ry, float lift = 0) const {
    std::vector<Point> points;
    for (int i = 0; i < 24; ++i) {
      const float angle = static_cast<float>(i) * std::numbers::pi_v<float> / 12;
      points.push_back({centre.x + rx * std::cos(angle), centre.y + ry * std::sin(angle)});
    }
    return Shape(std::move(points), lift);
  }

  Colour Skin(float darker) const {
    return Mix(who_.skin, {who_.skin[0] * 0.45F, who_.skin[1] * 0.35F, who_.skin[2] * 0.32F}, darker);
  }

  void Background() {
    RandomSequence random(shot_.background_seed, 1);
    const auto channel = [&random] { return static_cast<float>(random.Uniform(0.1, 0.9)); };
    const Colour from = {channel(), channel(), channel()};
    const Colour to = {channel(), channel(), channel()};
    const float tilt = static_cast<float>(random.Uniform(0, 1));
    const int size = canvas_.size();
    for (int y = 0; y < size; ++y)
      for (int x = 0; x < size; ++x) {
        const Colour colour = Mix(
            from, to, (tilt * static_cast<float>(x) + (1 - tilt) * static_cast<float>(y)) / static_cast<float>(size));
        std::copy(colour.begin(), colour.end(), canvas_.pixel(x, y));
      }
    for (int i = 0; i < 5; ++i) {
      const auto place = [&random, size] { return static_cast<float>(random.Uniform(0, size)); };
      const Colour colour = {channel(), channel(), channel()};
      const Point a = {place(), place()};
      if (i % 2 == 0) {
        canvas_.Paint(canvas_.Disc(a, place() * 0.3F), colour, 0.5F);
      } else {
        canvas_.Paint(canvas_.Outline(std::vector<Point>{a, {place(), place()}, {place(), place()}}), colour, 0.5F);
      }
    }
    const Colour shirt = {channel(), channel(), channel()};
    const float chin = Chin();
    canvas_.Paint(Shape({{-1.5F, chin + 0.9F}, {-1.1F, chin + 0.12F}, {1.1F, chin + 0.12F}, {1.5F, chin + 0.9F}}),
                  shirt);
    canvas_.Paint(Shape({{-0.45F, 0.5F}, {0.45F, 0.5F}, {0.5F, chin + 0.25F}, {0, chin + 0.4F}, {-0.5F, chin + 0.25F}}),
                  Skin(0.35F));
  }

  float Chin() const { return who_.face_length + 0.16F * Au(kJawDrop); }

  void BackHair() {
    if (who_.hair_style == 2) return;
    const Colour shade = Mix(who_.hair, kDark, 0.35F);
    if (who_.hair_style == 1) canvas_.Paint(Ellipse({0, 0.25F}, 1.18F, 1.5F, -0.5F), shade);
    canvas_.Paint(Ellipse({0, -0.28F}, 1.1F, who_.hair_style == 3 ? 1.15F : 0.98F, -0.4F), shade);
  }

  void Head() {
    for (const float side : {-1.0F, 1.0F})
      canvas_.Paint(Ellipse({side * 0.98F, 0.08F}, 0.13F, 0.22F, -0.1F), Skin(0.25F));
    const float jaw = who_.jaw_width;
    const float chin = Chin();
    std::vector<Point> outline;
    AddDome(0.97F, 1.08F, -0.1F, outline);
    AddCurve({0.97F, 0.0F}, {0.5F * (0.97F + jaw) + 0.02F, 0.45F}, {jaw, 0.68F}, outline, 5);
    AddCurve({jaw, 0.70F}, {0.62F * jaw + 0.08F, chin - 0.15F}, {who_.chin, chin}, outline, 5);
    AddCurve({-who_.chin, chin}, {-0.62F * jaw - 0.08F, chin - 0.15F}, {-jaw, 0.70F}, outline, 5);
    AddCurve({-jaw, 0.68F}, {-0.5F * (0.97F + jaw) - 0.02F, 0.45F}, {-0.97F, 0.0F}, outline, 5);
    head_ = Shape(std::move(outline));
    canvas_.Paint(head_, who_.skin);
    for (const float side : {-1.0F, 1.0F})
      canvas_.Paint(Ellipse({side * 0.55F, 0.35F - 0.05F * Au(kCheekRaiser)}, 0.24F, 0.18F),
                    Mix(who_.skin, {0.85F, 0.35F, 0.3F}, 0.5F), 0.25F, &head_);
    RandomSequence random(static_cast<std::uint64_t>(who_.freckles * 1e6F), 2);
    for (int i = 0; i < static_cast<int>(who_.freckles * 14); ++i)
      canvas_.Paint(
          canvas_.Disc(At(static_cast<float>(random.Uniform(-0.7, 0.7)), static_cast<float>(random.Uniform(0.05, 0.5))),
                       0.02F * unit_),
          Skin(0.6F), 0.6F);
  }

  void Crease(std::initializer_list<Point> points, float strength, float width = 0.035F) {
    if (strength > 0.08F)
      canvas_.Paint(Line(points, width, width * 0.5F), Skin(0.9F), std::min(0.75F, strength), &head_);
  }

  void Wrinkles() {
    const float raised = (Au(kInnerBrowRaiser) + Au(kOuterBrowRaiser)) / 2;
    const float forehead = 0.5F * raised + 0.3F * who_.wrinkles;
    for (const float y : {-0.72F, -0.84F}) Crease({{-0.45F, y}, {0, y - 0.03F}, {0.45F, y}}, forehead);
    const float furrow = 0.8F * Au(kBrowLowerer) + 0.25F * who_.wrinkles;
    for (const float side : {-1.0F, 1.0F}) {
      Crease({{side * 0.07F, -0.52F}, {side * 0.06F, -0.32F}}, furrow);
      Crease({{side * 0.10F, -0.10F - 0.04F}, {side * 0.02F, -0.04F}}, Au(kNoseWrinkler), 0.05F);
      Crease({{side * 0.13F, 0.02F}, {side * 0.03F, 0.07F}}, Au(kNoseWrinkler), 0.05F);
      const float fold = std::max(
          {0.75F * Au(kLipCornerPuller), 0.8F * Au(kNoseWrinkler), 0.85F * Au(kUpperLipRaiser), 0.4F * who_.wrinkles});
      Crease({{side * 0.21F, 0.32F}, {side * 0.38F, 0.47F}, {side * (0.45F + 0.05F * Au(kLipCornerPuller)), 0.66F}},
             fold, 0.05F);
      for (const float y : {-0.16F, -0.06F})
        Crease({{side * (who_.eye_distance + 0.25F), y}, {side * (who_.eye_distance + 0.38F), y + (y + 0.11F)}},
               0.7F * Au(kCheekRaiser) + 0.3F * who_.wrinkles);
      Crease({{side * (who_.eye_distance - 0.13F), 0.03F},
              {side * who_.eye_distance, 0.07F},
              {side * (who_.eye_distance + 0.14F), 0.03F}},
             0.25F + 0.45F * Au(kCheekRaiser) + 0.3F * Au(kLidTightener));
    }
    Crease({{-0.14F, 1.0F}, {0, 0.96F}, {0.14F, 1.0F}}, 0.8F * Au(kChinRaiser), 0.05F);
  }

  void Eye(float side) {
    const float w = who_.eye_size;
    const Point centre = {side * who_.eye_distance, -0.14F};
    const float open = std::max(0.0F, 1 - Au(kEyesClosed));
    const float upper =
        w * (0.52F + 0.42F * Au(kUpperLidRaiser) - 0.15F * Au(kLidTightener) - 0.15F * Au(kNoseWrinkler)) * open;
    const float lower =
        w * (0.42F - 0.28F * Au(kLidTightener) - 0.25F * Au(kCheekRaiser) - 0.1F * Au(kNoseWrinkler)) * open +
        w * 0.08F * (1 - open);
    const Point inner = {centre.x - side * w, centre.y + 0.02F};
    const Point outer = {centre.x + side * w, centre.y - who_.eye_tilt};
    std::vector<Point> lids;
    AddCurve(inner, {centre.x, centre.y - std::max(upper, -0.3F * lower)}, outer, lids);
    const std::size_t upper_points = lids.size();
    AddCurve(outer, {centre.x, centre.y + lower}, inner, lids);
    if (open > 0.15F) {
      const Coverage eye = Shape(lids);
      canvas_.Paint(eye, {0.93F, 0.92F, 0.90F});
      const Point pupil = At(centre.x, centre.y - 0.01F, 0.02F);
      canvas_.Paint(canvas_.Disc(pupil, 0.50F * w * unit_), who_.iris, 1, &eye);
      canvas_.Paint(canvas_.Disc(pupil, 0.24F * w * unit_), kDark, 1, &eye);
    }
    std::vector<Point> upper_lid;
    for (std::size_t i = 0; i < upper_points; ++i) upper_lid.push_back(At(lids[i].x, lids[i].y + (1 - open) * 0.06F));
    canvas_.Paint(canvas_.Stroke(upper_lid, 0.045F * unit_, 0.06F * unit_), kDark, 0.9F);
    Crease(
        {{inner.x, inner.y - upper - 0.06F}, {centre.x, centre.y - upper - 0.09F}, {outer.x, outer.y - upper - 0.04F}},
        0.4F * open);
  }

  void Brow(float side) {
    const float low = Au(kBrowLowerer);
    const float base = -0.44F - who_.brow_height + 0.03F * Au(kNoseWrinkler);
    const Point inner = {side * (0.19F - 0.06F * low), base + 0.03F + who_.brow_tilt - 0.15F * Au(kInnerBrowRaiser) +
                                                           0.13F * low + 0.05F * Au(kNoseWrinkler)};
    const Point middle = {side * 0.42F,
                          base - 0.04F - 0.05F * Au(kInnerBrowRaiser) - 0.10F * Au(kOuterBrowRaiser) + 0.06F * low};
    const Point outer = {side * 0.66F, base + 0.04F - who_.brow_tilt - 0.15F * Au(kOuterBrowRaiser) + 0.01F * low};
    canvas_.Paint(Line({inner, middle, outer}, who_.brow_thickness * 1.2F, who_.brow_thickness * 0.5F),
                  Mix(who_.hair, kDark, 0.45F), 0.95F);
  }

  void Nose() {
    const float tip = -0.02F + who_.nose_length - 0.05F * Au(kNoseWrinkler);
    const float w = who_.nose_width + 0.03F * Au(kNoseWrinkler);
    const float lit = std::cos(shot_.light_angle) > 0 ? -1.0F : 1.0F;
    canvas_.Paint(
        canvas_.Stroke(std::vector<Point>{At(lit * 0.07F, -0.25F, 0.05F), At(lit * 0.09F, tip - 0.12F, 0.18F)},
                       0.05F * unit_, 0.09F * unit_),
        Skin(0.6F), 0.35F);
    canvas_.Paint(Ellipse({0, tip - 0.05F}, 0.10F, 0.07F, 0.2F), Mix(who_.skin, {1, 1, 1}, 0.35F), 0.5F);
    for (const float side : {-1.0F, 1.0F}) {
      canvas_.Paint(canvas_.Disc(At(side * 0.07F, tip + 0.03F, 0.12F), 0.035F * unit_), kDark, 0.7F);
      canvas_.Paint(canvas_.Stroke(
                        std::vector<Point>{At(side * w, tip - 0.08F, 0.05F), At(side * (w + 0.01F), tip + 0.01F, 0.05F),
                                           At(side * w * 0.7F, tip + 0.04F, 0.08F)},
                        0.035F * unit_, 0.03F * unit_),
                    Skin(0.8F), 0.6F);
    }
  }

  void Beard() {
    const Colour colour = Mix(who_.hair, kDark, 0.3F);
    if (who_.beard) {
      std::vector<Point> outline;
      AddCurve({-0.9F, 0.3F}, {0, 1.5F * who_.face_length}, {0.9F, 0.3F}, outline, 12);
      AddCurve({0.7F, 0.45F}, {0, 0.62F}, {-0.7F, 0.45F}, outline, 8);
      canvas_.Paint(Shape(std::move(outline)), colour, 0.6F, &head_);
    }
    if (who_.moustache)
      canvas_.Paint(Line({{-0.26F, 0.56F}, {-0.12F, 0.49F}, {0.12F, 0.49F}, {0.26F, 0.56F}}, 0.08F, 0.08F), colour,
                    0.7F);
  }

  void Mouth() {
    const float part = std::max(0.09F * Au(kLipsPart), 0.0F) + 0.26F * Au(kJawDrop);
    const float y = who_.mouth_height - 0.02F * Au(kChinRaiser) + 0.03F * Au(kJawDrop);
    const float half = who_.mouth_width * (1 + 0.26F * Au(kLipCornerPuller) + 0.32F * Au(kLipStretcher) -
                                           0.22F * Au(kLipTightener) - 0.14F * Au(kJawDrop) - 0.06F * Au(kChinRaiser));
    const float corner = y - 0.15F * Au(kLipCornerPuller) + 0.14F * Au(kLipCornerDepressor) +
                         0.05F * Au(kLipStretcher) - who_.mouth_curve + part * 0.25F;
    const float smirk = Au(kDimpler);
    const Point left = {-half * (1 + 0.22F * smirk), corner - 0.15F * smirk};
    const Point right = {half, corner};
    const float lip = who_.lip_thickness * (1 - 0.65F * Au(kLipTightener) - 0.2F * Au(kLipCornerPuller));
    const float top = y - 0.09F * Au(kUpperLipRaiser) - 0.03F * Au(kNoseWrinkler) - 0.05F * Au(kChinRaiser) +
                      0.03F * Au(kLipCornerPuller);
    const float bottom = std::max(top + 0.01F, y + part - 0.05F * Au(kChinRaiser) + 0.05F * Au(kLipCornerPuller));
    std::vector<Point> lips;
    AddCurve(left, {0, top - lip}, right, lips, 10);
    AddCurve(right, {0, bottom + lip * 1.25F}, left, lips, 10);
    canvas_.Paint(Shape(std::move(lips)), who_.lips, 0.9F);
    std::vector<Point> inside;
    AddCurve(left, {0, top}, right, inside, 10);
    std::vector<Point> upper_edge(inside);
    AddCurve(right, {0, bottom}, left, inside, 10);
    for (Point& p : upper_edge) p = At(p.x, p.y);
    if (bottom - top > 0.035F) {
      const Coverage gap = Shape(std::move(inside));
      canvas_.Paint(gap, {0.22F, 0.05F, 0.06F});
      const float teeth =
          std::min(0.09F, 0.75F * (bottom - top)) *
          std::clamp(0.35F + Au(kLipCornerPuller) + Au(kUpperLipRaiser) + Au(kLipStretcher), 0.0F, 1.0F);
      canvas_.Paint(Shape({{-half, top - 0.2F},
                           {half, top - 0.2F},
                           {half * 0.8F, top + teeth},
                           {0, top + teeth * 1.1F},
                           {-half * 0.8F, top + teeth}}),
                    {0.93F, 0.91F, 0.87F}, 0.95F, &gap);
    }
    canvas_.Paint(canvas_.Stroke(upper_edge, 0.035F * unit_, 0.035F * unit_), Mix(who_.lips, kDark, 0.7F), 0.8F);
    Crease({{-half * 1.35F, corner - 0.24F}, {-half * 1.42F, corner - 0.10F}}, 0.9F * smirk, 0.05F);
  }

  void FrontHair() {
    if (who_.hair_style == 2) return;
    const float line = who_.hair_style == 4 ? -0.55F : -0.82F;
    std::vector<Point> outline;
    AddDome(1.03F, 1.28F, 0.0F, outline);
    AddCurve({0.92F, -0.25F}, {0.1F, line}, {-0.92F, -0.25F}, outline, 10);
    canvas_.Paint(Shape(std::move(outline)), who_.hair);
  }

  void Glasses() {
    const Colour frame = Mix(who_.hair, {0.1F, 0.1F, 0.12F}, 0.8F);
    for (const float side : {-1.0F, 1.0F}) {
      std::vector<Point> ring;
      for (int i = 0; i <= 16; ++i) {
        const float angle = static_cast<float>(i) * std::numbers::pi_v<float> / 8;
        ring.push_back(At(side * who_.eye_distance + 0.27F * std::cos(angle), -0.11F + 0.2F * std::sin(angle), 0.08F));
      }
      canvas_.Paint(canvas_.Stroke(ring, 0.04F * unit_, 0.04F * unit_), frame, 0.9F);
    }
    canvas_.Paint(Line({{-0.14F, -0.15F}, {0.14F, -0.15F}}, 0.04F, 0.04F), frame);
  }

  void Occluder() {
    if (shot_.occluder == 0) return;
    RandomSequence random(shot_.occluder, 3);
    const auto value = [&random](double low, double high) { return static_cast<float>(random.Uniform(low, high)); };
    const bool hand = random.Below(2) == 0;
    const Colour colour = hand ? Skin(0.2F) : Colour{value(0, 1), value(0, 1), value(0, 1)};
    const float side = random.Below(2) == 0 ? -1.0F : 1.0F;
    const Point from = {side * 1.6F, value(0.2, 1.6)};
    const Point to = {side * value(0.25, 0.7), value(-0.3, 0.9)};
    canvas_.Paint(Line({from, to}, value(0.3, 0.5), value(0.2, 0.4)), colour);
  }

  void Light() {
    canvas_.Blur(shot_.blur);
    RandomSequence random(shot_.background_seed, 4);
    const int size = canvas_.size();
    const float dx = std::cos(shot_.light_angle) * shot_.light_strength;
    const float dy = std::sin(shot_.light_angle) * shot_.light_strength;
    for (int y = 0; y < size; ++y)
      for (int x = 0; x < size; ++x) {
        const float along = dx * (2 * static_cast<float>(x) / static_cast<float>(size) - 1) +
                            dy * (2 * static_cast<float>(y) / static_cast<float>(size) - 1);
        // The sum of four uniform 16-bit values is near enough to a bell.
        const std::uint64_t bits = random();
        const auto sum =
            static_cast<float>((bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48));
        const float grain = (sum / 65536.0F - 2) * 1.73F * shot_.noise;
        float* const p = canvas_.pixel(x, y);
        const Colour tint = {1 + shot_.warmth, 1, 1 - shot_.warmth};
        for (std::size_t c = 0; c < 3; ++c)
          p[c] = ((p[c] - 0.5F) * shot_.contrast + 0.5F) * shot_.brightness * (1 + along) * tint[c] + grain;
      }
  }

  const FaceIdentity& who_;
  const FaceShot& shot_;
  FaceCanvas canvas_;
  const float unit_;
  Coverage head_;
};

}  // namespace

Image RenderFace(const FaceIdentity& identity, const FaceShot& shot, int size) {
  return Painter(identity, shot, size).Paint();
}

}  // namespace ferment::dataset
