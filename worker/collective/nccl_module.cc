// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/nccl_module.h"

#include <dlfcn.h>

namespace ferment::worker {

Result<const NcclModule*> OpenNcclModule(const std::string& file) {
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Fail(NotFoundError(dlerror()));
  const auto* module = static_cast<const NcclModule*>(dlsym(library, kNcclModuleSymbol));
  if (module == nullptr || module->interface != kNcclModuleInterface) {
    return Fail(
        FailedPreconditionError("the module is of another build than this program: file=" + file +
                                " interface=" + (module == nullptr ? "none" : std::to_string(module->interface)) +
                                " expected=" + std::to_string(kNcclModuleInterface)));
  }
  return module;
}

}  // namespace ferment::worker
