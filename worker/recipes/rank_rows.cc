// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/rank_rows.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "worker/collective/rank_agreement.h"

namespace ferment::worker {

Result<FeedStep> GetOnAllRanks(BatchFeed& feed, std::uint64_t step, const RecipeContext& context) {
  Result<FeedStep> rows = FeedStep();
  {
    const TraceScope scope(context.trace, "data wait");
    rows = feed.Get(step);
  }
  FERMENT_RETURN_IF_ERROR(AgreeOnStatus(context.world, rows ? Status() : rows.error()));
  return rows;
}

Result<double> CountDamagedFaces(const BatchFeed& feed, Collective& ranks) {
  FERMENT_ASSIGN_OR_RETURN(const torch::Tensor met, GatherRows(feed.DamagedFaces(), ranks));
  std::set<std::pair<std::int64_t, std::int64_t>> faces;
  const auto rows = met.accessor<std::int64_t, 2>();
  for (std::int64_t i = 0; i < rows.size(0); ++i) faces.emplace(rows[i][0], rows[i][1]);
  return static_cast<double>(faces.size());
}

Result<torch::Tensor> GatherRows(const torch::Tensor& rows, Collective& ranks) {
  const torch::Tensor own = rows.detach().to(torch::kCPU).contiguous();
  if (ranks.size() == 1) return own;
  const std::int64_t own_count = own.size(0);
  std::vector<std::int64_t> counts(static_cast<std::size_t>(ranks.size()));
  FERMENT_RETURN_IF_ERROR(ranks.AllGather(std::as_bytes(std::span<const std::int64_t>(&own_count, 1)),
                                          std::as_writable_bytes(std::span<std::int64_t>(counts))));

  std::size_t row_bytes = own.element_size();
  for (const std::int64_t size : own.sizes().slice(1)) row_bytes *= static_cast<std::size_t>(size);
  const std::size_t part = row_bytes * static_cast<std::size_t>(*std::max_element(counts.begin(), counts.end()));
  std::vector<std::byte> mine(part);
  if (own.nbytes() > 0) std::memcpy(mine.data(), own.const_data_ptr(), own.nbytes());
  std::vector<std::byte> all(part * counts.size());
  FERMENT_RETURN_IF_ERROR(ranks.AllGather(mine, all));

  std::vector<std::int64_t> shape = own.sizes().vec();
  shape[0] = 0;
  for (const std::int64_t count : counts) shape[0] += count;
  torch::Tensor joined = torch::empty(shape, own.options());
  auto* out = static_cast<std::byte*>(joined.mutable_data_ptr());
  for (std::size_t r = 0; r < counts.size(); ++r) {
    const std::size_t bytes = row_bytes * static_cast<std::size_t>(counts[r]);
    if (bytes > 0) std::memcpy(out, all.data() + r * part, bytes);
    out += bytes;
  }
  return joined;
}

}  // namespace ferment::worker
