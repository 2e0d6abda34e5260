// The life of a registration, who may issue what, and the terms that registrants sign.
#include <optional>
#include <string>

#include "common/crypto/signer.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "services/appid_registry/domain/authorities.h"
#include "services/appid_registry/domain/life.h"
#include "services/appid_registry/domain/registrant.h"

namespace countersign::appid_registry::domain {
namespace {

constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kFailedPrecondition = absl::StatusCode::kFailedPrecondition;

const absl::Time kNow = absl::FromUnixSeconds(1767268800);

TEST(LifeTest, EveryStateAndEventHasItsOutcome) {
  struct Case {
    State from;
    EventKind event;
    std::optional<State> to;
    const char* refusal;
  };
  const Case cases[] = {
      {State::kRegistered, EventKind::kRegistered, std::nullopt, "STATE_NOT_ALLOWED"},
      {State::kRegistered, EventKind::kUpdated, State::kRegistered, ""},
      {State::kRegistered, EventKind::kSuspended, State::kSuspended, ""},
      {State::kRegistered, EventKind::kReinstated, std::nullopt, "STATE_NOT_ALLOWED"},
      {State::kRegistered, EventKind::kRevoked, State::kRevoked, ""},
      {State::kSuspended, EventKind::kRegistered, std::nullopt, "STATE_NOT_ALLOWED"},
      {State::kSuspended, EventKind::kUpdated, State::kSuspended, ""},
      {State::kSuspended, EventKind::kSuspended, std::nullopt, "STATE_NOT_ALLOWED"},
      {State::kSuspended, EventKind::kReinstated, State::kRegistered, ""},
      {State::kSuspended, EventKind::kRevoked, State::kRevoked, ""},
      {State::kRevoked, EventKind::kRegistered, std::nullopt, "PROFILE_REVOKED"},
      {State::kRevoked, EventKind::kUpdated, std::nullopt, "PROFILE_REVOKED"},
      {State::kRevoked, EventKind::kSuspended, std::nullopt, "PROFILE_REVOKED"},
      {State::kRevoked, EventKind::kReinstated, std::nullopt, "PROFILE_REVOKED"},
      {State::kRevoked, EventKind::kRevoked, std::nullopt, "PROFILE_REVOKED"},
  };
  for (const Case& c : cases) {
    const absl::StatusOr<State> after = StateAfter(c.from, c.event);
    if (c.to.has_value()) {
      ASSERT_OK(after);
      EXPECT_EQ(*after, *c.to);
    } else {
      EXPECT_THAT(after, StatusIs(kFailedPrecondition, c.refusal))
          << static_cast<int>(c.from) << " " << static_cast<int>(c.event);
    }
  }
}

TEST(LifeTest, AChangeHasAReason) {
  EXPECT_OK(CheckReason("the key was stolen"));
  EXPECT_THAT(CheckReason(""), StatusIs(kInvalidArgument, "REASON_INVALID"));
  EXPECT_THAT(CheckReason(std::string(1001, 'x')), StatusIs(kInvalidArgument, "REASON_INVALID"));
  EXPECT_THAT(CheckReason("a\nb"), StatusIs(kInvalidArgument, "REASON_INVALID"));
}

// APPID-6
TEST(AuthoritiesTest, ARegistrarIssuesUnderItsOwnAuthorityIdsOnly) {
  ASSERT_OK_AND_ASSIGN(const Authorities authorities, Authorities::Parse("ara=a01,ara=a02,other=b7"));
  EXPECT_OK(authorities.Check("ara", "a01"));
  EXPECT_OK(authorities.Check("ara", "a02"));
  EXPECT_OK(authorities.Check("other", "b7"));
  for (const auto& [registrar, authority] :
       {std::pair("ara", "b7"), std::pair("other", "a01"), std::pair("nobody", "a01"),
        std::pair("ara", "A01"), std::pair("ara", ""), std::pair("", "a01")}) {
    EXPECT_THAT(authorities.Check(registrar, authority),
                StatusIs(absl::StatusCode::kPermissionDenied, "AUTHORITY_OF_ANOTHER"))
        << registrar << authority;
  }
}

TEST(AuthoritiesTest, WhatIsUnclearIsRefused) {
  for (const char* text :
       {"", "ara", "ara=", "=a01", "ara=a01,", "ara=a.01", "ara=a01,other=a01", "ara=a 1"}) {
    EXPECT_THAT(Authorities::Parse(text), StatusIs(kInvalidArgument, "AUTHORITIES_INVALID")) << text;
  }
}

class TermsTest : public ::testing::Test {
 protected:
  static std::string Signed(const onem2m::Terms& terms, const crypto::Signer& signer) {
    trust::Envelope envelope = terms.ToEnvelope();
    EXPECT_OK(envelope.Sign(signer));
    return envelope.Serialise();
  }

  const crypto::PemSigner key_ = *crypto::PemSigner::Generate(crypto::KeyType::kEcdsaP256);
  const crypto::PemSigner other_key_ = *crypto::PemSigner::Generate(crypto::KeyType::kEcdsaP256);
  const Registrant acme_{.id = "acme", .display_name = "Acme", .public_key_pem = key_.public_key().Pem()};
  const onem2m::Terms terms_{"Ra01.com.acme.app", "acme", "terms", "1", std::string(64, 'a'), kNow};
};

TEST_F(TermsTest, TheRegistrantsWordIsTaken) {
  EXPECT_OK(VerifyTerms(Signed(terms_, key_), acme_, "Ra01.com.acme.app", kNow));
  EXPECT_EQ(ReadTerms(Signed(terms_, key_))->terms_id, "terms");
}

TEST_F(TermsTest, ForgedAndReplayedTermsAreRefused) {
  const auto refused = StatusIs(kInvalidArgument, "TERMS_INVALID");
  EXPECT_THAT(VerifyTerms(Signed(terms_, other_key_), acme_, terms_.app_id, kNow), refused)
      << "another's key";
  EXPECT_THAT(VerifyTerms(Signed(terms_, key_), acme_, "Ra01.com.acme.other", kNow), refused)
      << "another App-ID";
  onem2m::Terms terms = terms_;
  terms.registrant = "zenith";
  EXPECT_THAT(VerifyTerms(Signed(terms, key_), acme_, terms.app_id, kNow), refused) << "another registrant";
  terms = terms_;
  terms.signed_at = kNow + absl::Hours(1);
  EXPECT_THAT(VerifyTerms(Signed(terms, key_), acme_, terms.app_id, kNow), refused) << "from the future";
  EXPECT_THAT(VerifyTerms(terms_.ToEnvelope().Serialise(), acme_, terms_.app_id, kNow), refused)
      << "not signed";
  std::string document = Signed(terms_, key_);
  document.replace(document.find("\"1\""), 3, "\"2\"");
  EXPECT_THAT(VerifyTerms(document, acme_, terms_.app_id, kNow), refused) << "another version";
  EXPECT_THAT(VerifyTerms("{}", acme_, terms_.app_id, kNow), refused);
  EXPECT_THAT(VerifyTerms("", acme_, terms_.app_id, kNow), refused);
}

TEST(RegistrantTest, ItsPartsAreChecked) {
  const std::string pem = crypto::PemSigner::Generate(crypto::KeyType::kEd25519)->public_key().Pem();
  EXPECT_OK(CheckRegistrant({.id = "acme", .display_name = "Acme", .public_key_pem = pem}));
  for (const char* id : {"", "Acme", "a/b", "-a", "a b"}) {
    EXPECT_THAT(CheckRegistrant({.id = id, .display_name = "Acme", .public_key_pem = pem}),
                StatusIs(kInvalidArgument, "REGISTRANT_INVALID"))
        << id;
  }
  EXPECT_THAT(CheckRegistrant({.id = "acme", .display_name = "", .public_key_pem = pem}),
              StatusIs(kInvalidArgument, "REGISTRANT_INVALID"));
  EXPECT_THAT(CheckRegistrant({.id = "acme", .display_name = "Acme", .public_key_pem = "key"}),
              StatusIs(kInvalidArgument, "KEY_INVALID"));
}

}  // namespace
}  // namespace countersign::appid_registry::domain
