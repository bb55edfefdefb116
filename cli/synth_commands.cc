// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/data_commands.h"
#include "common/base/whole_number.h"
#include "common/dataset/data_scan.h"
#include "common/dataset/expression.h"
#include "common/dataset/faces/face_list.h"
#include "common/dataset/labels/pseudo_label_quality.h"
#include "common/dataset/pictures/contact_sheet.h"
#include "common/dataset/pictures/jpeg_encoder.h"
#include "common/dataset/pictures/picture_decoder.h"
#include "common/dataset/pictures/png_writer.h"
#include "common/dataset/records/open_sources.h"
#include "common/dataset/synthetic/synthetic_set.h"
#include "common/dataset/videos/video_list.h"
#include "common/io/atomic_file.h"

namespace ferment::cli {
namespace {

using dataset::CaptionedImage;

const std::vector<std::string> kClasses(dataset::kExpressionNames.begin(), dataset::kExpressionNames.end());

/// Returns: `wanted` indices spread evenly over 0 .. available-1.
std::vector<std::size_t> Spread(std::size_t available, std::size_t wanted) {
  std::vector<std::size_t> indices;
  const std::size_t count = std::min(available, wanted);
  for (std::size_t i = 0; i < count; ++i) indices.push_back(i * available / count);
  return indices;
}

std::string ClassName(int label) { return label < 0 ? "-1" : kClasses[static_cast<std::size_t>(label)]; }

CaptionedImage Captioned(Result<dataset::Image> image, std::string caption) {
  if (!image) return {{}, caption.substr(0, caption.find(' ')) + " " + dataset::DamageReason(image.error())};
  return {std::move(*image), std::move(caption)};
}

Result<std::vector<CaptionedImage>> SamplesOfPack(const std::string& path, const std::string& format,
                                                  std::size_t wanted) {
  RunSpec spec;
  spec.mutable_data()->mutable_fr()->set_path(path);
  spec.mutable_data()->mutable_fr()->set_format(format == "fr-folder" ? "folder" : format);
  FERMENT_ASSIGN_OR_RETURN(const auto source, dataset::OpenFr(spec));
  const auto truth =
      dataset::ReadLabelTruth(std::filesystem::path(path) / "fr_truth.csv", static_cast<int>(kClasses.size()));
  std::vector<CaptionedImage> samples;
  for (const std::size_t i : Spread(source->size(), wanted)) {
    const std::uint64_t key = source->KeyAt(i);
    std::string caption = std::to_string(key);
    if (truth && truth->contains(key)) caption += " " + ClassName(truth->at(key));
    const auto record = source->Read(i);
    samples.push_back(Captioned(
        record ? dataset::DecodePicture(record->image) : Result<dataset::Image>(Fail(record.error())), caption));
  }
  return samples;
}

Result<std::vector<CaptionedImage>> SamplesOfVideos(const std::string& path, std::string_view format,
                                                    std::size_t wanted) {
  FERMENT_ASSIGN_OR_RETURN(const auto videos, dataset::LoadVideoSource(format, path, kClasses));
  std::vector<CaptionedImage> samples;
  const std::size_t each = std::max<std::size_t>(1, wanted / std::max<std::size_t>(1, videos.size()));
  for (const dataset::Video& video : videos)
    for (const std::size_t i : Spread(video.frames_with_image.size(), each)) {
      const std::uint32_t frame = video.frames_with_image[i];
      samples.push_back(Captioned(dataset::DecodePictureFile(video.FramePath(frame)),
                                  std::to_string(frame) + " " + ClassName(video.LabelAt(frame))));
    }
  return samples;
}

Result<std::vector<CaptionedImage>> SamplesOfFaces(const std::string& path, const std::string& format,
                                                   std::size_t wanted) {
  v1::FerSpec source;
  source.set_path(path);
  source.set_format(format);
  FERMENT_ASSIGN_OR_RETURN(dataset::FaceList list,
                           dataset::LoadFaceSource(source, dataset::ClassMap(kClasses), dataset::FaceSplit::kTrain));
  std::stable_sort(list.faces.begin(), list.faces.end(),
                   [](const auto& a, const auto& b) { return a.label < b.label; });
  std::vector<CaptionedImage> samples;
  for (const std::size_t i : Spread(list.faces.size(), wanted))
    samples.push_back(Captioned(dataset::ReadFace(list.faces[i]), ClassName(list.faces[i].label)));
  return samples;
}

struct ShowFlags {
  std::string path, format, out;
  std::size_t count = 96;
  int cell = 96;
};

Status Show(const ShowFlags& flags) {
  std::string format = flags.format;
  if (format.empty()) {
    FERMENT_ASSIGN_OR_RETURN(format, dataset::GuessFormat(flags.path));
  }
  const bool pack = format == "insightface" || format == "fr-folder";
  const auto videos = dataset::VideoFormatOf(format);
  FERMENT_ASSIGN_OR_RETURN(const auto samples, pack     ? SamplesOfPack(flags.path, format, flags.count)
                                               : videos ? SamplesOfVideos(flags.path, *videos, flags.count)
                                                        : SamplesOfFaces(flags.path, format, flags.count));
  if (samples.empty()) return DataLossError("nothing to show: path=" + flags.path + " format=" + format);
  const dataset::Image page = dataset::ComposeContactSheet(samples, {.cell_pixels = flags.cell});
  std::vector<std::byte> bytes;
  if (flags.out.ends_with(".png")) {
    bytes = dataset::EncodePng(page);
  } else {
    FERMENT_ASSIGN_OR_RETURN(bytes, dataset::EncodeJpeg(page));
  }
  FERMENT_RETURN_IF_ERROR(io::WriteFileAtomically(flags.out, bytes));
  std::cout << flags.out << ": " << samples.size() << " pictures of " << flags.path << " (" << format << ")\n";
  return {};
}

void AddShowCommand(CLI::App& group) {
  const auto flags = std::make_shared<ShowFlags>();
  CLI::App* command = group.add_subcommand("show", "A page of pictures from a data folder");
  command->add_option("path", flags->path, "The folder, as for scan")->required();
  command->add_option("--out", flags->out, "File to write: .png, .jpg or .jpeg")
      ->required()
      ->check([](const std::string& name) {
        return name.ends_with(".png") || name.ends_with(".jpg") || name.ends_with(".jpeg")
                   ? std::string()
                   : "must end in .png, .jpg or .jpeg";
      });
  command->add_option("--format", flags->format, "Guessed from the folder when not given");
  command->add_option("--count", flags->count, "Pictures")->check(CLI::Range(1, 2000))->capture_default_str();
  command->add_option("--cell", flags->cell, "Pixels a picture")->check(CLI::Range(16, 512))->capture_default_str();
  command->callback([flags] { LeaveIfFailed(Show(*flags)); });
}

/// As in a spec.
constexpr std::uint64_t kLargestSeed = 1ULL << 53U;
constexpr std::uint64_t kMostRecords = 100'000'000;

struct SynthFlags {
  std::string out;
  std::uint64_t seed = 1;
  std::uint32_t faces_train = 480, faces_validation = 800, fr_records = 4000, identities = 400;
  std::uint32_t videos_train = 16, videos_validation = 8, videos_test = 2, frames = 160, image_size = 56;
};

Status Synth(const SynthFlags& flags) {
  RunSpec spec;
  spec.set_seed(flags.seed);
  v1::SyntheticSpec& sizes = *spec.mutable_data()->mutable_synthetic();
  sizes.set_faces_train(flags.faces_train);
  sizes.set_faces_validation(flags.faces_validation);
  sizes.set_fr_records(flags.fr_records);
  sizes.set_identities(flags.identities);
  sizes.set_videos_train(flags.videos_train);
  sizes.set_videos_validation(flags.videos_validation);
  sizes.set_videos_test(flags.videos_test);
  sizes.set_frames(flags.frames);
  sizes.set_image_size(flags.image_size);
  FERMENT_RETURN_IF_ERROR(dataset::RenderSyntheticSets(spec, flags.out));
  std::cout << flags.out << ": fer (" << flags.faces_train << " + " << flags.faces_validation << " faces), fr ("
            << flags.fr_records << " records), videos (" << flags.videos_train << " + " << flags.videos_validation
            << " + " << flags.videos_test << ")\n";
  return {};
}

void AddSynthCommand(CLI::App& group) {
  const auto flags = std::make_shared<SynthFlags>();
  CLI::App* command = group.add_subcommand(
      "synth", "Render labelled faces, an FR pack and videos, in the files that real data come in");
  command->add_option("--out", flags->out, "Folder; fer, fr and videos in it are replaced")->required();
  command->add_option("--seed", flags->seed, "Everything random derives from it")
      ->check(WholeNumber(0, kLargestSeed))
      ->capture_default_str();
  const auto add = [command](const char* name, std::uint32_t& size, const char* about) {
    command->add_option(name, size, about)->check(WholeNumber(0, kMostRecords))->capture_default_str();
  };
  add("--faces-train", flags->faces_train, "Labelled training faces");
  add("--faces-validation", flags->faces_validation, "Labelled validation faces");
  add("--fr-records", flags->fr_records, "Unlabelled faces");
  add("--identities", flags->identities, "Identities among the unlabelled faces");
  add("--videos-train", flags->videos_train, "Training videos");
  add("--videos-validation", flags->videos_validation, "Validation videos");
  add("--videos-test", flags->videos_test, "Test videos");
  add("--frames", flags->frames,
      "Frames a video is asked to have, in the mean; some 50 more come, to the end of an expression");
  add("--image-size", flags->image_size, "Pixels a side");
  command->callback([flags] { LeaveIfFailed(Synth(*flags)); });
}

}  // namespace

void AddSynthCommands(CLI::App& app) {
  CLI::App& group = DataGroup(app);
  AddSynthCommand(group);
  AddShowCommand(group);
}

}  // namespace ferment::cli
