// SPDX-License-Identifier: Apache-2.0
//
// Which ranks train the teacher and which the student, and what crosses between them.
#pragma once

#include <memory>
#include <span>

#include "worker/recipes/cotrain/cotrain_batch.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

/// Colocated: every rank trains both. Split: the first ranks of the world train the teacher, the others the student,
/// each data-parallel in its own communicator; labels and h are all that a step sends across.
///
/// Thread: the collective's. The world outlives it.
class CotrainPlacement {
 public:
  /// Every rank of `world` trains both networks.
  explicit CotrainPlacement(Collective& world);
  /// The first `teacher_ranks` ranks train the teacher. Every rank calls. Requires: 0 < teacher_ranks < world.size().
  static Result<CotrainPlacement> Split(Collective& world, int teacher_ranks);
  /// By cotrain.placement and placement_ranks. Every rank calls. Errors: InvalidArgument (64) where the world has not
  /// the ranks that the spec divides, or a rank would be without rows; those of the collective.
  static Result<CotrainPlacement> Make(const v1::CotrainSpec& cotrain, Collective& world);

  bool split() const { return group_ != nullptr; }
  bool teaches() const { return !split() || world_->rank() < teacher_ranks_; }
  bool learns() const { return !split() || world_->rank() >= teacher_ranks_; }
  /// The ranks that train the same networks as this one.
  Collective& group() const { return split() ? *group_ : *world_; }
  int teacher_ranks() const { return teacher_ranks_; }
  int student_ranks() const { return split() ? world_->size() - teacher_ranks_ : teacher_ranks_; }

  /// Gives every rank what the teacher's ranks, or the student's, all hold.
  Status FromTeacher(std::span<double> values) const { return FromRank(values, 0); }
  Status FromStudent(std::span<double> values) const { return FromRank(values, split() ? teacher_ranks_ : 0); }
  /// Carries the labels of `rows` unlabelled rows from the teacher's ranks to this student's: on a rank that learns,
  /// returns the labels of its own rows; elsewhere, `own`. What is carried is where `like` is, and `trained` is of its
  /// type.
  Result<RowLabels> CarryLabels(const RowLabels& own, std::int64_t rows, const torch::TensorOptions& like) const;
  /// Carries what the student's ranks hold to rank 0. `tensors`: on the student's ranks what they hold, on rank 0 any
  /// of the same names, shapes and types; returned: on rank 0 the student's, on other ranks as they came.
  Result<NamedTensors> StudentsToRankZero(NamedTensors tensors) const;

 private:
  CotrainPlacement(Collective& world, int teacher_ranks) : world_(&world), teacher_ranks_(teacher_ranks) {}
  Status FromRank(std::span<double> values, int rank) const;

  Collective* world_;
  int teacher_ranks_;
  std::unique_ptr<Collective> group_;
  /// Rank 0 and the student's first rank; the others among themselves.
  std::unique_ptr<Collective> leaders_;
};

}  // namespace ferment::worker
