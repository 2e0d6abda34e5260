#include "common/trust/revocation.h"

#include <string>

#include "absl/strings/str_replace.h"
#include "common/testing/status_matchers.h"
#include "common/trust/reasons.h"
#include "common/trust/test_repository.h"
#include "gtest/gtest.h"

namespace countersign::trust {
namespace {

RevocationStatement Statement() {
  return {.sha256 = std::string(64, 'a'),
          .target_path = "acme/lamp/fw.bin",
          .role_version = 3,
          .reason = "It opens a debug port.",
          .revoked_at = absl::FromUnixSeconds(1767225600)};
}

TEST(RevocationStatementTest, SurvivesTheRoundTripThroughItsSignedEnvelope) {
  const crypto::PemSigner authority = NewSigner();
  DsseEnvelope envelope = Statement().ToEnvelope();
  ASSERT_OK(envelope.Sign(authority));
  ASSERT_OK_AND_ASSIGN(const DsseEnvelope read, DsseEnvelope::Parse(envelope.Serialise()));
  ASSERT_OK_AND_ASSIGN(const RevocationStatement statement, RevocationStatement::Parse(read));
  EXPECT_EQ(statement.sha256, Statement().sha256);
  EXPECT_EQ(statement.target_path, Statement().target_path);
  EXPECT_EQ(statement.role_version, 3);
  EXPECT_EQ(statement.reason, Statement().reason);
  EXPECT_EQ(statement.revoked_at, Statement().revoked_at);
}

// An approval must never pass for a revocation, nor the other way round.
TEST(RevocationStatementTest, IsNoApprovalAndNoApprovalIsOne) {
  const DsseEnvelope revocation = Statement().ToEnvelope();
  EXPECT_THAT(ApprovalStatement::Parse(revocation), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
  ApprovalStatement approval;
  approval.sha256 = std::string(64, 'a');
  approval.target_path = "acme/lamp/fw.bin";
  EXPECT_THAT(RevocationStatement::Parse(approval.ToEnvelope()),
              StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
}

TEST(RevocationStatementTest, NonsenseIsRefused) {
  const DsseEnvelope good = Statement().ToEnvelope();
  const auto refused = [&](const std::string& from, const std::string& to) {
    DsseEnvelope envelope = good;
    envelope.payload = absl::StrReplaceAll(envelope.payload, {{from, to}});
    EXPECT_NE(envelope.payload, good.payload);
    EXPECT_THAT(RevocationStatement::Parse(envelope),
                StatusIs(absl::StatusCode::kInvalidArgument, kMalformed))
        << envelope.payload;
  };
  refused("It opens a debug port.", "");
  refused("2026-01-01T00:00:00Z", "yesterday");
  refused("\"roleVersion\":3", "\"roleVersion\":-1");
  refused("\"sha256\":\"a", "\"sha256\":\"x");
  refused("acme/lamp/fw.bin\"}", "\"}");
  refused("targetPath", "path");
  DsseEnvelope other = good;
  other.payload_type = "application/json";
  EXPECT_THAT(RevocationStatement::Parse(other), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
}

}  // namespace
}  // namespace countersign::trust
