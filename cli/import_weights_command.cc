// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

#include "cli/command.h"
#include "common/base/json.h"
#include "common/io/atomic_file.h"
#include "common/io/checksum.h"
#include "common/io/formats/torch_file.h"
#include "common/io/formats/weights_import.h"

namespace ferment::cli {
namespace {

struct ImportFlags {
  std::string file, out, backbone;
  bool json = false;
};

void Print(const ImportFlags& flags, const io::ImportedWeights& imported, const std::string& digest) {
  std::cout << flags.out << ": " << imported.backbone << " of width " << imported.width << ", "
            << imported.weights.views.size() << " tensors of " << flags.file << " (" << imported.weights.format;
  if (!imported.weights.path.empty()) std::cout << ", under " << imported.weights.path;
  if (!imported.prefix.empty()) std::cout << ", names without " << imported.prefix;
  std::cout << ")\n";
  if (imported.counters_added > 0)
    std::cout << "  num_batches_tracked is not in the file: set to 0, " << imported.counters_added << " times\n";
  if (imported.classes > 0) {
    std::cout << "  head: " << imported.classes
              << " classes; a run with another number of them starts its head afresh\n";
  } else {
    std::cout << "  head: none in the file; a run starts its own\n";
  }
  std::cout << "  sha256 " << digest << "\n"
            << "  to start from it: model.backbone: " << imported.backbone << ", model.width: " << imported.width
            << ", model.init: " << std::filesystem::absolute(flags.out).string() << "\n";
}

Status Import(const ImportFlags& flags) {
  FERMENT_ASSIGN_OR_RETURN(io::WeightsFile file, io::ReadWeights(flags.file));
  auto imported = io::ImportWeights(std::move(file), flags.backbone);
  if (!imported) return imported.error().With(flags.file);
  const io::SafetensorsMetadata about = {{"backbone", imported->backbone},
                                         {"format", "pt"},
                                         {"width", std::to_string(imported->width)},
                                         {"classes", std::to_string(imported->classes)}};
  FERMENT_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, io::SafetensorsBytes(imported->weights.views, about));
  FERMENT_RETURN_IF_ERROR(io::WriteFileAtomically(flags.out, bytes));
  const std::string digest = io::Sha256Hex(bytes);
  if (!flags.json) {
    Print(flags, *imported, digest);
    return {};
  }
  const Json found = {{"file", flags.file},
                      {"out", flags.out},
                      {"format", imported->weights.format},
                      {"path", imported->weights.path},
                      {"prefix", imported->prefix},
                      {"backbone", imported->backbone},
                      {"width", imported->width},
                      {"classes", imported->classes},
                      {"tensors", imported->weights.views.size()},
                      {"counters_added", imported->counters_added},
                      {"sha256", digest}};
  std::cout << found.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  return {};
}

}  // namespace

void AddImportWeightsCommand(CLI::App& app) {
  const auto flags = std::make_shared<ImportFlags>();
  CLI::App* command = app.add_subcommand(
      "import-weights", "Weights of torchvision's ResNet or InsightFace's iresnet50, as model.init takes them");
  command->add_option("FILE", flags->file, "A state dict by torch.save, or safetensors; no pickle is executed")
      ->required();
  command->add_option("--out", flags->out, "The safetensors file to write")->required();
  command->add_option("--backbone", flags->backbone, "Told from the names when not given")
      ->check(CLI::IsMember({"resnet18", "resnet50", "iresnet50"}));
  command->add_flag("--json", flags->json, "One JSON object instead of lines");
  command->callback([flags] { LeaveIfFailed(Import(*flags)); });
}

}  // namespace ferment::cli
