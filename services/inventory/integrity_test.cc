// What components run, compared with what the real package store published (FOTA-R2), and what follows
// (FOTA-R3).
#include <functional>

#include "absl/time/clock.h"
#include "common/crypto/digest.h"
#include "services/inventory/testing/world.h"
#include "services/package_store/testing/publisher.h"

namespace countersign::inventory {
namespace {

using package_store::testing::ImageSpec;
using ::testing::HasSubstr;

constexpr char kPolicyModel[] = "Q1";

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

class IntegrityTest : public WorldTest {
 protected:
  static void SetUpTestSuite() {
    WorldTest::SetUpTestSuite();
    publisher_ = new package_store::testing::Publisher(absl::Now());
    store_ = new package_store::testing::TestStore(&world_->pki_);
    store_->Start(*publisher_);
    publisher_->PublishAll(*store_, {"acme"});
    publisher_->PublishImages(*store_, "acme", {Image("1.0.0")});
    // Published long ago: the feed does not have it any more.
    pqxx::connection connection(store_->config().database);
    pqxx::nontransaction(connection).exec("DELETE FROM outbox");
    Config config = world_->ConfigOfReplica(metrics());
    config.package_store_address = store_->address();
    config.quarantine_modified = absl::StrCat("acme/", kPolicyModel);
    replica_ = world_->StartReplica(config).release();
  }
  static void TearDownTestSuite() {
    delete replica_;
    delete store_;
    delete publisher_;
    WorldTest::TearDownTestSuite();
  }
  static metrics::Registry& metrics() {
    static auto& registry = *new metrics::Registry();
    return registry;
  }

  static ImageSpec Image(const std::string& version) {
    return {.path = absl::StrCat("acme/t/t-", version, ".bin"),
            .content = "image " + version,
            .version = version,
            .release_counter = 1};
  }

  Home HomeAt(const App& replica) {
    Home home = NewHome();
    home.stub = world_->StubAs({Role::kGateway, home.id}, replica);
    return home;
  }

  std::string Provision(Home& home, const std::string& model = "T1000",
                        const std::string& factory_sha256 = "") {
    const std::string serial = NewId("SN");
    v1::CreateDeviceRequest request = DeviceRequest(home, "device-" + serial);
    request.mutable_device()->set_model(model);
    v1::Component& component = *request.mutable_device()->add_components();
    component.set_ecu_serial(serial);
    component.set_hardware_id("hw-1");
    component.set_factory_sha256(factory_sha256);
    home.components.emplace(serial, NewSigner());
    component.set_public_key_pem(home.components.at(serial).public_key().Pem());
    EXPECT_OK(Call(*operator_, &Stub::CreateDevice, request));
    return serial;
  }

  // The state that the report's answer tells.
  v1::Component::State Report(Home& home, const std::string& serial, const std::string& version,
                              const std::string& content, const std::string& model = "T1000") {
    const std::string nonce = home.Challenge();
    trust::VersionReport report = home.Report(serial, nonce);
    report.model = model;
    report.filepath = "";
    report.version = version;
    report.sha256 = crypto::Sha256Hex(content);
    const auto response = home.Submit(nonce, {home.Sign(report, home.components.at(serial))});
    EXPECT_OK(response);
    return response.ok() && response->results(0).accepted() ? response->results(0).state()
                                                            : v1::Component::STATE_UNSPECIFIED;
  }

  // All that was published before the service started has come.
  void AwaitComparison(Home& home) {
    const std::string serial = Provision(home);
    ASSERT_TRUE(Eventually([&] {
      Report(home, serial, "1.0.0", "image 1.0.0");
      return GetComponent(serial).image_verdict() == v1::Component::IMAGE_VERDICT_PUBLISHED;
    }));
  }

  static inline package_store::testing::Publisher* publisher_ = nullptr;
  static inline package_store::testing::TestStore* store_ = nullptr;
  static inline App* replica_ = nullptr;
};

// FOTA-R2
TEST_F(IntegrityTest, AnImageThatWasNotPublishedForItsVersionIsFoundOut) {
  Home home = HomeAt(*replica_);
  AwaitComparison(home);
  const std::string serial = Provision(home);
  EXPECT_EQ(Report(home, serial, "1.0.0", "image 1.0.0"), v1::Component::STATE_VERIFIED);
  EXPECT_EQ(GetComponent(serial).image_verdict(), v1::Component::IMAGE_VERDICT_PUBLISHED);

  EXPECT_EQ(Report(home, serial, "1.0.0", "altered"), v1::Component::STATE_MODIFIED);
  v1::Component component = GetComponent(serial);
  EXPECT_EQ(component.state_reason(), "IMAGE_DIFFERS");
  EXPECT_EQ(component.image_verdict(), v1::Component::IMAGE_VERDICT_DIFFERS);
  EXPECT_THAT(metrics().Serialize(),
              HasSubstr("countersign_inventory_components_modified_total{reason=\"IMAGE_DIFFERS\"} 1"));
  EXPECT_EQ(Report(home, serial, "1.0.0", "altered"), v1::Component::STATE_MODIFIED) << "and it stays so";
  EXPECT_EQ(Report(home, serial, "1.0.0", "image 1.0.0"), v1::Component::STATE_VERIFIED);
  EXPECT_EQ(GetComponent(serial).state_reason(), "");

  // The change is told: who follows sees it.
  const std::unique_ptr<Stub> service = world_->StubAs({Role::kService, "rollout"}, *replica_);
  rpc::CallContext context(absl::Seconds(30));
  const auto reader = service->WatchComponents(context.get(), v1::WatchComponentsRequest());
  v1::WatchComponentsResponse change;
  do {
    ASSERT_TRUE(reader->Read(&change));
  } while (change.component().ecu_serial() != serial ||
           change.component().state() != v1::Component::STATE_MODIFIED);
  context->TryCancel();
  while (reader->Read(&change)) {
  }
  reader->Finish();
}

TEST_F(IntegrityTest, AnImageFromBeforeTheRepositoryIsNotedAndAnUndeclaredOneBesideADeclaredIsAFault) {
  Home home = HomeAt(*replica_);
  AwaitComparison(home);
  const std::string undeclared = Provision(home);
  EXPECT_EQ(Report(home, undeclared, "0.9.0", "factory"), v1::Component::STATE_VERIFIED);
  EXPECT_EQ(GetComponent(undeclared).image_verdict(), v1::Component::IMAGE_VERDICT_UNKNOWN);

  const std::string declared = Provision(home, "T1000", crypto::Sha256Hex("factory"));
  EXPECT_EQ(Report(home, declared, "0.9.0", "factory"), v1::Component::STATE_VERIFIED);
  EXPECT_EQ(GetComponent(declared).image_verdict(), v1::Component::IMAGE_VERDICT_FACTORY);
  EXPECT_EQ(Report(home, declared, "0.9.0", "something else"), v1::Component::STATE_MODIFIED);
  EXPECT_EQ(GetComponent(declared).state_reason(), "IMAGE_UNKNOWN");
  EXPECT_EQ(Report(home, declared, "1.0.0", "image 1.0.0"), v1::Component::STATE_VERIFIED);
}

TEST_F(IntegrityTest, AReportThatComesBeforeItsPackageBecomesRightByItself) {
  metrics::Registry metrics;
  Config config = world_->ConfigOfReplica(metrics);
  config.package_store_address = store_->address();
  config.unknown_images = "modified";
  const std::unique_ptr<App> strict = world_->StartReplica(config);
  Home home = HomeAt(*strict);
  AwaitComparison(home);
  const std::string early = Provision(home);
  EXPECT_EQ(Report(home, early, "2.0.0", "image 2.0.0"), v1::Component::STATE_MODIFIED);
  const std::string wrong = Provision(home);
  EXPECT_EQ(Report(home, wrong, "2.0.0", "another image 2.0.0"), v1::Component::STATE_MODIFIED);
  EXPECT_EQ(GetComponent(wrong).state_reason(), "IMAGE_UNKNOWN");
  publisher_->PublishImages(*store_, "acme", {Image("2.0.0")});
  EXPECT_TRUE(Eventually([&] { return GetComponent(early).state() == v1::Component::STATE_VERIFIED; }));
  EXPECT_TRUE(Eventually(
      [&] { return GetComponent(wrong).image_verdict() == v1::Component::IMAGE_VERDICT_DIFFERS; }));
  EXPECT_EQ(GetComponent(wrong).state(), v1::Component::STATE_MODIFIED);

  v1::ListComponentHistoryRequest request;
  request.set_parent(absl::StrCat("gateways/", home.id, "/components/", early));
  ASSERT_OK_AND_ASSIGN(const v1::ListComponentHistoryResponse history,
                       Call(*operator_, &Stub::ListComponentHistory, request));
  EXPECT_EQ(history.changes(0).cause(), "PUBLICATION");
  EXPECT_EQ(history.changes(0).state(), v1::Component::STATE_VERIFIED);
  EXPECT_EQ(history.changes(1).state(), v1::Component::STATE_MODIFIED);
}

TEST_F(IntegrityTest, WhoeverRunsWhatIsRevokedIsModified) {
  Home home = HomeAt(*replica_);
  AwaitComparison(home);
  publisher_->PublishImages(*store_, "acme", {Image("3.0.0")});
  const std::string serial = Provision(home);
  Report(home, serial, "3.0.0", "image 3.0.0");
  ASSERT_TRUE(Eventually(
      [&] { return GetComponent(serial).image_verdict() == v1::Component::IMAGE_VERDICT_PUBLISHED; }));
  package_store::v1::GetPackageRequest get;
  get.set_target_path(Image("3.0.0").path);
  rpc::CallContext context(absl::Seconds(30));
  package_store::v1::Package package;
  ASSERT_OK(rpc::FromGrpc(store_->Stub({Role::kOperator, "alice"}).GetPackage(context.get(), get, &package)));
  rpc::CallContext revoking(absl::Seconds(30));
  package_store::v1::Package revoked;
  ASSERT_OK(
      rpc::FromGrpc(store_->Stub({Role::kAuthority, "ma"})
                        .RevokePackage(revoking.get(), publisher_->Revoke(package, "stolen key"), &revoked)));
  EXPECT_TRUE(Eventually([&] { return GetComponent(serial).state() == v1::Component::STATE_MODIFIED; }));
  EXPECT_EQ(GetComponent(serial).state_reason(), "IMAGE_REVOKED");
  EXPECT_EQ(Report(home, serial, "3.0.0", "image 3.0.0"), v1::Component::STATE_MODIFIED);
}

// FOTA-R3
TEST_F(IntegrityTest, ThePolicyStopsModifiedComponentsAndNotAgainWhatAnOperatorReleased) {
  Home home = HomeAt(*replica_);
  AwaitComparison(home);
  const auto stopped = [&](const std::string& serial) {
    return Eventually([&] { return GetComponent(serial).state() == v1::Component::STATE_QUARANTINED; });
  };
  const std::string other_model = Provision(home);
  Report(home, other_model, "1.0.0", "altered");
  const std::string serial = Provision(home, kPolicyModel);
  Report(home, serial, "1.0.0", "altered", kPolicyModel);
  ASSERT_TRUE(stopped(serial));
  const v1::Component component = GetComponent(serial);
  EXPECT_EQ(component.quarantine().ordered_by(), "policy");
  EXPECT_EQ(component.quarantine().reason(), "IMAGE_DIFFERS");

  v1::ReleaseComponentRequest release;
  release.set_name(component.name());
  release.set_reason("it is a laboratory");
  release.set_request_id(crypto::Uuid());
  ASSERT_OK(Call(*operator_, &Stub::ReleaseComponent, release));
  EXPECT_EQ(Report(home, serial, "1.0.0", "altered", kPolicyModel), v1::Component::STATE_MODIFIED);
  const std::string next = Provision(home, kPolicyModel);
  Report(home, next, "1.0.0", "altered", kPolicyModel);
  ASSERT_TRUE(stopped(next)) << "a later round";
  EXPECT_EQ(GetComponent(serial).state(), v1::Component::STATE_MODIFIED);
  EXPECT_EQ(GetComponent(other_model).state(), v1::Component::STATE_MODIFIED)
      << "the policy is not for its model";
  // Another image is not what was released.
  Report(home, serial, "1.0.0", "altered again", kPolicyModel);
  EXPECT_TRUE(stopped(serial));
}

}  // namespace
}  // namespace countersign::inventory
