// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/command.h"
#include "cli/doctor/doctor_hosts.h"
#include "cli/doctor/doctor_machine.h"
#include "cli/doctor/doctor_network.h"
#include "cli/doctor/doctor_service.h"
#include "cli/doctor/doctor_slurm.h"
#include "cli/doctor/doctor_spec.h"
#include "common/base/json.h"
#include "tests/support/rendered_spec.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;
using std::chrono::duration;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Doctor : public ::testing::Test {
 protected:
  Doctor() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  /// Makes a program that stands before all others on the PATH.
  void Script(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << "#!/bin/sh\n" << text;
    fs::permissions(folder_ / name, fs::perms::all);
    setenv("PATH", (folder_.string() + ":" + path_).c_str(), 1);
  }
  ~Doctor() override { setenv("PATH", path_.c_str(), 1); }

  const fs::path folder_ = fs::path(::testing::TempDir()) / "doctor";
  const std::string path_ = std::getenv("PATH");
};

TEST_F(Doctor, AFileThatNobodyHasOpenOrMappedIsStale) {
  for (const char* name : {"nccl-dead", "nccl-open", "nccl-mapped", "other"}) {
    std::ofstream(folder_ / name) << std::string(4096, 'x');
  }
  const int opened = open((folder_ / "nccl-open").c_str(), O_RDONLY);
  const int mapped = open((folder_ / "nccl-mapped").c_str(), O_RDONLY);
  void* const memory = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, mapped, 0);
  ASSERT_NE(memory, MAP_FAILED);
  close(mapped);
  const Finding finding = CheckStaleFiles(folder_);
  munmap(memory, 4096);
  close(opened);
  EXPECT_FALSE(finding.good);
  EXPECT_THAT(finding.found, HasSubstr("1 nccl-* file"));
  EXPECT_TRUE(finding.fix.ends_with("rm " + (folder_ / "nccl-dead").string())) << finding.fix;
  fs::remove(folder_ / "nccl-dead");
  EXPECT_FALSE(CheckStaleFiles(folder_).good) << "the two are stale now";
}

TEST_F(Doctor, APortThatIsTakenNamesWhoHoldsIt) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  const rpc::ListenAddress taken{"127.0.0.1", ntohs(address.sin_port)};
  const Finding held = CheckPort("admin", taken);
  EXPECT_FALSE(held.good);
  EXPECT_EQ(held.found, taken.ToString() + " is taken by cli_test, process " + std::to_string(getpid()));
  EXPECT_THAT(held.fix, HasSubstr("--admin HOST:PORT"));
  close(listener);
  EXPECT_TRUE(CheckPort("admin", taken).good);
  EXPECT_FALSE(CheckPort("listen", {"192.0.2.1", 7070}).good) << "no interface has that address";
}

TEST_F(Doctor, TellsWhereARunsStoreIsOnANetworkFileSystem) {
  EXPECT_THAT(CheckStore("").found, HasSubstr("not on a network"));
  EXPECT_THAT(CheckStore("nfs").found, HasSubstr("(nfs): one machine at a time"));
}

TEST_F(Doctor, AGpuWithBadMemoryIsNamed) {
  Script("nvidia-smi", "echo '0, NVIDIA H100 80GB HBM3, 0, 3'\necho '1, NVIDIA T400, [N/A], [N/A]'\n");
  const Finding sound = CheckGpus();
  EXPECT_TRUE(sound.good) << "what a former boot saw has been mended by remapping";
  EXPECT_THAT(sound.found,
              HasSubstr("0 NVIDIA H100 80GB HBM3, uncorrected memory errors 0 since boot, 3 ever; 1 NVIDIA"));
  Script("nvidia-smi", "echo '0, NVIDIA H100 80GB HBM3, 2, 3'\n");
  const Finding bad = CheckGpus();
  EXPECT_FALSE(bad.good);
  EXPECT_THAT(bad.fix, HasSubstr("nvidia-smi -r"));
  Script("nvidia-smi",
         "echo \"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\"; exit 9\n");
  EXPECT_FALSE(CheckGpus().good);
  EXPECT_THAT(CheckGpus().found, HasSubstr("couldn't communicate"));
  setenv("PATH", (folder_ / "empty").c_str(), 1);
  EXPECT_TRUE(CheckGpus().good) << "a machine without GPUs is none to mend";
}

TEST_F(Doctor, SlurmIsAskedWhetherItWouldTakeTheJob) {
  RunSpec spec;
  spec.mutable_resources()->set_ranks(3);
  spec.mutable_resources()->set_threads_per_rank(4);
  setenv("PATH", (folder_ / "empty").c_str(), 1);
  Findings findings = CheckSlurm(spec);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_FALSE(findings[0].good);
  EXPECT_EQ(findings[0].found, "sbatch is missing");
  EXPECT_THAT(findings[0].fix, HasSubstr("apt-get install slurm-client"));
  for (const char* program : {"squeue", "scancel"}) Script(program, "");
  Script("sbatch", "echo \"sbatch: asked for $*\" >&2\n");
  Script("scontrol", "echo 'Slurmctld(primary) at a is DOWN'\n");
  findings = CheckSlurm(spec);
  ASSERT_EQ(findings.size(), 2U);
  EXPECT_FALSE(findings[1].good);
  EXPECT_EQ(findings[1].found, "Slurmctld(primary) at a is DOWN");
  Script("scontrol", "echo 'Slurmctld(primary) at a is UP'\n");
  findings = CheckSlurm(spec);
  ASSERT_EQ(findings.size(), 3U);
  EXPECT_TRUE(findings[2].good);
  EXPECT_THAT(findings[2].found, HasSubstr("--test-only --ntasks=3 --cpus-per-task=4"));
  Script("sbatch", "echo 'allocation failure: Invalid partition name specified' >&2; exit 1\n");
  findings = CheckSlurm(spec);
  EXPECT_FALSE(findings[2].good);
  EXPECT_THAT(findings[2].found, HasSubstr("Invalid partition name"));
  EXPECT_THAT(findings[2].fix, HasSubstr("SBATCH_PARTITION"));
}

TEST_F(Doctor, HostsAreReadAsMpirunWritesThem) {
  EXPECT_THAT(*ParseHosts("a,b:4,ann@c,a:2"), ElementsAre("a", "b", "ann@c"));
  for (const char* wrong : {"", "a,,b", "a:", "a:x", "-oProxyCommand=x", "a b"}) {
    const auto hosts = ParseHosts(wrong);
    ASSERT_FALSE(hosts) << wrong;
    EXPECT_EQ(ProcessExitCode(hosts.error()), exit_code::kUsage);
  }
  const fs::path file = folder_ / "hostfile";
  std::ofstream(file) << "# rack 1\nn1 slots=2\n\n  n2 max_slots=4 slots=2 # two\nn1\n";
  EXPECT_THAT(*ReadHostFile(file), ElementsAre("n1", "n2"));
  std::ofstream(file) << "n1 slots=2\nn2 slots=two\n";
  EXPECT_THAT(std::string(ReadHostFile(file).error().message()), HasSubstr("hostfile:2: "));
}

TEST_F(Doctor, AClockIsKnownAsWellAsTheWayThereAndBackAllows) {
  const std::string digest(64, 'a');
  const std::string text = "Welcome to n1\nferment begin 1010.25\nferment trainer " + digest +
                           "  /x/ferment-trainer\nferment mpirun mpirun (Open MPI) 4.1.4\nferment end 1010.75\n";
  const auto answer = ReadHostAnswer(text, duration<double>(1000), duration<double>(1001));
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->trainer, digest);
  EXPECT_EQ(answer->mpirun, "mpirun (Open MPI) 4.1.4");
  EXPECT_DOUBLE_EQ(answer->skew.count(), 10);
  EXPECT_DOUBLE_EQ(answer->uncertainty.count(), 0.25) << "half of what was not spent there";
  EXPECT_FALSE(ReadHostAnswer("ferment begin 1010.25\n", duration<double>(1000), duration<double>(1001)));
}

TEST_F(Doctor, AHostIsReachedByAnInterface) {
  const auto here = RouteTo("127.0.0.1");
  ASSERT_TRUE(here) << here.error().message();
  EXPECT_TRUE(here->is_self);
  EXPECT_EQ(here->interface, "lo");
  EXPECT_FALSE(RouteTo("nobody.invalid"));
}

TEST_F(Doctor, ARunsOwnLogsSayWhatItsCheckpointsCost) {
  EXPECT_TRUE(CheckKillGrace(ReadCheckpointCosts(folder_), std::chrono::seconds(1)).empty()) << "it has written none";
  fs::create_directories(folder_ / "logs");
  std::ofstream(folder_ / "logs" / "teacher.jsonl")
      << "mpirun says something\n"
      << R"({"level":"info","msg":"checkpoint","bytes":"700","waited_seconds":"0.5","write_seconds":"61.5"})"
      << "\n"
      << R"({"level":"info","msg":"checkpoint","bytes":"900","waited_seconds":"0.1","write_seconds":"2"})"
      << "\n";
  const CheckpointCosts costs = ReadCheckpointCosts(folder_);
  EXPECT_EQ(costs.largest_bytes, 900U);
  EXPECT_DOUBLE_EQ(costs.longest.count(), 62);
  EXPECT_TRUE(CheckKillGrace(costs, std::chrono::seconds(62)).front().good);
  const Finding finding = CheckKillGrace(costs, std::chrono::seconds(61)).front();
  EXPECT_FALSE(finding.good);
  EXPECT_THAT(finding.fix, HasSubstr("--drain"));
}

TEST_F(Doctor, ACheckpointsSizeIsToldBeforeThereIsOne) {
  RunSpec spec;
  spec.mutable_model()->set_backbone("resnet18");
  spec.mutable_model()->set_width(8);
  spec.mutable_temporal()->set_encoder("none");
  // What a run of this network writes.
  EXPECT_NEAR(static_cast<double>(EstimateCheckpointBytes(spec)), 3'559'520, 178'000);
}

TEST_F(Doctor, ASampleOfEachDataSetIsDecoded) {
  const auto spec = ferment::testing::RenderedSpec(folder_);
  ASSERT_TRUE(spec) << spec.error().message();
  for (const Finding& finding : CheckData(*spec)) EXPECT_TRUE(finding.good) << finding.check << " " << finding.found;
  const std::string found = CheckData(*spec)[2].found;
  EXPECT_EQ(found.substr(0, found.find(';')), "24 records, 24 decoded");
  std::fstream pack(fs::path(spec->data().fr().path()) / "train.rec");
  pack.seekp(200);
  pack << std::string(3000, '\0');
  pack.close();
  const Finding damaged = CheckData(*spec)[2];
  EXPECT_FALSE(damaged.good) << damaged.found;
  EXPECT_THAT(damaged.found, HasSubstr("damaged, the first: "));
  EXPECT_THAT(damaged.fix, HasSubstr("ferment data scan " + spec->data().fr().path()));
  fs::resize_file(fs::path(spec->data().fr().path()) / "train.idx", 0);
  EXPECT_FALSE(CheckData(*spec)[2].good) << "an index without a line";
  fs::remove_all(spec->data().fer(0).path());
  EXPECT_FALSE(CheckData(*spec)[0].good);
}

TEST_F(Doctor, TooLittleSpaceIsToldWithTheFigures) {
  const Finding finding = CheckSpace(folder_, std::uint64_t{1} << 60, "three checkpoints");
  EXPECT_FALSE(finding.good);
  EXPECT_THAT(finding.found, HasSubstr("1073741824.0 GiB wanted for three checkpoints"));
  EXPECT_TRUE(CheckSpace(folder_, 1, "a byte").good);
}

TEST_F(Doctor, EachCheckIsALineOfJsonAndAFaultHasItsFix) {
  const std::string folder = folder_.string();
  const std::vector<const char*> argv = {"ferment",      "doctor",   "--json",        "--run-dir",
                                         folder.c_str(), "--listen", "192.0.2.1:7070"};
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(RunCommandLine(static_cast<int>(argv.size()), argv.data()), exit_code::kMissingService);
  std::istringstream lines(::testing::internal::GetCapturedStdout());
  bool seen = false;
  for (std::string line; std::getline(lines, line);) {
    const auto finding = ParseJson(line);
    ASSERT_TRUE(finding) << line;
    EXPECT_EQ(finding->at("good").get<bool>(), !finding->contains("fix")) << line;
    seen = seen || finding->at("check") == "listen";
  }
  EXPECT_TRUE(seen);
}

TEST_F(Doctor, WhatIsNoAddressIsWrongUsageAndNoFault) {
  for (const char* flag : {"--listen", "--admin"}) {
    const std::vector<const char*> argv = {"ferment", "doctor", flag, "nope"};
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(RunCommandLine(4, argv.data()), exit_code::kUsage);
    EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
    EXPECT_THAT(::testing::internal::GetCapturedStderr(), ::testing::AllOf(HasSubstr(flag), HasSubstr("nope")));
  }
}

TEST_F(Doctor, WhatItIsAskedIsReadBeforeAnyCheck) {
  const std::vector<const char*> argv = {"ferment", "doctor", "--spec", "/no/such/spec.yaml"};
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(RunCommandLine(4, argv.data()), exit_code::kBadSpec);
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("/no/such/spec.yaml"));
}

}  // namespace
}  // namespace ferment::cli
