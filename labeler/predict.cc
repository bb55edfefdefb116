// SPDX-License-Identifier: Apache-2.0
#include "labeler/predict.h"

#include <algorithm>
#include <cstdio>
#include <span>
#include <system_error>
#include <utility>

#include "common/base/json.h"
#include "common/base/logging.h"
#include "common/config/run_spec.h"
#include "common/dataset/picture_decoder.h"
#include "common/io/mapped_file.h"
#include "labeler/label_rule.h"
#include "labeler/torch_annotator.h"

namespace ferment::labeler {
namespace {

constexpr int kBatch = 32;

struct Row {
  std::filesystem::path path;
  std::vector<float> probabilities;
  std::size_t best() const {
    return static_cast<std::size_t>(std::max_element(probabilities.begin(), probabilities.end()) -
                                    probabilities.begin());
  }
};

struct ExportedModel {
  RunSpec spec;
  std::unique_ptr<Annotator> annotator;
};

Result<ExportedModel> OpenModel(const std::filesystem::path& folder) {
  const auto path = folder / "model.json";
  FERMENT_ASSIGN_OR_RETURN(const auto file, io::MappedFile::Open(path));
  const auto bytes = file.bytes();
  auto json = ParseJson({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!json) return Fail(json.error().With(path.string()));
  const auto text = [&](const char* key) {
    return json->contains(key) && (*json)[key].is_string() ? (*json)[key].get<std::string>() : std::string();
  };
  const auto number = [&](const char* key) {
    return json->contains(key) && (*json)[key].is_number_unsigned() ? (*json)[key].get<std::uint32_t>() : 0U;
  };
  ExportedModel model;
  model.spec.mutable_model()->set_backbone(text("backbone"));
  model.spec.mutable_model()->set_width(number("width"));
  model.spec.mutable_model()->set_image_size(number("image_size"));
  for (const Json& name : json->value("classes", Json::array())) {
    if (name.is_string()) model.spec.add_classes(name.get<std::string>());
  }
  const std::string& backbone = model.spec.model().backbone();
  const bool known = backbone == "resnet18" || backbone == "resnet50" || backbone == "iresnet50";
  if (!known || number("width") == 0 || number("image_size") == 0 || model.spec.classes().empty()) {
    return Fail(
        DataLossError("model.json lacks a known backbone, width, image_size or classes: file=" + path.string()));
  }
  model.spec.mutable_labeling()->set_batch(kBatch);
  model.spec.mutable_labeling()->set_plan("fp32");
  FERMENT_ASSIGN_OR_RETURN(model.annotator, MakeTorchAnnotator(model.spec, folder / text("file"), text("digest")));
  return model;
}

Result<std::vector<std::filesystem::path>> Pictures(const std::vector<std::filesystem::path>& paths) {
  std::vector<std::filesystem::path> pictures;
  for (const auto& path : paths) {
    std::error_code error;
    if (!std::filesystem::exists(path, error))
      return Fail(NotFoundError("no such file or folder: path=" + path.string()));
    if (!std::filesystem::is_directory(path, error)) {
      pictures.push_back(path);
      continue;
    }
    const auto first = static_cast<std::ptrdiff_t>(pictures.size());
    for (auto entry = std::filesystem::directory_iterator(path, error);
         !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
      if (dataset::HasPictureName(entry->path())) pictures.push_back(entry->path());
    }
    if (error) return Fail(NotFoundError("cannot list a folder: path=" + path.string() + ": " + error.message()));
    std::sort(pictures.begin() + first, pictures.end());
  }
  if (pictures.empty()) return Fail(NotFoundError("no pictures (.jpg, .jpeg, .png) in the paths given"));
  return pictures;
}

std::string Quoted(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string ToJson(const std::vector<Row>& rows, const RunSpec& spec) {
  Json list = Json::array();
  for (const Row& row : rows) {
    Json probabilities = Json::object();
    for (std::size_t c = 0; c < row.probabilities.size(); ++c) {
      probabilities[spec.classes(static_cast<int>(c))] = row.probabilities[c];
    }
    list.push_back({{"path", row.path.string()},
                    {"label", spec.classes(static_cast<int>(row.best()))},
                    {"confidence", row.probabilities[row.best()]},
                    {"probabilities", probabilities}});
  }
  return list.dump(1) + "\n";
}

std::string ToLines(const std::vector<Row>& rows, const RunSpec& spec, PredictFormat format) {
  const bool csv = format == PredictFormat::kCsv;
  std::string text;
  if (csv) {
    text = "path,prediction,label";
    for (const auto& name : spec.classes()) text += ",p_" + name;
    text += "\n";
  }
  char number[32];
  for (const Row& row : rows) {
    const std::string& label = spec.classes(static_cast<int>(row.best()));
    if (!csv) {
      std::snprintf(number, sizeof(number), "%.3f", static_cast<double>(row.probabilities[row.best()]));
      text += row.path.string() + "  " + label + "  " + number + "\n";
      continue;
    }
    text += Quoted(row.path.string()) + "," + std::to_string(row.best()) + "," + label;
    for (const float p : row.probabilities) {
      std::snprintf(number, sizeof(number), ",%.9g", static_cast<double>(p));
      text += number;
    }
    text += "\n";
  }
  return text;
}

}  // namespace

Result<PredictReport> Predict(const PredictOptions& options) {
  FERMENT_ASSIGN_OR_RETURN(const auto pictures, Pictures(options.paths));
  FERMENT_ASSIGN_OR_RETURN(const ExportedModel model, OpenModel(options.model));
  const std::size_t classes = model.annotator->classes();
  PredictReport report;
  std::vector<Row> rows;
  for (std::size_t first = 0; first < pictures.size(); first += kBatch) {
    const std::size_t last = std::min(pictures.size(), first + kBatch);
    std::vector<dataset::Image> images;
    for (std::size_t i = first; i < last; ++i) {
      auto image = dataset::DecodePictureFile(pictures[i]);
      if (!image) {
        LogWarning("picture_skipped", {{"path", pictures[i].string()}, {"why", image.error().message()}});
        ++report.failures;
        continue;
      }
      images.push_back(std::move(*image));
      rows.push_back({pictures[i], {}});
    }
    if (images.empty()) continue;
    FERMENT_ASSIGN_OR_RETURN(const Annotation annotation, model.annotator->Annotate(images));
    for (std::size_t i = 0; i < images.size(); ++i) {
      rows[rows.size() - images.size() + i].probabilities =
          SoftmaxOf(std::span(annotation.logits).subspan(i * classes, classes), 1.0);
    }
  }
  if (rows.empty())
    return Fail(DataLossError("none of the pictures could be read: pictures=" + std::to_string(pictures.size())));
  report.text =
      options.format == PredictFormat::kJson ? ToJson(rows, model.spec) : ToLines(rows, model.spec, options.format);
  return report;
}

}  // namespace ferment::labeler
