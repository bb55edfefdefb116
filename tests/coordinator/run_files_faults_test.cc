// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "common/config/run_layout.h"
#include "common/config/spec_defaults.h"
#include "common/config/spec_loader.h"
#include "common/dataset/labels/label_index.h"
#include "common/io/atomic_file.h"
#include "common/io/folder_claim.h"
#include "common/io/local_file_system.h"
#include "coordinator/local_run_files.h"
#include "tests/support/disk_fault_sweep.h"

namespace ferment::coordinator {
namespace {

using testing::DiskFault;
using testing::ExpectStorageFailure;
using testing::Struck;
using testing::SweepDiskFaults;

std::string TextOf(const std::filesystem::path& file) {
  const auto text = io::ReadTextFile(file);
  return text ? *text : "";
}

/// A run's folder as it is after some work; each try finds it anew.
class RunFilesFaults : public ::testing::Test {
 protected:
  RunFilesFaults() : layout_(std::filesystem::path(::testing::TempDir()) / ("run-faults-" + std::to_string(getpid()))) {
    spec_.set_name("small");
  }
  ~RunFilesFaults() override { std::filesystem::remove_all(layout_.root()); }

  static Status Leads() { return {}; }
  std::filesystem::path Labels() const { return layout_.root() / "labels" / "faces" / "teacher" / "config"; }

  static std::vector<LabelEntry> Entries(std::uint64_t shards) {
    std::vector<LabelEntry> entries;
    for (std::uint64_t shard = 0; shard < shards; ++shard) {
      entries.push_back(
          {shard, {"labels/faces/teacher/config/" + std::to_string(shard) + ".npz", "digest"}, {10, 10, 0, 0, {}}});
    }
    return entries;
  }
  /// A third of the shards a piece.
  static Status WriteIndex(RunFiles& files, const std::filesystem::path& folder, std::uint64_t shards) {
    const std::vector<LabelEntry> entries = Entries(shards);
    FERMENT_ASSIGN_OR_RETURN(const auto making, files.BeginLabelIndex(folder, Leads));
    for (std::uint64_t first = 0; first < shards; first += (shards + 2) / 3) {
      FERMENT_RETURN_IF_ERROR(
          making->Append(std::span(entries).subspan(first, std::min((shards + 2) / 3, shards - first))));
    }
    return making->Finish(Leads);
  }

  /// Makes the folder, then `work` with the fault. `look` sees what is there afterwards, the disk sound again.
  void Sweep(
      const std::function<Status(RunFiles&)>& work, const std::function<void(const Status&)>& look,
      const std::function<void()>& before = [] {}) {
    (void)SweepDiskFaults([&](const DiskFault& fault) {
      std::filesystem::remove_all(layout_.root());
      std::filesystem::create_directories(layout_.root());
      const auto files = MakeLocalRunFiles();
      EXPECT_TRUE(files->PrepareRun(spec_, layout_.root(), "small-1").ok());
      EXPECT_TRUE(files->WritePhaseTable(layout_.root(), kTable, Leads).ok());
      EXPECT_TRUE(files->WriteReport(layout_.root(), Leads).ok());
      EXPECT_TRUE(WriteIndex(*files, Labels(), 2).ok());
      before();
      Status status;
      const bool happened = fault.Strike(layout_.root(), [&] { status = work(*files); });
      ExpectStorageFailure(status, fault);
      EXPECT_EQ(DiskFailed(status), !status.ok() && (fault.error == EIO)) << status.ToString();
      look(status);
      return Struck{happened, !status.ok()};
    });
  }

  static constexpr const char* kTable = R"({"status": "running", "seed": 1, "phases": []})";
  const RunLayout layout_;
  RunSpec spec_ = DefaultSpec();
};

TEST_F(RunFilesFaults, TheIndexIsTheOldOneOrTheNewOne) {
  Sweep([this](RunFiles& files) { return WriteIndex(files, Labels(), 9000); },
        [this](const Status& status) {
          const auto index = dataset::ReadLabelIndex(Labels());
          ASSERT_TRUE(index) << index.error().ToString();
          EXPECT_TRUE(index->size() == 9000 || (!status.ok() && index->size() == 2)) << index->size();
        });
}

TEST_F(RunFilesFaults, ThePhaseTableIsTheOldOneOrTheNewOne) {
  const std::string done = R"({"status": "succeeded", "seed": 1, "phases": []})";
  Sweep([&](RunFiles& files) { return files.WritePhaseTable(layout_.root(), done, Leads); },
        [&](const Status& status) {
          const std::string text = TextOf(layout_.PhaseTable());
          EXPECT_TRUE(text == done || (!status.ok() && text == kTable)) << text;
        });
}

TEST_F(RunFilesFaults, EachFileOfTheReportIsTheOldOneOrTheNewOne) {
  const std::string done = R"({"status": "succeeded", "seed": 1, "phases": []})";
  Sweep(
      [&](RunFiles& files) -> Status {
        FERMENT_RETURN_IF_ERROR(files.WritePhaseTable(layout_.root(), done, Leads));
        return files.WriteReport(layout_.root(), Leads);
      },
      [this](const Status& status) {
        const auto json = TextOf(layout_.ReportJson());
        EXPECT_TRUE(json.ends_with("}\n")) << "whole";
        EXPECT_TRUE(TextOf(layout_.ReportPage()).ends_with("</html>\n")) << "whole";
        const bool fresh = json.find(R"("status": "succeeded")") != std::string::npos;
        EXPECT_TRUE(fresh || !status.ok());
      });
}

TEST_F(RunFilesFaults, AFolderIsPreparedWithAWholeSpecOrNone) {
  Sweep([this](RunFiles& files) { return files.PrepareRun(spec_, layout_.root(), "small-1"); },
        [this](const Status& status) {
          const bool there = std::filesystem::exists(layout_.Spec());
          EXPECT_TRUE(there || !status.ok());
          EXPECT_TRUE(!there || LoadResolvedSpec(layout_.Spec()));
        },
        [this] {
          std::filesystem::remove_all(layout_.root() / "logs");
          std::filesystem::remove(layout_.Spec());
        });
}

TEST_F(RunFilesFaults, TokensOfAnotherOwnerEndTheClaimsOfTheFormerHoweverOftenItTakes) {
  std::optional<io::FolderClaim> claim;
  Sweep([&](RunFiles& files) { return files.PrepareRun(spec_, layout_.root(), "small-1@2"); },
        [&](const Status& status) {
          // Also where a later try is another process's.
          EXPECT_TRUE(status.ok() || MakeLocalRunFiles()->PrepareRun(spec_, layout_.root(), "small-1@2").ok());
          EXPECT_EQ(claim->Check().code(), StatusCode::kAborted);
        },
        [&] {
          EXPECT_TRUE(io::CreateFolders(layout_.Job("teacher")).ok());
          claim = *io::FolderClaim::Take(layout_.Job("teacher"), 7);
        });
}

TEST_F(RunFilesFaults, AResultIsWithdrawnOrSaidNotToBe) {
  const auto result = layout_.Result("cotrain");
  Sweep([&](RunFiles& files) { return files.WithdrawResult(layout_.root(), "cotrain"); },
        [&](const Status& status) { EXPECT_TRUE(!status.ok() || !std::filesystem::exists(result)); },
        [&] { EXPECT_TRUE(io::MakeLocalFileSystem()->Write(result, {}).ok()); });
}

}  // namespace
}  // namespace ferment::coordinator
