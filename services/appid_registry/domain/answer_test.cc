#include "services/appid_registry/domain/answer.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/x509.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::appid_registry::domain {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1767268800);
const std::string kRoot(64, 'a');
const std::string kOtherRoot(64, 'b');
constexpr char kAppId[] = "Ra01.com.acme.thermostat";

Registration Good() {
  Registration registration;
  registration.profile.app_id = kAppId;
  registration.profile.root_of_trust_sha256 = kRoot;
  registration.profile.application_class = ApplicationClass::kConsumer;
  registration.profile.security_capability = SecurityCapability::kSoftware;
  registration.profile.authentication_type = AuthenticationType::kCertificate;
  registration.profile.communications_class = CommunicationsClass::kPeriodicBurst;
  registration.profile.data_model = {"SDT 4.0 thermostat", "https://saref.etsi.org/core/HVAC"};
  return registration;
}

Asked Ask() {
  Asked asked;
  asked.app_id = kAppId;
  asked.root_of_trust_sha256 = kRoot;
  return asked;
}

Assessment AssessmentOf(const Asked& asked, const Registration* registration, absl::Time now = kNow) {
  const absl::StatusOr<Presented> presented = ParsePresented(asked);
  EXPECT_OK(presented);
  return Assess(*presented, registration, now);
}

std::vector<std::string> ReasonsOf(const Asked& asked, const Registration& registration,
                                   absl::Time now = kNow) {
  std::vector<std::string> reasons;
  for (const Finding& finding : AssessmentOf(asked, &registration, now).findings)
    reasons.push_back(finding.reason);
  return reasons;
}

std::vector<std::string> ReasonsOfUnknown(const std::string& app_id) {
  Asked asked = Ask();
  asked.app_id = app_id;
  std::vector<std::string> reasons;
  for (const Finding& finding : AssessmentOf(asked, nullptr).findings) reasons.push_back(finding.reason);
  return reasons;
}

TEST(AnswerTest, ARegisteredIdentityWithItsRootOfTrustHasNoFinding) {
  const Registration registration = Good();
  const Assessment assessment = AssessmentOf(Ask(), &registration);
  EXPECT_EQ(assessment.status, Status::kRegistered);
  EXPECT_THAT(assessment.findings, IsEmpty());
  EXPECT_EQ(assessment.holds_until, absl::InfiniteFuture());
}

TEST(AnswerTest, AnUnknownIdentityIsAnAnswer) {
  EXPECT_EQ(AssessmentOf(Ask(), nullptr).status, Status::kNotRegistered);
  EXPECT_THAT(ReasonsOfUnknown("Ra01.com.acme.other"), ElementsAre("NOT_REGISTERED"));
  EXPECT_THAT(ReasonsOfUnknown("Nother"), ElementsAre("NOT_GLOBALLY_UNIQUE", "NOT_REGISTERED"));
}

TEST(AnswerTest, ALowerCasePrefixIsFound) {
  Asked asked = Ask();
  asked.app_id[0] = 'r';
  EXPECT_THAT(ReasonsOf(asked, Good()), ElementsAre("LOWER_CASE_PREFIX"));
}

TEST(AnswerTest, EveryStateHasItsStatus) {
  Registration registration = Good();
  registration.state = State::kSuspended;
  EXPECT_EQ(AssessmentOf(Ask(), &registration).status, Status::kSuspended);
  EXPECT_THAT(ReasonsOf(Ask(), registration), ElementsAre("SUSPENDED"));
  EXPECT_EQ(AssessmentOf(Ask(), &registration).findings[0].severity, Severity::kCritical);
  registration.state = State::kRevoked;
  EXPECT_EQ(AssessmentOf(Ask(), &registration).status, Status::kRevoked);
  EXPECT_THAT(ReasonsOf(Ask(), registration), ElementsAre("REVOKED"));
}

TEST(AnswerTest, ARegistrationIsInForceWithinItsValidityAndAnAnswerHoldsNoLonger) {
  Registration registration = Good();
  registration.profile.not_before = kNow;
  registration.profile.not_after = kNow + absl::Hours(1);
  const auto at = [&](absl::Duration since) { return AssessmentOf(Ask(), &registration, kNow + since); };
  EXPECT_EQ(at(-absl::Seconds(1)).status, Status::kNotYetValid);
  EXPECT_EQ(at(-absl::Seconds(1)).holds_until, kNow);
  EXPECT_THAT(ReasonsOf(Ask(), registration, kNow - absl::Seconds(1)), ElementsAre("NOT_YET_VALID"));
  EXPECT_EQ(at(absl::ZeroDuration()).status, Status::kRegistered);
  EXPECT_EQ(at(absl::ZeroDuration()).holds_until, kNow + absl::Hours(1));
  EXPECT_EQ(at(absl::Hours(1)).status, Status::kExpired);
  EXPECT_THAT(ReasonsOf(Ask(), registration, kNow + absl::Hours(1)), ElementsAre("EXPIRED"));
  EXPECT_EQ(at(absl::Hours(1)).holds_until, absl::InfiniteFuture());
  registration.state = State::kRevoked;
  EXPECT_EQ(at(absl::Hours(1)).status, Status::kRevoked) << "which weighs more";
}

TEST(AnswerTest, AnotherAeIdThanTheAppIdsIsFound) {
  Registration registration = Good();
  registration.profile.ae_ids = {"C190", "Sacme-*"};
  Asked asked = Ask();
  for (const char* ae_id : {"", "C190", "/cse-1/C190", "Sacme-17", "//sp.example/Sacme-17"}) {
    asked.ae_id = ae_id;
    EXPECT_THAT(ReasonsOf(asked, registration), IsEmpty()) << ae_id;
  }
  for (const char* ae_id : {"C1901", "Szenith-1", "/cse-1/C19"}) {
    asked.ae_id = ae_id;
    EXPECT_THAT(ReasonsOf(asked, registration), ElementsAre("AE_ID_OF_ANOTHER")) << ae_id;
  }
}

TEST(AnswerTest, AStatedRootOfTrustIsCompared) {
  Asked asked = Ask();
  asked.root_of_trust_sha256.clear();
  EXPECT_THAT(ReasonsOf(asked, Good()), ElementsAre("ROOT_OF_TRUST_MISSING"));
  asked.root_of_trust_sha256 = kOtherRoot;
  EXPECT_THAT(ReasonsOf(asked, Good()), ElementsAre("ROOT_OF_TRUST_DIFFERS"));
}

TEST(AnswerTest, ARawPublicKeyIsItsOwnRootOfTrust) {
  Registration registration = Good();
  registration.profile.authentication_type = AuthenticationType::kRawPublicKey;
  Asked asked = Ask();
  asked.root_of_trust_sha256.clear();
  asked.public_key_sha256 = kRoot;
  EXPECT_THAT(ReasonsOf(asked, registration), IsEmpty());
  asked.public_key_sha256 = kOtherRoot;
  EXPECT_THAT(ReasonsOf(asked, registration), ElementsAre("ROOT_OF_TRUST_DIFFERS"));
  asked.public_key_sha256 = kRoot;
  EXPECT_THAT(ReasonsOf(asked, Good()), ElementsAre("CREDENTIAL_TYPE_DIFFERS"));
}

TEST(AnswerTest, APreSharedKeyHasNoRootOfTrust) {
  Registration registration = Good();
  registration.profile.authentication_type = AuthenticationType::kPreSharedKey;
  registration.profile.root_of_trust_sha256.clear();
  Asked asked = Ask();
  asked.root_of_trust_sha256.clear();
  asked.pre_shared_key = true;
  EXPECT_THAT(ReasonsOf(asked, registration), IsEmpty());
}

TEST(AnswerTest, WhatWasObservedIsComparedAndWhatWasNotIsNot) {
  const auto reasons = [](auto observe) {
    Asked asked = Ask();
    observe(asked);
    return ReasonsOf(asked, Good());
  };
  EXPECT_THAT(reasons([](Asked& a) { a.application_class = ApplicationClass::kConsumer; }), IsEmpty());
  EXPECT_THAT(reasons([](Asked& a) { a.application_class = ApplicationClass::kIndustrial; }),
              ElementsAre("APPLICATION_CLASS_DIFFERS"));
  EXPECT_THAT(reasons([](Asked& a) { a.communications_class = CommunicationsClass::kPeriodicBurst; }),
              IsEmpty());
  EXPECT_THAT(reasons([](Asked& a) { a.communications_class = CommunicationsClass::kStreamed; }),
              ElementsAre("COMMUNICATIONS_CLASS_DIFFERS"));
  EXPECT_THAT(reasons([](Asked& a) { a.data_model = "SDT 4.0 thermostat"; }), IsEmpty());
  EXPECT_THAT(reasons([](Asked& a) { a.data_model = "https://saref.etsi.org/core/HVAC"; }), IsEmpty());
  EXPECT_THAT(reasons([](Asked& a) { a.data_model = "SDT 3.0"; }), ElementsAre("DATA_MODEL_DIFFERS"));
}

// A credential of certificates: root, and a leaf that names its application.
class CertificateTest : public ::testing::Test {
 protected:
  static crypto::CertificateSpec SpecOf(const std::string& name, std::vector<std::string> uris = {}) {
    crypto::CertificateSpec spec;
    spec.common_name = name;
    spec.uris = std::move(uris);
    spec.not_before = kNow;
    spec.not_after = kNow + absl::Hours(1);
    return spec;
  }

  static std::string DigestOf(const crypto::CertificateAndKey& certificate) {
    return (*crypto::ParseChain({certificate.certificate_pem}))[0].sha256;
  }

  Asked Presenting(std::vector<std::string> chain) const {
    Asked asked;
    asked.app_id = kAppId;
    asked.ae_id = "/cse-1/C190";
    asked.certificates = std::move(chain);
    return asked;
  }

  Registration Registered() const {
    Registration registration = Good();
    registration.profile.root_of_trust_sha256 = DigestOf(root_);
    return registration;
  }

  const crypto::CertificateAndKey root_ = *crypto::MakeCertificateAuthority(SpecOf("root"));
  const crypto::CertificateAndKey other_root_ = *crypto::MakeCertificateAuthority(SpecOf("root"));
  const crypto::CertificateAndKey leaf_ = *crypto::IssueCertificate(
      root_, SpecOf("thermostat", {absl::StrCat(kAppIdUri, kAppId), absl::StrCat(kAeIdUri, "C190")}));
};

TEST_F(CertificateTest, AChainThatEndsInTheRegisteredRootHasNoFinding) {
  EXPECT_THAT(ReasonsOf(Presenting({leaf_.certificate_pem, root_.certificate_pem}), Registered()), IsEmpty());
  Registration registration = Registered();
  registration.profile.root_of_trust_sha256 =
      (*crypto::ParseChain({root_.certificate_pem}))[0].public_key_sha256;
  EXPECT_THAT(ReasonsOf(Presenting({leaf_.certificate_pem, root_.certificate_pem}), registration), IsEmpty());
}

TEST_F(CertificateTest, AnotherRootIsFoundAndAMissingOneToo) {
  const crypto::CertificateAndKey forged =
      *crypto::IssueCertificate(other_root_, SpecOf("thermostat", {absl::StrCat(kAppIdUri, kAppId)}));
  EXPECT_THAT(ReasonsOf(Presenting({forged.certificate_pem, other_root_.certificate_pem}), Registered()),
              ElementsAre("ROOT_OF_TRUST_DIFFERS"));
  EXPECT_THAT(ReasonsOf(Presenting({leaf_.certificate_pem}), Registered()),
              ElementsAre("ROOT_OF_TRUST_MISSING"));
}

TEST_F(CertificateTest, TheRegisteredRootBehindABreakIsNoRoot) {
  const crypto::CertificateAndKey forged =
      *crypto::IssueCertificate(other_root_, SpecOf("thermostat", {absl::StrCat(kAppIdUri, kAppId)}));
  EXPECT_THAT(ReasonsOf(Presenting({forged.certificate_pem, root_.certificate_pem}), Registered()),
              ElementsAre("CREDENTIAL_CHAIN_BROKEN", "ROOT_OF_TRUST_MISSING"));
  EXPECT_THAT(
      ReasonsOf(Presenting({forged.certificate_pem, other_root_.certificate_pem, root_.certificate_pem}),
                Registered()),
      ElementsAre("CREDENTIAL_CHAIN_BROKEN", "ROOT_OF_TRUST_DIFFERS"));
}

TEST_F(CertificateTest, ACertificateOfAnotherApplicationIsFound) {
  const auto reasons = [&](std::vector<std::string> uris) {
    const crypto::CertificateAndKey leaf = *crypto::IssueCertificate(root_, SpecOf("x", std::move(uris)));
    return ReasonsOf(Presenting({leaf.certificate_pem, root_.certificate_pem}), Registered());
  };
  const std::string app = absl::StrCat(kAppIdUri, kAppId);
  EXPECT_THAT(reasons({}), ElementsAre("CREDENTIAL_NAMES_NOBODY"));
  EXPECT_THAT(reasons({app, absl::StrCat(kAppIdUri, "Ra01.com.acme.other")}), IsEmpty()) << "names both";
  EXPECT_THAT(reasons({absl::StrCat(kAppIdUri, "Ra01.com.acme.other")}),
              ElementsAre("CREDENTIAL_OF_ANOTHER"));
  EXPECT_THAT(reasons({app, absl::StrCat(kAeIdUri, "C191")}), ElementsAre("CREDENTIAL_OF_ANOTHER"));
  EXPECT_THAT(reasons({app, absl::StrCat(kAeIdUri, "/cse-1/C190")}), IsEmpty());
  EXPECT_THAT(reasons({app, absl::StrCat(kAeIdUri, "/cse-2/C190")}), ElementsAre("CREDENTIAL_OF_ANOTHER"));
}

TEST_F(CertificateTest, ACertificateIsValidInItsTimeAndAnAnswerHoldsNoLonger) {
  const Asked asked = Presenting({leaf_.certificate_pem, root_.certificate_pem});
  const Registration registration = Registered();
  EXPECT_THAT(ReasonsOf(asked, registration, kNow - absl::Seconds(1)),
              ElementsAre("CREDENTIAL_NOT_YET_VALID"));
  EXPECT_EQ(AssessmentOf(asked, &registration, kNow).holds_until, kNow + absl::Hours(1));
  EXPECT_THAT(ReasonsOf(asked, registration, kNow + absl::Hours(1)), ElementsAre("CREDENTIAL_EXPIRED"));
}

TEST_F(CertificateTest, APromisedEnclaveIsAskedFor) {
  Registration registration = Registered();
  registration.profile.security_capability = SecurityCapability::kTrustedExecution;
  Asked asked = Presenting({leaf_.certificate_pem, root_.certificate_pem});
  EXPECT_THAT(ReasonsOf(asked, registration), ElementsAre("CREDENTIAL_PROTECTION_UNKNOWN"));
  asked.credential_protection = SecurityCapability::kSoftware;
  EXPECT_THAT(ReasonsOf(asked, registration), ElementsAre("CREDENTIAL_NOT_PROTECTED"));
  asked.credential_protection = SecurityCapability::kSecureElement;
  EXPECT_THAT(ReasonsOf(asked, registration), ElementsAre("CREDENTIAL_PROTECTION_UNKNOWN")) << "only said";
  asked.credential_protection_attested = true;
  EXPECT_THAT(ReasonsOf(asked, registration), IsEmpty());
  registration.profile.security_capability = SecurityCapability::kSecureElement;
  asked.credential_protection = SecurityCapability::kTrustedExecution;
  EXPECT_THAT(ReasonsOf(asked, registration), ElementsAre("CREDENTIAL_NOT_PROTECTED"));
}

TEST_F(CertificateTest, WhatIsPresentedMustBeWellFormed) {
  constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
  const auto parsed = [](auto spoil) {
    Asked asked = Ask();
    spoil(asked);
    return ParsePresented(asked).status();
  };
  EXPECT_THAT(parsed([](Asked& a) { a.app_id = "thermostat"; }), StatusIs(kInvalid, "APP_ID_MALFORMED"));
  EXPECT_THAT(parsed([](Asked& a) { a.ae_id = "nobody"; }), StatusIs(kInvalid, "AE_ID_MALFORMED"));
  EXPECT_THAT(parsed([](Asked& a) { a.root_of_trust_sha256 = "abc"; }),
              StatusIs(kInvalid, "ROOT_OF_TRUST_MALFORMED"));
  EXPECT_THAT(parsed([](Asked& a) { a.data_model = "a\nb"; }), StatusIs(kInvalid, "OBSERVATION_MALFORMED"));
  EXPECT_THAT(parsed([](Asked& a) { a.data_model.assign(257, 'x'); }),
              StatusIs(kInvalid, "OBSERVATION_MALFORMED"));
  EXPECT_THAT(parsed([](Asked& a) { a.application_class = static_cast<ApplicationClass>(9); }),
              StatusIs(kInvalid, "OBSERVATION_MALFORMED"));
  const auto malformed = StatusIs(kInvalid, "CREDENTIAL_MALFORMED");
  EXPECT_THAT(parsed([](Asked& a) { a.certificates = {"certificate"}; }), malformed);
  EXPECT_THAT(parsed([](Asked& a) { a.public_key_sha256 = "key"; }), malformed);
  EXPECT_THAT(parsed([&](Asked& a) { a.certificates = {leaf_.certificate_pem}; }), malformed)
      << "and a stated root of trust";
  EXPECT_THAT(parsed([&](Asked& a) {
                a.root_of_trust_sha256.clear();
                a.certificates = {leaf_.certificate_pem};
                a.pre_shared_key = true;
              }),
              malformed);
}

}  // namespace
}  // namespace countersign::appid_registry::domain
