#include "services/appid_registry/domain/profile.h"

#include <set>
#include <string>

#include "common/crypto/hex.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::appid_registry::domain {
namespace {

using ::testing::Values;

Profile GoodProfile() {
  Profile profile;
  profile.app_id = "Ra01.com.acme.thermostat";
  profile.application_type = "thermostat";
  profile.application_class = ApplicationClass::kConsumer;
  profile.security_capability = SecurityCapability::kSecureElement;
  profile.authentication_type = AuthenticationType::kCertificate;
  profile.root_of_trust_sha256 = std::string(64, 'a');
  profile.communications_class = CommunicationsClass::kPeriodicBurst;
  profile.data_model = {"SDT 4.0 thermostat", "https://saref.etsi.org/core/HVAC"};
  profile.data_privacy = {.category = PrivacyCategory::kPersonal,
                          .protection_level = 4,
                          .purpose = "Heating on demand",
                          .retention_days = 30,
                          .shared = true,
                          .collectors = {"Acme Heating"},
                          .collection_time = CollectionTime::kPeriodic,
                          .countries = {"AT", "DE"},
                          .shared_with = {"The district's utility"}};
  profile.manufacturer = "acme";
  profile.not_before = absl::FromUnixSeconds(1767225600);
  profile.not_after = absl::FromUnixSeconds(1798761600);
  profile.ae_ids = {"C190XX7T", "Sacme-*"};
  profile.signed_terms = "terms";
  return profile;
}

// APPID-1
TEST(ProfileTest, AProfileWithAllItsAttributesIsAccepted) {
  EXPECT_OK(CheckProfile(GoodProfile()));
  Profile profile = GoodProfile();
  profile.authentication_type = AuthenticationType::kPreSharedKey;
  profile.root_of_trust_sha256.clear();
  profile.manufacturer.clear();
  profile.data_model.ontology_mapping.clear();
  profile.data_privacy = {.category = PrivacyCategory::kNotCollected, .protection_level = 1};
  profile.not_before = absl::InfinitePast();
  profile.not_after = absl::InfiniteFuture();
  profile.ae_ids.clear();
  profile.signed_terms.clear();
  EXPECT_OK(CheckProfile(profile));
}

struct Case {
  const char* field;
  void (*spoil)(Profile&);
  const char* reason;
};

class BadProfileTest : public ::testing::TestWithParam<Case> {};

TEST_P(BadProfileTest, IsRefusedWithItsField) {
  Profile profile = GoodProfile();
  GetParam().spoil(profile);
  const absl::Status status = CheckProfile(profile);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, GetParam().reason));
  EXPECT_NE(std::string(status.message()).find(GetParam().field), std::string::npos) << status;
}

constexpr char kInvalid[] = "PROFILE_INVALID";
INSTANTIATE_TEST_SUITE_P(
    Cases, BadProfileTest,
    Values(
        Case{"App-ID", [](Profile& p) { p.app_id = "thermostat"; }, "APP_ID_MALFORMED"},
        Case{"N", [](Profile& p) { p.app_id = "Nthermostat"; }, "APP_ID_NOT_REGISTERABLE"},
        Case{"application_type", [](Profile& p) { p.application_type.clear(); }, kInvalid},
        Case{"application_type", [](Profile& p) { p.application_type.assign(65, 'x'); }, kInvalid},
        Case{"application_type", [](Profile& p) { p.application_type = std::string("a\0b", 3); }, kInvalid},
        Case{"application_class", [](Profile& p) { p.application_class = ApplicationClass::kUnspecified; },
             kInvalid},
        Case{"application_class", [](Profile& p) { p.application_class = static_cast<ApplicationClass>(9); },
             kInvalid},
        Case{"security_capability",
             [](Profile& p) { p.security_capability = SecurityCapability::kUnspecified; }, kInvalid},
        Case{"authentication_type",
             [](Profile& p) { p.authentication_type = AuthenticationType::kUnspecified; }, kInvalid},
        Case{"root_of_trust_sha256", [](Profile& p) { p.root_of_trust_sha256.clear(); }, kInvalid},
        Case{"root_of_trust_sha256", [](Profile& p) { p.root_of_trust_sha256.assign(64, 'A'); }, kInvalid},
        Case{"communications_class",
             [](Profile& p) { p.communications_class = CommunicationsClass::kUnspecified; }, kInvalid},
        Case{"data_model.name", [](Profile& p) { p.data_model.name.clear(); }, kInvalid},
        Case{"ontology_mapping", [](Profile& p) { p.data_model.ontology_mapping.assign(257, 'x'); },
             kInvalid},
        Case{"data_privacy.category",
             [](Profile& p) { p.data_privacy.category = PrivacyCategory::kUnspecified; }, kInvalid},
        Case{"protection_level", [](Profile& p) { p.data_privacy.protection_level = 0; }, kInvalid},
        Case{"protection_level", [](Profile& p) { p.data_privacy.protection_level = 6; }, kInvalid},
        Case{"purpose", [](Profile& p) { p.data_privacy.purpose.assign(1001, 'x'); }, kInvalid},
        Case{"retention_days", [](Profile& p) { p.data_privacy.retention_days = -1; }, kInvalid},
        Case{"personal data", [](Profile& p) { p.data_privacy.purpose.clear(); }, kInvalid},
        Case{"personal data", [](Profile& p) { p.data_privacy.collectors.clear(); }, kInvalid},
        Case{"collectors", [](Profile& p) { p.data_privacy.collectors.resize(17, "x"); }, kInvalid},
        Case{"collectors", [](Profile& p) { p.data_privacy.collectors = {""}; }, kInvalid},
        Case{"shared_with", [](Profile& p) { p.data_privacy.shared = false; }, kInvalid},
        Case{"collection_time",
             [](Profile& p) { p.data_privacy.collection_time = static_cast<CollectionTime>(9); }, kInvalid},
        Case{"countries", [](Profile& p) { p.data_privacy.countries = {"Austria"}; }, kInvalid},
        Case{"countries", [](Profile& p) { p.data_privacy.countries = {"at"}; }, kInvalid},
        Case{"ae_ids", [](Profile& p) { p.ae_ids = {"*"}; }, kInvalid},
        Case{"ae_ids", [](Profile& p) { p.ae_ids.resize(65, "C1"); }, kInvalid},
        Case{"not_after", [](Profile& p) { p.not_after = p.not_before; }, kInvalid},
        Case{"signed_terms", [](Profile& p) { p.signed_terms.assign(8193, 'x'); }, kInvalid},
        Case{"manufacturer", [](Profile& p) { p.manufacturer = "ACME Inc."; }, kInvalid}));

TEST(ProfileTest, WhatIsStoredIsReadAgain) {
  Profile profile = GoodProfile();
  profile.data_privacy.purpose = "W\xc3\xa4rme \"nach\" Bedarf";
  ASSERT_OK_AND_ASSIGN(Profile read, ParseProfileJson(ProfileJson(profile)));
  EXPECT_EQ(read.signed_terms, "") << "which are stored apart";
  read.signed_terms = profile.signed_terms;
  EXPECT_EQ(ProfileJson(read), ProfileJson(profile));
  EXPECT_EQ(read.data_privacy.purpose, profile.data_privacy.purpose);
  EXPECT_EQ(read.not_after, profile.not_after);
  profile.not_after = absl::InfiniteFuture();
  EXPECT_EQ(ParseProfileJson(ProfileJson(profile))->not_after, absl::InfiniteFuture());
  EXPECT_THAT(ParseProfileJson("{}"), StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(ParseProfileJson("{"), StatusIs(absl::StatusCode::kInternal));
}

TEST(ProfileTest, ItsDigestChangesWithEveryAttribute) {
  std::set<std::string> digests = {ProfileDigest(GoodProfile())};
  EXPECT_TRUE(crypto::IsSha256Hex(*digests.begin()));
  const auto changed = [&](auto change) {
    Profile profile = GoodProfile();
    change(profile);
    return digests.insert(ProfileDigest(profile)).second;
  };
  EXPECT_TRUE(changed([](Profile& p) { p.app_id += "2"; }));
  EXPECT_TRUE(changed([](Profile& p) { p.application_type = "lamp"; }));
  EXPECT_TRUE(changed([](Profile& p) { p.application_class = ApplicationClass::kIndustrial; }));
  EXPECT_TRUE(changed([](Profile& p) { p.security_capability = SecurityCapability::kSoftware; }));
  EXPECT_TRUE(changed([](Profile& p) { p.authentication_type = AuthenticationType::kRawPublicKey; }));
  EXPECT_TRUE(changed([](Profile& p) { p.root_of_trust_sha256.assign(64, 'b'); }));
  EXPECT_TRUE(changed([](Profile& p) { p.communications_class = CommunicationsClass::kStreamed; }));
  EXPECT_TRUE(changed([](Profile& p) { p.data_model.name = "other"; }));
  EXPECT_TRUE(changed([](Profile& p) { p.data_model.ontology_mapping = "other"; }));
  EXPECT_TRUE(changed([](Profile& p) { p.data_privacy.category = PrivacyCategory::kMedical; }));
  EXPECT_TRUE(changed([](Profile& p) { p.data_privacy.protection_level = 5; }));
  EXPECT_TRUE(changed([](Profile& p) { p.data_privacy.purpose = "other"; }));
  EXPECT_TRUE(changed([](Profile& p) { p.data_privacy.retention_days = 31; }));
  EXPECT_TRUE(changed([](Profile& p) { p.data_privacy.shared = false; }));
  EXPECT_TRUE(changed([](Profile& p) { p.data_privacy.collectors = {"other"}; }));
  EXPECT_TRUE(changed([](Profile& p) { p.data_privacy.collection_time = CollectionTime::kOnEvent; }));
  EXPECT_TRUE(changed([](Profile& p) { p.data_privacy.countries = {"FR"}; }));
  EXPECT_TRUE(changed([](Profile& p) { p.data_privacy.shared_with = {"other"}; }));
  EXPECT_TRUE(changed([](Profile& p) { p.not_before = absl::InfinitePast(); }));
  EXPECT_TRUE(changed([](Profile& p) { p.not_after = absl::InfiniteFuture(); }));
  EXPECT_TRUE(changed([](Profile& p) { p.ae_ids = {"C1"}; }));
  EXPECT_TRUE(changed([](Profile& p) { p.signed_terms = "other"; }));
  EXPECT_TRUE(changed([](Profile& p) { p.manufacturer = "other"; }));
  EXPECT_TRUE(changed([](Profile& p) { p.data_privacy.purpose = "W\xc3\xa4rme"; }));
}

}  // namespace
}  // namespace countersign::appid_registry::domain
