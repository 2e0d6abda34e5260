#include "services/package_store/domain/repository_rules.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/crypto/signer.h"
#include "common/testing/status_matchers.h"
#include "common/trust/keys.h"
#include "gtest/gtest.h"

namespace countersign::package_store {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);

crypto::PemSigner NewKey() { return *crypto::PemSigner::Generate(crypto::KeyType::kEd25519); }

// acme's role, as it must be, and beside it the role that tells which key is acme's.
class DelegationsTest : public ::testing::Test {
 protected:
  DelegationsTest() {
    Add("acme", {"acme/*", "acme/*/*"}, 2, {acme_, authority_});
    Add("acme-pending", {"pending/acme/*", "pending/acme/*/*"}, 1, {acme_});
  }
  void Add(const std::string& name, std::vector<std::string> paths, int threshold,
           const std::vector<crypto::PemSigner>& keys) {
    trust::Delegation role;
    role.name = name;
    role.paths = std::move(paths);
    role.keys.threshold = threshold;
    delegations_.roles.push_back(role);
    for (const crypto::PemSigner& key : keys) delegations_.AddKey(key.public_key());
  }

  crypto::PemSigner acme_ = NewKey();
  crypto::PemSigner authority_ = NewKey();
  trust::Delegations delegations_;
};

TEST_F(DelegationsTest, ARoleOfTwoPartiesIsAccepted) {
  EXPECT_OK(CheckDelegations(delegations_));
  delegations_.roles.pop_back();  // `pending` may be left out
  EXPECT_OK(CheckDelegations(delegations_));
}

// PLUS-1
TEST_F(DelegationsTest, WhateverOnePartyCouldSignAloneIsRefused) {
  const auto refused = [&](const std::function<void(trust::Delegations&)>& change,
                           const std::string& reason) {
    trust::Delegations changed = delegations_;
    change(changed);
    EXPECT_THAT(CheckDelegations(changed), StatusIs(absl::StatusCode::kInvalidArgument, reason));
  };
  refused([](trust::Delegations& d) { d.roles[0].keys.threshold = 1; }, "PARTIES_NOT_DISTINCT");
  refused([](trust::Delegations& d) { d.roles[0].keys.key_ids.pop_back(); }, "PARTIES_NOT_DISTINCT");
  refused([](trust::Delegations& d) { d.roles[0].keys.key_ids[1] = d.roles[0].keys.key_ids[0]; },
          "PARTIES_NOT_DISTINCT");
  // Two keys of the manufacturer's, or none.
  refused([](trust::Delegations& d) { d.roles[1].keys.key_ids = d.roles[0].keys.key_ids; },
          "PARTIES_NOT_DISTINCT");
  refused(
      [](trust::Delegations& d) {
        const crypto::PemSigner other = NewKey();
        d.roles[1].keys.key_ids.clear();
        d.AddKey(other.public_key());
      },
      "PARTIES_NOT_DISTINCT");
  refused([](trust::Delegations& d) { d.roles[0].terminating = false; }, "PATH_NOT_ALLOWED");
  refused([](trust::Delegations& d) { d.roles[0].paths = {}; }, "PATH_NOT_ALLOWED");
  refused([](trust::Delegations& d) { d.roles[0].paths.push_back("*"); }, "PATH_NOT_ALLOWED");
  refused([](trust::Delegations& d) { d.roles[0].paths = {"zeta/*"}; }, "PATH_NOT_ALLOWED");
  refused([](trust::Delegations& d) { d.roles[1].paths = {"acme/*"}; }, "PATH_NOT_ALLOWED");
  refused([](trust::Delegations& d) { d.roles.push_back(d.roles[0]); }, "METADATA_MALFORMED");
  refused([](trust::Delegations& d) { d.roles[0].name = "snapshot"; }, "METADATA_MALFORMED");
}

TEST_F(DelegationsTest, AKeyOfOneManufacturerDoesNotSignForAnother) {
  Add("zeta", {"zeta/*/*"}, 2, {acme_, authority_});
  EXPECT_THAT(CheckDelegations(delegations_),
              StatusIs(absl::StatusCode::kInvalidArgument, "PARTIES_NOT_DISTINCT"));
}

TEST(RepositoryRulesTest, OnlineRolesAreDueWhenHalfTheirLifeIsOver) {
  EXPECT_FALSE(OnlineLifetimes::IsDue(kNow + absl::Hours(13), absl::Hours(24), kNow));
  EXPECT_TRUE(OnlineLifetimes::IsDue(kNow + absl::Hours(12), absl::Hours(24), kNow));
  EXPECT_TRUE(OnlineLifetimes::IsDue(kNow - absl::Hours(1), absl::Hours(24), kNow));
}

TEST(RepositoryRulesTest, ARootNeedsConsistentSnapshotsAndAFuture) {
  const crypto::PemSigner key = NewKey();
  const OnlineKeys keys{&key, &key};
  trust::Root root;
  root.expires = kNow + absl::Hours(1);
  for (const char* role : {"root", "targets", "snapshot", "timestamp"}) root.AddKey(role, key.public_key());
  const auto check = [&](const trust::Root& candidate) {
    trust::Envelope envelope = candidate.ToEnvelope();
    EXPECT_OK(envelope.Sign(key));
    return CheckRoot(nullptr, envelope.Serialise(), keys, kNow).status();
  };
  EXPECT_OK(check(root));
  trust::Root changed = root;
  changed.expires = kNow;
  EXPECT_THAT(check(changed), StatusIs(absl::StatusCode::kInvalidArgument, "EXPIRED_METADATA"));
  changed = root;
  changed.version = 2;
  EXPECT_THAT(check(changed), StatusIs(absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT"));
  changed = root;
  changed.consistent_snapshot = false;
  EXPECT_THAT(check(changed), StatusIs(absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED"));
}

}  // namespace
}  // namespace countersign::package_store
