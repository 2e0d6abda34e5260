#include "tools/ctl/review.h"

#include <string>

#include "absl/strings/str_replace.h"
#include "common/crypto/hex.h"
#include "common/testing/status_matchers.h"
#include "common/trust/client.h"
#include "common/trust/dsse.h"
#include "common/trust/keys.h"
#include "common/trust/reasons.h"
#include "common/trust/test_repository.h"
#include "gtest/gtest.h"

namespace countersign::ctl {
namespace {

namespace v1 = countersign::package_store::v1;

const absl::Time kNow = absl::FromUnixSeconds(1767225600);
constexpr char kLamp[] = "acme/lamp/lamp-1.bin";
constexpr char kDoor[] = "acme/door/door-1.bin";

// Version 1 of acme's role, with a lamp, is in force; version 2 leaves the lamp out and adds a door.
class ReviewTest : public ::testing::Test {
 protected:
  ReviewTest() : repository_(kNow), source_(&repository_.files) {
    repository_.AddManufacturer("acme", {"acme/*", "acme/*/*"});
    repository_.delegated["acme"].targets[kLamp] = trust::MakeTarget("lamp", 1, {"lamp-a"});
    repository_.Publish();
    next_ = repository_.delegated["acme"];
    next_.version = 2;
    next_.targets = {{kDoor, trust::MakeTarget("door", 3, {"door-a"}, "1.0.0")}};
  }

  v1::Proposal Proposal() {
    v1::Proposal proposal;
    proposal.set_name("manufacturers/acme/proposals/00000000000000000000000000000001");
    proposal.set_role_version(next_.version);
    proposal.set_metadata(trust::SignedBytes(next_.ToEnvelope(), {&repository_.manufacturer}));
    for (const auto& [path, target] : next_.targets) {
      v1::ProposedTarget& added = *proposal.add_changed_targets();
      added.set_target_path(path);
      added.set_length_bytes(target.length);
      added.set_sha256(target.sha256);
      for (const std::string& id : target.custom.hardware_ids) added.add_hardware_ids(id);
      added.set_version(target.custom.version);
      added.set_release_counter(*target.custom.release_counter);
    }
    return proposal;
  }
  absl::StatusOr<Review> Look(const v1::Proposal& proposal) {
    return ReviewProposal(proposal, source_, repository_.first_root, kNow);
  }

  trust::TestRepository repository_;
  trust::MapFetcher source_;
  trust::Targets next_;
};

// SC-MA
TEST_F(ReviewTest, TellsWhatChangesAgainstWhatIsInForceAndWhoseSignatureItHas) {
  ASSERT_OK_AND_ASSIGN(const Review review, Look(Proposal()));
  EXPECT_EQ(review.manufacturer, "acme");
  EXPECT_EQ(review.version_in_force, 1);
  EXPECT_EQ(review.manufacturer_key_id, trust::KeyId(repository_.manufacturer.public_key()));
  EXPECT_EQ(review.authority_key_id, trust::KeyId(repository_.authority.public_key()));
  ASSERT_EQ(review.changed.size(), 1u);
  EXPECT_EQ(review.changed[0].path, kDoor);
  EXPECT_FALSE(review.changed[0].before.has_value());
  EXPECT_EQ(review.removed, std::vector<std::string>{kLamp});
}

TEST_F(ReviewTest, ASignatureThatIsNotTheManufacturersOverTheseBytesIsRefused) {
  v1::Proposal proposal = Proposal();
  proposal.set_metadata(absl::StrReplaceAll(proposal.metadata(), {{"door-1.bin", "door-2.bin"}}));
  EXPECT_THAT(Look(proposal), StatusIs(absl::StatusCode::kInvalidArgument, trust::kSignatureInvalid));
  proposal.set_metadata(next_.ToEnvelope().Serialise());
  EXPECT_THAT(Look(proposal), StatusIs(absl::StatusCode::kInvalidArgument, trust::kThresholdNotMet));
  proposal.set_metadata(trust::SignedBytes(next_.ToEnvelope(), {&repository_.targets_signer}));
  EXPECT_THAT(Look(proposal), StatusIs(absl::StatusCode::kInvalidArgument, trust::kUnknownKey));
}

TEST_F(ReviewTest, AStoreThatTellsOtherThanTheSignedBytesIsFoundOut) {
  const auto refused = [&](auto change) {
    v1::Proposal proposal = Proposal();
    change(proposal);
    EXPECT_THAT(Look(proposal), StatusIs(absl::StatusCode::kDataLoss, "PROPOSAL_INCONSISTENT"));
  };
  refused([](v1::Proposal& p) { p.mutable_changed_targets(0)->set_sha256(std::string(64, '0')); });
  refused([](v1::Proposal& p) { p.mutable_changed_targets(0)->set_target_path(kLamp); });
  refused([](v1::Proposal& p) { p.mutable_changed_targets(0)->add_hardware_ids("lamp-a"); });
  refused([](v1::Proposal& p) { p.clear_changed_targets(); });
  refused([](v1::Proposal& p) { p.add_changed_targets()->set_target_path("acme/door/other.bin"); });
}

TEST_F(ReviewTest, OnlyTheNextVersionWithinTheRolesPathsIsToBeSigned) {
  next_.version = 3;
  EXPECT_THAT(Look(Proposal()), StatusIs(absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT"));
  next_.version = 2;
  next_.targets["zeta/door/door-1.bin"] = trust::MakeTarget("door", 1, {"door-a"});
  EXPECT_FALSE(Look(Proposal()).ok());
  next_.targets = {{kLamp, trust::MakeTarget("another lamp", 2, {"lamp-a"})}};
  EXPECT_FALSE(Look(Proposal()).ok());  // a path that is published keeps its bytes
}

// A store that hands out metadata of its own making is of no use to it.
TEST_F(ReviewTest, DelegationsThatTheRootDoesNotVouchForAreRefused) {
  trust::TestRepository impostor(kNow);
  impostor.AddManufacturer("acme", {"acme/*", "acme/*/*"});
  impostor.Publish();
  trust::MapFetcher source(&impostor.files);
  EXPECT_FALSE(ReviewProposal(Proposal(), source, repository_.first_root, kNow).ok());
}

// SC-GEN-11
TEST_F(ReviewTest, TheApprovalIsOverExactlyTheReviewedBytesAndByTheKeyThatIsToSign) {
  ASSERT_OK_AND_ASSIGN(const Review review, Look(Proposal()));
  EXPECT_THAT(SignApproval(review, 90, repository_.manufacturer, kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, "WRONG_KEY"));
  ASSERT_OK_AND_ASSIGN(const v1::ApproveProposalRequest request,
                       SignApproval(review, 90, repository_.authority, kNow));
  ASSERT_EQ(request.signatures_size(), 1);
  EXPECT_OK(repository_.authority.public_key().Verify(review.envelope.canonical(),
                                                      *crypto::HexDecode(request.signatures(0).signature())));
  ASSERT_EQ(request.approval_statements_size(), 1);
  EXPECT_EQ(trust::CheckApproval(request.approval_statements(0),
                                 trust::MakeKeyMap({repository_.authority.public_key()}),
                                 {next_.targets[kDoor].sha256, kDoor, "door-a", 3}, kNow),
            trust::ApprovalResult::kApproved);
}

}  // namespace
}  // namespace countersign::ctl
