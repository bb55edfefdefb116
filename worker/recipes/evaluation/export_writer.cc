// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/evaluation/export_writer.h"

#include <span>
#include <sstream>

#include "common/io/atomic_file.h"
#include "common/io/checksum.h"
#include "common/nn/preprocess.h"
#include "common/nn/tensor_io.h"

namespace ferment::worker {
namespace {

Status WriteText(const std::filesystem::path& file, const std::string& text) {
  return io::WriteFileAtomically(file, std::as_bytes(std::span(text)));
}

Json TemporalJson(const RunSpec& spec, std::int64_t feature_size, const std::string& digest) {
  const auto& temporal = spec.temporal();
  Json json;
  json["file"] = "temporal.safetensors";
  json["digest"] = digest;
  json["encoder"] = temporal.encoder();
  json["input_size"] = feature_size;
  json["d_model"] = temporal.d_model();
  json["layers"] = temporal.layers();
  json["heads"] = temporal.heads();
  json["feed_forward"] = temporal.feed_forward();
  json["dropout"] = temporal.dropout();
  json["window"] = temporal.window();
  json["hop"] = temporal.hop();
  json["smoothing_half_width"] = spec.smoothing().half_width();
  return json;
}

Json ModelJson(const RunSpec& spec, const std::string& digest) {
  Json json;
  json["format"] = "ferment.model/v1";
  json["backbone"] = spec.model().backbone();
  json["width"] = spec.model().width();
  json["image_size"] = spec.model().image_size();
  json["mean"] = std::vector<double>(3, nn::kPixelMean);
  json["std"] = std::vector<double>(3, nn::kPixelStd);
  json["colour_order"] = "RGB";
  json["resize"] = "bilinear, antialiased, float32 in 0..255 without rounding, only if the size differs";
  json["classes"] = std::vector<std::string>(spec.classes().begin(), spec.classes().end());
  json["digest"] = digest;
  json["file"] = "student.safetensors";
  return json;
}

std::string ModelCard(const RunSpec& spec, const Json& evaluation, const std::string& digest) {
  std::ostringstream card;
  card << "# Model card: " << spec.name() << "\n\n"
       << "A " << spec.model().backbone() << " (width " << spec.model().width() << ", " << spec.model().image_size()
       << " px) that gives a facial expression class to an aligned or tightly cropped face.\nWeights: "
          "`student.safetensors`, sha256 `"
       << digest << "`.\n\n## Classes\n\n";
  for (const std::string& name : spec.classes()) card << "- " << name << '\n';
  card << "\n## Data\n\n";
  for (const auto& source : spec.data().fer())
    card << "- labelled faces: " << source.format() << ", `" << source.path() << "`\n";
  card << "- unlabelled faces: " << spec.data().fr().format() << ", `" << spec.data().fr().path() << "`\n";
  if (spec.data().has_videos())
    card << "- videos: " << spec.data().videos().format() << ", `" << spec.data().videos().path() << "`\n";
  card << "\nThe licences of these data sets bind this model too; most face data sets allow non-commercial research "
          "only.\n\n"
       << "## Figures\n\n| model | data | macro F1 | accuracy | ECE |\n|---|---|---|---|---|\n";
  for (const Json& row : evaluation["static"])
    card << "| " << row["model"].get<std::string>() << " | " << row["dataset"].get<std::string>() << " | "
         << row["macro_f1"].get<double>() << " | " << row["accuracy"].get<double>() << " | " << row["ece"].get<double>()
         << " |\n";
  if (ReportsBest(spec))
    card
        << "\nThe fine-tuned networks were chosen by their macro F1 on these very faces (`evaluate.select: best`): the "
           "figures are optimistic.\n";
  card << "\n## Limits\n\nFaces must be cropped as in the training data: there is no detection or alignment. The "
          "labels are one culture's view of posed and\n"
          "spontaneous expressions; they do not tell what a person feels. Do not use it to judge people.\n";
  return card.str();
}

}  // namespace

Status WriteExport(const RunSpec& spec, const RunLayout& layout, const ExportedModels& models, const Json& evaluation) {
  const auto folder = layout.Export();
  FERMENT_RETURN_IF_ERROR(nn::SaveTensors(folder / "student.safetensors", models.student));
  FERMENT_ASSIGN_OR_RETURN(const std::string digest, io::Sha256OfFile(folder / "student.safetensors"));
  Json model = ModelJson(spec, digest);
  if (models.temporal) {
    FERMENT_RETURN_IF_ERROR(nn::SaveTensors(folder / "temporal.safetensors", *models.temporal));
    FERMENT_ASSIGN_OR_RETURN(const std::string encoder, io::Sha256OfFile(folder / "temporal.safetensors"));
    model["temporal"] = TemporalJson(spec, models.feature_size, encoder);
  }
  FERMENT_RETURN_IF_ERROR(WriteText(folder / "MODEL_CARD.md", ModelCard(spec, evaluation, digest)));
  return WriteText(folder / "model.json", model.dump(2) + '\n');
}

}  // namespace ferment::worker
