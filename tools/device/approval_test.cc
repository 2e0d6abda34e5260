// SC-GEN-11, SC-USE-6, SC-USE-7, SC-ALT: the device checks the Management Authority's approval with its smart
// card (SoftHSM is the card), after download and before the image can be booted.
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/pkcs11/testing/card.h"
#include "common/crypto/pkcs11/testing/soft_hsm.h"
#include "common/crypto/pkcs11/verifier.h"
#include "common/file/file.h"
#include "common/testing/status_matchers.h"
#include "common/trust/dsse.h"
#include "common/trust/keys.h"
#include "gmock/gmock.h"
#include "tools/device/test_device.h"

namespace countersign::device {
namespace {

using crypto::pkcs11::Pkcs11Verifier;
using crypto::pkcs11::testing::SoftHsm;

constexpr char kSecret[] = "what card and authority share...";

class ApprovalTest : public DeviceTest {
 protected:
  explicit ApprovalTest(Provisioning provisioning = {})
      : DeviceTest(std::move(provisioning)), secret_id_(crypto::Sha256Hex("secret of card 4711")) {
    hsm_.AddToken("card");
    const crypto::PublicKey key = authority().public_key();
    crypto::pkcs11::testing::StorePublicKey(hsm_.Uri("card"), trust::KeyId(key), key);
    crypto::pkcs11::testing::StoreSecret(hsm_.Uri("card"), secret_id_, kSecret);
    Insert(hsm_.Uri("card"));
  }
  ~ApprovalTest() override { Halt(); }

  const crypto::Signer& authority() const { return offer_.images.authority; }

  void Insert(const std::string& uri) {
    Halt();
    card_ = nullptr;
    verifier_ = Pkcs11Verifier::Open(uri, clock_).value();
    card_ = verifier_.get();
    Boot();
  }
  void SetPolicy(ApprovalPolicy policy) {
    policy_ = policy;
    Boot();
  }

  std::string Signed(const trust::ApprovalStatement& statement, const crypto::Signer& signer) const {
    trust::DsseEnvelope envelope = statement.ToEnvelope();
    EXPECT_OK(envelope.Sign(signer));
    return envelope.Serialise();
  }
  std::string Authenticated(const trust::ApprovalStatement& statement) const {
    trust::DsseEnvelope envelope = statement.ToEnvelope();
    const std::string bytes = trust::DssePreAuthEncoding(envelope.payload_type, envelope.payload);
    envelope.signatures.push_back({secret_id_, crypto::HmacSha256(kSecret, crypto::Sha256(bytes))});
    return envelope.Serialise();
  }
  trust::ApprovalStatement Statement() const { return offer_.Statement(clock_.Now()); }

  // Each way in which an approval can be missing or wrong, and what the device is to find.
  struct Case {
    v1::ApprovalResult result;
    std::string statement;
    bool always_rejected = false;
  };
  std::vector<Case> Cases() {
    const std::string good = Signed(Statement(), authority());
    trust::ApprovalStatement other_image = Statement(), other_place = Statement(),
                             other_hardware = Statement(), other_release = Statement(), over = Statement();
    other_image.sha256 = crypto::Sha256Hex("another image");
    other_place.target_path = "acme/lamp/another.bin";
    other_hardware.hardware_ids = {"lamp-z"};
    other_release.release_counter = 99;
    over.valid_from = clock_.Now() - absl::Hours(2);
    over.valid_until = clock_.Now();
    trust::DsseEnvelope forged = Statement().ToEnvelope();
    forged.signatures = trust::DsseEnvelope::Parse(Signed(other_image, authority())).value().signatures;
    return {{v1::APPROVAL_RESULT_NO_STATEMENT, ""},
            {v1::APPROVAL_RESULT_NO_STATEMENT, Statement().ToEnvelope().Serialise()},
            {v1::APPROVAL_RESULT_BAD_SIGNATURE, forged.Serialise(), true},
            {v1::APPROVAL_RESULT_BAD_SIGNATURE, "nonsense", true},
            {v1::APPROVAL_RESULT_DIGEST_MISMATCH, Signed(other_image, authority()), true},
            {v1::APPROVAL_RESULT_DIGEST_MISMATCH, Authenticated(other_image), true},
            {v1::APPROVAL_RESULT_WRONG_TARGET, Signed(other_place, authority())},
            {v1::APPROVAL_RESULT_WRONG_TARGET, Signed(other_hardware, authority())},
            {v1::APPROVAL_RESULT_WRONG_TARGET, Signed(other_release, authority())},
            {v1::APPROVAL_RESULT_WRONG_TARGET, Authenticated(other_release)},
            {v1::APPROVAL_RESULT_EXPIRED, Signed(over, authority())},
            {v1::APPROVAL_RESULT_EXPIRED, Authenticated(over)},
            {v1::APPROVAL_RESULT_UNKNOWN_KEY, Signed(Statement(), offer_.images.manufacturer)}};
  }

  // The card is taken out, or does not work: what is found then.
  const std::vector<std::pair<v1::ApprovalResult, std::function<void()>>> card_faults_ = {
      {v1::APPROVAL_RESULT_CARD_ABSENT,
       [this] {
         hsm_.Remove();
         Insert(hsm_.Uri("card"));
       }},
      {v1::APPROVAL_RESULT_CARD_ERROR,
       [this] {
         hsm_.Insert();
         Insert(hsm_.Uri("card", "", SoftHsm::Module(), hsm_.FileWith("wrong", "4321")));
       }},
  };

  // Rejected: not in the slot, not bootable, and said why.
  void ExpectRejected(v1::ApprovalResult result) {
    ExpectRefused(common::v1::FAILURE_REASON_NOT_APPROVED);
    const v1::InstallImageResponse response = Send();
    EXPECT_EQ(ApprovalResult_Name(response.approval_result()), ApprovalResult_Name(result));
    EXPECT_FALSE(response.confirmation_required());
    EXPECT_THAT(Confirm(offer_.approved().sha256, true),
                StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_INSTALLED"));
  }
  // Whole in the slot, and not bootable, also after a restart, before the user says so.
  void ExpectAsks(v1::ApprovalResult result) {
    const v1::InstallImageResponse response = Send();
    EXPECT_TRUE(response.installed()) << response.failure_detail();
    EXPECT_TRUE(response.confirmation_required());
    EXPECT_EQ(ApprovalResult_Name(response.approval_result()), ApprovalResult_Name(result));
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(Describe().awaits_confirmation_sha256(), offer_.approved().sha256);
      EXPECT_THAT(Activate(), StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_CONFIRMED"));
      Boot();
      EXPECT_EQ(component().running().version, "1.0.0");
    }
    EXPECT_EQ(reboots_, 0);
  }

  const std::string secret_id_;
  SoftHsm hsm_;
  std::unique_ptr<Pkcs11Verifier> verifier_;
};

// SC-GEN-11: by the authority's public key on the card, or by the secret that it shares with the card.
TEST_F(ApprovalTest, WhatTheCardApprovesIsInstalledAndReportedSo) {
  for (const bool by_secret : {false, true}) {
    SCOPED_TRACE(by_secret);
    offer_.Release(absl::StrCat("image ", by_secret), 2, "2.0.0");
    offer_.approval = by_secret ? Authenticated(Statement()) : Signed(Statement(), authority());
    const v1::InstallImageResponse response = Send();
    ASSERT_TRUE(response.installed()) << response.failure_detail();
    EXPECT_EQ(response.approval_result(), v1::APPROVAL_RESULT_APPROVED);
    EXPECT_FALSE(response.confirmation_required());
    EXPECT_THAT(Report().approval_result, by_secret ? "APPROVED" : "") << "of what runs";
    ASSERT_OK(Activate());
    Boot();
    EXPECT_EQ(Describe().approval_result(), v1::APPROVAL_RESULT_APPROVED);
    const trust::VersionReport report = Report();
    EXPECT_EQ(report.sha256, offer_.approved().sha256);
    EXPECT_EQ(report.approval_result, "APPROVED");
    EXPECT_FALSE(report.approval_override);
  }
}

// SC-USE-6
TEST_F(ApprovalTest, EveryFailureIsRejectedByADeviceThatRejects) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(absl::StrCat(ApprovalResult_Name(c.result), " ", c.statement));
    offer_.approval = c.statement;
    ExpectRejected(c.result);
  }
  offer_.approval = Signed(Statement(), authority());
  for (const auto& [result, bring_about] : card_faults_) {
    SCOPED_TRACE(ApprovalResult_Name(result));
    bring_about();
    ExpectRejected(result);
  }
  // With the card as it should be all of this was nothing.
  Insert(hsm_.Uri("card"));
  ExpectWorks();
}

// SC-USE-7, SC-ALT: what nobody approved comes without an order, and only to a device that asks its user.
TEST_F(ApprovalTest, WhatIsPendingIsForTheUserOfADeviceThatAsksAndForNobodyElse) {
  const trust::TargetFile image = offer_.approved();
  constexpr char kPending[] = "pending/acme/fw-2.bin";
  offer_.images.delegated["acme-pending"].targets[kPending] = image;
  offer_.Publish();
  offer_.approval.clear();
  v1::InstallHeader header = offer_.Header();
  header.mutable_image()->set_target_path(kPending);
  v1::InstallHeader brought = header;
  brought.clear_director_metadata();
  ExpectRefused(common::v1::FAILURE_REASON_NOT_APPROVED, brought, offer_.image);
  SetPolicy(ApprovalPolicy::kAskUser);
  // With the Director's metadata it is a Director's order, and none that it may give.
  ExpectRefused(common::v1::FAILURE_REASON_NOT_APPROVED, header, offer_.image);
  v1::InstallHeader unknown = brought;
  unknown.mutable_image()->set_target_path("pending/acme/fw-3.bin");
  ExpectRefused(common::v1::FAILURE_REASON_NOT_APPROVED, unknown, offer_.image);
  ExpectRefused(common::v1::FAILURE_REASON_INTEGRITY, brought, "other bytes");

  const v1::InstallImageResponse response = Send(brought, offer_.image);
  EXPECT_TRUE(response.installed()) << response.failure_detail();
  EXPECT_TRUE(response.confirmation_required());
  EXPECT_EQ(response.approval_result(), v1::APPROVAL_RESULT_NO_STATEMENT);
  EXPECT_THAT(Activate(image.sha256), StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_CONFIRMED"));
  ASSERT_OK(Confirm(image.sha256, true));
  ASSERT_OK(Activate(image.sha256));
  Boot();
  EXPECT_EQ(component().running().sha256, image.sha256);
  EXPECT_TRUE(Report().approval_override);
}

// SC-USE-7
TEST_F(ApprovalTest, ADeviceThatAsksItsUserRejectsOnlyWhatIsForgedOrAboutAnotherImage) {
  SetPolicy(ApprovalPolicy::kAskUser);
  for (const Case& c : Cases()) {
    SCOPED_TRACE(absl::StrCat(ApprovalResult_Name(c.result), " ", c.statement));
    offer_.approval = c.statement;
    if (c.always_rejected) {
      ExpectRejected(c.result);
    } else {
      ExpectAsks(c.result);
    }
  }
  offer_.approval = Signed(Statement(), authority());
  for (const auto& [result, bring_about] : card_faults_) {
    SCOPED_TRACE(ApprovalResult_Name(result));
    bring_about();
    ExpectAsks(result);
  }
}

// SC-USE-7: the user's word is kept, and reported with the component's signature.
TEST_F(ApprovalTest, AnOverrideOfTheUserIsRecordedAndReported) {
  SetPolicy(ApprovalPolicy::kAskUser);
  ExpectAsks(v1::APPROVAL_RESULT_NO_STATEMENT);
  const std::string sha256 = offer_.approved().sha256;
  EXPECT_THAT(Confirm(sha256, true, ""), StatusIs(absl::StatusCode::kInvalidArgument, "PRINCIPAL_INVALID"));
  EXPECT_THAT(Confirm(crypto::Sha256Hex("another"), true),
              StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_INSTALLED"));
  ASSERT_OK(Confirm(sha256, true, "erika"));
  Boot();
  EXPECT_EQ(Describe().awaits_confirmation_sha256(), "");
  ASSERT_OK(Activate());
  Boot();
  EXPECT_TRUE(Describe().approval_override());
  const trust::VersionReport report = Report();
  EXPECT_EQ(report.sha256, sha256);
  EXPECT_EQ(report.approval_result, "NO_STATEMENT");
  EXPECT_TRUE(report.approval_override);
  const nlohmann::json record =
      nlohmann::json::parse(ReadFile(ComponentFolder() + "/confirmations.json").value());
  ASSERT_EQ(record["confirmations"].size(), 1u);
  EXPECT_EQ(record["confirmations"][0]["principal_id"], "erika");
  EXPECT_EQ(record["confirmations"][0]["sha256"], sha256);
  EXPECT_EQ(record["confirmations"][0]["approval_result"], "NO_STATEMENT");
  EXPECT_EQ(record["confirmations"][0]["confirmed"], true);
  // The next image has its own.
  offer_.Release("an approved image", 3, "3.0.0");
  offer_.approval = Signed(Statement(), authority());
  ExpectWorks();
  EXPECT_FALSE(Report().approval_override);
}

TEST_F(ApprovalTest, WhatTheUserDoesNotWantIsDiscarded) {
  SetPolicy(ApprovalPolicy::kAskUser);
  ExpectAsks(v1::APPROVAL_RESULT_NO_STATEMENT);
  ASSERT_OK(Confirm(offer_.approved().sha256, false));
  EXPECT_THAT(Activate(), StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_INSTALLED"));
  EXPECT_THAT(Confirm(offer_.approved().sha256, true),
              StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_INSTALLED"));
}

// FOTA-R5: nobody's word makes a device forget the check of what it has not asked about.
TEST_F(ApprovalTest, AConfirmationThatNobodyAskedForChangesNothing) {
  EXPECT_THAT(Confirm(offer_.approved().sha256, true),
              StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_INSTALLED"));
  offer_.approval = Signed(Statement(), authority());
  ExpectInstalls();
  EXPECT_THAT(Confirm(offer_.approved().sha256, false),
              StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_INSTALLED"));
  EXPECT_OK(Activate());
}

TEST_F(ApprovalTest, ADeviceWithoutACardInstallsWithoutTheCheckAndSaysNothingOfIt) {
  card_ = nullptr;
  Boot();
  ExpectWorks();
  EXPECT_EQ(Report().approval_result, "");
  EXPECT_EQ(Describe().approval_result(), v1::APPROVAL_RESULT_UNSPECIFIED);
}

// FOTA-K, SC-GEN-11: it cannot verify metadata; its card can verify the approval.
class ConstrainedApprovalTest : public ApprovalTest {
 protected:
  ConstrainedApprovalTest() : ApprovalTest({.constrained = true}) {}
};

TEST_F(ConstrainedApprovalTest, AConstrainedDeviceWithACardInstallsOnlyWhatIsApproved) {
  ExpectRejected(v1::APPROVAL_RESULT_NO_STATEMENT);
  offer_.approval = Signed(Statement(), authority());
  ExpectWorks();
}

}  // namespace
}  // namespace countersign::device
