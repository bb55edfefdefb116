// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_placement.h"

#include <algorithm>
#include <string>
#include <utility>

#include "worker/feed/rank_sampler.h"
#include "worker/recipes/face_network.h"

namespace ferment::worker {
namespace {

Status CheckGroups(const v1::CotrainSpec& cotrain, const Collective& world) {
  const std::uint64_t wanted = std::uint64_t{cotrain.placement_ranks().teacher()} + cotrain.placement_ranks().student();
  if (wanted == static_cast<std::uint64_t>(world.size())) return Status();
  return InvalidArgumentError("cotrain.placement_ranks divides another number of ranks: teacher=" +
                              std::to_string(cotrain.placement_ranks().teacher()) +
                              " student=" + std::to_string(cotrain.placement_ranks().student()) + " ranks=" +
                              std::to_string(world.size()) + "; start as many ranks, or set both keys to their sum")
      .WithExitCode(exit_code::kBadSpec);
}

/// Returns: a view.
torch::Tensor Rows(const torch::Tensor& global, const RowRange& range) {
  return global.slice(0, static_cast<std::int64_t>(range.begin), static_cast<std::int64_t>(range.end));
}

}  // namespace

CotrainPlacement::CotrainPlacement(Collective& world) : CotrainPlacement(world, world.size()) {}

Result<CotrainPlacement> CotrainPlacement::Split(Collective& world, int teacher_ranks) {
  CotrainPlacement placement(world, teacher_ranks);
  FERMENT_ASSIGN_OR_RETURN(placement.group_, world.Split(world.rank() < teacher_ranks ? 0 : 1));
  const bool leads = world.rank() == 0 || world.rank() == teacher_ranks;
  FERMENT_ASSIGN_OR_RETURN(placement.leaders_, world.Split(leads ? 0 : 1));
  return placement;
}

Result<CotrainPlacement> CotrainPlacement::Make(const v1::CotrainSpec& cotrain, Collective& world) {
  const bool split = cotrain.placement() == "split";
  if (split) FERMENT_RETURN_IF_ERROR(CheckGroups(cotrain, world));
  Result<CotrainPlacement> placement =
      split ? Split(world, static_cast<int>(cotrain.placement_ranks().teacher())) : CotrainPlacement(world);
  if (placement) {
    const int larger = std::max(placement->teacher_ranks(), placement->student_ranks());
    FERMENT_RETURN_IF_ERROR(CheckRowsForRanks("cotrain.batch", cotrain.batch(), larger));
  }
  return placement;
}

Status CotrainPlacement::FromRank(std::span<double> values, int rank) const {
  return split() ? world_->Broadcast(std::as_writable_bytes(values), rank) : Status();
}

Result<RowLabels> CotrainPlacement::CarryLabels(const RowLabels& own, std::int64_t rows,
                                                const torch::TensorOptions& like) const {
  if (!split()) return own;
  // Small integers, of which every rank but one brings zeros: exact as a sum of doubles.
  torch::Tensor global = torch::zeros({2, rows}, torch::kFloat64);
  if (teaches()) {
    const RowRange mine = RowsOfRank(static_cast<std::uint64_t>(rows), group_->rank(), group_->size());
    Rows(global[0], mine).copy_(own.label);
    Rows(global[1], mine).copy_(own.trained);
  }
  FERMENT_RETURN_IF_ERROR(
      world_->AllReduceSum(std::span<double>(global.data_ptr<double>(), static_cast<std::size_t>(global.numel()))));
  if (teaches()) return own;
  const RowRange mine = RowsOfRank(static_cast<std::uint64_t>(rows), group_->rank(), group_->size());
  return RowLabels{Rows(global[0], mine).to(like.dtype(torch::kInt64)), Rows(global[1], mine).to(like)};
}

Result<NamedTensors> CotrainPlacement::StudentsToRankZero(NamedTensors tensors) const {
  const bool sends = world_->rank() == teacher_ranks_;
  if (!split() || (world_->rank() != 0 && !sends)) return tensors;
  for (auto& [name, tensor] : tensors) {
    torch::Tensor carried = tensor.detach().to(torch::kCPU).clone(torch::MemoryFormat::Contiguous);
    FERMENT_RETURN_IF_ERROR(
        leaders_->Broadcast({static_cast<std::byte*>(carried.mutable_data_ptr()), carried.nbytes()}, /*root=*/1));
    if (!sends) tensor = std::move(carried);
  }
  return tensors;
}

}  // namespace ferment::worker
