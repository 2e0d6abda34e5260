#include "services/appid_registry/app.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/onem2m/answer.h"
#include "common/trust/envelope.h"
#include "nlohmann/json.hpp"
#include "services/appid_registry/app_fixture.h"

namespace countersign::appid_registry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// APPID-1
TEST_F(AppTest, TheRegistryHoldsAProfileForEachAppId) {
  v1::CreateProfileRequest request = GoodRequest(NewAppId());
  ASSERT_OK_AND_ASSIGN(const v1::Profile created, Call(*registrar_, &Stub::CreateProfile, request));
  EXPECT_EQ(created.state(), v1::Profile::STATE_REGISTERED);
  v1::GetProfileRequest get;
  get.set_name(request.profile().name());
  ASSERT_OK_AND_ASSIGN(v1::Profile read, Call(*cse_, &Stub::GetProfile, get));
  EXPECT_EQ(read.SerializeAsString(), created.SerializeAsString());
  EXPECT_EQ(read.version(), 1);
  EXPECT_EQ(read.authority_id(), "a01");
  EXPECT_EQ(read.registrar(), "ara");
  EXPECT_NE(read.etag(), "");
  for (const char* field :
       {"state", "create_time", "update_time", "version", "authority_id", "registrar", "etag"}) {
    read.GetReflection()->ClearField(&read, v1::Profile::descriptor()->FindFieldByName(field));
  }
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

  onem2m::Question question;
  question.app_id = app_id;
  question.ae_id = "/cse-1/C190XX7T";
  question.root_of_trust_sha256 = std::string(64, 'a');
  ASSERT_OK_AND_ASSIGN(const onem2m::Answer kept,
                       onem2m::VerifyAnswer(answer.signed_answer(), world_->answer_key.public_key(),
                                            onem2m::QuestionDigest(question), world_->clock.Now()));
  EXPECT_EQ(kept.profile, answer.profile().SerializeAsString());
  ASSERT_OK_AND_ASSIGN(const trust::Envelope envelope, trust::Envelope::Parse(answer.signed_answer()));
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

TEST(AppStartTest, AMissingAnswerKeyIsNamed) {
  Config config;
  config.authorities = "ara=a01";
  config.answer_key = "/nonexistent/answer.key";
  const auto app = App::Start(config);
  EXPECT_THAT(app, StatusIs(kNotFound));
  EXPECT_THAT(std::string(app.status().message()), HasSubstr("--answer-key"));
}

TEST(AppStartTest, UnclearAuthoritiesAreNamed) {
  rpc::testing::TestPki pki;
  Config config;
  config.answer_key = absl::StrCat(pki.folder(), "/answer.key");
  ASSERT_OK(WriteFileAtomically(config.answer_key,
                                crypto::PemSigner::Generate(crypto::KeyType::kEd25519)->ToPem()));
  config.authorities = "ara=a01,other=a01";
  const auto app = App::Start(config);
  EXPECT_THAT(app, StatusIs(kInvalidArgument, "AUTHORITIES_INVALID"));
  EXPECT_THAT(std::string(app.status().message()), HasSubstr("--authorities"));
}

}  // namespace
}  // namespace countersign::appid_registry
