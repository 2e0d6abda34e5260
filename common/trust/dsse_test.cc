#include "common/trust/dsse.h"

#include <string>

#include "common/testing/status_matchers.h"
#include "common/trust/reasons.h"
#include "common/trust/test_repository.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);

// The example of the DSSE specification, protocol.md.
TEST(DsseTest, ThePreAuthenticationEncodingIsThatOfTheSpecification) {
  EXPECT_EQ(DssePreAuthEncoding("http://example.com/HelloWorld", "hello world"),
            "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

TEST(DsseTest, AnEnvelopeSurvivesTheRoundTrip) {
  const crypto::PemSigner signer = NewSigner();
  DsseEnvelope envelope = {.payload_type = "text/plain", .payload = "hello"};
  ASSERT_OK(envelope.Sign(signer));
  ASSERT_OK(envelope.Sign(signer));
  ASSERT_EQ(envelope.signatures.size(), 1u);
  ASSERT_OK_AND_ASSIGN(const DsseEnvelope read, DsseEnvelope::Parse(envelope.Serialise()));
  EXPECT_EQ(read.payload, "hello");
  EXPECT_EQ(read.Serialise(), envelope.Serialise());
}

TEST(DsseTest, NonsenseIsRefused) {
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument, kMalformed);
  for (const char* text : {"", "[]", "{}", R"({"payload":"!","payloadType":"t","signatures":[]})",
                           R"({"payload":"","payloadType":"","signatures":[]})",
                           R"({"payload":"","payloadType":"t","signatures":[{}]})",
                           R"({"payload":"","payloadType":"t","signatures":{}})"}) {
    EXPECT_THAT(DsseEnvelope::Parse(text), refused) << text;
  }
  EXPECT_THAT(DsseEnvelope::Parse(std::string(100'000, ' ')),
              StatusIs(absl::StatusCode::kResourceExhausted, kLengthExceeded));
}

class ApprovalTest : public ::testing::Test {
 protected:
  ApprovalTest() : authority_(NewSigner()), keys_(MakeKeyMap({authority_.public_key()})) {
    statement_.sha256 = std::string(64, 'a');
    statement_.target_path = "acme/lamp/fw.bin";
    statement_.role_version = 3;
    statement_.hardware_ids = {"lamp-a", "lamp-b"};
    statement_.release_counter = 2;
    statement_.valid_from = kNow;
    statement_.valid_until = kNow + absl::Hours(24);
    subject_ = {statement_.sha256, statement_.target_path, "lamp-b", 2};
  }
  std::string Bytes(const crypto::Signer& signer) {
    DsseEnvelope envelope = statement_.ToEnvelope();
    EXPECT_OK(envelope.Sign(signer));
    return envelope.Serialise();
  }
  ApprovalResult Check() { return CheckApproval(Bytes(authority_), keys_, subject_, kNow); }

  crypto::PemSigner authority_;
  KeyMap keys_;
  ApprovalStatement statement_;
  ApprovalSubject subject_;
};

// SC-GEN-11
TEST_F(ApprovalTest, TheAuthoritysWordAboutThisImageApproves) {
  EXPECT_EQ(Check(), ApprovalResult::kApproved);
  // From a memory card nobody tells the counter (SC-ALT).
  subject_.release_counter = 0;
  EXPECT_EQ(Check(), ApprovalResult::kApproved);
}

TEST_F(ApprovalTest, TheStatementIsAnInTotoStatement) {
  const nlohmann::json document = nlohmann::json::parse(statement_.ToEnvelope().payload);
  EXPECT_EQ(document["_type"], "https://in-toto.io/Statement/v1");
  EXPECT_EQ(document["subject"][0]["name"], "acme/lamp/fw.bin");
  EXPECT_EQ(document["subject"][0]["digest"]["sha256"], statement_.sha256);
  EXPECT_EQ(document["subject"].size(), 1u);
  EXPECT_EQ(document["predicate"]["releaseCounter"], 2);
}

TEST_F(ApprovalTest, EachFailureHasItsResult) {
  EXPECT_EQ(CheckApproval("", keys_, subject_, kNow), ApprovalResult::kNoStatement);
  EXPECT_EQ(CheckApproval("nonsense", keys_, subject_, kNow), ApprovalResult::kBadSignature);
  EXPECT_EQ(CheckApproval(statement_.ToEnvelope().Serialise(), keys_, subject_, kNow),
            ApprovalResult::kNoStatement);
  EXPECT_EQ(CheckApproval(Bytes(NewSigner()), keys_, subject_, kNow), ApprovalResult::kUnknownKey);
  EXPECT_EQ(CheckApproval(Bytes(authority_), keys_, subject_, kNow - absl::Seconds(1)),
            ApprovalResult::kExpired);
  EXPECT_EQ(CheckApproval(Bytes(authority_), keys_, subject_, kNow + absl::Hours(24)),
            ApprovalResult::kExpired);

  const ApprovalSubject good = subject_;
  subject_.sha256 = std::string(64, 'b');
  EXPECT_EQ(Check(), ApprovalResult::kDigestMismatch);
  subject_ = good;
  subject_.target_path = "acme/plug/fw.bin";
  EXPECT_EQ(Check(), ApprovalResult::kWrongTarget);
  subject_ = good;
  subject_.hardware_id = "plug";
  EXPECT_EQ(Check(), ApprovalResult::kWrongTarget);
  subject_ = good;
  subject_.release_counter = 3;
  EXPECT_EQ(Check(), ApprovalResult::kWrongTarget);
}

TEST_F(ApprovalTest, AnAlteredStatementIsABadSignature) {
  ASSERT_OK_AND_ASSIGN(const DsseEnvelope genuine, DsseEnvelope::Parse(Bytes(authority_)));
  statement_.sha256 = subject_.sha256 = std::string(64, 'c');
  DsseEnvelope forged = statement_.ToEnvelope();
  forged.signatures = genuine.signatures;
  EXPECT_EQ(CheckApproval(forged.Serialise(), keys_, subject_, kNow), ApprovalResult::kBadSignature);
  // The payload type is signed, too.
  forged = genuine;
  forged.payload_type = "text/plain";
  EXPECT_EQ(CheckApproval(forged.Serialise(), keys_, subject_, kNow), ApprovalResult::kBadSignature);
}

TEST_F(ApprovalTest, OnlyForgeriesAreRejectedWhateverThePolicy) {
  EXPECT_TRUE(MustReject(ApprovalResult::kBadSignature));
  EXPECT_TRUE(MustReject(ApprovalResult::kDigestMismatch));
  EXPECT_FALSE(MustReject(ApprovalResult::kNoStatement));
  EXPECT_FALSE(MustReject(ApprovalResult::kExpired));
  EXPECT_EQ(ApprovalResultName(ApprovalResult::kWrongTarget), "WRONG_TARGET");
  EXPECT_EQ(ApprovalResultName(ApprovalResult::kCardError), "CARD_ERROR");
}

}  // namespace
}  // namespace countersign::trust
