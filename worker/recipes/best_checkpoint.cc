// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/best_checkpoint.h"

#include "worker/recipes/face_network.h"

namespace ferment::worker {

void BestCheckpoint::Offer(const NamedTensors& state, std::uint64_t steps, const report::ConfusionMatrix& confusion) {
  const double macro_f1 = confusion.MacroF1();
  if (kept_ && macro_f1 <= kept_->macro_f1) return;
  kept_ = Kept{PublishedState(state), steps, macro_f1, confusion.Accuracy()};
}

void BestCheckpoint::Save(const std::string& stem, RecipeState& state) const {
  if (!kept_) return;
  state.tensors[stem] = kept_->state;
  state.scalars[stem] = {{"steps", kept_->steps}, {"macro_f1", kept_->macro_f1}, {"accuracy", kept_->accuracy}};
}

Status BestCheckpoint::Restore(const std::string& stem, const RecipeState& state) {
  kept_.reset();
  const auto tensors = state.tensors.find(stem);
  const Json scalars = state.scalars.value(stem, Json());
  if (tensors == state.tensors.end() && scalars.is_null()) return Status();
  if (tensors == state.tensors.end() || !scalars.is_object())
    return DataLossError("the checkpoint lacks half of the best state so far: " + stem)
        .WithExitCode(exit_code::kUnreadableState);
  kept_ = Kept{tensors->second, scalars.value("steps", std::uint64_t{0}), scalars.value("macro_f1", 0.0),
               scalars.value("accuracy", 0.0)};
  return Status();
}

}  // namespace ferment::worker
