// SPDX-License-Identifier: Apache-2.0
#include "worker/device_choice.h"

#include <algorithm>
#include <array>
#include <map>
#include <span>

#include "worker/collective/rank_agreement.h"

namespace ferment::worker {
namespace {

/// A host's name and a PCI address fit; of a longer name the end tells devices apart.
using Name = std::array<char, 128>;

Name ToName(std::string_view text) {
  Name name = {};
  text.remove_prefix(text.size() - std::min(text.size(), name.size()));
  std::copy(text.begin(), text.end(), name.begin());
  return name;
}

/// Errors: FailedPrecondition naming two ranks that would share a device, which NCCL cannot do.
Status CheckUnshared(std::string_view device, Collective& ranks) {
  const Name mine = ToName(device);
  std::vector<Name> all(static_cast<std::size_t>(ranks.size()));
  FERMENT_RETURN_IF_ERROR(
      ranks.AllGather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span<Name>(all))));
  std::map<Name, std::size_t> first;
  for (std::size_t r = 0; r < all.size(); ++r) {
    const auto [owner, fresh] = first.try_emplace(all[r], r);
    if (fresh) continue;
    const auto end = std::find(all[r].begin(), all[r].end(), '\0');
    return FailedPreconditionError(
               "two ranks would share a GPU; start one rank a GPU (resources.ranks), or set resources.device to cpu: "
               "device=" +
               std::string(all[r].begin(), end) + " ranks=" + std::to_string(owner->second) + "," + std::to_string(r))
        .WithExitCode(exit_code::kMissingService);
  }
  return Status();
}

bool IsOfTheCollective(const Status& status) {
  return status.exit_code() == exit_code::kHang || status.exit_code() == exit_code::kPeerLost;
}

}  // namespace

Result<DeviceChoice> ChooseDevice(std::string_view wanted, int local_rank,
                                  const Result<std::vector<std::string>>& devices, Collective& ranks) {
  if (wanted == "cpu") return DeviceChoice();
  Status status = AgreeOnStatus(ranks, devices ? Status() : devices.error());
  DeviceChoice choice;
  if (status.ok()) {
    const std::size_t index = static_cast<std::size_t>(local_rank) % devices->size();
    choice.cuda = static_cast<int>(index);
    status = CheckUnshared((*devices)[index], ranks);
  }
  if (status.ok()) return choice;
  if (wanted == "cuda" || IsOfTheCollective(status))
    return Fail(status.With("resources.device=" + std::string(wanted)));
  return DeviceChoice{.cuda = std::nullopt, .why = std::string(status.message())};
}

}  // namespace ferment::worker
