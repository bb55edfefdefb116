// SPDX-License-Identifier: Apache-2.0
#include "tests/support/slurm_cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string_view>
#include <thread>

namespace ferment::testing {
namespace {

namespace fs = std::filesystem;

bool Eventually(const std::function<bool()>& happened) {
  for (int i = 0; i < 1'000; ++i) {
    if (happened()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

std::string TextOf(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

void End(pid_t& process, int signal) {
  if (process <= 0) return;
  kill(process, signal);
  waitpid(process, nullptr, 0);
  process = 0;
}

/// Returns: processes other than this one in whose variables `text` stands.
std::vector<pid_t> ProcessesWith(const std::string& text) {
  std::vector<pid_t> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 1 || pid == getpid()) continue;
    if (TextOf(entry.path() / "environ").find(text) != std::string::npos) found.push_back(pid);
  }
  return found;
}

std::string HostName() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  const std::string whole = name;
  return whole.substr(0, whole.find('.'));
}

bool Installed(const std::string& program) {
  for (const char* folder : {"/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"}) {
    if (access((fs::path(folder) / program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

}  // namespace

std::string SlurmCluster::MissingProgram() {
  for (const char* program : {"munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol"}) {
    if (!Installed(program)) return program;
  }
  return "";
}

std::unique_ptr<SlurmCluster> SlurmCluster::Start() {
  // Not the test's own folder: a path of a unix socket has room for 107 characters, and another user must reach it.
  std::string folder = "/tmp/ferment-slurm-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return nullptr;
  fs::permissions(folder, fs::perms(0755));
  std::unique_ptr<SlurmCluster> cluster(new SlurmCluster(folder));
  setenv("SLURM_CONF", (cluster->folder_ / "slurm.conf").c_str(), 1);
  if (!cluster->ChoosePorts() || !cluster->StartMunge()) {
    ADD_FAILURE() << "no ports, or no munged: see " << folder;
    return nullptr;
  }
  cluster->WriteConfiguration();
  cluster->controller_ = cluster->Spawn({"slurmctld", "-D"}, "slurmctld.log");
  for (int node = 0; node < kNodes; ++node) cluster->StartNode(node);
  if (cluster->AwaitNodes()) return cluster;
  ADD_FAILURE() << "the nodes do not come up: see " << folder << "\n" << TextOf(fs::path(folder) / "slurmctld.log");
  return nullptr;
}

SlurmCluster::~SlurmCluster() {
  // What daemons leave behind comes to this process, which waits for it. Not before: to slurmd a step that nobody has
  // waited for still runs.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  // Daemons first, or they see their jobs die and do something about it.
  End(controller_, SIGKILL);
  for (pid_t& node : nodes_) End(node, SIGKILL);
  const std::string mark = "SLURM_CONF=" + (folder_ / "slurm.conf").string();
  const bool gone = Eventually([&mark] {
    const std::vector<pid_t> left = ProcessesWith(mark);
    for (const pid_t pid : left) kill(pid, SIGKILL);
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    return left.empty();
  });
  prctl(PR_SET_CHILD_SUBREAPER, 0);
  EXPECT_TRUE(gone) << "processes of " << folder_ << " survive";
  End(munge_, SIGTERM);
  unsetenv("SLURM_CONF");
  if (!::testing::Test::HasFailure()) fs::remove_all(folder_);
}

bool SlurmCluster::ChoosePorts() {
  std::vector<int> sockets;
  for (int& port : ports_) {
    const int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    if (bind(handle, plain, size) == 0 && getsockname(handle, plain, &size) == 0) port = ntohs(address.sin_port);
    sockets.push_back(handle);
  }
  for (const int handle : sockets) close(handle);
  return ports_.back() != 0;
}

void SlurmCluster::WriteConfiguration() const {
  const passwd* user = getpwuid(geteuid());
  const std::string me = user == nullptr ? "root" : user->pw_name;
  const std::string here = folder_.string();
  std::ofstream file(folder_ / "slurm.conf");
  file << "ClusterName=ferment\nSlurmctldHost=" << HostName() << "(127.0.0.1)\nSlurmUser=" << me
       << "\nSlurmdUser=" << me << "\nAuthType=auth/munge\nAuthInfo=socket=" << here
       << "/munge/socket\nSlurmctldPort=" << ports_.back() << "\nStateSaveLocation=" << here
       << "/state\nSlurmdSpoolDir=" << here << "/spool/%n\nSlurmdPidFile=" << here
       << "/slurmd-%n.pid\nSlurmctldPidFile=" << here << "/slurmctld.pid\nTmpFS=" << here
       << "/tmp-%n\nProctrackType=proctrack/pgid\nTaskPlugin=task/none\nSwitchType=switch/none\nMpiDefault=none\n"
          "JobAcctGatherType=jobacct_gather/none\nSelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\n"
          "ReturnToService=2\nSlurmdTimeout=300\nKillWait=3\nMessageTimeout=3\nOverTimeLimit=0\n"
          "SlurmdParameters=config_overrides\nSchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_"
          "interval=1\n";
  for (int node = 0; node < kNodes; ++node) {
    fs::create_directories(folder_ / ("tmp-n" + std::to_string(node + 1)));
    file << "NodeName=n" << node + 1 << " NodeAddr=127.0.0.1 NodeHostname=" << HostName()
         << " Port=" << ports_.at(static_cast<std::size_t>(node)) << " CPUs=2 State=UNKNOWN\n";
  }
  file << "PartitionName=debug Nodes=n[1-3] Default=YES MaxTime=INFINITE State=UP\n";
  fs::create_directories(folder_ / "state");
  fs::create_directories(folder_ / "spool");
}

bool SlurmCluster::StartMunge() {
  const fs::path munge = folder_ / "munge";
  fs::create_directories(munge);
  {
    std::ofstream key(munge / "key", std::ios::binary);
    std::random_device random;
    for (int i = 0; i < 256; ++i) key.put(static_cast<char>(random()));
  }
  fs::permissions(munge / "key", fs::perms(0400));
  const passwd* user = getpwnam("munge");
  if (geteuid() == 0 && user != nullptr) {
    for (const fs::path& path : {munge, munge / "key"}) {
      if (chown(path.c_str(), user->pw_uid, user->pw_gid) != 0) return false;
    }
  }
  const std::string here = munge.string() + "/";
  munge_ = Spawn({"munged", "--foreground", "--socket", here + "socket", "--pid-file", here + "pid", "--log-file",
                  here + "log", "--seed-file", here + "seed", "--key-file", here + "key"},
                 "munged.log", geteuid() == 0 && user != nullptr);
  return Eventually([&munge] { return fs::exists(munge / "socket"); });
}

pid_t SlurmCluster::Spawn(const std::vector<std::string>& words, const std::string& log, bool as_munge) const {
  const passwd* user = getpwnam("munge");
  const int output = open((folder_ / log).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  std::vector<std::string> copies = words;
  std::vector<char*> argv;
  for (std::string& word : copies) argv.push_back(word.data());
  argv.push_back(nullptr);
  setenv("PATH", (std::string(getenv("PATH")) + ":/usr/sbin:/sbin").c_str(), 1);
  const pid_t child = fork();
  if (child != 0) {
    close(output);
    return child;
  }
  if (as_munge && (setgroups(0, nullptr) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)) _exit(1);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  setpgid(0, 0);
  execvp(argv[0], argv.data());
  _exit(1);
}

void SlurmCluster::StartNode(int node) {
  const std::string name = "n" + std::to_string(node + 1);
  nodes_.at(static_cast<std::size_t>(node)) = Spawn({"slurmd", "-D", "-N", name}, "slurmd-" + name + ".log");
}

bool SlurmCluster::AwaitNodes() const {
  return Eventually(
      [this] { return Shell("sinfo --noheader -N -t idle -o %N 2>/dev/null | sort -u | wc -l") == "3\n"; });
}

void SlurmCluster::StopController() { End(controller_, SIGTERM); }

void SlurmCluster::StartController() {
  controller_ = Spawn({"slurmctld", "-D"}, "slurmctld.log");
  EXPECT_TRUE(Eventually([this] { return Shell("squeue --noheader >/dev/null 2>&1 && echo up") == "up\n"; }));
}

void SlurmCluster::LoseNode(int node) {
  const std::string name = "n" + std::to_string(node + 1);
  End(nodes_.at(static_cast<std::size_t>(node)), SIGKILL);
  // Its steps before what they watch, so that none tells the controller of an end.
  for (const bool steps : {true, false}) {
    for (const pid_t pid :
         ProcessesWith((steps ? "SLURM_CONF=" + (folder_ / "slurm.conf").string() : "SLURMD_NODENAME=" + name))) {
      const std::string command = TextOf("/proc/" + std::to_string(pid) + "/cmdline");
      if (command.starts_with("slurmstepd") == steps) kill(pid, SIGKILL);
    }
  }
  Shell("scontrol update NodeName=" + name + " State=DOWN Reason=lost");
}

std::string SlurmCluster::Queue(const std::string& options) const {
  constexpr std::string_view kAnswered = "answered\n";
  std::string text;
  EXPECT_TRUE(Eventually([&] {
    text = Shell("squeue --noheader " + options + " 2>/dev/null && echo answered");
    return text.ends_with(kAnswered);
  }));
  return text.substr(0, text.size() - std::min(text.size(), kAnswered.size()));
}

std::string SlurmCluster::Shell(const std::string& words) const {
  std::string text;
  FILE* const pipe = popen(words.c_str(), "r");
  if (pipe == nullptr) return text;
  char bytes[4096];
  for (std::size_t size = 0; (size = fread(bytes, 1, sizeof bytes, pipe)) > 0;) text.append(bytes, size);
  pclose(pipe);
  return text;
}

}  // namespace ferment::testing
