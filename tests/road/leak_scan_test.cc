// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "common/rpc/grpc_channel.h"
#include "ferment/v1/run_service.grpc.pb.h"
#include "tests/road/road_fixture.h"
#include "tests/support/admin_question.h"
#include "tests/support/canary_forms.h"
#include "tests/support/scripted_http_server.h"

namespace ferment::road {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr const char* kPerson = "canaria-7f3a";
constexpr const char* kPixels = "CANARY-OF-PICTURE-BYTES-51c09d";
constexpr const char* kStoreSecret = "canary+of/the+store+secret+key+0d41";

std::string TextOf(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return std::string{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void Write(const fs::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
}

/// T8.3. Everything that must not get out bears a canary: each token, each private key, the key of an object store, the
/// bytes of every picture, and every picture's path, which is named after a person. They go through a coordinator, a
/// labeler and trainers that meet damage and refusals, fail and crash.
///
/// Looked through: the logs of all processes and jobs, the event log and the audit log, everything else in the run's
/// folder, the metrics, the status page and its data, what `ferment` prints, and messages and details of refused calls.
///
/// Kept on purpose, and left out: what was put in (pictures, lists, keys, token files); evaluation/*.csv and
/// submission/, which list pictures by path for their owner; report.html, which shows sample faces. A record of a pack
/// is its key, a face its place in the list, a video the name of its folder; a person who calls is the name in the
/// token file or in the certificate.
class LeakScan : public RoadTest {
 protected:
  std::string Program(const std::string& name) const { return (BinFolder() / name).string(); }
  std::string At(const std::string& name) const { return (folder() / name).string(); }
  Outcome Ferment(std::vector<std::string> arguments,
                  const std::vector<std::pair<std::string, std::string>>& env = {}) {
    arguments.insert(arguments.begin(), Program("ferment"));
    const Outcome outcome = Run(arguments, env);
    told_ += outcome.output;
    return outcome;
  }
  Outcome FermentAs(const std::string& token_file, std::vector<std::string> arguments) {
    arguments.insert(arguments.end(),
                     {"--coordinator", address_, "--tls-ca", At("certs/ca/ca.crt"), "--token-file", At(token_file)});
    return Ferment(std::move(arguments));
  }
  event::ChildProcess Background(std::vector<std::string> argv, const std::string& log) const {
    auto started = event::ChildProcess::Start({.argv = std::move(argv), .output = folder() / log});
    EXPECT_TRUE(started);
    return std::move(*started);
  }

  /// A comment of the canary behind a JPEG's first marker.
  static std::string WithCanary(const std::string& jpeg) {
    const std::string text = kPixels;
    return jpeg.substr(0, 2) + "\xff\xfe" + std::string(1, '\0') + static_cast<char>(text.size() + 2) + text +
           jpeg.substr(2);
  }
  /// Moves the pictures of a list below a folder of a person's name, and puts the canary into each.
  void GiveToPerson(const std::string& list, const std::string& person) {
    const fs::path root = folder() / "data/fer";
    std::istringstream lines(TextOf(root / list));
    std::string rewritten, line;
    std::getline(lines, line);
    rewritten = line + "\n";
    fs::create_directories(root / person);
    while (std::getline(lines, line)) {
      const std::string path = line.substr(0, line.find(','));
      const std::string moved = person + "/" + fs::path(path).filename().string();
      Write(root / moved, WithCanary(TextOf(root / path)));
      fs::remove(root / path);
      rewritten += moved + line.substr(line.find(',')) + "\n";
      pictures_[list].push_back(root / moved);
    }
    Write(root / list, rewritten);
  }
  void MakeData() {
    (void)RenderSets({{"faces-train", 64},
                      {"faces-validation", 48},
                      {"fr-records", 8},
                      {"identities", 4},
                      {"videos-train", 1},
                      {"videos-validation", 1},
                      {"videos-test", 1},
                      {"frames", 16}});
    GiveToPerson("train.csv", std::string("ann-") + kPerson);
    GiveToPerson("val.csv", std::string("bea-") + kPerson);
    const fs::path unlabelled = folder() / "data/unlabelled" / (std::string("carla-") + kPerson);
    fs::create_directories(unlabelled);
    for (const fs::path& picture : pictures_["train.csv"]) fs::copy(picture, unlabelled / picture.filename());
    for (const auto& entry : fs::recursive_directory_iterator(folder() / "data/videos"))
      if (entry.path().extension() == ".jpg") Write(entry.path(), WithCanary(TextOf(entry.path())));
    // Damage of two kinds in each set.
    const std::string whole = TextOf(pictures_["train.csv"][1]);
    for (const fs::path& where :
         {pictures_["train.csv"][0], pictures_["val.csv"][0], unlabelled / pictures_["train.csv"][0].filename()}) {
      Write(where, std::string(kPixels) + " is no picture");
    }
    Write(pictures_["train.csv"][1], whole.substr(0, 80));
    Write(unlabelled / pictures_["train.csv"][1].filename(), whole.substr(0, 80));
    Write(folder() / "spec.yaml",
          "apiVersion: ferment/v1\nname: leaky\ndata:\n  fer: {format: folder, path: " + At("data/fer") +
              ", train: train.csv, validation: val.csv}\n  fr: {format: folder, path: " + At("data/unlabelled") +
              "}\n  videos: {path: " + At("data/videos") +
              "}\nmodel: {backbone: resnet18, width: 8, image_size: 32}\nteacher: {steps: 50, batch: 8}\n"
              "labeling: {labelers: 1, batch: 16, min_accuracy: 0, threshold: 0.1, max_damage: 0.2}\ncotrain: {steps: "
              "4, batch: 4, mu: "
              "1, threshold: 0.1}\nfinetune: {steps: 2, batch: 8}\ntemporal: {d_model: 16, layers: 1, heads: 2, "
              "feed_forward: 32, window: 8, hop: 4, steps: 2, batch: 4}\n"
              "resources: {device: cpu, ranks: 1, threads_per_rank: 1}\n");
  }
  void MakeCredentials() {
    ASSERT_EQ(Ferment({"dev-certs", At("certs")}).exit_code, 0);
    ASSERT_EQ(Ferment({"new-token", "ann", "submitter", "--tokens", At("tokens"), "--out", At("ann")}).exit_code, 0);
    Write(folder() / "mallory", "canary-of-a-guessed-token-93e2\n");
    Write(folder() / "s3", std::string("[default]\naws_access_key_id=reader\naws_secret_access_key=") + kStoreSecret);
    secrets_ = {kPerson, kPixels, kStoreSecret, "PRIVATE KEY", "canary-of-a-guessed-token-93e2"};
    secrets_.push_back(TextOf(folder() / "ann").substr(0, 32));
    for (const auto& entry : fs::recursive_directory_iterator(folder() / "certs")) {
      if (entry.path().extension() != ".key") continue;
      std::istringstream lines(TextOf(entry.path()));
      std::string line;
      for (int number = 0; number < 3; ++number) std::getline(lines, line);
      secrets_.push_back(line);
    }
  }
  event::ChildProcess StartCoordinator() {
    fs::remove(folder() / "address.json");
    event::ChildProcess coordinator = Background(
        {Program("ferment-coordinator"), "--store", "sqlite:" + At("ferment.db"), "--listen", "127.0.0.1:0", "--admin",
         "127.0.0.1:0", "--address-file", At("address.json"), "--tls-dir", At("certs/coordinator"), "--trainer-tls-dir",
         At("certs/trainer"), "--tokens", At("tokens"), "--audit-file", At("audit.jsonl")},
        "coordinator-" + std::to_string(++coordinators_) + ".txt");
    EXPECT_TRUE(WaitUntil(coordinator, [&] { return fs::exists(folder() / "address.json"); }));
    address_ = ReadJson(folder() / "address.json")["grpc"];
    admin_ = ReadJson(folder() / "address.json")["admin"];
    return coordinator;
  }

  /// What a refused call says, with its details. The caller shows a token, or what is none.
  void CallRefused(const std::string& authorization) {
    rpc::CredentialPaths trust;
    trust.authorities = At("certs/ca/ca.crt");
    const auto runs = v1::RunService::NewStub(*rpc::OpenChannel(address_, trust));
    for (const char* run : {"leaky-1", ""}) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
      context.AddMetadata("authorization", authorization);
      v1::RollBackTeacherRequest request;
      request.set_run_id(run);
      v1::RollBackTeacherResponse response;
      const grpc::Status status = runs->RollBackTeacher(&context, request, &response);
      EXPECT_FALSE(status.ok());
      told_ += status.error_message() + status.error_details();
      for (const auto& [key, value] : context.GetServerTrailingMetadata())
        told_ += std::string(key.data(), key.size()) + std::string(value.data(), value.size());
    }
  }
  void LookAtTheAdminPort() {
    for (const char* path : {"/", "/api/runs", "/metrics", "/none", "/readyz"}) {
      const std::string answer = testing::AskAdmin(admin_, path);
      EXPECT_NE(answer, "") << path;
      told_ += answer;
    }
  }
  /// Words in the wrong place: a key for a certificate, a token in the list of hashes, an object store that says no.
  void GoWrongWithSecrets() {
    EXPECT_EQ(FermentAs("mallory", {"get"}).exit_code, 77);
    EXPECT_NE(Ferment({"get", "--coordinator", address_, "--tls-ca", At("certs/ca/ca.crt"), "--tls-cert",
                       At("certs/reader/tls.key"), "--tls-key", At("certs/reader/tls.key")})
                  .exit_code,
              0);
    EXPECT_NE(Ferment({"get", "--coordinator", address_, "--tls-ca", At("certs/reader/tls.key")}).exit_code, 0);
    EXPECT_NE(FermentAs("certs/reader/tls.key", {"get"}).exit_code, 0);
    testing::ScriptedHttpServer store([](const testing::HttpCall& call, std::size_t) {
      // One that tells what it was told, as far as a store can.
      const auto shown = call.headers.find("authorization");
      return testing::HttpText(403, "<Error><Code>SignatureDoesNotMatch</Code><Message>" +
                                        (shown == call.headers.end() ? "" : shown->second) + "</Message></Error>");
    });
    const std::vector<std::pair<std::string, std::string>> keys = {{"AWS_ENDPOINT_URL_S3", store.endpoint()},
                                                                   {"AWS_SHARED_CREDENTIALS_FILE", At("s3")}};
    EXPECT_NE(Ferment({"data", "scan", "s3://faces/pack"}, keys).exit_code, 0);
    EXPECT_FALSE(store.Finish().empty());
    CallRefused("Bearer canary-of-a-guessed-token-93e2");
    CallRefused("Basic canary-of-a-guessed-token-93e2");
    CallRefused("Bearer " + TextOf(folder() / "ann").substr(0, 64));
  }

  bool IsKeptOnPurpose(const fs::path& file) const {
    const std::string name = fs::relative(file, folder()).string();
    for (const char* part : {"data/", "certs/", "run/evaluation/", "run/submission/"})
      if (name.starts_with(part)) return true;
    return std::set<std::string>{"ann", "mallory", "s3", "run/report.html"}.contains(name);
  }
  void ExpectNothingIn(const std::string& text, const std::string& where) const {
    for (const std::string& secret : secrets_) {
      ASSERT_GE(secret.size(), 11U);
      for (const std::string& form : testing::FormsOf(secret)) {
        EXPECT_EQ(text.find(form), std::string::npos) << where << ": " << form;
      }
    }
  }
  void ExpectNothingOutside() const {
    int files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder())) {
      if (!entry.is_regular_file() || IsKeptOnPurpose(entry.path())) continue;
      ExpectNothingIn(TextOf(entry.path()), entry.path().string());
      EXPECT_EQ(entry.path().filename().string().find("core"), std::string::npos) << entry.path();
      ++files;
    }
    EXPECT_GT(files, 30);
    ExpectNothingIn(told_, "what programs and ports have told");
  }
  std::string LogsOfJobs() const {
    std::string text;
    for (const auto& entry : fs::recursive_directory_iterator(run_dir() / "logs"))
      if (entry.is_regular_file()) text += TextOf(entry.path());
    return text;
  }

  std::string address_, admin_, told_;
  std::vector<std::string> secrets_;
  std::map<std::string, std::vector<fs::path>> pictures_;
  int coordinators_ = 0;
};

std::string LimitOfCores(int pid) {
  std::istringstream lines(TextOf("/proc/" + std::to_string(pid) + "/limits"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.starts_with("Max core file size") ? line.substr(18) : "");
    std::string soft;
    if (words >> soft) return soft;
  }
  return "";
}

TEST_F(LeakScan, NoSecretNoPictureAndNoNameGetsOut) {
  // As where an operator lets programs leave cores.
  rlimit former{};
  getrlimit(RLIMIT_CORE, &former);
  const rlimit cores{former.rlim_max, former.rlim_max};
  setrlimit(RLIMIT_CORE, &cores);
  MakeData();
  MakeCredentials();
  event::ChildProcess coordinator = StartCoordinator();
  ASSERT_EQ(FermentAs("ann", {"submit", At("spec.yaml"), "--run-dir", run_dir().string()}).exit_code, 0) << told_;
  const std::vector<std::string> labeling = {Program("ferment-labeler"), "--tls-dir", At("certs/labeler"),
                                             "--coordinator", address_};
  event::ChildProcess labeler = Background(labeling, "labeler-1.txt");
  EXPECT_EQ(FermentAs("ann", {"wait", "leaky-1"}).exit_code, 65) << "one of the faces to evaluate on is damaged";
  EXPECT_THAT(FermentAs("ann", {"get", "leaky-1", "--json"}).output, HasSubstr("validation face 0"));
  EXPECT_THAT(LogsOfJobs(), HasSubstr("face_damaged"));
  EXPECT_THAT(LogsOfJobs(), HasSubstr("validation_face_damaged"));
  EXPECT_THAT(TextOf(run_dir() / "labels/index.json") + told_, HasSubstr("quarantined"));
  (void)FermentAs("ann", {"logs", "leaky-1", "teacher"});
  GoWrongWithSecrets();
  LookAtTheAdminPort();

  const std::string tokens = TextOf(folder() / "tokens");
  Write(folder() / "tokens", "ann submitter canary-of-a-guessed-token-93e2\n");
  EXPECT_EQ(FermentAs("ann", {"get"}).exit_code, 0) << "the former ones stay in force";
  Write(folder() / "tokens", tokens);

  // Both have keys and faces in their memory.
  EXPECT_EQ(LimitOfCores(labeler.pid()), "1");
  EXPECT_EQ(LimitOfCores(coordinator.pid()), "1");
  labeler.Signal(SIGABRT);
  EXPECT_EQ(Wait(labeler).exit_code, 128 + SIGABRT);
  coordinator.Signal(SIGABRT);
  EXPECT_EQ(Wait(coordinator).exit_code, 128 + SIGABRT);
  coordinator = StartCoordinator();
  LookAtTheAdminPort();
  coordinator.Signal(SIGTERM);
  EXPECT_EQ(Wait(coordinator).exit_code, 143);
  setrlimit(RLIMIT_CORE, &former);
  EXPECT_FALSE(fs::exists("core"));
  ExpectNothingOutside();
}

}  // namespace
}  // namespace ferment::road
