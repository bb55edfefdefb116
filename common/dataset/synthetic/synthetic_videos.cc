// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/synthetic/synthetic_videos.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "common/base/random.h"
#include "common/dataset/expression.h"
#include "common/dataset/pictures/jpeg_encoder.h"
#include "common/dataset/pictures/picture_file.h"
#include "common/dataset/synthetic/face_chance.h"
#include "common/dataset/synthetic/parallel_render.h"
#include "common/io/atomic_file.h"

namespace ferment::dataset {
namespace {

constexpr int kJpegQuality = 90;
constexpr char kAnnotations[] = "6th ABAW Annotations/EXPR_Recognition_Challenge";
constexpr char kFirstBatch[] = "cropped_aligned";
constexpr char kSecondBatch[] = "cropped_aligned_new_50_vids";

/// The expressions of 20 segments; with the neutral time between them about 20 : 1 from Neutral to Fear.
constexpr std::array<int, 20> kDeck = {1, 1, 2, 3, 4, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 7, 7, 7, 7, 7};

/// Deals expressions of a split, deck after deck, each in another order.
class Dealer {
 public:
  Dealer(std::uint64_t seed, VideoSplit split)
      : seed_(seed), stream_(RandomBits(StreamOf("synthetic/deck"), static_cast<std::uint64_t>(split), 0)) {}
  int Next() {
    if (dealt_ % kDeck.size() == 0) order_ = RandomPermutation(kDeck.size(), seed_, stream_ + dealt_);
    return kDeck[order_[dealt_++ % kDeck.size()]];
  }

 private:
  std::uint64_t seed_, stream_;
  std::size_t dealt_ = 0;
  std::vector<std::uint64_t> order_;
};

/// A slow wave with a chance frequency and phase.
struct Wave {
  double amplitude, frequency, phase;
  float At(std::size_t frame) const {
    return static_cast<float>(amplitude * std::sin(frequency * static_cast<double>(frame) + phase));
  }
};

Wave DrawWave(RandomSequence& random, double amplitude) {
  return {amplitude * random.Uniform(0.3, 1), random.Uniform(0.02, 0.09), random.Uniform(0, 6.28)};
}

/// Adds one neutral pause and one expression with onset, apex and offset: one to three seconds at 30 frames a second.
void AddSegment(RandomSequence& random, int label, std::vector<SyntheticFrame>& frames) {
  const std::uint64_t pause = 15 + random.Below(40);
  frames.resize(frames.size() + pause);
  const double intensity = random.Uniform(0.45, 1);
  const Expression target = DrawExpression(random, label, intensity);
  const auto onset = static_cast<double>(5 + random.Below(8));
  const auto apex = static_cast<double>(20 + random.Below(41));
  const auto offset = static_cast<double>(5 + random.Below(10));
  for (double t = 0; t < onset + apex + offset; ++t) {
    const double envelope = std::clamp(std::min((t + 1) / onset, (onset + apex + offset - t) / offset), 0.0, 1.0);
    SyntheticFrame frame;
    for (std::size_t unit = 0; unit < kActionUnits; ++unit)
      frame.shot.expression[unit] = target[unit] * static_cast<float>(envelope);
    frame.truth = envelope >= 0.5 ? label : 0;
    frames.push_back(frame);
  }
}

/// Per-frame life: drifting pose, twitching muscles, speech, bad frames.
void Animate(RandomSequence& random, std::vector<SyntheticFrame>& frames) {
  const FaceShot base = DrawShot(random);
  const Wave yaw = DrawWave(random, 0.25), pitch = DrawWave(random, 0.12), roll = DrawWave(random, 0.08),
             light = DrawWave(random, 0.8);
  const bool talks = random.Uniform(0, 1) < 0.4;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    FaceShot& shot = frames[i].shot;
    const Expression expression = shot.expression;
    shot = base;
    shot.expression = expression;
    for (float& unit : shot.expression)
      unit =
          std::clamp(unit * static_cast<float>(random.Uniform(0.75, 1.2)) + static_cast<float>(random.Normal() * 0.05),
                     0.0F, 1.0F);
    if (talks) {
      float& lips = shot.expression[static_cast<std::size_t>(ActionUnit::kLipsPart)];
      lips = std::max(lips, static_cast<float>(0.6 * std::max(0.0, std::sin(static_cast<double>(i) * 1.1))));
    }
    if (random.Uniform(0, 1) < 0.03) shot.expression[static_cast<std::size_t>(ActionUnit::kEyesClosed)] = 1;
    shot.yaw = std::clamp(base.yaw * 0.5F + yaw.At(i), -0.6F, 0.6F);
    shot.pitch = base.pitch * 0.5F + pitch.At(i);
    shot.roll = base.roll * 0.5F + roll.At(i);
    shot.light_angle = base.light_angle + light.At(i);
    shot.blur = random.Uniform(0, 1) < 0.15 ? 1.0F : base.blur * 0.5F;
    shot.occluder = random.Uniform(0, 1) < 0.06 ? random() | 1 : 0;
    frames[i].label = frames[i].truth;
  }
}

/// Leaves frames without a face, and stretches without annotation.
void TearHoles(RandomSequence& random, std::vector<SyntheticFrame>& frames) {
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const double chance = random.Uniform(0, 1);
    const std::size_t end = std::min(frames.size(), i + 2 + random.Below(6));
    if (chance < 0.008)
      for (std::size_t j = i; j < end; ++j) frames[j].has_image = false;
    if (chance > 0.992)
      for (std::size_t j = i; j < end; ++j) frames[j].label = -1;
  }
  frames.front().has_image = true;
}

std::string NameOf(VideoSplit split, std::uint32_t index) {
  const std::uint32_t number = index + (split == VideoSplit::kTrain ? 1 : split == VideoSplit::kValidation ? 301 : 501);
  switch (index % 4) {
    case 0:
      return "video" + std::to_string(number);
    case 1:
      return std::to_string(number) + "-30-1920x1080";
    case 2:
      return std::to_string(number);
    default:
      return std::to_string(number) + "-24-1280x720_left";
  }
}

std::string FrameName(std::size_t frame) {
  char name[32];
  std::snprintf(name, sizeof name, "%05zu.jpg", frame + 1);
  return name;
}

Status RenderVideo(const SyntheticVideo& video, int size, const std::filesystem::path& folder,
                   const std::stop_token& stop) {
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(folder));
  const auto written = RenderAll(video.frames.size(), [&](std::uint64_t i) -> Status {
    if (stop.stop_requested()) return CancelledError("asked to stop while a video was rendered");
    if (!video.frames[i].has_image) return {};
    FERMENT_ASSIGN_OR_RETURN(const auto jpeg,
                             EncodeJpeg(RenderFace(video.identity, video.frames[i].shot, size), kJpegQuality));
    return WritePicture(folder / FrameName(i), jpeg);
  });
  for (const Status& status : written) FERMENT_RETURN_IF_ERROR(status);
  return {};
}

std::string AnnotationOf(const SyntheticVideo& video) {
  std::string text;
  for (const std::string_view name : kExpressionNames) text += (text.empty() ? "" : ",") + std::string(name);
  text += '\n';
  for (const SyntheticFrame& frame : video.frames) text += std::to_string(frame.label) + "\n";
  return text;
}

}  // namespace

std::vector<SyntheticVideo> ScriptVideos(std::uint64_t seed, VideoSplit split, std::uint32_t count,
                                         std::uint32_t mean_frames) {
  Dealer dealer(seed, split);
  std::vector<SyntheticVideo> videos;
  for (std::uint32_t index = 0; index < count; ++index) {
    const std::uint64_t person = static_cast<std::uint64_t>(split) + index;
    RandomSequence random(seed, RandomBits(StreamOf("synthetic/video"), person, 0));
    SyntheticVideo video{NameOf(split, index), DrawIdentity(seed, person), {}};
    const double wanted = mean_frames * random.Uniform(0.7, 1.3);
    while (static_cast<double>(video.frames.size()) < wanted) AddSegment(random, dealer.Next(), video.frames);
    Animate(random, video.frames);
    TearHoles(random, video.frames);
    videos.push_back(std::move(video));
  }
  return videos;
}

Status RenderSyntheticVideos(std::uint64_t seed, const v1::SyntheticSpec& sizes, const std::filesystem::path& out,
                             const std::stop_token& stop) {
  struct Split {
    VideoSplit split;
    std::uint32_t count;
    const char* annotations;
  };
  const std::array<Split, 3> splits = {{{VideoSplit::kTrain, sizes.videos_train(), "Train_Set"},
                                        {VideoSplit::kValidation, sizes.videos_validation(), "Validation_Set"},
                                        {VideoSplit::kTest, sizes.videos_test(), nullptr}}};
  std::string truth = "video,frame,class\n";
  std::string test_names;
  std::string sample = "image_location";
  for (const std::string_view name : kExpressionNames) sample += "," + std::string(name);
  sample += '\n';
  for (const Split& split : splits) {
    const auto videos = ScriptVideos(seed, split.split, split.count, sizes.frames());
    for (std::size_t v = 0; v < videos.size(); ++v) {
      const SyntheticVideo& video = videos[v];
      FERMENT_RETURN_IF_ERROR(RenderVideo(video, static_cast<int>(sizes.image_size()),
                                          out / (v % 5 == 4 ? kSecondBatch : kFirstBatch) / video.name, stop));
      if (split.annotations != nullptr) {
        const auto folder = out / kAnnotations / split.annotations;
        FERMENT_RETURN_IF_ERROR(io::CreateFolders(folder));
        FERMENT_RETURN_IF_ERROR(io::WriteFileAtomically(folder / (video.name + ".txt"), AnnotationOf(video)));
      } else {
        test_names += video.name + "\n";
      }
      for (std::size_t i = 0; i < video.frames.size(); ++i) {
        truth += video.name + "," + std::to_string(i + 1) + "," + std::to_string(video.frames[i].truth) + "\n";
        if (split.annotations == nullptr) sample += video.name + "/" + FrameName(i) + ",\n";
      }
    }
  }
  FERMENT_RETURN_IF_ERROR(io::WriteFileAtomically(out / "EXPR_test_set_videos.txt", test_names));
  FERMENT_RETURN_IF_ERROR(io::WriteFileAtomically(out / "EXPR_test_set_sample.txt", sample));
  return io::WriteFileAtomically(out / "truth.csv", truth);
}

}  // namespace ferment::dataset
