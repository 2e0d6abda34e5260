// The service as its callers see it: over mutual TLS, on a real PostgreSQL.
#include "services/appid_registry/app.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <pqxx/pqxx>
#include <set>
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
#include "common/trust/envelope.h"
#include "countersign/appid_registry/v1/appid_registry.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace countersign::appid_registry {
namespace {

using rpc::Role;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Stub = v1::AppIdRegistryService::Stub;

constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kPermissionDenied = absl::StatusCode::kPermissionDenied;
constexpr absl::StatusCode kNotFound = absl::StatusCode::kNotFound;

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

  static v1::CreateProfileRequest GoodRequest(const std::string& app_id) {
    v1::CreateProfileRequest request;
    request.set_request_id(crypto::Uuid());
    v1::Profile& profile = *request.mutable_profile();
    profile.set_name("profiles/" + app_id);
    profile.set_application_type("thermostat");
    profile.set_application_class(v1::Profile::APPLICATION_CLASS_CONSUMER);
    profile.set_security_capability(v1::Profile::SECURITY_CAPABILITY_SECURE_ELEMENT);
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
    profile.set_manufacturer("acme");
    return request;
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

  static World* world_;
  static std::atomic<int> ids_;
  std::unique_ptr<Stub> registrar_ = StubAs({Role::kRegistrar, "ara"});
  std::unique_ptr<Stub> cse_ = StubAs({Role::kCse, "cse-1"});
};

AppTest::World* AppTest::world_ = nullptr;
std::atomic<int> AppTest::ids_ = 0;

// APPID-1
TEST_F(AppTest, TheRegistryHoldsAProfileForEachAppId) {
  v1::CreateProfileRequest request = GoodRequest(NewAppId());
  ASSERT_OK_AND_ASSIGN(const v1::Profile created, Call(*registrar_, &Stub::CreateProfile, request));
  EXPECT_EQ(created.state(), v1::Profile::STATE_REGISTERED);
  v1::GetProfileRequest get;
  get.set_name(request.profile().name());
  ASSERT_OK_AND_ASSIGN(v1::Profile read, Call(*cse_, &Stub::GetProfile, get));
  EXPECT_EQ(read.SerializeAsString(), created.SerializeAsString());
  read.clear_state();
  read.clear_create_time();
  EXPECT_EQ(read.SerializeAsString(), request.profile().SerializeAsString());
}

TEST_F(AppTest, AnAppIdIsGivenOnce) {
  const v1::CreateProfileRequest request = GoodRequest(NewAppId());
  ASSERT_OK_AND_ASSIGN(const v1::Profile first, Call(*registrar_, &Stub::CreateProfile, request));
  ASSERT_OK_AND_ASSIGN(const v1::Profile second, Call(*registrar_, &Stub::CreateProfile, request));
  EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString()) << "the same request";
  v1::CreateProfileRequest other = request;
  other.set_request_id(crypto::Uuid());
  EXPECT_THAT(Call(*registrar_, &Stub::CreateProfile, other),
              StatusIs(absl::StatusCode::kAlreadyExists, "APP_ID_TAKEN"));
  other.set_request_id("1");
  EXPECT_THAT(Call(*registrar_, &Stub::CreateProfile, other),
              StatusIs(kInvalidArgument, "REQUEST_ID_INVALID"));
}

TEST_F(AppTest, WhatDoesNotConformIsNotRegistered) {
  EXPECT_THAT(Call(*registrar_, &Stub::CreateProfile, GoodRequest("thermostat")),
              StatusIs(kInvalidArgument, "APP_ID_MALFORMED"));
  EXPECT_THAT(Call(*registrar_, &Stub::CreateProfile, GoodRequest("Nthermostat")),
              StatusIs(kInvalidArgument, "APP_ID_NOT_REGISTERABLE"));
  EXPECT_THAT(Call(*registrar_, &Stub::CreateProfile, GoodRequest("ra01.com.acme.x")),
              StatusIs(kInvalidArgument, "APP_ID_NOT_REGISTERABLE"));
  v1::CreateProfileRequest request = GoodRequest(NewAppId());
  request.mutable_profile()->clear_data_model();
  const auto refused = Call(*registrar_, &Stub::CreateProfile, request);
  EXPECT_THAT(refused, StatusIs(kInvalidArgument, "PROFILE_INVALID"));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("data_model.name"));
  request.mutable_profile()->set_name("Ra01.com.acme.x");
  EXPECT_THAT(Call(*registrar_, &Stub::CreateProfile, request), StatusIs(kInvalidArgument, "NAME_INVALID"));
}

// APPID-4
TEST_F(AppTest, ACseGetsTheMetadataAndASignedAnswerThatItCanKeep) {
  const std::string app_id = Registered();
  ASSERT_OK_AND_ASSIGN(const v1::VerifyIdentityResponse answer, Verify(app_id, "/cse-1/C190XX7T"));
  EXPECT_EQ(answer.status(), v1::VerifyIdentityResponse::STATUS_REGISTERED);
  EXPECT_EQ(answer.profile().application_type(), "thermostat");
  EXPECT_EQ(answer.profile().data_privacy().category(), v1::Profile::PRIVACY_CATEGORY_PERSONAL);
  EXPECT_THAT(answer.findings(), IsEmpty());
  EXPECT_EQ(answer.expire_time().seconds() - answer.answer_time().seconds(), 24 * 3600);

  ASSERT_OK_AND_ASSIGN(const trust::Envelope envelope, trust::Envelope::Parse(answer.signed_answer()));
  EXPECT_OK(envelope.VerifyBy(world_->answer_key.public_key()));
  EXPECT_EQ(envelope.content()["app_id"], app_id);
  EXPECT_EQ(envelope.content()["ae_id"], "/cse-1/C190XX7T");
  EXPECT_EQ(envelope.content()["status"], "REGISTERED");
  EXPECT_EQ(envelope.content()["expires"],
            trust::FormatUtc(absl::FromUnixSeconds(answer.expire_time().seconds())));
}

TEST_F(AppTest, WhatDoesNotFitIsFoundAndNotRefused) {
  const std::string app_id = Registered();
  EXPECT_THAT(ReasonsOf(*Verify(app_id, "", std::string(64, 'b'))), ElementsAre("ROOT_OF_TRUST_DIFFERS"));
  EXPECT_THAT(ReasonsOf(*Verify(app_id, "", "")), ElementsAre("ROOT_OF_TRUST_MISSING"));
  EXPECT_THAT(ReasonsOf(*Verify("r" + app_id.substr(1))), ElementsAre("LOWER_CASE_PREFIX"));
  const auto unknown = Verify("Ra01.com.acme.unheard");
  ASSERT_OK(unknown);
  EXPECT_EQ(unknown->status(), v1::VerifyIdentityResponse::STATUS_NOT_REGISTERED);
  EXPECT_FALSE(unknown->has_profile());
  EXPECT_THAT(ReasonsOf(*unknown), ElementsAre("NOT_REGISTERED"));
  EXPECT_THAT(ReasonsOf(*Verify("Nunheard")), ElementsAre("NOT_GLOBALLY_UNIQUE", "NOT_REGISTERED"));
  EXPECT_THAT(Verify("unheard"), StatusIs(kInvalidArgument, "APP_ID_MALFORMED"));
  EXPECT_THAT(Verify(app_id, "nobody"), StatusIs(kInvalidArgument, "AE_ID_MALFORMED"));
  EXPECT_THAT(Verify(app_id, "", "abc"), StatusIs(kInvalidArgument, "ROOT_OF_TRUST_MALFORMED"));
}

TEST_F(AppTest, AnAnswerIsGivenAgainUntilSomethingIsRegistered) {
  const std::string later = NewAppId();
  EXPECT_EQ(Verify(later)->status(), v1::VerifyIdentityResponse::STATUS_NOT_REGISTERED);
  const std::string app_id = Registered();
  const std::string signed_answer = Verify(app_id)->signed_answer();
  world_->clock.Advance(absl::Seconds(2));
  EXPECT_EQ(Verify(app_id)->signed_answer(), signed_answer);
  ASSERT_OK(Call(*registrar_, &Stub::CreateProfile, GoodRequest(later)));
  EXPECT_EQ(Verify(later)->status(), v1::VerifyIdentityResponse::STATUS_REGISTERED);
  EXPECT_NE(Verify(app_id)->signed_answer(), signed_answer) << "two seconds later";
}

TEST_F(AppTest, ARegistrationThatIsOutOfForceIsToldAsSuch) {
  const std::string app_id = Registered();
  const auto set_state = [&](int state) {
    pqxx::connection connection(world_->database);
    pqxx::work work(connection);
    work.exec_params("UPDATE profiles SET state = $1 WHERE app_id = $2", state, app_id);
    work.commit();
    world_->clock.Advance(absl::Seconds(5));  // as another replica's change: seen when kept answers have aged
  };
  set_state(2);
  EXPECT_EQ(Verify(app_id)->status(), v1::VerifyIdentityResponse::STATUS_SUSPENDED);
  EXPECT_THAT(ReasonsOf(*Verify(app_id)), ElementsAre("SUSPENDED"));
  set_state(3);
  EXPECT_EQ(Verify(app_id)->status(), v1::VerifyIdentityResponse::STATUS_REVOKED);
  EXPECT_THAT(ReasonsOf(*Verify(app_id)), ElementsAre("REVOKED"));
}

TEST_F(AppTest, AManufacturerSeesItsOwnProfilesOnly) {
  const std::string app_id = Registered();
  const std::unique_ptr<Stub> acme = StubAs({Role::kManufacturer, "acme"});
  const std::unique_ptr<Stub> rival = StubAs({Role::kManufacturer, "rival"});
  v1::GetProfileRequest get;
  get.set_name("profiles/" + app_id);
  EXPECT_OK(Call(*acme, &Stub::GetProfile, get));
  EXPECT_THAT(Call(*rival, &Stub::GetProfile, get), StatusIs(kNotFound, "APP_ID_NOT_REGISTERED"));
  EXPECT_EQ(Call(*rival, &Stub::ListProfiles, v1::ListProfilesRequest())->profiles_size(), 0);
  EXPECT_GT(Call(*acme, &Stub::ListProfiles, v1::ListProfilesRequest())->profiles_size(), 0);
}

TEST_F(AppTest, ProfilesArePaged) {
  for (int i = 0; i < 3; ++i) Registered();
  std::set<std::string> names;
  v1::ListProfilesRequest request;
  request.set_page_size(1);
  while (true) {
    ASSERT_OK_AND_ASSIGN(const v1::ListProfilesResponse page,
                         Call(*registrar_, &Stub::ListProfiles, request));
    ASSERT_EQ(page.profiles_size(), 1);
    EXPECT_TRUE(names.insert(page.profiles(0).name()).second);
    if (page.next_page_token().empty()) break;
    request.set_page_token(page.next_page_token());
  }
  EXPECT_GE(names.size(), 3u);
  request.set_page_token("nonsense");
  EXPECT_THAT(Call(*registrar_, &Stub::ListProfiles, request),
              StatusIs(kInvalidArgument, "PAGE_TOKEN_INVALID"));
  request.clear_page_token();
  request.set_page_size(-1);
  EXPECT_THAT(Call(*registrar_, &Stub::ListProfiles, request),
              StatusIs(kInvalidArgument, "PAGE_SIZE_INVALID"));
}

TEST_F(AppTest, RolesThatHaveNoRightAreRefused) {
  const auto refused = StatusIs(kPermissionDenied, "ROLE_NOT_ALLOWED");
  for (Role role : rpc::kAllRoles) {
    const std::unique_ptr<Stub> stub = StubAs({role, "somebody"});
    if (role != Role::kRegistrar) {
      EXPECT_THAT(Call(*stub, &Stub::CreateProfile, v1::CreateProfileRequest()), refused);
    }
    if (role != Role::kCse && role != Role::kGateway && role != Role::kService) {
      EXPECT_THAT(Call(*stub, &Stub::VerifyIdentity, v1::VerifyIdentityRequest()), refused);
    }
    if (role == Role::kAuthority) {
      EXPECT_THAT(Call(*stub, &Stub::GetProfile, v1::GetProfileRequest()), refused);
    }
    if (role != Role::kRegistrar && role != Role::kOperator && role != Role::kManufacturer) {
      EXPECT_THAT(Call(*stub, &Stub::ListProfiles, v1::ListProfilesRequest()), refused);
    }
  }
}

TEST(AppStartTest, AMissingAnswerKeyIsNamed) {
  Config config;
  config.answer_key = "/nonexistent/answer.key";
  const auto app = App::Start(config);
  EXPECT_THAT(app, StatusIs(kNotFound));
  EXPECT_THAT(std::string(app.status().message()), HasSubstr("--answer-key"));
}

}  // namespace
}  // namespace countersign::appid_registry
