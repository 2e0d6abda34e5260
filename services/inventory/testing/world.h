#ifndef COUNTERSIGN_SERVICES_INVENTORY_TESTING_WORLD_H_
#define COUNTERSIGN_SERVICES_INVENTORY_TESTING_WORLD_H_

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
#include "services/appid_registry/app.h"
#include "services/inventory/app.h"

// For tests: the service as its callers see it, over mutual TLS, on a real PostgreSQL, with the real App-ID
// registry beside it, and homes whose devices report to it.
namespace countersign::inventory {

using crypto::PemSigner;
using rpc::Role;
using Stub = v1::InventoryService::Stub;

inline constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;
inline constexpr absl::StatusCode kFailedPrecondition = absl::StatusCode::kFailedPrecondition;
inline constexpr absl::StatusCode kPermissionDenied = absl::StatusCode::kPermissionDenied;
inline constexpr absl::StatusCode kNotFound = absl::StatusCode::kNotFound;

inline PemSigner NewSigner() { return *PemSigner::Generate(crypto::KeyType::kEd25519); }

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

// The services of all tests of a suite; each test has gateways of its own.
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
    Config config = ConfigOfReplica(metrics);
    config.appid_registry_address = absl::StrCat("127.0.0.1:", appid_registry_port);
    return StartReplica(config);
  }
  std::unique_ptr<App> StartReplica(const Config& config) {
    auto app = App::Start(config);
    EXPECT_OK(app.status());
    return *std::move(app);
  }
  Config ConfigOfReplica(metrics::Registry& metrics) {
    Config config;
    config.server.tls = pki_.TlsFor({Role::kService, "inventory"});
    config.server.registry = &metrics;
    config.database = database_;
    config.appid_registry_address = absl::StrCat("127.0.0.1:", registry_->grpc_port());
    config.clock = &clock_;
    return config;
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

inline std::vector<std::string> ReasonsOf(const v1::SubmitManifestResponse& response) {
  std::vector<std::string> reasons;
  for (const v1::ComponentResult& result : response.results()) {
    reasons.push_back(result.accepted() ? "ACCEPTED" : result.reason());
  }
  return reasons;
}

class WorldTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { world_ = new World(); }
  static void TearDownTestSuite() {
    delete world_;
    world_ = nullptr;
  }

  WorldTest() : operator_(world_->StubAs({Role::kOperator, "alice"})) {}

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

  static inline World* world_ = nullptr;
  static inline std::atomic<int> ids_ = 0;
  std::unique_ptr<Stub> operator_;
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_TESTING_WORLD_H_
