// SPDX-License-Identifier: Apache-2.0
#include "common/nn/tensor_io.h"

#include <torch/types.h>

#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <sstream>
#include <string_view>

#include "common/nn/torch_guard.h"

namespace ferment::nn {
namespace {

struct TypeName {
  std::string_view name;
  torch::ScalarType type;
};
constexpr std::array<TypeName, 9> kTypes = {{{"F32", torch::kFloat32},
                                             {"F64", torch::kFloat64},
                                             {"F16", torch::kFloat16},
                                             {"BF16", torch::kBFloat16},
                                             {"I64", torch::kInt64},
                                             {"I32", torch::kInt32},
                                             {"I16", torch::kInt16},
                                             {"U8", torch::kUInt8},
                                             {"BOOL", torch::kBool}}};

std::optional<torch::ScalarType> TypeOf(std::string_view name) {
  for (const TypeName& entry : kTypes)
    if (entry.name == name) return entry.type;
  return std::nullopt;
}

std::string NameOf(torch::ScalarType type) {
  for (const TypeName& entry : kTypes)
    if (entry.type == type) return std::string(entry.name);
  return c10::toString(type);
}

void CollectState(const torch::nn::Module& module, const std::string& prefix, NamedTensors& state) {
  for (const auto& item : module.named_parameters(/*recurse=*/false))
    state.emplace_back(prefix + item.key(), item.value());
  for (const auto& item : module.named_buffers(/*recurse=*/false))
    state.emplace_back(prefix + item.key(), item.value());
  for (const auto& item : module.named_children()) CollectState(*item.value(), prefix + item.key() + ".", state);
}

std::string ShapeText(const torch::Tensor& tensor) {
  std::ostringstream text;
  text << tensor.sizes();
  return text.str();
}

}  // namespace

Status SaveTensors(const std::filesystem::path& path, const NamedTensors& tensors,
                   const std::function<Status()>& may_appear) {
  io::NamedTensorViews views;
  std::vector<torch::Tensor> kept;
  FERMENT_RETURN_IF_ERROR(Guard([&] {
    for (const auto& [name, tensor] : tensors) {
      kept.push_back(tensor.detach().to(torch::kCPU).contiguous());
      const auto& flat = kept.back();
      views.emplace_back(name, io::TensorView{NameOf(flat.scalar_type()),
                                              flat.sizes().vec(),
                                              {static_cast<const std::byte*>(flat.const_data_ptr()), flat.nbytes()}});
    }
  }));
  return io::WriteSafetensors(path, views, {}, may_appear);
}

Result<NamedTensors> LoadTensors(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(const auto file, io::SafetensorsFile::Open(path));
  auto tensors = CopyTensors(file.tensors());
  if (!tensors) return Fail(tensors.error().With(path.string()));
  return tensors;
}

Result<NamedTensors> CopyTensors(const io::NamedTensorViews& views) {
  return Guard([&]() -> Result<NamedTensors> {
    NamedTensors tensors;
    for (const auto& [name, view] : views) {
      const auto type = TypeOf(view.dtype);
      if (!type) {
        return Fail(
            DataLossError("tensor of a type that networks do not have: tensor=" + name + " dtype=" + view.dtype));
      }
      auto tensor = torch::empty(view.shape, *type);
      if (!view.data.empty()) std::memcpy(tensor.mutable_data_ptr(), view.data.data(), view.data.size());
      tensors.emplace_back(name, std::move(tensor));
    }
    return tensors;
  });
}

NamedTensors StateOf(const torch::nn::Module& module) {
  NamedTensors state;
  CollectState(module, "", state);
  return state;
}

Status LoadState(torch::nn::Module& module, const NamedTensors& tensors) {
  const NamedTensors state = StateOf(module);
  std::map<std::string, torch::Tensor> given(tensors.begin(), tensors.end());
  std::vector<std::pair<torch::Tensor, torch::Tensor>> copies;
  std::ostringstream faults;
  int fault_count = 0;
  const auto fault = [&](const std::string& text) {
    if (++fault_count <= 5) faults << (fault_count > 1 ? "; " : "") << text;
  };
  for (const auto& [name, target] : state) {
    const auto found = given.find(name);
    if (found == given.end()) {
      fault("missing " + name);
    } else if (found->second.sizes() != target.sizes()) {
      fault(name + " is " + ShapeText(found->second) + ", the network has " + ShapeText(target));
    } else {
      copies.emplace_back(target, found->second);
    }
    if (found != given.end()) given.erase(found);
  }
  for (const auto& [name, tensor] : given) fault("the network has no " + name);
  if (fault_count > 0) {
    return InvalidArgumentError("weights do not fit the network (check model.backbone, width, image_size, classes): " +
                                faults.str() + " faults=" + std::to_string(fault_count));
  }
  return Guard([&] {
    torch::NoGradGuard no_grad;
    for (auto& [target, source] : copies) target.copy_(source);
  });
}

}  // namespace ferment::nn
