// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/doctor_hosts.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "cli/doctor/doctor_network.h"
#include "common/config/launch_command.h"
#include "common/event/child_process.h"
#include "common/event/program_output.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;
using Seconds = std::chrono::duration<double>;

/// In a shell of its own, whatever the user's login shell is; $0 is the trainer.
constexpr const char* kQuestions =
    "echo \"ferment begin $(date +%s.%N)\"; "
    "echo \"ferment trainer $(sha256sum \"$0\" 2>&1 | head -n 1)\"; "
    "echo \"ferment missing $(ldd \"$0\" 2>&1 | awk '/not found/ { printf \"%s \", $1 }')\"; "
    // Names and sizes: the largest would take seconds to read.
    "echo \"ferment libraries $(stat -L -c '%n %s' "
    "$(ldd \"$0\" 2>/dev/null | awk '$3 ~ /\\/lib(torch|c10)[^\\/]*$/ { print $3 }') "
    "\"${0%/*}/../lib/libferment_nccl.so\" 2>/dev/null | sed 's|.*/||' | tr '\\n' ',')\"; "
    "echo \"ferment mpirun $(mpirun --version 2>&1 | head -n 1)\"; "
    "echo \"ferment end $(date +%s.%N)\"";

Status UsageError(const std::string& text) { return InvalidArgumentError(text).WithExitCode(exit_code::kUsage); }

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

void AddOnce(std::vector<std::string>& hosts, std::string host) {
  if (std::ranges::find(hosts, host) == hosts.end()) hosts.push_back(std::move(host));
}

/// A name that begins with a dash would be an option of ssh.
bool IsHostName(std::string_view name) {
  return !name.empty() && name.front() != '-' && name.find_first_of(" \t'\"\\;|&$`") == std::string_view::npos;
}

/// Returns: what mpirun starts on the way to another host, without the host.
std::vector<std::string> RemoteShell() {
  const char* agent = std::getenv("OMPI_MCA_plm_rsh_agent");
  std::istringstream words(agent == nullptr || *agent == '\0' ? "ssh" : agent);
  std::vector<std::string> argv;
  // "ssh : rsh" is Open MPI's way to say: the first that is there.
  for (std::string word; words >> word;) {
    if (word != ":") {
      argv.push_back(word);
    } else if (!argv.empty() && event::FindProgram(argv[0])) {
      break;
    } else {
      argv.clear();
    }
  }
  if (argv.empty()) argv = {"ssh"};
  if (fs::path(argv[0]).filename() == "ssh") {
    argv.insert(argv.end(), {"-o", "BatchMode=yes", "-o", "ConnectTimeout=5"});
  }
  return argv;
}

struct Host {
  std::string name;
  Result<HostRoute> route = Fail(NotFoundError(""));
  Result<HostAnswer> answer = Fail(NotFoundError(""));
};

/// `host` may be user@name, as ssh takes it.
std::string NameOf(const std::string& host) { return host.substr(host.find('@') + 1); }

Seconds SinceEpoch(WallTime time) { return time.time_since_epoch(); }

std::vector<std::string> Questions(const fs::path& trainer) { return {"sh", "-c", kQuestions, trainer.string()}; }

Result<HostAnswer> Ask(const std::string& host, const fs::path& trainer, std::chrono::milliseconds patience) {
  std::vector<std::string> argv = RemoteShell();
  argv.insert(argv.end(), {host, "exec " + ToShell({Questions(trainer), {}})});
  FERMENT_ASSIGN_OR_RETURN(const event::ProgramOutput output, event::OutputOf(argv, patience));
  if (output.exit_code != 0) {
    const std::string said = event::LastLine(output.text);
    return Fail(UnavailableError(argv[0] + " leaves with " + std::to_string(output.exit_code) +
                                 (said.empty() ? "" : ": " + said)));
  }
  return ReadHostAnswer(output.text, SinceEpoch(output.begin), SinceEpoch(output.end));
}

Finding RouteFinding(const std::string& check, const Result<HostRoute>& route, const std::string& name) {
  const std::string fix = "enter " + name + " in DNS or in /etc/hosts, the same on every host";
  if (!route) return {check, false, std::string(route.error().message()), fix};
  if (route->is_self) return {check, true, route->address + ", this machine"};
  return {check, true, route->address + " by " + route->interface + " (" + route->own_address + ")"};
}

Finding ClockFinding(const Host& host) {
  const double skew = host.answer->skew.count();
  const double uncertainty = host.answer->uncertainty.count();
  char text[96];
  std::snprintf(text, sizeof text, "%+.2f s, give or take %.2f s", skew, uncertainty);
  // Only what is certain is a fault: on a slow way the true skew may be small.
  return {"clock " + host.name, std::fabs(skew) - uncertainty < 1, text,
          "set the clocks by NTP: systemctl enable --now systemd-timesyncd, or chrony"};
}

void AddLibraryFindings(const Host& host, const HostAnswer& here, Findings& findings) {
  const std::string check = "libraries " + host.name;
  const std::string& missing = host.answer->missing;
  const std::string& libraries = host.answer->libraries;
  if (!missing.empty()) {
    findings.push_back({check, false, "the loader does not find " + missing,
                        "install there what tools/install_dependencies.sh installs here, LibTorch at the same place"});
  } else if (libraries != here.libraries) {
    const auto shown = [](const std::string& list) { return list.empty() ? "none," : list; };
    findings.push_back({check, false, shown(libraries) + " here " + shown(here.libraries),
                        "have the same LibTorch and the same libferment_nccl.so there"});
  } else {
    findings.push_back({check, true, "LibTorch's and NCCL's as here"});
  }
}

void AddAnswerFindings(const Host& host, const HostAnswer& here, const fs::path& trainer, Findings& findings) {
  if (!host.answer) {
    findings.push_back({"ssh " + host.name, false, std::string(host.answer.error().message()),
                        "make `ssh -o BatchMode=yes " + host.name + " true` work: ssh-copy-id " + host.name +
                            ", accept its host key once by hand, have sshd run there and its port open"});
    return;
  }
  findings.push_back({"ssh " + host.name, true, "answers without a password"});
  findings.push_back(ClockFinding(host));
  const bool same_trainer = host.answer->trainer == here.trainer;
  findings.push_back({"trainer " + host.name, same_trainer,
                      same_trainer ? "the same as here: " + here.trainer.substr(0, 16)
                                   : host.answer->trainer.substr(0, 80) + ", here " + here.trainer.substr(0, 16),
                      "have the same build there: rsync -a " + trainer.parent_path().string() + "/ " + host.name + ":" +
                          trainer.parent_path().string() + "/"});
  AddLibraryFindings(host, here, findings);
  const bool same_mpirun = host.answer->mpirun == here.mpirun;
  findings.push_back({"mpirun " + host.name, same_mpirun,
                      host.answer->mpirun + (same_mpirun ? "" : ", here " + here.mpirun),
                      "install the same Open MPI on every host, on the PATH that ssh gives a command"});
}

/// Every host through one interface is what mpirun finds by itself; else it may choose one that leads nowhere.
Finding NetworkFinding(const std::vector<Host>& hosts) {
  std::vector<std::string> interfaces;
  for (const Host& host : hosts) {
    if (host.route && !host.route->is_self) AddOnce(interfaces, host.route->interface);
  }
  if (interfaces.empty()) return {"network", true, "no other host"};
  std::string names;
  for (const std::string& name : interfaces) names += (names.empty() ? "" : ",") + name;
  const std::string say = interfaces.size() == 1 ? " leads to every other host" : " lead to the other hosts";
  return {"network", true,
          names + say + "; where this machine has more interfaces: OMPI_MCA_btl_tcp_if_include=" + names +
              " NCCL_SOCKET_IFNAME=" + names};
}

Result<HostAnswer> AnswerHere(const fs::path& trainer, std::chrono::milliseconds patience) {
  FERMENT_ASSIGN_OR_RETURN(const event::ProgramOutput output, event::OutputOf(Questions(trainer), patience));
  FERMENT_ASSIGN_OR_RETURN(HostAnswer here,
                           ReadHostAnswer(output.text, SinceEpoch(output.begin), SinceEpoch(output.end)));
  if (!fs::exists(trainer)) return Fail(NotFoundError(here.trainer));
  if (!here.mpirun.starts_with("mpirun")) return Fail(NotFoundError(here.mpirun));
  return here;
}

}  // namespace

Result<std::vector<std::string>> ParseHosts(std::string_view list) {
  std::vector<std::string> hosts;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const std::string_view item = list.substr(begin, end - begin);
    const std::size_t colon = item.find(':');
    const std::string_view name = item.substr(0, colon);
    if (!IsHostName(name) || (colon != std::string_view::npos && !IsNumber(item.substr(colon + 1)))) {
      return Fail(UsageError("--hosts takes HOST or HOST:SLOTS, separated by commas: item=" + std::string(item)));
    }
    AddOnce(hosts, std::string(name));
    begin = end + 1;
  }
  return hosts;
}

Result<std::vector<std::string>> ReadHostFile(const fs::path& file) {
  std::ifstream in(file);
  if (!in)
    return Fail(NotFoundError("cannot read the host file: path=" + file.string()).WithExitCode(exit_code::kUsage));
  std::vector<std::string> hosts;
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    std::istringstream words(line.substr(0, line.find('#')));
    std::string name;
    if (!(words >> name)) continue;
    bool good = IsHostName(name) && name.find(':') == std::string::npos;
    for (std::string word; words >> word;) {
      const std::size_t equals = word.find('=');
      const std::string key = word.substr(0, equals);
      good = good && equals != std::string::npos && (key == "slots" || key == "max_slots" || key == "max-slots") &&
             IsNumber(std::string_view(word).substr(equals + 1));
    }
    if (!good) {
      return Fail(UsageError(file.string() + ":" + std::to_string(number) +
                             ": a line is `HOST`, or `HOST slots=N max_slots=M`: line=" + line));
    }
    AddOnce(hosts, name);
  }
  if (hosts.empty()) return Fail(UsageError("no host in the host file: path=" + file.string()));
  return hosts;
}

Result<HostAnswer> ReadHostAnswer(const std::string& text, Seconds asked, Seconds came) {
  HostAnswer answer;
  Seconds begin{0};
  Seconds end{0};
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    // What a login prints before and after is not ours.
    std::istringstream words(line);
    std::string mark;
    std::string key;
    if (!(words >> mark >> key) || mark != "ferment") continue;
    std::string value;
    std::getline(words >> std::ws, value);
    if (key == "begin") begin = Seconds(std::strtod(value.c_str(), nullptr));
    if (key == "end") end = Seconds(std::strtod(value.c_str(), nullptr));
    if (key == "mpirun") answer.mpirun = value;
    if (key == "missing") answer.missing = value;
    if (key == "libraries") answer.libraries = value;
    if (key == "trainer") {
      // sha256sum puts a backslash before the digest of a file whose name has odd letters.
      const std::size_t digest = value.starts_with("\\") ? 1 : 0;
      const std::size_t length = value.find_first_not_of("0123456789abcdef", digest);
      answer.trainer = length == digest + 64 ? value.substr(digest, 64) : value;
    }
  }
  if (begin <= Seconds(0) || end < begin) {
    return Fail(DataLossError("the answer is not whole: " + (text.empty() ? "nothing came" : event::LastLine(text))));
  }
  // It began after it was asked and had ended when its answer came: the skew is no more than begin - asked, and no
  // less than end - came.
  const Seconds most = begin - asked;
  const Seconds least = end - came;
  answer.skew = (most + least) / 2;
  answer.uncertainty = (most - least) / 2;
  return answer;
}

Findings CheckHosts(const std::vector<std::string>& names, const fs::path& trainer,
                    std::chrono::milliseconds patience) {
  Findings findings;
  findings.push_back(RouteFinding("own name", RouteTo(OwnHostName()), OwnHostName()));
  const auto here = AnswerHere(trainer, patience);
  if (!here) {
    findings.push_back(
        {"hosts", false, std::string(here.error().message()), "mend what is missing on this machine first"});
    return findings;
  }
  std::vector<Host> hosts(names.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < names.size(); ++i) {
      threads.emplace_back([&host = hosts[i], &name = names[i], &trainer, patience] {
        host.name = name;
        host.route = RouteTo(NameOf(name));
        if (host.route && !host.route->is_self) host.answer = Ask(name, trainer, patience);
      });
    }
  }
  for (const Host& host : hosts) {
    findings.push_back(RouteFinding("host " + host.name, host.route, NameOf(host.name)));
    if (host.route && !host.route->is_self) AddAnswerFindings(host, *here, trainer, findings);
  }
  findings.push_back(NetworkFinding(hosts));
  return findings;
}

}  // namespace ferment::cli
