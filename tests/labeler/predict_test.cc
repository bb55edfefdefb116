// SPDX-License-Identifier: Apache-2.0
#include "labeler/predict.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "common/base/json.h"
#include "common/base/random.h"
#include "common/dataset/pictures/jpeg_encoder.h"
#include "common/dataset/pictures/picture_decoder.h"
#include "common/io/checksum.h"
#include "common/nn/backbone.h"
#include "common/nn/temporal/temporal_encoder.h"
#include "common/nn/temporal/temporal_inference.h"
#include "common/nn/tensor_io.h"
#include "labeler/torch_annotator.h"

namespace ferment::labeler {
namespace {

constexpr int kSide = 32;

/// An export of random networks over three classes, and a folder of five frames with two gaps: 2, 3, 5, 6, 9.
class PredictTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) / "predict";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_ / "export");
    std::filesystem::create_directories(folder_ / "video");
    model_ = {{"format", "ferment.model/v1"}, {"backbone", "resnet18"},     {"width", 8},
              {"image_size", kSide},          {"classes", {"a", "b", "c"}}, {"file", "student.safetensors"}};
    model_["temporal"] = {{"file", "temporal.safetensors"},
                          {"encoder", "transformer"},
                          {"input_size", 64},
                          {"d_model", 8},
                          {"layers", 1},
                          {"heads", 2},
                          {"feed_forward", 8},
                          {"dropout", 0.1},
                          {"window", 4},
                          {"hop", 2},
                          {"smoothing_half_width", 1}};
    spec_.mutable_model()->set_backbone("resnet18");
    spec_.mutable_model()->set_width(8);
    spec_.mutable_model()->set_image_size(kSide);
    for (const char* name : {"a", "b", "c"}) spec_.add_classes(name);
    spec_.mutable_labeling()->set_batch(5);
    spec_.mutable_labeling()->set_plan("fp32");
    encoder_ = nn::MakeTemporalEncoder({"transformer", 64, 8, 1, 2, 8, 0.1, 3}, 1, 0);
    ASSERT_TRUE(nn::SaveTensors(Student(), nn::StateOf(*nn::MakeBackbone(nn::BackboneOf(spec_), 1, 0))).ok());
    ASSERT_TRUE(nn::SaveTensors(Export() / "temporal.safetensors", nn::StateOf(*encoder_)).ok());
    model_["digest"] = *io::Sha256OfFile(Student());
    model_["temporal"]["digest"] = *io::Sha256OfFile(Export() / "temporal.safetensors");
    WriteModel();
    for (const int frame : {2, 3, 5, 6, 9}) WriteFrame(frame);
  }

  std::filesystem::path Export() const { return folder_ / "export"; }
  std::filesystem::path Student() const { return Export() / "student.safetensors"; }
  std::filesystem::path Frame(int number) const {
    char name[16];
    std::snprintf(name, sizeof(name), "%05d.jpg", number);
    return folder_ / "video" / name;
  }
  void WriteModel() const { std::ofstream(Export() / "model.json") << model_.dump(); }
  void WriteFrame(int number) const {
    RandomSequence random(1, static_cast<std::uint64_t>(number));
    dataset::Image image{kSide, kSide, {}};
    for (int i = 0; i < kSide * kSide * 3; ++i) image.rgb.push_back(static_cast<std::uint8_t>(random.Below(256)));
    const auto bytes = dataset::EncodeJpeg(image);
    ASSERT_TRUE(bytes);
    std::ofstream(Frame(number), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes->data()), static_cast<std::streamsize>(bytes->size()));
  }
  Result<PredictReport> PredictVideo(bool picture_by_picture = false) const {
    return Predict({Export(), {folder_ / "video"}, PredictFormat::kJson, picture_by_picture});
  }
  /// Returns: the exit code of a failed prediction, and its message in `message_`.
  int Refused() {
    const auto report = PredictVideo();
    if (report) return exit_code::kOk;
    message_ = report.error().message();
    return ProcessExitCode(report.error());
  }

  std::filesystem::path folder_;
  Json model_;
  RunSpec spec_;
  std::shared_ptr<nn::TemporalEncoder> encoder_;
  std::string message_;
};

TEST_F(PredictTest, AVideoHasARowAFrameFromOneToTheLastAsTheEvaluationPredictsIt) {
  nn::FrameFeatures video{torch::zeros({9, 64}), std::vector<bool>(9)};
  const auto annotator = MakeTorchAnnotator(spec_, Student(), "");
  ASSERT_TRUE(annotator);
  for (const int frame : {2, 3, 5, 6, 9}) {
    const auto image = dataset::DecodePictureFile(Frame(frame));
    ASSERT_TRUE(image);
    const auto annotation = (*annotator)->Annotate({&*image, 1});
    ASSERT_TRUE(annotation);
    video.features[frame - 1] = torch::tensor(annotation->features);
    video.present[static_cast<std::size_t>(frame - 1)] = true;
  }
  const nn::FrameTable expected = nn::BoxSmooth(nn::FramePredictor(*encoder_, 3, 4, 2).Predict(video), 1);

  const auto report = PredictVideo();
  ASSERT_TRUE(report) << report.error().message();
  const Json rows = *ParseJson(report->text);
  ASSERT_EQ(rows.size(), 9U);
  for (std::size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(rows[i]["frame"], i + 1);
    EXPECT_EQ(rows[i]["path"], (folder_ / "video").string());
    EXPECT_EQ(rows[i]["prediction"], nn::ArgmaxRows(expected)[i]);
    EXPECT_NEAR(rows[i]["probabilities"]["b"].get<double>(), static_cast<double>(expected.Row(i)[1]), 1e-5);
  }
}

TEST_F(PredictTest, PictureByPictureAndWithoutAnEncoderAFrameIsAPicture) {
  const auto by_wish = PredictVideo(/*picture_by_picture=*/true);
  ASSERT_TRUE(by_wish) << by_wish.error().message();
  model_.erase("temporal");
  WriteModel();
  const auto by_need = PredictVideo();
  ASSERT_TRUE(by_need) << by_need.error().message();
  EXPECT_EQ(by_wish->text, by_need->text);
  const Json rows = *ParseJson(by_need->text);
  ASSERT_EQ(rows.size(), 5U);
  EXPECT_EQ(rows[4]["path"], Frame(9).string());
}

TEST_F(PredictTest, ADamagedPictureIsCountedAndItsFrameFilled) {
  const Json before = *ParseJson(PredictVideo()->text);
  std::ofstream(Frame(5)) << "no picture";
  const auto damaged = PredictVideo();
  ASSERT_TRUE(damaged);
  EXPECT_EQ(damaged->skipped, 1);
  EXPECT_EQ(ParseJson(damaged->text)->size(), 9U);
  EXPECT_NE(*ParseJson(damaged->text), before);
  std::filesystem::remove(Frame(5));
  EXPECT_EQ(PredictVideo()->text, damaged->text);
  for (const int frame : {2, 3, 6, 9}) std::ofstream(Frame(frame)) << "no picture";
  EXPECT_EQ(Refused(), exit_code::kBadData);
}

TEST_F(PredictTest, AMissingModelAndOtherWeightsAreMissingOrDamagedData) {
  nn::NamedTensors tensors = *nn::LoadTensors(Student());
  tensors.back().second.add_(1);
  ASSERT_TRUE(nn::SaveTensors(Student(), tensors).ok());
  EXPECT_EQ(Refused(), exit_code::kBadData);
  EXPECT_NE(message_.find("student.safetensors"), std::string::npos) << message_;
  std::filesystem::remove(Student());
  EXPECT_EQ(Refused(), exit_code::kBadData);
  std::filesystem::remove(Export() / "model.json");
  EXPECT_EQ(Refused(), exit_code::kBadData);
  EXPECT_NE(message_.find("model.json"), std::string::npos) << message_;
}

TEST_F(PredictTest, AModelThatThisVersionCannotReadSaysWhichFieldAndLeavesWith78) {
  const Json good = model_;
  const auto refused = [&](const char* key, const Json& value) {
    model_ = good;
    (std::string(key) == "heads" || std::string(key) == "hop" ? model_["temporal"] : model_)[key] = value;
    WriteModel();
    EXPECT_EQ(Refused(), exit_code::kUnreadableState) << key;
    EXPECT_NE(message_.find(key), std::string::npos) << message_;
  };
  refused("backbone", "vit");
  refused("format", "ferment.model/v2");
  refused("width", 1'000'000);
  refused("classes", Json::array());
  refused("file", "../student.safetensors");
  refused("temporal", 1);
  refused("heads", 3);
  refused("hop", 5);
  std::ofstream(Export() / "model.json") << "{";
  EXPECT_EQ(Refused(), exit_code::kUnreadableState);
}

}  // namespace
}  // namespace ferment::labeler
