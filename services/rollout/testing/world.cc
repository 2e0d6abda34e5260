#include "services/rollout/testing/world.h"

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>

#include "absl/time/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/db/testing/test_cluster.h"
#include "common/feed/follower_migrations.h"
#include "common/feed/outbox_migrations.h"
#include "common/file/file.h"
#include "common/trust/consent_record.h"
#include "common/trust/report.h"
#include "httplib.h"
#include "services/rollout/storage/rollout_migrations.h"

namespace countersign::rollout::testing {
namespace {

using package_store::testing::ImageSpec;

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

template <typename T>
T Require(absl::StatusOr<T> value) {
  Require(value.status());
  return *std::move(value);
}

crypto::PemSigner NewSigner() { return Require(crypto::PemSigner::Generate(crypto::KeyType::kEd25519)); }

std::shared_ptr<const crypto::Signer> NewKey() {
  return std::make_shared<const crypto::PemSigner>(NewSigner());
}

// The calling gateway's Director repository, fetched as the gateway does.
class DirectorFetcher : public trust::Fetcher {
 public:
  explicit DirectorFetcher(Stub& stub) : stub_(stub) {}

  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t) override {
    v1::GetDirectorMetadataRequest request;
    request.set_file_name(std::string(filename));
    absl::StatusOr<v1::GetDirectorMetadataResponse> response =
        Call(stub_, &Stub::GetDirectorMetadata, request);
    if (!response.ok()) return response.status();
    return response->content();
  }

 private:
  Stub& stub_;
};

}  // namespace

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time give_up = SystemClock().Now() + absl::Minutes(1);
  while (!condition()) {
    if (SystemClock().Now() > give_up) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

Replica::Replica(Config config) {
  config.server.registry = &registry_;
  app_ = Require(App::Start(config));
}

std::unique_ptr<Stub> Replica::As(const rpc::Identity& identity, rpc::testing::TestPki& pki) const {
  const rpc::Dialer dialer(pki.TlsFor(identity));
  return v1::RolloutService::NewStub(
      dialer.Dial(absl::StrCat("127.0.0.1:", app_->grpc_port()), {rpc::Role::kService, "rollout"}));
}

std::string Replica::http(absl::string_view path) const {
  httplib::Client client("127.0.0.1", app_->http_port());
  const auto response = client.Get(std::string(path).c_str());
  return response ? response->body : "";
}

World::World()
    : publisher(SystemClock().Now()),
      store(&pki),
      director_root_key(NewSigner()),
      director_targets_key(NewSigner()),
      director_snapshot_key(NewSigner()),
      director_timestamp_key(NewSigner()),
      consent_key(NewSigner()) {
  store.Start(publisher);
  publisher.PublishAll(store, {"acme"});

  inventory::Config inventory;
  inventory.server.tls = pki.TlsFor({rpc::Role::kService, "inventory"});
  inventory.server.registry = &inventory_registry_;
  inventory.database = db::TestCluster::Shared().CreateDatabase();
  inventory.appid_registry_address = "127.0.0.1:1";  // only asked about devices that have an App-ID
  inventory_config_ = inventory;
  inventory_ = Require(inventory::App::Start(inventory));

  config_.server.tls = pki.TlsFor({rpc::Role::kService, "rollout"});
  config_.database = db::TestCluster::Shared().CreateDatabase();
  config_.inventory_address = absl::StrCat("127.0.0.1:", inventory_->grpc_port());
  config_.package_store_address = store.address();
  config_.liaison_address = "127.0.0.1:1";
  config_.consent_address = "127.0.0.1:1";
  config_.director_targets_key = Write("director-targets.pem", director_targets_key.ToPem());
  config_.director_snapshot_key = Write("director-snapshot.pem", director_snapshot_key.ToPem());
  config_.director_timestamp_key = Write("director-timestamp.pem", director_timestamp_key.ToPem());
  config_.consent_public_key = Write("consent.pub", consent_key.public_key().Pem());
  config_.image_root = Write("1.root.json", publisher.Root());
  config_.poll_interval = absl::Milliseconds(20);
  config_.hint_interval = absl::Milliseconds(20);
  config_.metrics_interval = absl::Milliseconds(50);

  database_ = std::make_unique<db::Database>(db::Options{.conninfo = config_.database});
  Require(db::Migrate(*database_, {db::RequestIdsMigrations(), feed::OutboxMigrations(),
                                   feed::FollowerMigrations(), RolloutMigrations()}));
  rollouts_ = std::make_unique<RolloutStore>(*database_, SystemClock());
  directors_ = std::make_unique<DirectorStore>(*database_, *rollouts_);
}

World::~World() = default;

std::string World::Write(const std::string& name, const std::string& content) {
  const std::string path = absl::StrCat(pki.folder(), "/", name);
  Require(WriteFileAtomically(path, content, 0600));
  return path;
}

Replica& World::replica() {
  if (replica_ == nullptr) replica_ = std::make_unique<Replica>(config_);
  return *replica_;
}

std::string World::DirectorRoot(int64_t version) {
  trust::Root root;
  root.version = version;
  root.expires = SystemClock().Now() + absl::Hours(24 * 365);
  root.AddKey("root", director_root_key.public_key());
  root.AddKey("targets", director_targets_key.public_key());
  root.AddKey("snapshot", director_snapshot_key.public_key());
  root.AddKey("timestamp", director_timestamp_key.public_key());
  trust::Envelope envelope = root.ToEnvelope();
  Require(envelope.Sign(director_root_key));
  return envelope.Serialise();
}

void World::PublishDirectorRoot() {
  v1::PublishDirectorRootRequest request;
  request.set_metadata(DirectorRoot());
  Require(Call(*As(kOperator), &Stub::PublishDirectorRoot, request).status());
}

std::shared_ptr<grpc::Channel> World::Dial(const std::string& service, int port, const rpc::Identity& as) {
  const rpc::Dialer dialer(pki.TlsFor(as));
  return dialer.Dial(absl::StrCat("127.0.0.1:", port), {rpc::Role::kService, service});
}

void World::StartConsent() {
  consent::Config config;
  config.server.tls = pki.TlsFor({rpc::Role::kService, "consent"});
  config.server.registry = &consent_registry_;
  config.database = db::TestCluster::Shared().CreateDatabase();
  config.record_key = Write("consent.pem", consent_key.ToPem());
  config.housekeeping_interval = absl::Milliseconds(50);
  consent_ = Require(consent::App::Start(config));
  config_.consent_address = absl::StrCat("127.0.0.1:", consent_->grpc_port());
}

std::unique_ptr<consent::v1::ConsentService::Stub> World::ConsentAs(const rpc::Identity& identity) {
  return consent::v1::ConsentService::NewStub(Dial("consent", consent_->grpc_port(), identity));
}

std::unique_ptr<inventory::v1::InventoryService::Stub> World::InventoryAs(const rpc::Identity& identity) {
  return inventory::v1::InventoryService::NewStub(Dial("inventory", inventory_->grpc_port(), identity));
}

void World::StartFollowingInventory() {
  inventory::Config config = inventory_config_;
  config.server.registry = &following_registry_;
  config.rollout_address = absl::StrCat("127.0.0.1:", replica().app().grpc_port());
  following_inventory_ = Require(inventory::App::Start(config));
}

void World::StartLiaison() {
  liaison::Config config;
  config.server.tls = pki.TlsFor({rpc::Role::kService, "liaison"});
  config.server.registry = &liaison_registry_;
  config.database = db::TestCluster::Shared().CreateDatabase();
  config.package_store_address = store.address();
  liaison_ = Require(liaison::App::Start(config));
  config_.liaison_address = absl::StrCat("127.0.0.1:", liaison_->grpc_port());
  liaison::v1::CreateManufacturerRequest request;
  request.mutable_manufacturer()->set_name("manufacturers/acme");
  request.mutable_manufacturer()->set_display_name("Acme");
  request.mutable_manufacturer()->set_channel(liaison::v1::Manufacturer::CHANNEL_PUSH);
  request.set_request_id(crypto::Uuid());
  const auto stub = liaison::v1::LiaisonService::NewStub(Dial("liaison", liaison_->grpc_port(), kOperator));
  Require(Call(*stub, &liaison::v1::LiaisonService::Stub::CreateManufacturer, request).status());
}

absl::StatusOr<std::string> World::Announce(const ImageSpec& image) {
  liaison::v1::CreateReleaseRequest request;
  request.mutable_release()->set_name(absl::StrCat("manufacturers/acme/releases/thermostat-", image.version));
  *request.mutable_release()->mutable_info() = InfoOf(image);
  request.set_request_id(crypto::Uuid());
  const auto stub = liaison::v1::LiaisonService::NewStub(
      Dial("liaison", liaison_->grpc_port(), {rpc::Role::kManufacturer, "acme"}));
  const auto release = Call(*stub, &liaison::v1::LiaisonService::Stub::CreateRelease, request);
  if (!release.ok()) return release.status();
  return release->name();
}

Home& World::AddHome(const std::string& id, const std::vector<std::string>& serials) {
  using InventoryStub = inventory::v1::InventoryService::Stub;
  const auto operator_stub =
      inventory::v1::InventoryService::NewStub(Dial("inventory", inventory_->grpc_port(), kOperator));
  Home& home = homes[id];
  home.id = id;
  home.key = NewKey();
  home.proxy_key = NewKey();
  inventory::v1::CreateGatewayRequest gateway;
  gateway.mutable_gateway()->set_name(absl::StrCat("gateways/", id));
  gateway.mutable_gateway()->set_kind(inventory::v1::Gateway::KIND_HOME);
  gateway.mutable_gateway()->set_public_key_pem(home.key->public_key().Pem());
  gateway.mutable_gateway()->set_proxy_public_key_pem(home.proxy_key->public_key().Pem());
  gateway.set_request_id(crypto::Uuid());
  Require(Call(*operator_stub, &InventoryStub::CreateGateway, gateway).status());
  for (const std::string& serial : serials) {
    Ecu& ecu = home.ecus[serial];
    ecu.serial = serial;
    ecu.constrained = serial.find("constrained") != std::string::npos;
    ecu.key = ecu.constrained ? home.proxy_key : NewKey();
    inventory::v1::CreateDeviceRequest device;
    device.mutable_device()->set_name(absl::StrCat("gateways/", id, "/devices/", serial));
    device.mutable_device()->set_manufacturer("acme");
    device.mutable_device()->set_model("T1");
    device.mutable_device()->set_hardware_version("a");
    inventory::v1::Component& component = *device.mutable_device()->add_components();
    component.set_ecu_serial(serial);
    component.set_hardware_id(ecu.hardware_id);
    component.set_constrained(ecu.constrained);
    if (!ecu.constrained) component.set_public_key_pem(ecu.key->public_key().Pem());
    device.set_request_id(crypto::Uuid());
    Require(Call(*operator_stub, &InventoryStub::CreateDevice, device).status());
  }
  Require(Report(home));
  return home;
}

absl::Status World::Report(Home& home, bool break_proofs) {
  using InventoryStub = inventory::v1::InventoryService::Stub;
  const auto stub = InventoryAs(Gateway(home.id));
  const auto challenge =
      Call(*stub, &InventoryStub::CreateChallenge, inventory::v1::CreateChallengeRequest());
  if (!challenge.ok()) return challenge.status();
  trust::GatewayManifest manifest;
  manifest.gateway_id = home.id;
  manifest.nonce = challenge->nonce();
  manifest.manifest_counter = ++home.manifest_counter;
  manifest.time = SystemClock().Now();
  for (auto& [serial, ecu] : home.ecus) {
    trust::VersionReport report;
    report.ecu_serial = serial;
    report.hardware_id = ecu.hardware_id;
    report.manufacturer = "acme";
    report.model = "T1";
    report.filepath = ecu.path;
    report.length = static_cast<int64_t>(ecu.content.size());
    report.sha256 = crypto::Sha256Hex(ecu.content);
    report.version = ecu.version;
    report.release_counter = ecu.release_counter;
    report.report_counter = ++ecu.report_counter;
    report.nonce = challenge->nonce();
    report.proxied = ecu.constrained;
    report.quarantined = ecu.stopped;
    trust::Envelope envelope = report.ToEnvelope();
    Require(envelope.Sign(break_proofs ? *NewKey() : *ecu.key));
    manifest.reports.push_back(envelope);
  }
  trust::Envelope envelope = manifest.ToEnvelope();
  Require(envelope.Sign(*home.key));
  inventory::v1::SubmitManifestRequest request;
  request.set_manifest(envelope.Serialise());
  return Call(*stub, &InventoryStub::SubmitManifest, request).status();
}

void World::Install(Ecu& ecu, const ImageSpec& image) {
  ecu.path = image.path;
  ecu.content = image.content;
  ecu.version = image.version;
  ecu.release_counter = image.release_counter;
}

ImageSpec World::Image(int counter) {
  return {.path = absl::StrCat("acme/thermostat/thermostat-2.0.", counter, ".bin"),
          .content = absl::StrCat("firmware ", counter),
          .hardware_ids = {"t1-a"},
          .version = absl::StrCat("2.0.", counter),
          .release_counter = counter};
}

ImageSpec World::PublishImage(int counter) {
  const ImageSpec image = Image(counter);
  publisher.PublishImages(store, "acme", {image});
  return image;
}

common::v1::ReleaseInfo World::InfoOf(const ImageSpec& image) {
  common::v1::ReleaseInfo info;
  info.set_version(image.version);
  info.set_version_format(common::v1::VERSION_FORMAT_TRIPLET);
  info.set_release_counter(image.release_counter);
  info.add_models("T1");
  for (const std::string& hardware : image.hardware_ids) info.add_hardware_ids(hardware);
  info.mutable_image()->set_target_path(image.path);
  info.mutable_image()->set_length_bytes(static_cast<int64_t>(image.content.size()));
  info.mutable_image()->set_sha256(crypto::Sha256Hex(image.content));
  info.set_criticality(common::v1::CRITICALITY_HIGH);
  info.set_kind(common::v1::UPDATE_KIND_SECURITY);
  info.mutable_advisory()->add_ids("CVE-2026-0001");
  info.mutable_advisory()->set_risk("Strangers may heat the house.");
  info.mutable_advisory()->set_action("Install the update.");
  common::v1::UserNotice& notice = *info.add_notices();
  notice.set_language("en");
  notice.set_purpose("Closes a weakness.");
  notice.set_changes("Nothing that you see.");
  notice.mutable_install_duration()->set_seconds(120);
  notice.set_unavailable_functions("Heating control.");
  notice.set_instructions("Leave the thermostat on the wall.");
  return info;
}

Release World::ReleaseOf(const ImageSpec& image) {
  Release release;
  release.name = absl::StrCat("manufacturers/acme/releases/thermostat-", image.version);
  release.manufacturer = "acme";
  release.image = {image.path, static_cast<int64_t>(image.content.size()), crypto::Sha256Hex(image.content)};
  release.version = image.version;
  release.version_format = VersionFormat::kTriplet;
  release.release_counter = image.release_counter;
  release.models = {"T1"};
  release.hardware_ids = image.hardware_ids;
  release.kind = "SECURITY";
  release.info = InfoOf(image).SerializeAsString();
  return release;
}

std::string World::ConsentFor(const Assignment& assignment, const Release& release, absl::Duration validity) {
  trust::ConsentRecord record;
  record.record_id = absl::StrCat("record-", assignment.ecu_serial);
  record.principal_id = "user-1";
  record.gateway_id = assignment.gateway;
  record.ecu_serial = assignment.ecu_serial;
  record.decision = trust::ConsentRecord::Decision::kGranted;
  record.kind = release.kind;
  record.image_sha256 = release.image.sha256;
  record.target_path = release.image.target_path;
  record.from_version = assignment.from_version;
  record.to_version = release.version;
  record.criticality = "HIGH";
  record.valid_from = SystemClock().Now() - absl::Minutes(1);
  record.valid_until = SystemClock().Now() + validity;
  trust::Envelope envelope = record.ToEnvelope();
  Require(envelope.Sign(consent_key));
  return envelope.Serialise();
}

absl::StatusOr<trust::Targets> World::DirectorTargets(const std::string& gateway) {
  const std::unique_ptr<Stub> stub = As(Gateway(gateway));
  DirectorFetcher fetcher(*stub);
  // Kept from call to call, so that a version that went back would be refused.
  std::unique_ptr<trust::MemoryStore>& trusted = trusted_[gateway];
  if (trusted == nullptr) trusted = std::make_unique<trust::MemoryStore>();
  trust::RepositoryClient client(&fetcher, trusted.get(), DirectorRoot());
  const absl::Status status = client.Refresh(SystemClock().Now());
  if (!status.ok()) return status;
  return client.targets();
}

}  // namespace countersign::rollout::testing
