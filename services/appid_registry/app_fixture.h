// The service as its callers see it, over mutual TLS, on a real PostgreSQL: what its tests share.
#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_APP_FIXTURE_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_APP_FIXTURE_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>
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
#include "countersign/appid_registry/v1/appid_registry.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/appid_registry/app.h"

namespace countersign::appid_registry {

using rpc::Role;
using Stub = v1::AppIdRegistryService::Stub;

inline constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;
inline constexpr absl::StatusCode kPermissionDenied = absl::StatusCode::kPermissionDenied;
inline constexpr absl::StatusCode kNotFound = absl::StatusCode::kNotFound;

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

class AppTest : public ::testing::Test {
 public:
  static v1::CreateProfileRequest GoodRequest(const std::string& app_id) {
    v1::CreateProfileRequest request;
    request.set_request_id(crypto::Uuid());
    v1::Profile& profile = *request.mutable_profile();
    profile.set_name("profiles/" + app_id);
    profile.set_application_type("thermostat");
    profile.set_application_class(v1::Profile::APPLICATION_CLASS_CONSUMER);
    profile.set_security_capability(v1::Profile::SECURITY_CAPABILITY_SOFTWARE);
    profile.set_authentication_type(v1::Profile::AUTHENTICATION_TYPE_CERTIFICATE);
    profile.set_root_of_trust_sha256(std::string(64, 'a'));
    profile.set_communications_class(v1::Profile::COMMUNICATIONS_CLASS_PERIODIC_BURST);
    profile.mutable_data_model()->set_name("SDT 4.0 thermostat");
    profile.mutable_data_model()->set_ontology_mapping("https://saref.etsi.org/core/HVAC");
    profile.mutable_data_privacy()->set_category(v1::Profile::PRIVACY_CATEGORY_PERSONAL);
    profile.mutable_data_privacy()->set_protection_level(4);
    profile.mutable_data_privacy()->set_purpose("W\xc3\xa4rme nach Bedarf");
    profile.mutable_data_privacy()->set_retention_days(30);
    profile.mutable_data_privacy()->set_shared(true);
    profile.mutable_data_privacy()->add_collectors("Acme Heating");
    profile.mutable_data_privacy()->set_collection_time(v1::DataPrivacy::COLLECTION_TIME_PERIODIC);
    profile.mutable_data_privacy()->add_countries("AT");
    profile.mutable_data_privacy()->add_shared_with("The utility");
    profile.mutable_not_before()->set_seconds(1);
    profile.mutable_not_after()->set_seconds(253402300799);
    profile.add_ae_ids("C*");
    profile.set_manufacturer("acme");
    return request;
  }

 protected:
  struct World {
    World() {
      const std::string key_file = absl::StrCat(pki.folder(), "/answer.key");
      EXPECT_OK(WriteFileAtomically(key_file, answer_key.ToPem()));
      Config config;
      config.server.tls = pki.TlsFor({Role::kService, "appid-registry"});
      config.server.registry = &metrics;
      database = db::TestCluster::Shared().CreateDatabase();
      config.database = database;
      config.answer_key = key_file;
      config.clock = &clock;
      config.authorities = "ara=a01,ara=a02,other=b7";
      auto started = App::Start(config);
      EXPECT_OK(started.status());
      app = *std::move(started);
    }
    rpc::testing::TestPki pki;
    FakeClock clock;
    metrics::Registry metrics;
    crypto::PemSigner answer_key = *crypto::PemSigner::Generate(crypto::KeyType::kEcdsaP256);
    std::string database;
    std::unique_ptr<App> app;
  };

  static void SetUpTestSuite() { world_ = new World(); }
  static void TearDownTestSuite() {
    delete world_;
    world_ = nullptr;
  }

  static std::unique_ptr<Stub> StubAs(const rpc::Identity& identity) {
    rpc::Dialer dialer(world_->pki.TlsFor(identity));
    return v1::AppIdRegistryService::NewStub(dialer.Dial(absl::StrCat("127.0.0.1:", world_->app->grpc_port()),
                                                         {Role::kService, "appid-registry"}));
  }

  static std::string NewAppId() { return absl::StrCat("Ra01.com.acme.app", ++ids_); }

  v1::Profile Profile(const std::string& app_id) {
    v1::GetProfileRequest get;
    get.set_name("profiles/" + app_id);
    absl::StatusOr<v1::Profile> profile = Call(*registrar_, &Stub::GetProfile, get);
    EXPECT_OK(profile.status());
    return *std::move(profile);
  }

  // Suspends, reinstates or revokes.
  template <typename Request>
  absl::StatusOr<v1::Profile> Change(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                                  v1::Profile*),
                                     const std::string& app_id, const std::string& reason,
                                     const std::string& etag = "") {
    Request request;
    request.set_name("profiles/" + app_id);
    request.set_reason(reason);
    request.set_etag(etag);
    request.set_request_id(crypto::Uuid());
    return Call(*registrar_, method, request);
  }

  std::string Registered() {
    const std::string app_id = NewAppId();
    EXPECT_OK(Call(*registrar_, &Stub::CreateProfile, GoodRequest(app_id)));
    return app_id;
  }

  absl::StatusOr<v1::VerifyIdentityResponse> Verify(const std::string& app_id, const std::string& ae_id = "",
                                                    const std::string& root = std::string(64, 'a')) {
    v1::VerifyIdentityRequest request;
    request.set_app_id(app_id);
    request.set_ae_id(ae_id);
    request.set_root_of_trust_sha256(root);
    return Call(*cse_, &Stub::VerifyIdentity, request);
  }

  static std::vector<std::string> ReasonsOf(const v1::VerifyIdentityResponse& response) {
    std::vector<std::string> reasons;
    for (const v1::Finding& finding : response.findings()) reasons.push_back(finding.reason());
    return reasons;
  }

  static inline World* world_ = nullptr;
  static inline std::atomic<int> ids_ = 0;
  std::unique_ptr<Stub> registrar_ = StubAs({Role::kRegistrar, "ara"});
  std::unique_ptr<Stub> cse_ = StubAs({Role::kCse, "cse-1"});
};

}  // namespace countersign::appid_registry

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_APP_FIXTURE_H_
