#include "common/trust/parties.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/testing/status_matchers.h"
#include "common/trust/keys.h"
#include "common/trust/reasons.h"
#include "common/trust/test_repository.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::trust {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

std::string IdOf(const crypto::Signer& signer) { return KeyId(signer.public_key()); }

TEST(ManufacturerIdTest, IsNoNameThatMeansSomethingElse) {
  for (const char* id : {"acme", "a", "7", "acme-2", "pending-acme"}) EXPECT_TRUE(IsManufacturerId(id)) << id;
  for (const char* id : {"", "-acme", "acme-", "Acme", "ac me", "../x", "root", "targets", "snapshot",
                         "timestamp", "pending", "acme-pending", "operator", "authority"}) {
    EXPECT_FALSE(IsManufacturerId(id)) << id;
  }
  EXPECT_FALSE(IsManufacturerId(std::string(57, 'a')));
}

// A root 2 of 4 between two organisations, as it must be.
class RootPartiesTest : public ::testing::Test {
 protected:
  RootPartiesTest() {
    for (const crypto::PemSigner* key : {&operator_a_, &operator_b_, &authority_a_, &authority_b_}) {
      root_.AddKey("root", key->public_key());
    }
    root_.roles["root"].threshold = 2;
    root_.AddKey("targets", operator_a_.public_key());
    root_.AddKey("targets", authority_a_.public_key());
    root_.AddKey("snapshot", online_.public_key());
    root_.AddKey("timestamp", online_.public_key());
    root_.parties = {{kOperatorParty, {IdOf(operator_a_), IdOf(operator_b_)}},
                     {kAuthorityParty, {IdOf(authority_a_), IdOf(authority_b_)}}};
  }
  Envelope SignedBy(const std::vector<const crypto::Signer*>& signers) {
    return *Envelope::Parse(SignedBytes(root_.ToEnvelope(), signers));
  }
  absl::Status CheckChanged(const std::function<void(Root&)>& change) {
    Root changed = root_;
    change(changed);
    return CheckRootParties(changed);
  }

  const crypto::PemSigner operator_a_ = NewSigner();
  const crypto::PemSigner operator_b_ = NewSigner();
  const crypto::PemSigner authority_a_ = NewSigner();
  const crypto::PemSigner authority_b_ = NewSigner();
  const crypto::PemSigner online_ = NewSigner();
  Root root_;
};

// PLUS-1
TEST_F(RootPartiesTest, EveryKeyThatSignsOfflineIsExactlyOneOrganisations) {
  EXPECT_OK(CheckRootParties(root_));
  const auto refused = [&](const std::function<void(Root&)>& change, const char* reason) {
    EXPECT_THAT(CheckChanged(change), StatusIs(absl::StatusCode::kInvalidArgument, reason));
  };
  refused([](Root& root) { root.parties.clear(); }, kPartiesNotDeclared);
  refused([](Root& root) { root.parties[kAuthorityParty].pop_back(); }, kPartiesNotDeclared);
  refused([&](Root& root) { root.parties[kAuthorityParty].push_back(IdOf(operator_a_)); },
          kPartiesNotDistinct);
  refused([](Root& root) { root.parties[kOperatorParty].push_back(std::string(64, 'a')); }, kMalformed);
  refused([](Root& root) { root.parties["acme"] = {}; }, kMalformed);
  refused([](Root& root) { root.roles["targets"].key_ids.pop_back(); }, kPartiesNotDistinct);
  // Whoever steals the key that signs online would have a vote.
  refused(
      [&](Root& root) {
        root.AddKey("targets", online_.public_key());
        root.parties[kOperatorParty].push_back(IdOf(online_));
      },
      kPartiesNotDistinct);
}

// PLUS-1
TEST_F(RootPartiesTest, NeitherOrganisationChangesTheRootAloneWhateverTheThreshold) {
  EXPECT_OK(VerifyBothParties(SignedBy({&operator_a_, &authority_b_}), root_));
  for (const auto& envelope :
       {SignedBy({&operator_a_, &operator_b_}), SignedBy({&authority_a_, &authority_b_}),
        SignedBy({&operator_a_, &online_}), SignedBy({})}) {
    EXPECT_THAT(VerifyBothParties(envelope, root_),
                StatusIs(absl::StatusCode::kInvalidArgument, kThresholdNotMet));
  }
}

TEST_F(RootPartiesTest, SignersAreTheRolesKeysWhoseSignaturesAreValid) {
  Envelope envelope = SignedBy({&operator_a_, &online_});
  envelope.AddSignature({IdOf(authority_a_), "no signature"});
  EXPECT_THAT(SignersByParty(envelope, root_.keys, root_.roles["root"], root_.parties),
              ElementsAre(Pair(kOperatorParty, ElementsAre(IdOf(operator_a_)))));
}

// acme's role, as it must be, and beside it the role of what waits.
class DelegationsTest : public RootPartiesTest {
 protected:
  DelegationsTest() {
    targets_.delegations.emplace();
    Add("acme", {"acme/*", "acme/*/*"}, 2, {acme_, authority_});
    Add("acme-pending", {"pending/acme/*", "pending/acme/*/*"}, 1, {acme_});
    targets_.parties = {{"acme", {IdOf(acme_)}}, {kAuthorityParty, {IdOf(authority_)}}};
  }
  void Add(const std::string& name, std::vector<std::string> paths, int threshold,
           const std::vector<crypto::PemSigner>& keys) {
    targets_.delegations->roles.push_back(
        {.name = name, .keys = {.threshold = threshold}, .paths = std::move(paths)});
    for (const crypto::PemSigner& key : keys) targets_.delegations->AddKey(key.public_key());
  }
  void Refused(const std::function<void(Targets&)>& change, const char* reason) {
    Targets changed = targets_;
    change(changed);
    EXPECT_THAT(CheckDelegations(changed, &root_), StatusIs(absl::StatusCode::kInvalidArgument, reason));
  }

  const crypto::PemSigner acme_ = NewSigner();
  const crypto::PemSigner authority_ = NewSigner();
  Targets targets_;
};

TEST_F(DelegationsTest, ARoleOfTwoPartiesIsAccepted) {
  EXPECT_OK(CheckDelegations(targets_, &root_));
  EXPECT_OK(CheckDelegations(targets_, nullptr));
  targets_.delegations->roles.pop_back();  // the pending role may be left out
  EXPECT_OK(CheckDelegations(targets_, &root_));
  EXPECT_OK(CheckDelegations(Targets(), &root_));
}

// PLUS-1
TEST_F(DelegationsTest, WhateverOnePartyCouldSignAloneIsRefused) {
  const auto roles = [](Targets& targets) -> std::vector<Delegation>& { return targets.delegations->roles; };
  Refused([&](Targets& t) { roles(t)[0].keys.threshold = 1; }, kPartiesNotDistinct);
  Refused([&](Targets& t) { roles(t)[0].keys.key_ids.pop_back(); }, kPartiesNotDistinct);
  Refused([&](Targets& t) { roles(t)[0].keys.key_ids[1] = IdOf(acme_); }, kPartiesNotDistinct);
  Refused([&](Targets& t) { roles(t)[0].keys.key_ids.push_back(IdOf(acme_)); }, kPartiesNotDistinct);
  Refused([&](Targets& t) { roles(t)[0].terminating = false; }, kPathNotDelegated);
  Refused([&](Targets& t) { roles(t)[0].paths = {}; }, kPathNotDelegated);
  Refused([&](Targets& t) { roles(t)[0].paths.push_back("*"); }, kPathNotDelegated);
  Refused([&](Targets& t) { roles(t)[0].paths = {"zeta/*"}; }, kPathNotDelegated);
  Refused([&](Targets& t) { roles(t)[1].paths = {"acme/*"}; }, kPathNotDelegated);
  Refused([&](Targets& t) { roles(t)[1].keys = {{IdOf(acme_), IdOf(authority_)}, 2}; }, kMalformed);
  Refused([&](Targets& t) { roles(t)[1].keys.key_ids = {IdOf(authority_)}; }, kPartiesNotDistinct);
  Refused([&](Targets& t) { roles(t).push_back(roles(t)[0]); }, kMalformed);
  Refused([&](Targets& t) { roles(t)[0].name = "operator"; }, kMalformed);
}

// PLUS-1: the two keys of a role must be known to be two parties'.
TEST_F(DelegationsTest, AKeyWhoseOwnerNobodyNamesIsRefused) {
  Refused([](Targets& t) { t.parties.clear(); }, kPartiesNotDeclared);
  Refused([](Targets& t) { t.parties.erase("acme"); }, kPartiesNotDeclared);
  Refused([](Targets& t) { t.parties.erase(kAuthorityParty); }, kPartiesNotDeclared);
  Refused([](Targets& t) { std::swap(t.parties["acme"], t.parties["zeta"]); }, kPartiesNotDistinct);
  Refused([&](Targets& t) { t.parties[kAuthorityParty].push_back(IdOf(acme_)); }, kPartiesNotDistinct);
  Refused([](Targets& t) { t.parties["acme"].push_back(std::string(64, 'b')); }, kMalformed);
  Refused([](Targets& t) { t.parties["operator"] = {}; }, kMalformed);
  // Both keys acme's, or both the authority's.
  Refused([&](Targets& t) { t.parties = {{"acme", {IdOf(acme_), IdOf(authority_)}}}; }, kPartiesNotDistinct);
  Refused(
      [&](Targets& t) {
        t.parties = {{kAuthorityParty, {IdOf(acme_), IdOf(authority_)}}};
      },
      kPartiesNotDistinct);
}

TEST_F(DelegationsTest, AKeyOfOneManufacturerDoesNotSignForAnother) {
  Add("zeta", {"zeta/*/*"}, 2, {acme_, authority_});
  EXPECT_THAT(CheckDelegations(targets_, nullptr),
              StatusIs(absl::StatusCode::kInvalidArgument, kPartiesNotDistinct));
}

TEST_F(DelegationsTest, AKeyOfTheRootIsTheSamePartysHereOrNobodys) {
  Refused(
      [&](Targets& t) {
        t.parties = {{"acme", {IdOf(operator_a_)}}, {kAuthorityParty, {IdOf(authority_)}}};
        t.delegations->keys.emplace(IdOf(operator_a_), operator_a_.public_key());
        for (Delegation& role : t.delegations->roles) role.keys.key_ids[0] = IdOf(operator_a_);
      },
      kPartiesNotDistinct);
  Refused(
      [&](Targets& t) {
        t.parties[kAuthorityParty] = {IdOf(online_)};
        t.delegations->keys.emplace(IdOf(online_), online_.public_key());
        t.delegations->roles[0].keys.key_ids[1] = IdOf(online_);
      },
      kPartiesNotDistinct);
  // The authority may approve with a key that it has in the root.
  targets_.parties[kAuthorityParty] = {IdOf(authority_a_)};
  targets_.delegations->keys.emplace(IdOf(authority_a_), authority_a_.public_key());
  targets_.delegations->roles[0].keys.key_ids[1] = IdOf(authority_a_);
  EXPECT_OK(CheckDelegations(targets_, &root_));
}

// PLUS-1
TEST_F(DelegationsTest, WhoTheAuthorityIsTheOperatorDoesNotSayAlone) {
  const auto verify = [&](const std::vector<const crypto::Signer*>& signers, const Targets* previous) {
    return VerifyAuthorityChange(*Envelope::Parse(SignedBytes(targets_.ToEnvelope(), signers)), root_,
                                 previous, targets_);
  };
  const auto kRefused = StatusIs(absl::StatusCode::kInvalidArgument, kThresholdNotMet);
  EXPECT_THAT(verify({&operator_a_}, nullptr), kRefused);
  EXPECT_OK(verify({&operator_a_, &authority_a_}, nullptr));
  // A manufacturer's key is revoked without waiting for the authority.
  Targets previous = targets_;
  EXPECT_OK(verify({&operator_a_}, &previous));
  previous.parties["acme"] = {IdOf(operator_b_)};
  EXPECT_OK(verify({&operator_a_}, &previous));
  previous.parties[kAuthorityParty] = {IdOf(authority_b_)};
  EXPECT_THAT(verify({&operator_a_}, &previous), kRefused);
  // authority_b_ has a key in the root, and none in role targets.
  EXPECT_THAT(verify({&operator_a_, &authority_b_}, &previous), kRefused);
  EXPECT_OK(verify({&operator_a_, &authority_a_}, &previous));
}

}  // namespace
}  // namespace countersign::trust
