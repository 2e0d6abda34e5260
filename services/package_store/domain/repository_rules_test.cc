#include "services/package_store/domain/repository_rules.h"

#include <string>
#include <vector>

#include "common/crypto/signer.h"
#include "common/testing/status_matchers.h"
#include "common/trust/keys.h"
#include "gtest/gtest.h"

namespace countersign::package_store {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);

crypto::PemSigner NewKey() { return *crypto::PemSigner::Generate(crypto::KeyType::kEd25519); }

TEST(RepositoryRulesTest, OnlineRolesAreDueWhenHalfTheirLifeIsOver) {
  EXPECT_FALSE(OnlineLifetimes::IsDue(kNow + absl::Hours(13), absl::Hours(24), kNow));
  EXPECT_TRUE(OnlineLifetimes::IsDue(kNow + absl::Hours(12), absl::Hours(24), kNow));
  EXPECT_TRUE(OnlineLifetimes::IsDue(kNow - absl::Hours(1), absl::Hours(24), kNow));
}

// The operator, the authority and the service, with a key each.
class RootTest : public ::testing::Test {
 protected:
  RootTest() {
    root_.expires = kNow + absl::Hours(1);
    for (const char* role : {"root", "targets"}) {
      root_.AddKey(role, operator_.public_key());
      root_.AddKey(role, authority_.public_key());
      root_.AddKey(role, second_.public_key());
      root_.roles[role].threshold = 2;
    }
    for (const char* role : {"snapshot", "timestamp"}) root_.AddKey(role, online_.public_key());
    root_.parties["operator"] = {IdOf(operator_), IdOf(second_)};
    root_.parties["authority"] = {IdOf(authority_)};
  }
  static std::string IdOf(const crypto::Signer& key) { return trust::KeyId(key.public_key()); }
  static std::string Sign(trust::Envelope envelope, const std::vector<const crypto::Signer*>& signers) {
    for (const crypto::Signer* signer : signers) EXPECT_OK(envelope.Sign(*signer));
    return envelope.Serialise();
  }
  absl::Status Check(const trust::Root& candidate, const trust::Root* current = nullptr) {
    return CheckRoot(current, Sign(candidate.ToEnvelope(), {&operator_, &authority_}), {&online_, &online_},
                     kNow)
        .status();
  }

  const crypto::PemSigner operator_ = NewKey();
  const crypto::PemSigner second_ = NewKey();
  const crypto::PemSigner authority_ = NewKey();
  const crypto::PemSigner online_ = NewKey();
  trust::Root root_;
};

TEST_F(RootTest, NeedsConsistentSnapshotsAndAFuture) {
  EXPECT_OK(Check(root_));
  trust::Root changed = root_;
  changed.expires = kNow;
  EXPECT_THAT(Check(changed), StatusIs(absl::StatusCode::kInvalidArgument, "EXPIRED_METADATA"));
  changed = root_;
  changed.version = 2;
  EXPECT_THAT(Check(changed), StatusIs(absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT"));
  changed = root_;
  changed.consistent_snapshot = false;
  EXPECT_THAT(Check(changed), StatusIs(absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED"));
  changed = root_;
  changed.parties.clear();
  EXPECT_THAT(Check(changed), StatusIs(absl::StatusCode::kInvalidArgument, "PARTIES_NOT_DECLARED"));
}

// PLUS-1: two of the operator's keys meet the threshold of any client, and not the store's rule.
TEST_F(RootTest, NeedsBothOrganisationsOfTheVersionBeforeAndOfItsOwn) {
  const auto check = [&](const trust::Root* current, const trust::Root& next,
                         const std::vector<const crypto::Signer*>& signers) {
    return CheckRoot(current, Sign(next.ToEnvelope(), signers), {&online_, &online_}, kNow).status();
  };
  const auto kRefused = StatusIs(absl::StatusCode::kInvalidArgument, "THRESHOLD_NOT_MET");
  EXPECT_THAT(check(nullptr, root_, {&operator_, &second_}), kRefused);
  trust::Root next = root_;
  next.version = 2;
  EXPECT_OK(check(&root_, next, {&operator_, &authority_}));
  EXPECT_THAT(check(&root_, next, {&operator_, &second_}), kRefused);
  // The operator puts a key of its own in the authority's place.
  const crypto::PemSigner usurper = NewKey();
  for (const char* role : {"root", "targets"}) {
    next.roles[role].key_ids[1] = IdOf(usurper);
    next.keys.emplace(IdOf(usurper), usurper.public_key());
  }
  next.keys.erase(IdOf(authority_));
  next.parties["authority"] = {IdOf(usurper)};
  EXPECT_THAT(check(&root_, next, {&operator_, &second_, &usurper}), kRefused);
  EXPECT_OK(check(&root_, next, {&operator_, &usurper, &authority_}));
}

TEST_F(RootTest, OneWithoutPartiesFromBeforeThereWereAnyIsFollowedByOneThatDeclaresThem) {
  trust::Root before = root_;
  before.parties.clear();
  root_.version = 2;
  EXPECT_OK(Check(root_, &before));
}

TEST_F(RootTest, TargetsWithOtherKeysOfTheAuthorityNeedTheAuthority) {
  const crypto::PemSigner acme = NewKey();
  trust::Targets targets;
  targets.expires = kNow + absl::Hours(1);
  targets.delegations.emplace();
  targets.delegations->roles.push_back(
      {.name = "acme", .keys = {.threshold = 2}, .paths = {"acme/*", "acme/*/*"}});
  targets.delegations->AddKey(acme.public_key());
  targets.delegations->AddKey(authority_.public_key());
  targets.parties = {{"acme", {IdOf(acme)}}, {"authority", {IdOf(authority_)}}};
  const auto check = [&](const trust::Targets* current, const std::vector<const crypto::Signer*>& signers) {
    return CheckTopTargets(root_, current, Sign(targets.ToEnvelope(), signers), kNow).status();
  };
  EXPECT_THAT(check(nullptr, {&operator_, &second_}),
              StatusIs(absl::StatusCode::kInvalidArgument, "THRESHOLD_NOT_MET"));
  EXPECT_OK(check(nullptr, {&operator_, &authority_}));
  const trust::Targets current = targets;
  targets.version = 2;
  EXPECT_OK(check(&current, {&operator_, &second_}));
  targets.parties.clear();
  EXPECT_THAT(check(&current, {&operator_, &authority_}),
              StatusIs(absl::StatusCode::kInvalidArgument, "PARTIES_NOT_DECLARED"));
}

}  // namespace
}  // namespace countersign::package_store
