// The service as its callers see it: over mutual TLS, on a real PostgreSQL, with the real App-ID registry
// beside it.
#include "services/inventory/app.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <map>
#include <memory>
#include <pqxx/pqxx>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/random.h"
#include "common/crypto/signer.h"
#include "common/db/testing/test_cluster.h"
#include "common/file/file.h"
#include "common/metrics/metrics.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "common/rpc/testing/test_server.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "common/trust/report.h"
#include "countersign/appid_registry/v1/appid_registry.grpc.pb.h"
#include "countersign/inventory/v1/inventory.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/appid_registry/app.h"

namespace countersign::inventory {
namespace {

using crypto::PemSigner;
using rpc::Role;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Stub = v1::InventoryService::Stub;

constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kFailedPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr absl::StatusCode kPermissionDenied = absl::StatusCode::kPermissionDenied;
constexpr absl::StatusCode kNotFound = absl::StatusCode::kNotFound;

PemSigner NewSigner() { return *PemSigner::Generate(crypto::KeyType::kEd25519); }

template <typename Response, typename Request>
absl::StatusOr<Response> Call(Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                              const Request& request) {
  rpc::CallContext context(absl::Seconds(30));
  Response response;
  const absl::Status status = rpc::FromGrpc((stub.*method)(context.get(), request, &response));
  if (!status.ok()) return status;
  return response;
}

// The services of all tests of this file; each test has gateways of its own.
class World {
 public:
  World() {
    file_ = absl::StrCat(pki_.folder(), "/answer.key");
    EXPECT_OK(WriteFileAtomically(file_, NewSigner().ToPem()));
    appid_registry::Config registry;
    registry.server.tls = pki_.TlsFor({Role::kService, "appid-registry"});
    registry.server.registry = &registry_metrics_;
    registry.database = db::TestCluster::Shared().CreateDatabase();
    registry.answer_key = file_;
    registry.authorities = "ara=a01";
    auto registry_app = appid_registry::App::Start(registry);
    EXPECT_OK(registry_app.status());
    registry_ = *std::move(registry_app);
    database_ = db::TestCluster::Shared().CreateDatabase();
    app_ = StartReplica(metrics_);
  }

  std::unique_ptr<App> StartReplica(metrics::Registry& metrics) {
    return StartReplica(metrics, registry_->grpc_port());
  }

  std::unique_ptr<App> StartReplica(metrics::Registry& metrics, int appid_registry_port) {
    Config config;
    config.server.tls = pki_.TlsFor({Role::kService, "inventory"});
    config.server.registry = &metrics;
    config.database = database_;
    config.appid_registry_address = absl::StrCat("127.0.0.1:", appid_registry_port);
    config.clock = &clock_;
    auto app = App::Start(config);
    EXPECT_OK(app.status());
    return *std::move(app);
  }

  std::unique_ptr<Stub> StubAs(const rpc::Identity& identity, const App& app) {
    rpc::Dialer dialer(pki_.TlsFor(identity));
    return v1::InventoryService::NewStub(
        dialer.Dial(absl::StrCat("127.0.0.1:", app.grpc_port()), {Role::kService, "inventory"}));
  }
  std::unique_ptr<Stub> StubAs(const rpc::Identity& identity) { return StubAs(identity, *app_); }

  pqxx::result Sql(const std::string& sql) {
    pqxx::connection connection(database_);
    pqxx::nontransaction transaction(connection);
    return transaction.exec(sql);
  }

  rpc::testing::TestPki pki_;
  FakeClock clock_;
  metrics::Registry registry_metrics_;
  metrics::Registry metrics_;
  std::string file_;
  std::string database_;
  std::unique_ptr<appid_registry::App> registry_;
  std::unique_ptr<App> app_;
};

// A gateway with its keys, its components and their keys.
struct Home {
  std::string id;
  std::unique_ptr<Stub> stub;
  PemSigner key = NewSigner();
  PemSigner proxy_key = NewSigner();
  std::map<std::string, PemSigner> components;  // those that sign
  int64_t manifest_counter = 0;
  std::map<std::string, int64_t> report_counters;

  std::string Challenge() {
    return Call(*stub, &Stub::CreateChallenge, v1::CreateChallengeRequest())->nonce();
  }

  trust::VersionReport Report(const std::string& serial, const std::string& nonce) {
    trust::VersionReport report;
    report.ecu_serial = serial;
    report.hardware_id = "hw-1";
    report.manufacturer = "acme";
    report.model = "T1000";
    report.filepath = "acme/thermostat/thermostat-1.0.0.bin";
    report.length = 1000;
    report.sha256 = std::string(64, 'a');
    report.version = "1.0.0";
    report.release_counter = 1;
    report.software_versions = {{"bootloader", "3.1"}};
    report.report_counter = ++report_counters[serial];
    report.nonce = nonce;
    return report;
  }
  trust::Envelope Sign(const trust::VersionReport& report, const PemSigner& signer) const {
    trust::Envelope envelope = report.ToEnvelope();
    EXPECT_OK(envelope.Sign(signer));
    return envelope;
  }
  trust::Envelope SignedReport(const std::string& serial, const std::string& nonce) {
    return Sign(Report(serial, nonce), components.at(serial));
  }
  trust::GatewayManifest Manifest(const std::string& nonce, std::vector<trust::Envelope> reports) {
    trust::GatewayManifest manifest;
    manifest.gateway_id = id;
    manifest.nonce = nonce;
    manifest.manifest_counter = ++manifest_counter;
    manifest.time = absl::FromUnixSeconds(1767225600);
    for (trust::Envelope& report : reports) manifest.reports.push_back(std::move(report));
    return manifest;
  }
  std::string SignManifest(const trust::GatewayManifest& manifest) const {
    trust::Envelope envelope = manifest.ToEnvelope();
    EXPECT_OK(envelope.Sign(key));
    return envelope.Serialise();
  }
  absl::StatusOr<v1::SubmitManifestResponse> Submit(const std::string& bytes) const {
    v1::SubmitManifestRequest request;
    request.set_manifest(bytes);
    return Call(*stub, &Stub::SubmitManifest, request);
  }
  absl::StatusOr<v1::SubmitManifestResponse> Submit(const std::string& nonce,
                                                    std::vector<trust::Envelope> reports) {
    return Submit(SignManifest(Manifest(nonce, std::move(reports))));
  }
};

std::vector<std::string> ReasonsOf(const v1::SubmitManifestResponse& response) {
  std::vector<std::string> reasons;
  for (const v1::ComponentResult& result : response.results()) {
    reasons.push_back(result.accepted() ? "ACCEPTED" : result.reason());
  }
  return reasons;
}

class AppTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { world_ = new World(); }
  static void TearDownTestSuite() {
    delete world_;
    world_ = nullptr;
  }

  AppTest() : operator_(world_->StubAs({Role::kOperator, "alice"})) {}

  static std::string NewId(const char* prefix) { return absl::StrCat(prefix, "-", ++ids_); }

  v1::CreateGatewayRequest GatewayRequest(const Home& home) {
    v1::CreateGatewayRequest request;
    request.set_request_id(crypto::Uuid());
    request.mutable_gateway()->set_name("gateways/" + home.id);
    request.mutable_gateway()->set_kind(v1::Gateway::KIND_HOME);
    request.mutable_gateway()->set_display_name("The Millers");
    request.mutable_gateway()->set_public_key_pem(home.key.public_key().Pem());
    request.mutable_gateway()->set_proxy_public_key_pem(home.proxy_key.public_key().Pem());
    return request;
  }

  Home NewHome() {
    Home home;
    home.id = NewId("home");
    home.stub = world_->StubAs({Role::kGateway, home.id});
    EXPECT_OK(Call(*operator_, &Stub::CreateGateway, GatewayRequest(home)));
    return home;
  }

  v1::CreateDeviceRequest DeviceRequest(const Home& home, const std::string& device) {
    v1::CreateDeviceRequest request;
    request.set_request_id(crypto::Uuid());
    request.mutable_device()->set_name(absl::StrCat("gateways/", home.id, "/devices/", device));
    request.mutable_device()->set_manufacturer("acme");
    request.mutable_device()->set_model("T1000");
    request.mutable_device()->set_hardware_version("B2");
    return request;
  }

  // Adds a device with one component to `home`, and returns the component's serial number.
  std::string AddDevice(Home& home, bool constrained = false) {
    const std::string serial = NewId("SN");
    v1::CreateDeviceRequest request = DeviceRequest(home, "device-" + serial);
    v1::Component& component = *request.mutable_device()->add_components();
    component.set_ecu_serial(serial);
    component.set_hardware_id("hw-1");
    component.set_constrained(constrained);
    if (!constrained) {
      home.components.emplace(serial, NewSigner());
      component.set_public_key_pem(home.components.at(serial).public_key().Pem());
    }
    EXPECT_OK(Call(*operator_, &Stub::CreateDevice, request));
    return serial;
  }

  v1::Component GetComponent(const std::string& serial) {
    v1::ListComponentsRequest request;
    request.set_filter(absl::StrCat("ecu_serial = \"", serial, "\""));
    const auto response = Call(*operator_, &Stub::ListComponents, request);
    EXPECT_OK(response);
    EXPECT_EQ(response->components_size(), 1);
    return response->components_size() == 1 ? response->components(0) : v1::Component();
  }

  static World* world_;
  static std::atomic<int> ids_;
  std::unique_ptr<Stub> operator_;
};

World* AppTest::world_ = nullptr;
std::atomic<int> AppTest::ids_ = 0;

TEST_F(AppTest, WhatIsProvisionedIsReadBack) {
  Home home = NewHome();
  v1::GetGatewayRequest get;
  get.set_name("gateways/" + home.id);
  ASSERT_OK_AND_ASSIGN(const v1::Gateway gateway, Call(*home.stub, &Stub::GetGateway, get));
  EXPECT_EQ(gateway.display_name(), "The Millers");
  EXPECT_EQ(gateway.kind(), v1::Gateway::KIND_HOME);
  EXPECT_FALSE(gateway.has_last_manifest_time());

  const std::string serial = AddDevice(home);
  v1::GetDeviceRequest get_device;
  get_device.set_name(absl::StrCat("gateways/", home.id, "/devices/device-", serial));
  ASSERT_OK_AND_ASSIGN(const v1::Device device, Call(*home.stub, &Stub::GetDevice, get_device));
  EXPECT_EQ(device.model(), "T1000");
  ASSERT_EQ(device.components_size(), 1);
  EXPECT_EQ(device.components(0).state(), v1::Component::STATE_UNVERIFIED);
  EXPECT_EQ(device.components(0).name(), absl::StrCat("gateways/", home.id, "/components/", serial));
  EXPECT_EQ(device.components(0).device(), device.name());
  EXPECT_FALSE(device.components(0).has_installed());

  get_device.set_name(absl::StrCat("gateways/", home.id, "/devices/nothing"));
  EXPECT_THAT(Call(*operator_, &Stub::GetDevice, get_device), StatusIs(kNotFound, "DEVICE_UNKNOWN"));
  get.set_name("gateways/nothing");
  EXPECT_THAT(Call(*operator_, &Stub::GetGateway, get), StatusIs(kNotFound, "GATEWAY_UNKNOWN"));
}

TEST_F(AppTest, TheSameRequestSentTwiceIsDoneOnce) {
  Home home;
  home.id = NewId("home");
  v1::CreateGatewayRequest request = GatewayRequest(home);
  ASSERT_OK_AND_ASSIGN(const v1::Gateway first, Call(*operator_, &Stub::CreateGateway, request));
  ASSERT_OK_AND_ASSIGN(const v1::Gateway second, Call(*operator_, &Stub::CreateGateway, request));
  EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString());
  request.mutable_gateway()->set_display_name("Others");
  EXPECT_THAT(Call(*operator_, &Stub::CreateGateway, request),
              StatusIs(kInvalidArgument, "REQUEST_ID_REUSED"));
  request.set_request_id(crypto::Uuid());
  EXPECT_THAT(Call(*operator_, &Stub::CreateGateway, request),
              StatusIs(absl::StatusCode::kAlreadyExists, "GATEWAY_EXISTS"));
  request.set_request_id("again");
  EXPECT_THAT(Call(*operator_, &Stub::CreateGateway, request),
              StatusIs(kInvalidArgument, "REQUEST_ID_INVALID"));
}

TEST_F(AppTest, SerialNumbersAreUniqueInTheFleet) {
  Home home = NewHome();
  Home other = NewHome();
  const std::string serial = AddDevice(home);
  v1::CreateDeviceRequest request = DeviceRequest(other, "thief");
  request.mutable_device()->add_components()->set_ecu_serial(serial);
  request.mutable_device()->mutable_components(0)->set_hardware_id("hw-1");
  request.mutable_device()->mutable_components(0)->set_constrained(true);
  EXPECT_THAT(Call(*operator_, &Stub::CreateDevice, request),
              StatusIs(absl::StatusCode::kAlreadyExists, "ECU_SERIAL_TAKEN"));
  v1::GetDeviceRequest get;
  get.set_name(request.device().name());
  EXPECT_THAT(Call(*operator_, &Stub::GetDevice, get), StatusIs(kNotFound)) << "nothing of it may stay";
  request.mutable_device()->set_name("gateways/unknown-gateway/devices/d");
  request.set_request_id(crypto::Uuid());
  EXPECT_THAT(Call(*operator_, &Stub::CreateDevice, request), StatusIs(kNotFound, "GATEWAY_UNKNOWN"));
}

// HOME-1, HOME-2, FOTA-D
TEST_F(AppTest, ASignedManifestBringsTheSituationToTheInventory) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string nonce = home.Challenge();
  ASSERT_OK_AND_ASSIGN(const v1::SubmitManifestResponse response,
                       home.Submit(nonce, {home.SignedReport(serial, nonce)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("ACCEPTED"));
  EXPECT_EQ(response.results(0).state(), v1::Component::STATE_VERIFIED);

  const v1::Component component = GetComponent(serial);
  EXPECT_EQ(component.state(), v1::Component::STATE_VERIFIED);
  EXPECT_EQ(component.installed().version(), "1.0.0");
  EXPECT_EQ(component.installed().sha256(), std::string(64, 'a'));
  EXPECT_EQ(component.installed().target_path(), "acme/thermostat/thermostat-1.0.0.bin");
  EXPECT_EQ(component.software_versions().at("bootloader"), "3.1");
  EXPECT_EQ(component.report_counter(), 1);
  EXPECT_TRUE(component.has_report_time());
  v1::GetGatewayRequest get;
  get.set_name("gateways/" + home.id);
  EXPECT_EQ(Call(*operator_, &Stub::GetGateway, get)->last_manifest_counter(), 1);
}

// FOTA-H
TEST_F(AppTest, TheReportAfterAnUpdateIsAChangeWithAHistory) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  std::string nonce = home.Challenge();
  ASSERT_OK(home.Submit(nonce, {home.SignedReport(serial, nonce)}));
  nonce = home.Challenge();
  ASSERT_OK(home.Submit(nonce, {home.SignedReport(serial, nonce)}));
  nonce = home.Challenge();
  trust::VersionReport report = home.Report(serial, nonce);
  report.version = "2.0.0";
  report.sha256 = std::string(64, 'b');
  report.release_counter = 2;
  ASSERT_OK(home.Submit(nonce, {home.Sign(report, home.components.at(serial))}));
  EXPECT_EQ(GetComponent(serial).installed().version(), "2.0.0");

  const pqxx::result history =
      world_->Sql("SELECT image_version, manifest_counter FROM component_history WHERE ecu_serial = '" +
                  serial + "' ORDER BY id");
  ASSERT_EQ(history.size(), 2u) << "the second manifest said nothing new";
  EXPECT_EQ(history[0][0].as<std::string>(), "1.0.0");
  EXPECT_EQ(history[1][0].as<std::string>(), "2.0.0");
  EXPECT_EQ(history[1][1].as<int>(), 3);
}

TEST_F(AppTest, AManifestSentAgainChangesNothingAndSaysSo) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string nonce = home.Challenge();
  const std::string manifest = home.SignManifest(home.Manifest(nonce, {home.SignedReport(serial, nonce)}));
  ASSERT_OK(home.Submit(manifest));
  const std::string before = GetComponent(serial).SerializeAsString();
  EXPECT_THAT(home.Submit(manifest), StatusIs(kFailedPrecondition, "NONCE_MISMATCH"));
  home.Challenge();
  EXPECT_THAT(home.Submit(manifest), StatusIs(kFailedPrecondition, "NONCE_MISMATCH"));
  EXPECT_EQ(GetComponent(serial).SerializeAsString(), before);
}

TEST_F(AppTest, OfTheSameManifestSentAtOnceExactlyOneIsTaken) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string nonce = home.Challenge();
  const std::string manifest = home.SignManifest(home.Manifest(nonce, {home.SignedReport(serial, nonce)}));
  metrics::Registry metrics;
  const std::unique_ptr<App> replica = world_->StartReplica(metrics);
  const std::unique_ptr<Stub> other_stub = world_->StubAs({Role::kGateway, home.id}, *replica);
  std::atomic<int> taken = 0;
  std::atomic<int> refused = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      v1::SubmitManifestRequest request;
      request.set_manifest(manifest);
      const auto response = Call(i % 2 == 0 ? *home.stub : *other_stub, &Stub::SubmitManifest, request);
      if (response.ok()) {
        ++taken;
      } else if (ReasonOf(response.status()) == "NONCE_MISMATCH") {
        ++refused;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 1);
  EXPECT_EQ(refused, 7);
  EXPECT_EQ(GetComponent(serial).refused_reports(), 0);
}

TEST_F(AppTest, AReplicaTakesTheAnswerToAnothersChallenge) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  metrics::Registry metrics;
  const std::unique_ptr<App> replica = world_->StartReplica(metrics);
  const std::string nonce = home.Challenge();
  home.stub = world_->StubAs({Role::kGateway, home.id}, *replica);
  EXPECT_THAT(ReasonsOf(*home.Submit(nonce, {home.SignedReport(serial, nonce)})), ElementsAre("ACCEPTED"));
}

// HOME-1
TEST_F(AppTest, ADeviceThatDoesNotProveItselfIsRecordedAsSuchAndStopsNoOther) {
  Home home = NewHome();
  const std::string good = AddDevice(home);
  const std::string bad = AddDevice(home);
  std::string nonce = home.Challenge();
  ASSERT_OK_AND_ASSIGN(
      v1::SubmitManifestResponse response,
      home.Submit(nonce, {home.Sign(home.Report(bad, nonce), NewSigner()), home.SignedReport(good, nonce)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("SIGNATURE_INVALID", "ACCEPTED"));
  EXPECT_EQ(response.results(0).ecu_serial(), bad);
  EXPECT_EQ(response.results(0).state(), v1::Component::STATE_COMPROMISED);
  v1::Component component = GetComponent(bad);
  EXPECT_EQ(component.state(), v1::Component::STATE_COMPROMISED);
  EXPECT_EQ(component.state_reason(), "SIGNATURE_INVALID");
  EXPECT_EQ(component.refused_reports(), 1);
  EXPECT_FALSE(component.has_installed());
  const pqxx::result evidence = world_->Sql(
      "SELECT reason, convert_from(report, 'UTF8') FROM refused_reports "
      "WHERE gateway_id = '" +
      home.id + "'");
  ASSERT_EQ(evidence.size(), 1u);
  EXPECT_EQ(evidence[0][0].as<std::string>(), "SIGNATURE_INVALID");
  EXPECT_THAT(evidence[0][1].as<std::string>(), HasSubstr(bad));

  nonce = home.Challenge();
  ASSERT_OK_AND_ASSIGN(response, home.Submit(nonce, {home.SignedReport(bad, nonce)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("ACCEPTED"));
  component = GetComponent(bad);
  EXPECT_EQ(component.state(), v1::Component::STATE_VERIFIED) << "its last report proved itself";
  EXPECT_EQ(component.state_reason(), "");
  EXPECT_EQ(component.refused_reports(), 1);
}

TEST_F(AppTest, AGatewayCannotSpeakForAnotherHome) {
  Home home = NewHome();
  Home victim = NewHome();
  const std::string stolen = AddDevice(victim);
  const std::string before = GetComponent(stolen).SerializeAsString();

  const std::string nonce = home.Challenge();
  // With the device's own key even, and with a nonsense signature.
  ASSERT_OK_AND_ASSIGN(const v1::SubmitManifestResponse response,
                       home.Submit(nonce, {victim.SignedReport(stolen, nonce)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("OTHER_GATEWAY"));
  EXPECT_EQ(response.results(0).state(), v1::Component::STATE_UNSPECIFIED) << "nothing is told of the victim";
  EXPECT_EQ(GetComponent(stolen).SerializeAsString(), before);
  EXPECT_EQ(world_
                ->Sql("SELECT FROM refused_reports WHERE reason = 'OTHER_GATEWAY' AND gateway_id = '" +
                      home.id + "'")
                .size(),
            1u);
  EXPECT_EQ(world_->Sql("SELECT FROM refused_reports WHERE gateway_id = '" + victim.id + "'").size(), 0u);

  // A whole manifest of the other home, even one that its gateway signed.
  const std::string victims_nonce = victim.Challenge();
  const std::string manifest =
      victim.SignManifest(victim.Manifest(victims_nonce, {victim.SignedReport(stolen, victims_nonce)}));
  EXPECT_THAT(home.Submit(manifest), StatusIs(kPermissionDenied, "GATEWAY_MISMATCH"));
  EXPECT_OK(victim.Submit(manifest)) << "the victim's challenge is not spent";
}

TEST_F(AppTest, AForgedManifestIsRefused) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string nonce = home.Challenge();
  const std::string good = home.SignManifest(home.Manifest(nonce, {home.SignedReport(serial, nonce)}));
  nlohmann::json altered = nlohmann::json::parse(good);
  altered["signed"]["manifest_counter"] = 1000;
  EXPECT_THAT(home.Submit(altered.dump()), StatusIs(kInvalidArgument, "MANIFEST_SIGNATURE_INVALID"));
  altered = nlohmann::json::parse(good);
  altered["signatures"] = nlohmann::json::array();
  EXPECT_THAT(home.Submit(altered.dump()), StatusIs(kInvalidArgument, "MANIFEST_SIGNATURE_INVALID"));
  EXPECT_OK(home.Submit(good)) << "the challenge is not spent by a forgery";
}

TEST_F(AppTest, CountersNeverFall) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  std::string nonce = home.Challenge();
  home.manifest_counter = 10;
  home.report_counters[serial] = 10;
  ASSERT_OK(home.Submit(nonce, {home.SignedReport(serial, nonce)}));

  nonce = home.Challenge();
  home.manifest_counter = 10;
  EXPECT_THAT(home.Submit(nonce, {home.SignedReport(serial, nonce)}),
              StatusIs(kFailedPrecondition, "COUNTER_REPLAYED"));
  EXPECT_EQ(GetComponent(serial).state(), v1::Component::STATE_VERIFIED);

  home.report_counters[serial] = 10;
  ASSERT_OK_AND_ASSIGN(const v1::SubmitManifestResponse response,
                       home.Submit(nonce, {home.SignedReport(serial, nonce)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("COUNTER_REPLAYED"));
  EXPECT_EQ(GetComponent(serial).state(), v1::Component::STATE_COMPROMISED);
  EXPECT_EQ(GetComponent(serial).report_counter(), 11);
}

TEST_F(AppTest, OnlyTheOutstandingChallengeCountsAndNotForEver) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string unasked(32, '0');
  EXPECT_THAT(home.Submit(unasked, {home.SignedReport(serial, unasked)}),
              StatusIs(kFailedPrecondition, "NONCE_MISMATCH"));
  const std::string replaced = home.Challenge();
  const std::string nonce = home.Challenge();
  EXPECT_THAT(home.Submit(replaced, {home.SignedReport(serial, replaced)}),
              StatusIs(kFailedPrecondition, "NONCE_MISMATCH"));
  world_->clock_.Advance(absl::Seconds(601));
  EXPECT_THAT(home.Submit(nonce, {home.SignedReport(serial, nonce)}),
              StatusIs(kFailedPrecondition, "NONCE_MISMATCH"));
  const std::string fresh = home.Challenge();
  ASSERT_OK_AND_ASSIGN(const v1::SubmitManifestResponse response,
                       home.Submit(fresh, {home.SignedReport(serial, nonce)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("NONCE_MISMATCH")) << "an old report within a new manifest";
  EXPECT_EQ(GetComponent(serial).state(), v1::Component::STATE_UNVERIFIED);
  EXPECT_EQ(GetComponent(serial).refused_reports(), 1);
}

// FOTA-K
TEST_F(AppTest, AConstrainedComponentIsVouchedForByItsGatewaysProxyKeyOnly) {
  Home home = NewHome();
  const std::string constrained = AddDevice(home, /*constrained=*/true);
  const std::string able = AddDevice(home);
  std::string nonce = home.Challenge();
  trust::VersionReport report = home.Report(constrained, nonce);
  report.proxied = true;
  trust::VersionReport claimed = home.Report(able, nonce);
  claimed.proxied = true;
  ASSERT_OK_AND_ASSIGN(
      v1::SubmitManifestResponse response,
      home.Submit(nonce, {home.Sign(report, home.proxy_key), home.Sign(claimed, home.proxy_key)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("ACCEPTED", "NOT_PROXIED"));
  EXPECT_EQ(GetComponent(constrained).state(), v1::Component::STATE_PROXIED);
  EXPECT_EQ(GetComponent(able).state(), v1::Component::STATE_COMPROMISED);

  nonce = home.Challenge();
  report = home.Report(constrained, nonce);
  ASSERT_OK_AND_ASSIGN(response, home.Submit(nonce, {home.Sign(report, home.proxy_key)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("NOT_PROXIED"));
  nonce = home.Challenge();
  report = home.Report(constrained, nonce);
  report.proxied = true;
  ASSERT_OK_AND_ASSIGN(response, home.Submit(nonce, {home.Sign(report, home.key)}));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("SIGNATURE_INVALID"));
}

TEST_F(AppTest, UnknownAndUnreadableReportsStopNoOther) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string nonce = home.Challenge();
  nlohmann::json manifest = home.Manifest(nonce, {home.Sign(home.Report("SN-unknown", nonce), NewSigner()),
                                                  home.SignedReport(serial, nonce)})
                                .ToEnvelope()
                                .content();
  manifest["reports"].push_back("nonsense");
  trust::Envelope envelope = trust::Envelope::Unsigned(manifest);
  ASSERT_OK(envelope.Sign(home.key));
  ASSERT_OK_AND_ASSIGN(const v1::SubmitManifestResponse response, home.Submit(envelope.Serialise()));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("UNKNOWN_COMPONENT", "ACCEPTED", "REPORT_MALFORMED"));
}

TEST_F(AppTest, ADeviceThatIsProvisionedLaterIsKnownAtOnce) {
  Home home = NewHome();
  const std::string first = AddDevice(home);
  std::string nonce = home.Challenge();
  ASSERT_OK(home.Submit(nonce, {home.SignedReport(first, nonce)}));
  const std::string second = AddDevice(home);
  nonce = home.Challenge();
  EXPECT_THAT(ReasonsOf(*home.Submit(nonce, {home.SignedReport(second, nonce)})), ElementsAre("ACCEPTED"));
}

TEST_F(AppTest, NonsenseAndTooMuchAreRefused) {
  Home home = NewHome();
  for (const std::string& bytes :
       {std::string(), std::string("nonsense"), std::string("{}"), std::string("[[[[[[[[[["),
        std::string("\0\xff", 2), std::string(1 << 20, ' ') + " ",
        std::string("{\"signatures\":[],\"signed\":{\"_type\":\"root\"}}")}) {
    const auto response = home.Submit(bytes);
    EXPECT_THAT(response, StatusIs(kInvalidArgument,
                                   ::testing::AnyOf("MANIFEST_MALFORMED", "MANIFEST_SIGNATURE_INVALID")))
        << bytes.substr(0, 30);
  }
  std::vector<trust::Envelope> reports;
  const PemSigner signer = NewSigner();
  trust::VersionReport report;
  report.ecu_serial = "x";
  for (int i = 0; i < 1001; ++i) reports.push_back(report.ToEnvelope());
  EXPECT_THAT(home.Submit(home.Challenge(), std::move(reports)),
              StatusIs(kInvalidArgument, "MANIFEST_MALFORMED"));
  EXPECT_OK(home.Submit(home.Challenge(), {})) << "an empty home is a situation too";
}

TEST_F(AppTest, AGatewayThatIsNotProvisionedGetsNoChallenge) {
  Home home;
  home.id = NewId("home");
  home.stub = world_->StubAs({Role::kGateway, home.id});
  EXPECT_THAT(Call(*home.stub, &Stub::CreateChallenge, v1::CreateChallengeRequest()),
              StatusIs(kNotFound, "GATEWAY_UNKNOWN"));
  EXPECT_THAT(home.Submit(std::string(32, '0'), {}), StatusIs(kNotFound, "GATEWAY_UNKNOWN"));
}

TEST_F(AppTest, EachSeesItsOwn) {
  Home home = NewHome();
  Home other = NewHome();
  const std::string serial = AddDevice(home);
  const std::unique_ptr<Stub> acme = world_->StubAs({Role::kManufacturer, "acme"});
  const std::unique_ptr<Stub> rival = world_->StubAs({Role::kManufacturer, "rival"});
  v1::GetDeviceRequest get;
  get.set_name(absl::StrCat("gateways/", home.id, "/devices/device-", serial));
  EXPECT_OK(Call(*acme, &Stub::GetDevice, get));
  EXPECT_THAT(Call(*rival, &Stub::GetDevice, get), StatusIs(kNotFound, "DEVICE_UNKNOWN"));
  EXPECT_THAT(Call(*other.stub, &Stub::GetDevice, get), StatusIs(kPermissionDenied, "NOT_YOUR_GATEWAY"));

  v1::GetGatewayRequest get_gateway;
  get_gateway.set_name("gateways/" + home.id);
  EXPECT_THAT(Call(*other.stub, &Stub::GetGateway, get_gateway),
              StatusIs(kPermissionDenied, "NOT_YOUR_GATEWAY"));
  EXPECT_THAT(Call(*acme, &Stub::GetGateway, get_gateway), StatusIs(kPermissionDenied, "ROLE_NOT_ALLOWED"));

  v1::ListComponentsRequest list;
  list.set_filter(absl::StrCat("ecu_serial = ", serial));
  EXPECT_EQ(Call(*acme, &Stub::ListComponents, list)->components_size(), 1);
  EXPECT_EQ(Call(*rival, &Stub::ListComponents, list)->components_size(), 0);
  EXPECT_EQ(Call(*home.stub, &Stub::ListComponents, list)->components_size(), 1);
  EXPECT_EQ(Call(*other.stub, &Stub::ListComponents, list)->components_size(), 0);

  v1::ListDevicesRequest devices;
  devices.set_parent("gateways/-");
  EXPECT_EQ(Call(*home.stub, &Stub::ListDevices, devices)->devices_size(), 1);
  EXPECT_EQ(Call(*rival, &Stub::ListDevices, devices)->devices_size(), 0);
  devices.set_parent("gateways/" + home.id);
  EXPECT_THAT(Call(*other.stub, &Stub::ListDevices, devices),
              StatusIs(kPermissionDenied, "NOT_YOUR_GATEWAY"));
  EXPECT_EQ(Call(*operator_, &Stub::ListDevices, devices)->devices_size(), 1);

  v1::CreateDeviceRequest create = DeviceRequest(home, "foreign");
  create.mutable_device()->add_components()->set_ecu_serial(NewId("SN"));
  create.mutable_device()->mutable_components(0)->set_hardware_id("hw-1");
  create.mutable_device()->mutable_components(0)->set_constrained(true);
  EXPECT_THAT(Call(*rival, &Stub::CreateDevice, create), StatusIs(kPermissionDenied, "NOT_YOUR_DEVICE"));
  EXPECT_OK(Call(*acme, &Stub::CreateDevice, create));
}

TEST_F(AppTest, RolesThatHaveNoRightAreRefused) {
  const auto refused = StatusIs(kPermissionDenied, "ROLE_NOT_ALLOWED");
  for (Role role : {Role::kAuthority, Role::kCse, Role::kRegistrar}) {
    const std::unique_ptr<Stub> stub = world_->StubAs({role, "somebody"});
    EXPECT_THAT(Call(*stub, &Stub::CreateGateway, v1::CreateGatewayRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::GetGateway, v1::GetGatewayRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::ListGateways, v1::ListGatewaysRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::CreateDevice, v1::CreateDeviceRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::GetDevice, v1::GetDeviceRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::ListDevices, v1::ListDevicesRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::CreateChallenge, v1::CreateChallengeRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::SubmitManifest, v1::SubmitManifestRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::ListComponents, v1::ListComponentsRequest()), refused);
  }
  EXPECT_THAT(Call(*operator_, &Stub::CreateChallenge, v1::CreateChallengeRequest()), refused);
  EXPECT_THAT(Call(*operator_, &Stub::SubmitManifest, v1::SubmitManifestRequest()), refused);
  const std::unique_ptr<Stub> gateway = world_->StubAs({Role::kGateway, "home-x"});
  EXPECT_THAT(Call(*gateway, &Stub::CreateGateway, v1::CreateGatewayRequest()), refused);
  EXPECT_THAT(Call(*gateway, &Stub::CreateDevice, v1::CreateDeviceRequest()), refused);
  EXPECT_THAT(Call(*gateway, &Stub::ListGateways, v1::ListGatewaysRequest()), refused);
  rpc::CallContext context(absl::Seconds(10));
  v1::StreamComponentsResponse message;
  const auto reader = gateway->StreamComponents(context.get(), v1::StreamComponentsRequest());
  EXPECT_FALSE(reader->Read(&message));
  EXPECT_THAT(rpc::FromGrpc(reader->Finish()), refused);
}

TEST_F(AppTest, ListsArePagedAndFiltered) {
  Home home = NewHome();
  std::set<std::string> serials;
  for (int i = 0; i < 5; ++i) serials.insert(AddDevice(home));
  const std::string nonce = home.Challenge();
  ASSERT_OK(home.Submit(nonce, {home.SignedReport(*serials.begin(), nonce)}));

  v1::ListComponentsRequest request;
  request.set_filter(absl::StrCat("gateway = \"", home.id, "\" AND kind = HOME AND manufacturer = acme"));
  request.set_page_size(2);
  std::vector<std::string> found;
  int pages = 0;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const v1::ListComponentsResponse page,
                         Call(*operator_, &Stub::ListComponents, request));
    ++pages;
    for (const v1::Component& component : page.components()) found.push_back(component.ecu_serial());
    if (page.next_page_token().empty()) break;
    request.set_page_token(page.next_page_token());
  }
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(found, std::vector<std::string>(serials.begin(), serials.end()));

  request.set_filter("manufacturer = acme");
  EXPECT_THAT(Call(*operator_, &Stub::ListComponents, request),
              StatusIs(kInvalidArgument, "PAGE_TOKEN_INVALID"));
  request.clear_page_token();
  const auto count = [&](const std::string& filter) {
    request.set_filter(absl::StrCat("gateway = ", home.id, " AND ", filter));
    request.set_page_size(100);
    const auto response = Call(*operator_, &Stub::ListComponents, request);
    EXPECT_OK(response) << filter;
    return response.ok() ? response->components_size() : -1;
  };
  EXPECT_EQ(count("state = VERIFIED"), 1);
  EXPECT_EQ(count("state = UNVERIFIED"), 4);
  EXPECT_EQ(count("version = \"1.0.0\""), 1);
  EXPECT_EQ(count("kind = VEHICLE"), 0);
  EXPECT_EQ(count("hardware_id = \"hw-1\" AND model = T1000"), 5);
  EXPECT_EQ(count("model = \"T1000' OR 'a'='a\""), 0);
  EXPECT_EQ(count(absl::StrCat("device = \"device-", *serials.begin(), "\"")), 1);
  request.set_filter("colour = red");
  EXPECT_THAT(Call(*operator_, &Stub::ListComponents, request), StatusIs(kInvalidArgument, "FILTER_INVALID"));

  v1::ListGatewaysRequest gateways;
  gateways.set_page_size(1);
  std::set<std::string> names;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const v1::ListGatewaysResponse page,
                         Call(*operator_, &Stub::ListGateways, gateways));
    ASSERT_EQ(page.gateways_size(), 1);
    EXPECT_TRUE(names.insert(page.gateways(0).name()).second);
    if (page.next_page_token().empty()) break;
    gateways.set_page_token(page.next_page_token());
  }
  EXPECT_TRUE(names.contains("gateways/" + home.id));

  v1::ListDevicesRequest devices;
  devices.set_parent("gateways/" + home.id);
  devices.set_page_size(4);
  ASSERT_OK_AND_ASSIGN(v1::ListDevicesResponse page, Call(*operator_, &Stub::ListDevices, devices));
  EXPECT_EQ(page.devices_size(), 4);
  EXPECT_EQ(page.devices(0).components_size(), 1);
  devices.set_page_token(page.next_page_token());
  ASSERT_OK_AND_ASSIGN(page, Call(*operator_, &Stub::ListDevices, devices));
  EXPECT_EQ(page.devices_size(), 1);
  EXPECT_EQ(page.next_page_token(), "");
}

TEST_F(AppTest, TheStreamHasEverySelectedComponentOnce) {
  Home home = NewHome();
  std::set<std::string> serials;
  for (int i = 0; i < 16; ++i) {
    v1::CreateDeviceRequest request = DeviceRequest(home, absl::StrCat("d", i));
    for (int j = 0; j < 32; ++j) {
      const std::string serial = NewId("SN");
      serials.insert(serial);
      v1::Component& component = *request.mutable_device()->add_components();
      component.set_ecu_serial(serial);
      component.set_hardware_id("hw-1");
      component.set_constrained(true);
    }
    ASSERT_OK(Call(*operator_, &Stub::CreateDevice, request));
  }
  rpc::CallContext context(absl::Seconds(30));
  v1::StreamComponentsRequest request;
  request.set_filter("gateway = " + home.id);
  const auto reader = operator_->StreamComponents(context.get(), request);
  std::vector<std::string> found;
  int messages = 0;
  v1::StreamComponentsResponse message;
  while (reader->Read(&message)) {
    ++messages;
    EXPECT_LE(message.components_size(), 500);
    for (const v1::Component& component : message.components()) found.push_back(component.ecu_serial());
  }
  EXPECT_OK(rpc::FromGrpc(reader->Finish()));
  EXPECT_EQ(messages, 2);
  EXPECT_EQ(found, std::vector<std::string>(serials.begin(), serials.end()));
}

TEST_F(AppTest, WatchersSeeWhatIsAndThenWhatHappens) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::unique_ptr<Stub> service = world_->StubAs({Role::kService, "rollout"});
  std::string token;
  {
    rpc::CallContext context(absl::Seconds(30));
    const auto reader = service->WatchComponents(context.get(), v1::WatchComponentsRequest());
    v1::WatchComponentsResponse change;
    do {
      ASSERT_TRUE(reader->Read(&change));
    } while (change.component().ecu_serial() != serial);
    EXPECT_EQ(change.component().state(), v1::Component::STATE_UNVERIFIED);
    std::string nonce = home.Challenge();
    ASSERT_OK(home.Submit(nonce, {home.SignedReport(serial, nonce)}));
    ASSERT_TRUE(reader->Read(&change));
    EXPECT_EQ(change.component().ecu_serial(), serial);
    EXPECT_EQ(change.component().state(), v1::Component::STATE_VERIFIED);
    EXPECT_EQ(change.component().installed().version(), "1.0.0");
    EXPECT_TRUE(change.has_change_time());
    token = change.resume_token();
    context->TryCancel();
    while (reader->Read(&change)) {
    }
    reader->Finish();
  }
  std::string nonce = home.Challenge();
  ASSERT_OK(home.Submit(nonce, {home.SignedReport(serial, nonce)}));  // says nothing new
  nonce = home.Challenge();
  ASSERT_OK(home.Submit(nonce, {home.Sign(home.Report(serial, nonce), NewSigner())}));
  rpc::CallContext context(absl::Seconds(30));
  v1::WatchComponentsRequest request;
  request.set_resume_token(token);
  const auto reader = service->WatchComponents(context.get(), request);
  v1::WatchComponentsResponse change;
  ASSERT_TRUE(reader->Read(&change));
  EXPECT_EQ(change.component().ecu_serial(), serial);
  EXPECT_EQ(change.component().state(), v1::Component::STATE_COMPROMISED);
  context->TryCancel();
  while (reader->Read(&change)) {
  }
  reader->Finish();
}

TEST_F(AppTest, TheAppIdRegistrysVerdictIsKept) {
  namespace registry = appid_registry::v1;
  rpc::Dialer dialer(world_->pki_.TlsFor({Role::kRegistrar, "ara"}));
  const auto registrar = registry::AppIdRegistryService::NewStub(dialer.Dial(
      absl::StrCat("127.0.0.1:", world_->registry_->grpc_port()), {Role::kService, "appid-registry"}));
  registry::CreateProfileRequest profile;
  profile.set_request_id(crypto::Uuid());
  profile.mutable_profile()->set_name("profiles/Ra01.com.acme.thermostat");
  profile.mutable_profile()->set_application_type("thermostat");
  profile.mutable_profile()->set_application_class(registry::Profile::APPLICATION_CLASS_CONSUMER);
  profile.mutable_profile()->set_security_capability(registry::Profile::SECURITY_CAPABILITY_SOFTWARE);
  profile.mutable_profile()->set_authentication_type(registry::Profile::AUTHENTICATION_TYPE_PRE_SHARED_KEY);
  profile.mutable_profile()->set_communications_class(registry::Profile::COMMUNICATIONS_CLASS_STREAMED);
  profile.mutable_profile()->mutable_data_model()->set_name("SDT");
  profile.mutable_profile()->mutable_data_privacy()->set_category(
      registry::Profile::PRIVACY_CATEGORY_NON_PERSONAL);
  profile.mutable_profile()->mutable_data_privacy()->set_protection_level(3);
  rpc::CallContext context(absl::Seconds(30));
  registry::Profile created;
  ASSERT_OK(rpc::FromGrpc(registrar->CreateProfile(context.get(), profile, &created)));

  Home home = NewHome();
  const auto create = [&](const std::string& app_id) {
    v1::CreateDeviceRequest request = DeviceRequest(home, NewId("device"));
    request.mutable_device()->set_app_id(app_id);
    request.mutable_device()->add_components()->set_ecu_serial(NewId("SN"));
    request.mutable_device()->mutable_components(0)->set_hardware_id("hw-1");
    request.mutable_device()->mutable_components(0)->set_constrained(true);
    return Call(*operator_, &Stub::CreateDevice, request);
  };
  EXPECT_EQ(create("Ra01.com.acme.thermostat")->app_id_status(), v1::Device::APP_ID_STATUS_REGISTERED);
  EXPECT_EQ(create("Ra01.com.acme.unheard")->app_id_status(), v1::Device::APP_ID_STATUS_NOT_REGISTERED);
  EXPECT_EQ(create("")->app_id_status(), v1::Device::APP_ID_STATUS_UNSPECIFIED);
  EXPECT_THAT(create("nonsense"), StatusIs(kInvalidArgument, "APP_ID_MALFORMED"));
}

TEST_F(AppTest, WithoutTheRegistrysVerdictADeviceWithAnAppIdIsNotProvisioned) {
  Home home = NewHome();
  metrics::Registry metrics;
  // Who answers there is not the registry, and its certificate says so.
  const std::unique_ptr<App> replica = world_->StartReplica(metrics, world_->app_->grpc_port());
  const std::unique_ptr<Stub> stub = world_->StubAs({Role::kOperator, "alice"}, *replica);
  v1::CreateDeviceRequest request = DeviceRequest(home, "d");
  request.mutable_device()->add_components()->set_ecu_serial(NewId("SN"));
  request.mutable_device()->mutable_components(0)->set_hardware_id("hw-1");
  request.mutable_device()->mutable_components(0)->set_constrained(true);
  request.mutable_device()->set_app_id("Ra01.com.acme.thermostat");
  const auto refused = Call(*stub, &Stub::CreateDevice, request);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnavailable, "APP_ID_REGISTRY_UNAVAILABLE"));
  // The same request later, to a replica that reaches it.
  EXPECT_OK(Call(*operator_, &Stub::CreateDevice, request));
}

}  // namespace
}  // namespace countersign::inventory
