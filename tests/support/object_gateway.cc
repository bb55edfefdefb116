// SPDX-License-Identifier: Apache-2.0
#include "tests/support/object_gateway.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <thread>

#include "common/io/checksum.h"
#include "common/io/object/http_client.h"
#include "common/io/object/s3_signature.h"

namespace ferment::testing {
namespace {

constexpr const char* kMachine = "6d4e1c2a-7a55-4f0e-9a53-3f5a4c1b2d01";
constexpr const char* kDisk = "6d4e1c2a-7a55-4f0e-9a53-3f5a4c1b2d02";
const io::S3Credentials kUser{"FERMENTTESTKEY", "a/secret+of=the-test", ""};

/// Returns: a port of loopback that nobody uses now.
int FreePort() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(listener);
  return ntohs(address.sin_port);
}

/// Starts a program that ends with this one, its output in `log`.
pid_t Spawn(std::vector<std::string> words, const std::filesystem::path& log) {
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (freopen(log.c_str(), "a", stdout) == nullptr || dup2(STDOUT_FILENO, STDERR_FILENO) < 0) _exit(1);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(1);
}

/// Whether the program ends well, in the time that it is given.
bool Succeeds(const std::vector<std::string>& words, const std::filesystem::path& log) {
  const pid_t child = Spawn(words, log);
  int status = 0;
  pid_t ended = 0;
  for (int i = 0; i < 600 && (ended = waitpid(child, &status, WNOHANG)) == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  if (ended != child) {
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// Returns: the last line with something on it.
std::string LastLine(const std::filesystem::path& log) {
  std::ifstream lines(log);
  std::string last;
  for (std::string line; std::getline(lines, line);) last = line.empty() ? last : line;
  return last;
}

struct Ports {
  int monitor;
  int plain;
  int tls;
};

std::string Configuration(const std::filesystem::path& folder, const Ports& ports, const rpc::CredentialPaths& tls) {
  const std::string where = folder.string();
  return "[global]\nfsid = " + std::string(kMachine) + "\nmon host = [v1:127.0.0.1:" + std::to_string(ports.monitor) +
         "]\nmon initial members = a\npublic network = 127.0.0.0/8\nms bind ipv6 = false\n"
         "auth cluster required = none\nauth service required = none\nauth client required = none\n"
         "osd pool default size = 1\nosd pool default min size = 1\nosd pool default pg num = 1\n"
         // What an OSD asks the monitor when it starts is now and then refused ("wrong fsid"), and then it ends.
         "osd crush update on start = false\nosd class update on start = false\nosd crush chooseleaf type = 0\nmon "
         "allow pool size one = true\nmon max pg per osd = 1000\n"
         "mon data avail crit = 1\nosd objectstore = memstore\nmemstore device bytes = 1073741824\n"
         "mon data = " +
         where + "/mon\nosd data = " + where + "/osd\nrun dir = " + where + "\npid file = " + where +
         "/$name.pid\nlog file = " + where + "/$name.log\nadmin socket = " + where +
         "/$name.asok\ncrash dir = " + where + "\nrgw data = " + where +
         "/rgw\nrgw frontends = beast endpoint=127.0.0.1:" + std::to_string(ports.plain) +
         " ssl_endpoint=127.0.0.1:" + std::to_string(ports.tls) + " ssl_certificate=" + tls.certificate.string() +
         " ssl_private_key=" + tls.private_key.string() + "\nrgw thread pool size = 16\n";
}

}  // namespace

bool ObjectGateway::Installed() {
  if (std::getenv("FERMENT_S3_TESTS") == nullptr) return false;
  for (const char* program : {"ceph-mon", "ceph-osd", "radosgw"})
    if (!std::filesystem::exists(std::filesystem::path("/usr/bin") / program)) return false;
  return true;
}

std::unique_ptr<ObjectGateway> ObjectGateway::Start() {
  if (!Installed()) return nullptr;
  // The ceph command, too, meets the refusal that Configuration tells of, one start in twenty.
  constexpr int kAttempts = 3;
  for (int attempt = 1; true; ++attempt) {
    // Not the test's own folder: a path of a unix socket has room for 107 characters.
    std::string folder = "/tmp/ferment-s3-XXXXXX";
    if (mkdtemp(folder.data()) == nullptr) return nullptr;
    std::unique_ptr<ObjectGateway> gateway(new ObjectGateway(folder));
    if (gateway->StartAll()) return gateway;
    std::cerr << "radosgw does not start: attempt=" << attempt << " allowed=" << kAttempts << ": "
              << LastLine(gateway->folder_ / "output.log") << "\n";
    if (attempt < kAttempts) continue;
    ADD_FAILURE() << "see " << folder;
    return gateway;
  }
}

bool ObjectGateway::StartAll() {
  const Ports ports{FreePort(), FreePort(), FreePort()};
  port_ = ports.plain;
  tls_port_ = ports.tls;
  for (const char* name : {"mon", "osd", "rgw"}) std::filesystem::create_directories(folder_ / name);
  const std::string conf = folder_ / "ceph.conf";
  std::ofstream(conf) << Configuration(folder_, ports, certificates_.Server());
  std::ofstream(folder_ / "credentials") << "[default]\naws_access_key_id = " << kUser.access_key
                                         << "\naws_secret_access_key = " << kUser.secret_key << "\n";
  const std::filesystem::path log = folder_ / "output.log";
  const std::string map = folder_ / "monmap";
  const std::string address = "[v1:127.0.0.1:" + std::to_string(ports.monitor) + "]";
  if (!Succeeds({"monmaptool", "--create", "--addv", "a", address, "--fsid", kMachine, map}, log) ||
      !Succeeds({"ceph-mon", "--mkfs", "-i", "a", "--monmap", map, "-c", conf}, log))
    return false;
  servers_.push_back(Spawn({"ceph-mon", "-f", "-i", "a", "-c", conf}, log));
  if (!Succeeds({"ceph", "-c", conf, "--connect-timeout", "60", "osd", "new", kDisk, "0"}, log) ||
      !Succeeds(
          {"ceph", "-c", conf, "--connect-timeout", "60", "osd", "crush", "add", "0", "1", "host=test", "root=default"},
          log) ||
      !Succeeds({"ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", kDisk, "-c", conf}, log))
    return false;
  servers_.push_back(Spawn({"ceph-osd", "-f", "-i", "0", "-c", conf}, log));
  if (!Succeeds({"radosgw-admin", "-c", conf, "user", "create", "--uid=test", "--display-name=test", "--max-buckets=0",
                 "--access-key=" + kUser.access_key, "--secret-key=" + kUser.secret_key},
                log))
    return false;
  servers_.push_back(Spawn({"radosgw", "-f", "-n", "client.rgw", "-c", conf}, log));
  io::HttpClient client({std::chrono::seconds(1), std::chrono::seconds(5), {}});
  for (int i = 0; i < 600; ++i) {
    if (client.Perform({"GET", Settings().endpoint + "/", {}, {}, 1 << 16}).status == 200) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

ObjectGateway::~ObjectGateway() {
  for (const pid_t server : servers_) {
    kill(server, SIGKILL);
    waitpid(server, nullptr, 0);
  }
  if (!::testing::Test::HasFailure()) std::filesystem::remove_all(folder_);
}

io::S3Settings ObjectGateway::Settings() const {
  io::S3Settings settings;
  settings.endpoint = "http://127.0.0.1:" + std::to_string(port_);
  settings.credentials_file = folder_ / "credentials";
  settings.first_pause = std::chrono::milliseconds(10);
  return settings;
}

io::S3Settings ObjectGateway::TlsSettings() const {
  io::S3Settings settings = Settings();
  settings.endpoint = "https://127.0.0.1:" + std::to_string(tls_port_);
  settings.ca_bundle = certificates_.TrustOnly().authorities;
  return settings;
}

std::string ObjectGateway::FreshBucket() {
  const std::string name = "bucket-" + std::to_string(++buckets_);
  io::S3Request request{"PUT", "/" + name, {}, {{"host", "127.0.0.1:" + std::to_string(port_)}}, io::Sha256Hex("")};
  request.headers["x-amz-content-sha256"] = request.body_sha256;
  io::Sign(kUser, {"us-east-1"}, SystemClock().WallNow(), request);
  io::HttpClient client({std::chrono::seconds(5), std::chrono::minutes(1), {}});
  const io::HttpAnswer made = client.Perform({"PUT", Settings().endpoint + request.path, request.headers, {}, 1 << 16});
  EXPECT_EQ(made.status, 200) << made.transport.ToString() << " see " << folder_;
  return name;
}

std::vector<std::pair<std::string, std::string>> ObjectGateway::Environment() const {
  const io::S3Settings settings = TlsSettings();
  return {{"AWS_ENDPOINT_URL", settings.endpoint},
          {"AWS_CA_BUNDLE", settings.ca_bundle},
          {"AWS_REGION", "us-east-1"},
          {"AWS_SHARED_CREDENTIALS_FILE", settings.credentials_file}};
}

void ObjectGateway::Pause() { kill(servers_.back(), SIGSTOP); }
void ObjectGateway::Continue() { kill(servers_.back(), SIGCONT); }

}  // namespace ferment::testing
