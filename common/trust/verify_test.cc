#include "common/trust/verify.h"

#include <string>
#include <utility>

#include "common/testing/status_matchers.h"
#include "common/trust/reasons.h"
#include "common/trust/test_repository.h"
#include "gtest/gtest.h"

namespace countersign::trust {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);

class VerifyTest : public ::testing::Test {
 protected:
  VerifyTest() : repository_(kNow) {
    repository_.AddManufacturer("acme", {"acme/*", "acme/*/*"});
    next_.version = 2;
    next_.expires = kNow + absl::Hours(24);
    next_.targets["acme/lamp/fw-2.bin"] = MakeTarget("two", 2, {"lamp"});
    previous_.targets["acme/lamp/fw-1.bin"] = MakeTarget("one", 1, {"lamp"});
  }

  const Delegations& delegations() { return *repository_.targets.delegations; }
  std::string Bytes() {
    return SignedBytes(next_.ToEnvelope(), {&repository_.manufacturer, &repository_.authority});
  }
  absl::Status Verify(const std::string& bytes) {
    return VerifyDelegatedTargets(delegations(), "acme", bytes, &previous_, kNow).status();
  }

  TestRepository repository_;
  Targets next_;
  Targets previous_;
};

// PLUS-1
TEST_F(VerifyTest, BothPartiesTogetherMayPublish) { EXPECT_OK(Verify(Bytes())); }

// PLUS-1. Attack: arbitrary software, with a stolen manufacturer's key.
TEST_F(VerifyTest, OneOfTheTwoPartiesIsNotEnough) {
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument, kThresholdNotMet);
  EXPECT_THAT(Verify(SignedBytes(next_.ToEnvelope(), {&repository_.manufacturer})), refused);
  EXPECT_THAT(Verify(SignedBytes(next_.ToEnvelope(), {&repository_.authority})), refused);
  EXPECT_THAT(Verify(SignedBytes(next_.ToEnvelope(), {})), refused);
  const crypto::PemSigner stranger = NewSigner();
  EXPECT_THAT(Verify(SignedBytes(next_.ToEnvelope(), {&repository_.manufacturer, &stranger})), refused);
}

// Attack: metadata altered after it was signed.
TEST_F(VerifyTest, SignaturesOverOtherBytesAreInvalid) {
  Envelope approved = next_.ToEnvelope();
  ASSERT_OK(approved.Sign(repository_.manufacturer));
  ASSERT_OK(approved.Sign(repository_.authority));
  next_.targets["acme/lamp/fw-2.bin"].sha256 = std::string(64, 'a');
  Envelope altered = next_.ToEnvelope();
  for (const Signature& signature : approved.signatures()) altered.AddSignature(signature);
  EXPECT_THAT(Verify(altered.Serialise()), StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid));
  // The manufacturer signs what it altered; the authority's signature is still over the old bytes.
  ASSERT_OK(altered.Sign(repository_.manufacturer));
  EXPECT_THAT(Verify(altered.Serialise()), StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid));
  EXPECT_EQ(CountSignatures(altered, delegations().keys, delegations().Find("acme")->keys), 1);
}

TEST_F(VerifyTest, AThresholdCountsKeysAndNotIds) {
  // A key map that no Parse would give: one key under two ids.
  const crypto::PemSigner signer = NewSigner();
  const std::string other_id(64, 'a');
  KeyMap keys = MakeKeyMap({signer.public_key()});
  keys.emplace(other_id, signer.public_key());
  const RoleKeys role = {.key_ids = {KeyId(signer.public_key()), other_id}, .threshold = 2};
  Envelope envelope = next_.ToEnvelope();
  ASSERT_OK(envelope.Sign(signer));
  envelope.AddSignature({other_id, envelope.signatures()[0].bytes});
  EXPECT_THAT(VerifyThreshold(envelope, keys, role),
              StatusIs(absl::StatusCode::kInvalidArgument, kThresholdNotMet));
  EXPECT_THAT(CheckKeysDistinct(keys), StatusIs(absl::StatusCode::kInvalidArgument, kDuplicateKey));
}

TEST_F(VerifyTest, AKeyOfAnotherRoleDoesNotCount) {
  Envelope envelope = next_.ToEnvelope();
  ASSERT_OK(envelope.Sign(repository_.snapshot_signer));
  EXPECT_THAT(VerifyThreshold(envelope, repository_.root.keys, repository_.root.roles["targets"]),
              StatusIs(absl::StatusCode::kInvalidArgument, kThresholdNotMet));
  EXPECT_OK(VerifyThreshold(envelope, repository_.root.keys, repository_.root.roles["snapshot"]));
}

TEST_F(VerifyTest, ARoleThatIsNotDelegatedIsUnknown) {
  EXPECT_THAT(VerifyDelegatedTargets(delegations(), "other", Bytes(), nullptr, kNow),
              StatusIs(absl::StatusCode::kNotFound, kUnknownRole));
}

// Attack: metadata rollback.
TEST_F(VerifyTest, AVersionMustRise) {
  previous_.version = 2;
  EXPECT_THAT(Verify(Bytes()), StatusIs(absl::StatusCode::kFailedPrecondition, kMetadataRollback));
}

// Attack: freeze.
TEST_F(VerifyTest, ExpiredMetadataIsRefused) {
  next_.expires = kNow;
  EXPECT_THAT(Verify(Bytes()), StatusIs(absl::StatusCode::kFailedPrecondition, kExpired));
}

// Attack: delegation abuse.
TEST_F(VerifyTest, ARoleSpeaksForItsOwnPathsOnly) {
  for (const char* path : {"other/lamp/fw.bin", "acme/a/b/c", "acme", "pending/acme/fw.bin"}) {
    Targets saved = next_;
    next_.targets[path] = MakeTarget("x", 9, {"lamp"});
    EXPECT_THAT(Verify(Bytes()), StatusIs(absl::StatusCode::kInvalidArgument, kPathNotDelegated)) << path;
    next_ = std::move(saved);
  }
}

TEST_F(VerifyTest, AManufacturerMayNotDelegateFurther) {
  next_.delegations = delegations();
  EXPECT_THAT(Verify(Bytes()), StatusIs(absl::StatusCode::kInvalidArgument, kPathNotDelegated));
}

TEST_F(VerifyTest, CounterAndHardwareMustBeGiven) {
  Targets saved = next_;
  next_.targets["acme/lamp/fw-2.bin"].custom.release_counter.reset();
  EXPECT_THAT(Verify(Bytes()), StatusIs(absl::StatusCode::kInvalidArgument, kReleaseCounterMissing));
  next_ = saved;
  next_.targets["acme/lamp/fw-2.bin"].custom.hardware_ids.clear();
  EXPECT_THAT(Verify(Bytes()), StatusIs(absl::StatusCode::kInvalidArgument, kHardwareIdsMissing));
  next_ = saved;
  next_.targets["acme/lamp/fw-2.bin"].custom.ecu_identifiers["e"] = {"lamp", ""};
  EXPECT_THAT(Verify(Bytes()), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
}

// Attack: image rollback.
TEST_F(VerifyTest, ACounterDoesNotFall) {
  previous_.targets["acme/lamp/fw-1.bin"].custom.release_counter = 3;
  EXPECT_THAT(Verify(Bytes()), StatusIs(absl::StatusCode::kFailedPrecondition, kRollbackAttempt));
  // Of other hardware, or in another folder, it is another component's.
  previous_.targets["acme/lamp/fw-1.bin"].custom.hardware_ids = {"plug"};
  EXPECT_OK(Verify(Bytes()));
  previous_.targets = {{"acme/plug/fw-1.bin", MakeTarget("one", 3, {"lamp"})}};
  EXPECT_OK(Verify(Bytes()));
  // Nor for the path itself.
  previous_.targets = {{"acme/lamp/fw-2.bin", MakeTarget("two", 3, {"lamp"})}};
  EXPECT_THAT(Verify(Bytes()), StatusIs(absl::StatusCode::kFailedPrecondition, kRollbackAttempt));
}

TEST_F(VerifyTest, OldTargetsMayStayBesideNewOnes) {
  next_.targets["acme/lamp/fw-1.bin"] = previous_.targets["acme/lamp/fw-1.bin"];
  EXPECT_OK(Verify(Bytes()));
}

TEST_F(VerifyTest, APublishedPathKeepsItsBytes) {
  previous_.targets["acme/lamp/fw-2.bin"] = MakeTarget("other bytes", 2, {"lamp"});
  EXPECT_THAT(Verify(Bytes()), StatusIs(absl::StatusCode::kFailedPrecondition, kTargetChanged));
}

class RootTest : public ::testing::Test {
 protected:
  RootTest() : repository_(kNow), next_(repository_.root) { next_.version = 2; }
  absl::Status Succeed(const std::vector<const crypto::Signer*>& signers) {
    return VerifyRootSuccession(repository_.root, SignedBytes(next_.ToEnvelope(), signers)).status();
  }
  TestRepository repository_;
  Root next_;
};

TEST_F(RootTest, TheFirstRootMeetsItsOwnThreshold) {
  EXPECT_OK(VerifyFirstRoot(repository_.first_root));
  EXPECT_THAT(VerifyFirstRoot(SignedBytes(repository_.root.ToEnvelope(), {&repository_.root_signers[0]})),
              StatusIs(absl::StatusCode::kInvalidArgument, kThresholdNotMet));
}

TEST_F(RootTest, TheNextVersionSignedByBothThresholdsFollows) {
  EXPECT_OK(Succeed(repository_.RootSigners()));
}

// Attack: root rotation skipped.
TEST_F(RootTest, AVersionCannotBeSkippedOrRepeated) {
  next_.version = 3;
  EXPECT_THAT(Succeed(repository_.RootSigners()),
              StatusIs(absl::StatusCode::kFailedPrecondition, kRootSkipped));
  next_.version = 1;
  EXPECT_THAT(Succeed(repository_.RootSigners()),
              StatusIs(absl::StatusCode::kFailedPrecondition, kMetadataRollback));
}

// Attack: a root that its predecessor's keys did not sign, or that its own did not.
TEST_F(RootTest, OldAndNewThresholdsMustBothSign) {
  const crypto::PemSigner a = NewSigner();
  const crypto::PemSigner b = NewSigner();
  next_.roles["root"].key_ids.clear();
  next_.AddKey("root", a.public_key());
  next_.AddKey("root", b.public_key());
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument, kThresholdNotMet);
  EXPECT_THAT(Succeed({&a, &b}), refused);
  EXPECT_THAT(Succeed(repository_.RootSigners()), refused);
  EXPECT_THAT(Succeed({&repository_.root_signers[0], &a, &b}), refused);
  EXPECT_OK(Succeed({&repository_.root_signers[0], &repository_.root_signers[2], &a, &b}));
}

}  // namespace
}  // namespace countersign::trust
