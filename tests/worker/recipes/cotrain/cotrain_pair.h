// SPDX-License-Identifier: Apache-2.0
//
// Two small networks and a batch of bright and dark faces, for tests of one step of co-training.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <utility>

#include "worker/feed/rank_sampler.h"
#include "worker/recipes/cotrain/cotrain_step.h"
#include "worker/train/exchange/rank_statistics.h"

namespace ferment::worker {

inline constexpr std::int64_t kLabelled = 8;
inline constexpr std::int64_t kUnlabelled = 12;
inline constexpr int kClasses = 4;

/// Two networks that start alike, and their average.
struct Pair {
  Pair(nn::BatchNormMode mode, Collective& ranks, const SgdOptions& options, std::uint64_t student_stream = 0,
       torch::Dtype dtype = torch::kFloat64)
      : Pair(mode, CotrainPlacement(ranks), options, student_stream, dtype) {}
  Pair(nn::BatchNormMode mode, CotrainPlacement where, const SgdOptions& options, std::uint64_t student_stream = 0,
       torch::Dtype dtype = torch::kFloat64)
      : placement(std::move(where)),
        exchange(placement.group()),
        type(dtype),
        teacher(Make(mode, 0), options),
        student(Make(mode, student_stream), options),
        average(Make(nn::BatchNormMode::kLocal, student_stream)) {}

  std::shared_ptr<nn::Backbone> Make(nn::BatchNormMode mode, std::uint64_t stream) {
    auto net = nn::MakeBackbone({.name = "resnet18", .width = 8, .image_size = 32, .classes = kClasses}, 3, stream);
    net->MoveTo(torch::kCPU, type);
    net->SetBatchNorm(mode, &exchange);
    return net;
  }

  /// The step of this rank's networks, which are both where the placement is colocated.
  CotrainStep Step(FeedbackBaseline& baseline, const CotrainRules& rules) {
    return {placement.teaches() ? &teacher : nullptr,
            placement.learns() ? &student : nullptr,
            &average,
            baseline,
            rules,
            placement};
  }

  CotrainPlacement placement;
  RankStatistics exchange;
  torch::Dtype type;
  TrainedNetwork teacher;
  TrainedNetwork student;
  AveragedNetwork average;
};

/// Class c is bright in its own quarter; `seed` decides the rest. The same on every rank.
struct World {
  explicit World(std::uint64_t seed) {
    torch::manual_seed(seed);
    labels = torch::arange(kLabelled) % kClasses;
    truth = torch::arange(kUnlabelled) % kClasses;
    labelled = Faces(labels);
    weak = Faces(truth);
    strong = weak + 0.3 * torch::randn_like(weak);
  }
  static torch::Tensor Faces(const torch::Tensor& classes) {
    torch::Tensor faces = 0.3 * torch::randn({classes.size(0), 3, 32, 32}, torch::kFloat64);
    for (std::int64_t i = 0; i < classes.size(0); ++i) {
      const std::int64_t c = classes[i].item<std::int64_t>();
      faces[i].narrow(1, c / 2 * 16, 16).narrow(2, c % 2 * 16, 16).add_(1.0);
    }
    return faces;
  }
  /// The faces in another type than float64.
  World As(torch::Dtype type) const {
    World other = *this;
    for (torch::Tensor* faces : {&other.labelled, &other.weak, &other.strong}) *faces = faces->to(type);
    return other;
  }
  CotrainBatch RowsOf(const Collective& ranks) const {
    const RowRange l = RowsOfRank(kLabelled, ranks.rank(), ranks.size());
    const RowRange u = RowsOfRank(kUnlabelled, ranks.rank(), ranks.size());
    const auto rows = [](const torch::Tensor& all, const RowRange& r) {
      return all.slice(0, static_cast<std::int64_t>(r.begin), static_cast<std::int64_t>(r.end));
    };
    CotrainBatch batch;
    batch.labelled = rows(labelled, l);
    batch.labels = rows(labels, l);
    batch.weak = rows(weak, u);
    batch.strong = rows(strong, u);
    if (offline.defined()) {
      batch.offline_labels = rows(offline, u);
      batch.offline_trained = torch::ones_like(batch.offline_labels);
    }
    batch.global_labelled = kLabelled;
    batch.global_unlabelled = kUnlabelled;
    return batch;
  }

  torch::Tensor labels, truth, labelled, weak, strong, offline;
};

/// A rank of a world whose first ranks teach and whose others learn, and two batches.
struct SplitRank {
  SplitRank(CotrainPlacement where, nn::BatchNormMode mode, const SgdOptions& options)
      : pair(mode, std::move(where), options) {}

  /// Made by one rank after the other: the generator that all draw from is the process's.
  static std::unique_ptr<SplitRank> Make(Collective& world, int teachers, nn::BatchNormMode mode,
                                         const SgdOptions& options) {
    static std::mutex mutex;
    auto placement = CotrainPlacement::Split(world, teachers);
    EXPECT_TRUE(placement) << placement.error().ToString();
    const std::lock_guard lock(mutex);
    return std::make_unique<SplitRank>(*std::move(placement), mode, options);
  }

  bool teaches() const { return pair.placement.teaches(); }
  Collective& group() { return pair.placement.group(); }

  Pair pair;
  World first{5};
  World second{6};
};

}  // namespace ferment::worker
