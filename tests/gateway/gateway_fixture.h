// The reference gateway's parts with the real rollout service, inventory and package store, and devices that
// do what devices of other makers might do.
#ifndef COUNTERSIGN_TESTS_GATEWAY_GATEWAY_FIXTURE_H_
#define COUNTERSIGN_TESTS_GATEWAY_GATEWAY_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "common/status/macros.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/rollout/testing/world.h"
#include "tools/gateway/fake_device.h"
#include "tools/gateway/incidents.h"
#include "tools/gateway/link.h"
#include "tools/gateway/reporter.h"
#include "tools/gateway/state.h"
#include "tools/gateway/updater.h"

namespace countersign::gateway {

using namespace common::v1;
using package_store::testing::ImageSpec;
using rollout::testing::Call;
using rollout::testing::Eventually;
using rollout::testing::Home;
using rollout::testing::kOperator;
using rollout::testing::World;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace rv1 = ::countersign::rollout::v1;
using RolloutStub = rv1::RolloutService::Stub;

class GatewayTest : public ::testing::Test {
 protected:
  GatewayTest() {
    std::string folder = "/tmp/gateway-XXXXXX";  // short: a socket's path has at most 107 characters
    folder_ = mkdtemp(folder.data());
    EXPECT_OK(MakeDirectories(lan()));
    world_.PublishDirectorRoot();
  }
  ~GatewayTest() override {
    devices_.clear();
    std::filesystem::remove_all(folder_);
  }

  std::string lan() const { return folder_ + "/lan"; }

  // A home with a device for each component, and its gateway.
  void MakeHome(const std::vector<std::string>& serials) {
    home_ = &world_.AddHome("home-1", serials);
    for (const auto& [serial, ecu] : home_->ecus) {
      FakeComponent component;
      component.report_counter = ecu.report_counter;
      if (!ecu.constrained) component.key = ecu.key;
      devices_[serial] = std::make_unique<FakeDevice>(
          lan(), serial, std::map<std::string, FakeComponent>{{serial, component}});
    }
    StartGateway();
  }

  std::shared_ptr<grpc::Channel> Dial(const std::string& service, const std::string& address) {
    return rpc::Dialer(world_.pki.TlsFor({rpc::Role::kGateway, "home-1"}))
        .Dial(address, {rpc::Role::kService, service});
  }

  // As after a power cut: all that is left is the disk.
  void StartGateway(const std::string& id = "home-1") {
    updater_.reset();
    reporter_.reset();
    state_.reset();
    ASSERT_OK_AND_ASSIGN(state_, State::Open(folder_ + "/state"));
    const ReporterKeys keys = {.manifest = home_->key.get(), .proxy = home_->proxy_key.get()};
    reporter_ = std::make_unique<Reporter>(id, keys, Dial("inventory", world_.config().inventory_address),
                                           &incidents_, state_.get());
    UpdaterOptions options;
    options.gateway_id = id;
    options.quarantine_hook = hook_;
    options.director_root = world_.DirectorRoot();
    options.image_root = world_.publisher.Root();
    const std::string rollout = absl::StrCat("127.0.0.1:", world_.replica().app().grpc_port());
    updater_ =
        std::make_unique<Updater>(options, Dial("rollout", rollout),
                                  Dial("package-store", world_.store.address()), &incidents_, state_.get());
  }

  absl::Status Report() {
    ASSIGN_OR_RETURN(const std::vector<Socket> sockets, ListSockets(lan()));
    ASSIGN_OR_RETURN(outcome_, reporter_->Report(sockets));
    return absl::OkStatus();
  }

  // What the agent's loop does until there is nothing to do.
  void Work() {
    ASSERT_OK(Report());
    for (int i = 0; i < 5; ++i) {
      ASSERT_OK(updater_->Look(outcome_.survey.components));
      ASSERT_OK(updater_->Settle(outcome_.survey.components));
      if (updater_->TakeChanged()) {
        ASSERT_OK(Report());
      }
    }
  }

  // A rollout of `image` that has been launched. Returns its id.
  std::string Start(const ImageSpec& image, bool bundle = false) {
    rollout::Rollout rollout;
    rollout.id = crypto::RandomHex(8);
    rollout.spec.display_name = "Test";
    rollout.spec.bundle = bundle;
    rollout.created_by = "operator/alice";
    rollout.create_time = SystemClock().Now();
    EXPECT_OK(world_.rollouts().Create(rollout, {World::ReleaseOf(image)},
                                       {"operator/alice", "Create", crypto::Uuid(), "",
                                        [](const rollout::Rollout&) { return std::string(); }}));
    EXPECT_TRUE(Eventually([&] { return Get(rollout.id).state() == rv1::Rollout::STATE_READY; }));
    rv1::StartRolloutRequest start;
    start.set_name(absl::StrCat("rollouts/", rollout.id));
    start.set_request_id(crypto::Uuid());
    EXPECT_OK(Call(*world_.As(kOperator), &RolloutStub::StartRollout, start));
    return rollout.id;
  }
  rv1::Rollout Get(const std::string& id) {
    rv1::GetRolloutRequest request;
    request.set_name(absl::StrCat("rollouts/", id));
    return *Call(*world_.As(kOperator), &RolloutStub::GetRollout, request);
  }
  // What the consent service would decide of each of its components. Returns how many there are.
  int Decide(const std::string& id, const ImageSpec& image, rollout::AssignmentEvent event) {
    const auto views = world_.rollouts().Assignments(id, std::nullopt, 1000, std::nullopt);
    EXPECT_OK(views);
    std::vector<rollout::ConsentDecision> decisions;
    for (const rollout::AssignmentView& view : *views) {
      const rollout::Assignment& assignment = view.assignment;
      decisions.push_back(
          {assignment.rollout, assignment.gateway, assignment.ecu_serial, event,
           absl::StrCat("gateways/", assignment.gateway, "/records/record-", assignment.ecu_serial), "user-1",
           world_.ConsentFor(assignment, World::ReleaseOf(image), absl::Hours(1)),
           SystemClock().Now() + absl::Hours(1)});
    }
    EXPECT_OK(world_.rollouts().Decide(decisions));
    return static_cast<int>(decisions.size());
  }
  void Grant(const std::string& id, const ImageSpec& image) {
    const int total = Decide(id, image, rollout::AssignmentEvent::kConsentGranted);
    ASSERT_TRUE(Eventually([&] { return Get(id).counts().active() == total; }));
  }
  // A rollout of `image`, consented and let in.
  void Launch(const ImageSpec& image, bool bundle = false) { Grant(Start(image, bundle), image); }

  // Names of the files in the gateway's folder of images.
  std::vector<std::string> Images() {
    EXPECT_OK(updater_->Look(outcome_.survey.components));
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(state_->image_folder())) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  // What the package store has sent of images or deltas.
  int64_t SentBytes(absl::string_view kind) {
    const std::string text = world_.store.HttpGet("/metrics");
    const std::string name =
        absl::StrCat("\ncountersign_package_store_sent_bytes_total{kind=\"", kind, "\"} ");
    const size_t at = text.find(name);
    return at == std::string::npos ? 0 : std::stod(text.substr(at + name.size()));
  }

  rv1::Assignment AssignmentOf(const std::string& serial) {
    rv1::ListAssignmentsRequest request;
    request.set_parent("rollouts/-");
    const auto page = Call(*world_.As(kOperator), &RolloutStub::ListAssignments, request);
    EXPECT_OK(page);
    for (const rv1::Assignment& assignment : page->assignments()) {
      if (assignment.ecu_serial() == serial) return assignment;
    }
    return {};
  }

  bool Reaches(const std::string& serial, UpdatePhase phase) {
    return Eventually([&] { return AssignmentOf(serial).phase() == phase; });
  }

  // The agent as a process.
  class Agent {
   public:
    explicit Agent(GatewayTest& test) {
      const rpc::TlsOptions tls = test.world_.pki.TlsFor({rpc::Role::kGateway, "home-1"});
      const std::map<std::string, std::string> flags = {
          {"--id", "home-1"},
          {"--dir", test.folder_ + "/state"},
          {"--lan", test.lan()},
          {"--key", test.Write("key.pem", dynamic_cast<const crypto::PemSigner&>(*test.home_->key).ToPem())},
          {"--proxy-key",
           test.Write("proxy.pem", dynamic_cast<const crypto::PemSigner&>(*test.home_->proxy_key).ToPem())},
          {"--director-root", test.Write("director.json", test.world_.DirectorRoot())},
          {"--image-root", test.Write("images.json", test.world_.publisher.Root())},
          {"--tls-cert", tls.certificate_file},
          {"--tls-key", tls.key_file},
          {"--tls-ca", tls.ca_file},
          {"--trust-domain", tls.trust_domain},
          {"--inventory-address", test.world_.config().inventory_address},
          {"--rollout-address", absl::StrCat("127.0.0.1:", test.world_.replica().app().grpc_port())},
          {"--package-store-address", test.world_.store.address()}};
      std::vector<std::string> words = {"tools/gateway/gateway"};
      for (const auto& [flag, value] : flags) words.insert(words.end(), {flag, value});
      words.insert(words.end(), {"run", "--check-in-interval", "3600"});
      std::vector<char*> arguments;
      for (std::string& word : words) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      EXPECT_EQ(posix_spawn(&process_, arguments[0], nullptr, nullptr, arguments.data(), environ), 0);
    }
    ~Agent() { Kill(); }
    void Kill() {
      if (process_ == 0) return;
      kill(process_, SIGKILL);
      waitpid(std::exchange(process_, 0), nullptr, 0);
    }

   private:
    pid_t process_ = 0;
  };

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = absl::StrCat(folder_, "/", name);
    EXPECT_OK(WriteFileAtomically(path, content, 0600));
    return path;
  }

  World world_;
  std::string folder_;
  Home* home_ = nullptr;
  std::map<std::string, std::unique_ptr<FakeDevice>> devices_;
  std::string hook_;
  Incidents incidents_;
  std::unique_ptr<State> state_;
  std::unique_ptr<Reporter> reporter_;
  std::unique_ptr<Updater> updater_;
  ReportOutcome outcome_;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TESTS_GATEWAY_GATEWAY_FIXTURE_H_
