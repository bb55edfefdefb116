// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/synthetic/synthetic_set.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "common/base/json.h"
#include "common/base/random.h"
#include "common/config/spec_defaults.h"
#include "common/dataset/expression.h"
#include "common/dataset/pictures/jpeg_encoder.h"
#include "common/dataset/pictures/picture_file.h"
#include "common/dataset/records/recordio_writer.h"
#include "common/dataset/synthetic/face_chance.h"
#include "common/dataset/synthetic/parallel_render.h"
#include "common/dataset/synthetic/synthetic_faces.h"
#include "common/dataset/synthetic/synthetic_videos.h"
#include "common/io/atomic_file.h"

namespace ferment::dataset {
namespace {

constexpr int kJpegQuality = 92;
/// Raised whenever the pictures or lists of one seed change.
constexpr int kRendererVersion = 3;
constexpr std::uint64_t kFacesPerTrainPerson = 8;
constexpr std::uint64_t kFacesPerValidationPerson = 4;
constexpr std::uint64_t kChunk = 1024;
/// Share of training labels that an annotator got wrong.
constexpr double kWrongLabels = 0.02;

using Shares = std::array<double, 8>;
constexpr Shares kTrainShares = {0.20, 0.12, 0.09, 0.09, 0.18, 0.12, 0.10, 0.10};
constexpr Shares kEqualShares = {0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125};
constexpr Shares kFrShares = {0.44, 0.045, 0.035, 0.03, 0.27, 0.06, 0.06, 0.06};

/// What tells one face set from the others.
struct FaceSet {
  const char* stream;
  std::uint64_t first_person;
  std::uint64_t faces;
  std::uint64_t persons;
  Shares shares;
  /// Least intensity of an expression.
  double weakest;
  /// So that no class is without a sample in a small set.
  bool every_class;
};

struct Face {
  int truth = 0;
  int annotated = 0;
  std::uint64_t person = 0;
  std::vector<std::byte> jpeg;
};

int DrawClass(RandomSequence& random, const Shares& shares) {
  double rest = random.Uniform(0, 1);
  for (std::size_t c = 0; c + 1 < shares.size(); ++c) {
    if (rest < shares[c]) return static_cast<int>(c);
    rest -= shares[c];
  }
  return static_cast<int>(shares.size()) - 1;
}

/// What all sets of one call have in common.
struct Rendering {
  std::uint64_t seed;
  int size;
  const std::stop_token& stop;
};

Result<Face> MakeFace(const Rendering& rendering, const FaceSet& set, std::uint64_t index) {
  if (rendering.stop.stop_requested()) return Fail(CancelledError("asked to stop while faces were rendered"));
  const std::uint64_t seed = rendering.seed;
  RandomSequence random(seed, RandomBits(StreamOf(set.stream), index, 0));
  Face face;
  // Persons follow each other, as an FR pack has them.
  face.person = index * set.persons / set.faces;
  face.truth = DrawClass(random, set.shares);
  const std::uint64_t eighth = index * set.shares.size() / set.faces;
  const bool forced = set.every_class && eighth != (index + 1) * set.shares.size() / set.faces;
  if (forced) face.truth = static_cast<int>(eighth);
  face.annotated = !forced && random.Uniform(0, 1) < kWrongLabels ? static_cast<int>(random.Below(8)) : face.truth;
  FaceShot shot = DrawShot(random);
  shot.expression = DrawExpression(random, face.truth, random.Uniform(set.weakest, 1));
  const FaceIdentity identity = DrawIdentity(seed, set.first_person + face.person);
  FERMENT_ASSIGN_OR_RETURN(face.jpeg, EncodeJpeg(RenderFace(identity, shot, rendering.size), kJpegQuality));
  return face;
}

Status RenderFaceList(const Rendering& rendering, const FaceSet& set, const std::filesystem::path& folder,
                      const std::string& name, bool annotated) {
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(folder / "images"));
  std::string list = "path,class,name\n";
  for (std::uint64_t begin = 0; begin < set.faces; begin += kChunk) {
    const auto faces = RenderAll(std::min(kChunk, set.faces - begin), [&](std::uint64_t i) {
      return std::make_unique<Result<Face>>(MakeFace(rendering, set, begin + i));
    });
    for (std::size_t i = 0; i < faces.size(); ++i) {
      if (!*faces[i]) return faces[i]->error();
      const Face& face = **faces[i];
      char file[64];
      std::snprintf(file, sizeof file, "images/%s_%06llu.jpg", name.c_str(),
                    static_cast<unsigned long long>(begin + i + 1));
      FERMENT_RETURN_IF_ERROR(WritePicture(folder / file, face.jpeg));
      const int label = annotated ? face.annotated : face.truth;
      list += std::string(file) + "," + std::to_string(label) + "," +
              std::string(kExpressionNames[static_cast<std::size_t>(label)]) + "\n";
    }
  }
  return io::WriteFileAtomically(folder / (name + ".csv"), list);
}

Status RenderPack(const Rendering& rendering, const FaceSet& set, const std::filesystem::path& folder) {
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(folder));
  FERMENT_ASSIGN_OR_RETURN(RecordioWriter pack, RecordioWriter::Create(folder / "train"));
  std::string truth = "key,class,name,identity\n";
  std::vector<std::uint64_t> first_key(set.persons + 1, set.faces + 1);
  for (std::uint64_t begin = 0; begin < set.faces; begin += kChunk) {
    const auto faces = RenderAll(std::min(kChunk, set.faces - begin), [&](std::uint64_t i) {
      return std::make_unique<Result<Face>>(MakeFace(rendering, set, begin + i));
    });
    for (std::size_t i = 0; i < faces.size(); ++i) {
      if (!*faces[i]) return faces[i]->error();
      const Face& face = **faces[i];
      const std::uint64_t key = begin + i + 1;
      first_key[face.person] = std::min(first_key[face.person], key);
      FERMENT_RETURN_IF_ERROR(pack.WriteImage(key, {.labels = {static_cast<float>(face.person), 1.0F}}, face.jpeg));
      truth += std::to_string(key) + "," + std::to_string(face.truth) + "," +
               std::string(kExpressionNames[static_cast<std::size_t>(face.truth)]) + "," + std::to_string(face.person) +
               "\n";
    }
  }
  const auto header = static_cast<float>(set.faces + 1);
  FERMENT_RETURN_IF_ERROR(pack.WriteImage(0, {.labels = {header, header + static_cast<float>(set.persons)}}, {}));
  for (std::uint64_t person = 0; person < set.persons; ++person)
    FERMENT_RETURN_IF_ERROR(pack.WriteImage(
        set.faces + 1 + person,
        {.labels = {static_cast<float>(first_key[person]), static_cast<float>(first_key[person + 1])}}, {}));
  FERMENT_RETURN_IF_ERROR(pack.Finish());
  const std::string side = std::to_string(rendering.size);
  FERMENT_RETURN_IF_ERROR(
      io::WriteFileAtomically(folder / "property", std::to_string(set.persons) + "," + side + "," + side + "\n"));
  return io::WriteFileAtomically(folder / "fr_truth.csv", truth);
}

std::string ManifestOf(const RunSpec& spec) {
  const v1::SyntheticSpec& sizes = spec.data().synthetic();
  const Json manifest = {{"renderer", kRendererVersion},         {"seed", spec.seed()},
                         {"faces_train", sizes.faces_train()},   {"faces_validation", sizes.faces_validation()},
                         {"fr_records", sizes.fr_records()},     {"identities", sizes.identities()},
                         {"videos_train", sizes.videos_train()}, {"videos_validation", sizes.videos_validation()},
                         {"videos_test", sizes.videos_test()},   {"frames", sizes.frames()},
                         {"image_size", sizes.image_size()}};
  return manifest.dump(1) + "\n";
}

Status CheckSizes(const v1::SyntheticSpec& sizes) {
  if (sizes.faces_train() < 8 || sizes.faces_validation() < 8 || sizes.fr_records() < 1 || sizes.identities() < 1 ||
      sizes.videos_train() < 1 || sizes.videos_validation() < 1 || sizes.frames() < 16 || sizes.image_size() < 32 ||
      sizes.image_size() > 512) {
    return InvalidArgumentError(
               "data.synthetic is out of range: at least 8 faces each, 1 record, 1 identity, 1 video each, 16 frames, "
               "32..512 pixels")
        .WithExitCode(exit_code::kBadSpec);
  }
  return {};
}

/// Only folders that this file writes are ever removed.
void RemoveOldSets(const std::filesystem::path& out) {
  std::error_code ignored;
  std::filesystem::remove(out / "manifest.json", ignored);
  for (const char* part : {"fer", "fr", "videos"}) std::filesystem::remove_all(out / part, ignored);
}

}  // namespace

Status RenderSyntheticSets(const RunSpec& spec, const std::filesystem::path& out, const std::stop_token& stop) {
  const v1::SyntheticSpec& sizes = spec.data().synthetic();
  FERMENT_RETURN_IF_ERROR(CheckSizes(sizes));
  const std::string manifest = ManifestOf(spec);
  std::ifstream old_manifest(out / "manifest.json");
  if (old_manifest && std::string{std::istreambuf_iterator<char>(old_manifest), {}} == manifest) return {};
  RemoveOldSets(out);
  const Rendering rendering{spec.seed(), static_cast<int>(sizes.image_size()), stop};
  const std::uint64_t identities = std::min<std::uint64_t>(sizes.identities(), sizes.fr_records());
  const auto persons = [](std::uint64_t faces, std::uint64_t each) { return std::max<std::uint64_t>(1, faces / each); };
  const FaceSet train = {"synthetic/train",
                         1'000'000,
                         sizes.faces_train(),
                         persons(sizes.faces_train(), kFacesPerTrainPerson),
                         kTrainShares,
                         0.5,
                         true};
  const FaceSet validation = {"synthetic/validation",
                              2'000'000,
                              sizes.faces_validation(),
                              persons(sizes.faces_validation(), kFacesPerValidationPerson),
                              kEqualShares,
                              0.5,
                              true};
  const FaceSet fr = {"synthetic/fr", 10'000'000, sizes.fr_records(), identities, kFrShares, 0.4, false};
  FERMENT_RETURN_IF_ERROR(RenderFaceList(rendering, train, out / "fer", "train", true));
  FERMENT_RETURN_IF_ERROR(RenderFaceList(rendering, validation, out / "fer", "val", false));
  FERMENT_RETURN_IF_ERROR(RenderPack(rendering, fr, out / "fr"));
  FERMENT_RETURN_IF_ERROR(RenderSyntheticVideos(spec.seed(), sizes, out / "videos", stop));
  return io::WriteFileAtomically(out / "manifest.json", manifest);
}

void UseSyntheticSets(RunSpec& spec, const std::filesystem::path& out) {
  const std::filesystem::path root = std::filesystem::absolute(out);
  spec.mutable_data()->clear_fer();
  v1::FerSpec& fer = *spec.mutable_data()->add_fer();
  fer.set_format("folder");
  fer.set_path((root / "fer").string());
  fer.set_train("train.csv");
  fer.set_validation("val.csv");
  v1::FrSpec& fr = *spec.mutable_data()->mutable_fr();
  fr.set_format("insightface");
  fr.set_path((root / "fr").string());
  v1::VideosSpec& videos = *spec.mutable_data()->mutable_videos();
  videos.set_format("affwild2");
  videos.set_path((root / "videos").string());
  spec.mutable_labeling()->set_truth((root / "fr" / "fr_truth.csv").string());
  FillDefaults(spec);
}

bool WantsSyntheticSets(const RunSpec& spec) {
  const v1::DataSpec& data = spec.data();
  return data.fer().empty() && data.fr().path().empty() && data.videos().path().empty();
}

}  // namespace ferment::dataset
