#include "tools/ctl/ceremony.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/signer.h"
#include "common/testing/status_matchers.h"
#include "common/trust/keys.h"
#include "common/trust/parties.h"
#include "common/trust/test_repository.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/ctl/inspect.h"

namespace countersign::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using trust::KeyId;
using trust::NewSigner;

const absl::Time kNow = absl::FromUnixSeconds(1767225600);
const absl::Time kLater = kNow + absl::Hours(24 * 100);
// Of the specification.
constexpr char kLogKey[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

auto Refused(const std::string& reason) { return StatusIs(absl::StatusCode::kInvalidArgument, reason); }

// The organisations, their people, and the documents that they sign.
class CeremonyTest : public ::testing::Test {
 protected:
  CeremonyTest() {
    first_.expires = kLater;
    first_.roles["root"] = {
        {Operator(op_[0]), Operator(op_[1]), Operator(op_[2]), Authority(ma_[0]), Authority(ma_[1])}, {}, 3};
    first_.roles["targets"] = {{Operator(targets_op_), Authority(targets_ma_)}, {}, 2};
    for (const char* online : {"snapshot", "timestamp"})
      first_.roles[online] = {{{"", online_.public_key()}}, {}, 1};
    first_.log_key = *tlog::VerifierKey::Parse(kLogKey);
  }
  static PartyKey Operator(const crypto::Signer& key) { return {trust::kOperatorParty, key.public_key()}; }
  static PartyKey Authority(const crypto::Signer& key) { return {trust::kAuthorityParty, key.public_key()}; }
  static std::string IdOf(const crypto::Signer& key) { return KeyId(key.public_key()); }

  trust::Root Root() { return *ChangeRoot(nullptr, first_); }
  absl::StatusOr<trust::Root> Change(RootChange change) {
    change.expires = kLater;
    const trust::Root root = Root();
    return ChangeRoot(&root, change);
  }
  trust::Targets Targets() {
    return *ChangeTargets(
        nullptr,
        {.add = {{"acme", acme_.public_key()}}, .authority = authority_.public_key(), .expires = kLater},
        nullptr);
  }
  absl::StatusOr<trust::Targets> Change(TargetsChange change, const trust::Root* root = nullptr) {
    change.expires = kLater;
    const trust::Targets targets = Targets();
    return ChangeTargets(&targets, change, root);
  }
  template <typename T>
  static Document Signed(const std::string& file, const T& metadata,
                         const std::vector<const crypto::Signer*>& signers) {
    return *ParseDocument(file, trust::SignedBytes(metadata.ToEnvelope(), signers));
  }

  const std::vector<crypto::PemSigner> op_ = {NewSigner(), NewSigner(), NewSigner()};
  const std::vector<crypto::PemSigner> ma_ = {NewSigner(), NewSigner()};
  const crypto::PemSigner targets_op_ = NewSigner();
  const crypto::PemSigner targets_ma_ = NewSigner();
  const crypto::PemSigner online_ = NewSigner();
  const crypto::PemSigner acme_ = NewSigner();
  const crypto::PemSigner authority_ = NewSigner();
  RootChange first_;
};

TEST_F(CeremonyTest, ARootIsMadeOfThePartiesKeys) {
  const trust::Root root = Root();
  EXPECT_EQ(root.version, 1);
  EXPECT_EQ(root.roles.at("root").threshold, 3);
  EXPECT_EQ(root.parties.at(trust::kOperatorParty).size(), 4u);
  EXPECT_EQ(root.log_key, kLogKey);
  // A Director's has no parties.
  RootChange director{.roles = {}, .log_key = std::nullopt, .expires = kLater};
  for (const char* role : {"root", "targets", "snapshot", "timestamp"})
    director.roles[role] = {{{"", online_.public_key()}}, {}, 1};
  EXPECT_THAT(ChangeRoot(nullptr, director)->parties, ::testing::IsEmpty());
}

TEST_F(CeremonyTest, ARootThatWouldLockSomebodyOutOrInIsRefused) {
  const auto refused = [&](auto change, const char* reason) {
    RootChange changed = first_;
    change(changed);
    EXPECT_THAT(ChangeRoot(nullptr, changed), Refused(reason));
  };
  refused([](RootChange& c) { c.roles["root"].threshold = 6; }, "THRESHOLD_UNREACHABLE");
  refused([](RootChange& c) { c.roles["timestamp"].add.clear(); }, "THRESHOLD_UNREACHABLE");
  refused(
      [&](RootChange& c) {
        c.roles["timestamp"] = {{{"", op_[0].public_key()}, {"", online_.public_key()}}, {}, 2};
      },
      "PARTIES_NOT_DISTINCT");
  refused(
      [&](RootChange& c) {
        c.roles["snapshot"].add.push_back({"", acme_.public_key()});
        c.roles["snapshot"].threshold = 2;
      },
      "THRESHOLD_UNREACHABLE");
  // The same person twice, and one person on both sides.
  refused([&](RootChange& c) { c.roles["root"].add.push_back(Operator(op_[0])); }, "KEY_TWICE");
  refused([&](RootChange& c) { c.roles["targets"].add.push_back(Authority(op_[0])); },
          "PARTIES_NOT_DISTINCT");
  // Nobody says whose; the authority without a key; a key that signs online.
  refused([&](RootChange& c) { c.roles["root"].add[0].party = ""; }, "PARTIES_NOT_DECLARED");
  refused(
      [&](RootChange& c) {
        c.roles["targets"].add.pop_back();
        c.roles["targets"].threshold = 1;
      },
      "PARTIES_NOT_DISTINCT");
  refused([&](RootChange& c) { c.roles["targets"].add.push_back(Operator(online_)); },
          "PARTIES_NOT_DISTINCT");
}

TEST_F(CeremonyTest, KeysOfARootAreAddedRemovedAndRotated) {
  const crypto::PemSigner fresh = NewSigner();
  RootChange change;
  change.roles["root"] = {{Operator(fresh)}, {IdOf(op_[1]).substr(0, 12)}, {}};
  change.roles["timestamp"] = {{{"", acme_.public_key()}}, {}, {}};  // beside the old one, which still signs
  ASSERT_OK_AND_ASSIGN(const trust::Root next, Change(change));
  EXPECT_THAT(next.roles.at("timestamp").key_ids, ElementsAre(IdOf(online_), IdOf(acme_)));
  EXPECT_EQ(next.version, 2);
  EXPECT_EQ(next.roles.at("root").key_ids.size(), 5u);
  EXPECT_FALSE(next.keys.contains(IdOf(op_[1])));
  EXPECT_EQ(trust::PartyOf(next.parties, IdOf(op_[1])), "");
  EXPECT_EQ(trust::PartyOf(next.parties, IdOf(fresh)), trust::kOperatorParty);
  EXPECT_EQ(next.log_key, kLogKey);
}

TEST_F(CeremonyTest, AChangeOfARootThatIsAMistakeIsRefused) {
  const auto change = [&](const std::string& role, RoleChange of_role) {
    return Change(
        RootChange{.roles = {{role, std::move(of_role)}}, .log_key = std::nullopt, .expires = kLater});
  };
  EXPECT_THAT(change("root", {{}, {IdOf(acme_)}, {}}), Refused("KEY_NOT_IN_ROLE"));
  EXPECT_THAT(change("root", {{}, {""}, {}}), Refused("KEY_NOT_IN_ROLE"));
  EXPECT_THAT(change("root", {{Operator(op_[2])}, {}, {}}), Refused("KEY_TWICE"));
  EXPECT_THAT(change("root", {{}, {}, 6}), Refused("THRESHOLD_UNREACHABLE"));
  EXPECT_THAT(change("root", {{}, {IdOf(ma_[0]), IdOf(ma_[1])}, {}}), Refused("PARTIES_NOT_DISTINCT"));
  EXPECT_THAT(change("root", {{}, {IdOf(op_[0]), IdOf(op_[1]), IdOf(op_[2])}, {}}),
              Refused("THRESHOLD_UNREACHABLE"));
  EXPECT_THAT(change("timestamp", {{}, {IdOf(online_)}, {}}), Refused("THRESHOLD_UNREACHABLE"));
}

TEST_F(CeremonyTest, AManufacturerGetsARoleOfTwoKeys) {
  const trust::Targets targets = Targets();
  const trust::Delegation* const role = targets.delegations->Find("acme");
  ASSERT_NE(role, nullptr);
  EXPECT_EQ(role->keys.threshold, 2);
  EXPECT_THAT(role->keys.key_ids, ElementsAre(IdOf(acme_), IdOf(authority_)));
  EXPECT_THAT(role->paths, ElementsAre("acme/*", "acme/*/*"));
  EXPECT_OK(trust::CheckDelegations(targets, nullptr));

  const crypto::PemSigner zenith = NewSigner();
  ASSERT_OK_AND_ASSIGN(
      const trust::Targets next,
      Change(TargetsChange{
          .add = {{"zenith", zenith.public_key()}}, .add_pending = {"acme"}, .expires = kLater}));
  EXPECT_EQ(next.version, 2);
  EXPECT_THAT(next.delegations->Find("zenith")->keys.key_ids, ElementsAre(IdOf(zenith), IdOf(authority_)));
  const trust::Delegation* const pending = next.delegations->Find("acme-pending");
  ASSERT_NE(pending, nullptr);
  EXPECT_THAT(pending->keys.key_ids, ElementsAre(IdOf(acme_)));
  EXPECT_THAT(pending->paths, ElementsAre("pending/acme/*", "pending/acme/*/*"));
}

TEST_F(CeremonyTest, KeysOfManufacturersAndOfTheAuthorityAreRotatedInAllRoles) {
  const crypto::PemSigner fresh = NewSigner();
  trust::Targets targets = *Change(TargetsChange{.add_pending = {"acme"}, .expires = kLater});
  ASSERT_OK_AND_ASSIGN(
      const trust::Targets rotated,
      ChangeTargets(&targets, {.rotate = {{"acme", fresh.public_key()}}, .expires = kLater}, nullptr));
  EXPECT_THAT(rotated.delegations->Find("acme")->keys.key_ids, ElementsAre(IdOf(fresh), IdOf(authority_)));
  EXPECT_THAT(rotated.delegations->Find("acme-pending")->keys.key_ids, ElementsAre(IdOf(fresh)));
  EXPECT_FALSE(rotated.delegations->keys.contains(IdOf(acme_)));

  ASSERT_OK_AND_ASSIGN(
      const trust::Targets other_authority,
      ChangeTargets(&targets, {.authority = fresh.public_key(), .expires = kLater}, nullptr));
  EXPECT_THAT(other_authority.delegations->Find("acme")->keys.key_ids, ElementsAre(IdOf(acme_), IdOf(fresh)));
  EXPECT_THAT(other_authority.parties.at(trust::kAuthorityParty), ElementsAre(IdOf(fresh)));

  ASSERT_OK_AND_ASSIGN(const trust::Targets removed,
                       ChangeTargets(&targets, {.remove = {"acme"}, .expires = kLater}, nullptr));
  EXPECT_THAT(removed.delegations->roles, ::testing::IsEmpty());
  EXPECT_FALSE(removed.parties.contains("acme"));
  // The authority is not forgotten with its last manufacturer.
  EXPECT_OK(ChangeTargets(&removed, {.add = {{"zenith", acme_.public_key()}}, .expires = kLater}, nullptr));
}

TEST_F(CeremonyTest, AChangeOfTheTargetsThatIsAMistakeIsRefused) {
  const auto refused = [&](const TargetsChange& change, const char* reason,
                           const trust::Root* root = nullptr) {
    EXPECT_THAT(Change(change, root), Refused(reason));
  };
  const crypto::PublicKey fresh = NewSigner().public_key();
  refused({.add = {{"acme", fresh}}}, "MANUFACTURER_EXISTS");
  refused({.add = {{"authority", fresh}}}, "MANUFACTURER_INVALID");
  refused({.add = {{"Zenith", fresh}}}, "MANUFACTURER_INVALID");
  refused({.rotate = {{"zenith", fresh}}}, "MANUFACTURER_UNKNOWN");
  refused({.remove = {"zenith"}}, "MANUFACTURER_UNKNOWN");
  refused({.add_pending = {"zenith"}}, "MANUFACTURER_UNKNOWN");
  refused({.remove_pending = {"acme"}}, "PENDING_UNKNOWN");
  refused({.add_pending = {"acme", "acme"}}, "PENDING_EXISTS");
  refused({.rotate = {{"acme", acme_.public_key()}}}, "KEY_UNCHANGED");
  refused({.authority = authority_.public_key()}, "KEY_UNCHANGED");
  // The authority's key in a manufacturer's hand, and the other way round; a key of the root.
  refused({.rotate = {{"acme", authority_.public_key()}}}, "PARTIES_NOT_DISTINCT");
  refused({.authority = acme_.public_key()}, "PARTIES_NOT_DISTINCT");
  refused({.add = {{"zenith", acme_.public_key()}}}, "PARTIES_NOT_DISTINCT");
  const trust::Root root = Root();
  refused({.add = {{"zenith", op_[0].public_key()}}}, "PARTIES_NOT_DISTINCT", &root);
  EXPECT_THAT(ChangeTargets(nullptr, {.add = {{"acme", fresh}}, .expires = kLater}, nullptr),
              Refused("AUTHORITY_MISSING"));
}

TEST(ExpiryTest, IsAfterNowAndWithinTenYears) {
  EXPECT_THAT(ExpiryOf(10, "", kNow + absl::Milliseconds(1)), IsOkAndHolds(kNow + absl::Hours(240)));
  EXPECT_THAT(ExpiryOf(10, "2026-01-02T00:00:00Z", kNow), IsOkAndHolds(kNow + absl::Hours(24)));
  for (const char* until :
       {"2026-01-01T00:00:00Z", "2025-12-31T00:00:00Z", "2099-01-01T00:00:00Z", "tomorrow"})
    EXPECT_THAT(ExpiryOf(10, until, kNow), Refused("EXPIRY_INVALID")) << until;
}

TEST(PartyTest, StandsBeforeTheFile) {
  EXPECT_EQ(SplitParty("operator=a/b.pub"), std::make_pair(std::string("operator"), std::string("a/b.pub")));
  EXPECT_EQ(SplitParty("a/b=c.pub"), std::make_pair(std::string(), std::string("a/b=c.pub")));
  EXPECT_EQ(SplitParty("b.pub"), std::make_pair(std::string(), std::string("b.pub")));
}

TEST_F(CeremonyTest, WhoHasSignedAndWhoIsMissingIsToldByParty) {
  const Document document = Signed("1.root.json", Root(), {&op_[0], &op_[1]});
  ASSERT_OK_AND_ASSIGN(const std::vector<Signers> signers, SignersOf(document, nullptr));
  bool complete = true;
  EXPECT_EQ(SigningStatus(document, signers, &complete),
            "2 of the 3 signatures that root version 1 wants (operator 2); missing: 1 more, one of the "
            "authority's\n");
  EXPECT_FALSE(complete);
  // Three of the operator's are enough for a client, and not for the rule.
  const Document alone = Signed("1.root.json", Root(), {&op_[0], &op_[1], &op_[2]});
  EXPECT_THAT(SigningStatus(alone, signers, &complete), HasSubstr("missing: one of the authority's"));
  const Document whole = Signed("1.root.json", Root(), {&op_[0], &op_[1], &ma_[0]});
  EXPECT_EQ(SigningStatus(whole, signers, &complete),
            "3 of the 3 signatures that root version 1 wants (authority 1, operator 2)\n");
  EXPECT_TRUE(complete);

  // The next root needs both versions' keys.
  const crypto::PemSigner fresh = NewSigner();
  const Document next = Signed(
      "2.root.json",
      *Change(RootChange{
          .roles = {{"root", {{Operator(fresh)}, {IdOf(op_[0])}, {}}}}, .log_key = {}, .expires = kLater}),
      {&fresh, &op_[0], &ma_[0]});
  ASSERT_OK_AND_ASSIGN(const std::vector<Signers> both, SignersOf(next, &whole));
  EXPECT_EQ(SigningStatus(next, both),
            "2 of the 3 signatures that root version 2 wants (authority 1, operator 1); missing: 1 more\n"
            "2 of the 3 signatures that root version 1 wants (authority 1, operator 1); missing: 1 more\n");
  const std::string text = Describe(next, both, &whole, kNow);
  EXPECT_THAT(text, HasSubstr("root version 2, expires 2026-04-11T00:00:00Z (in 100 days)"));
  EXPECT_THAT(text, HasSubstr(absl::StrCat("operator ", IdOf(fresh).substr(0, 8), "  signed")));
  EXPECT_THAT(text, HasSubstr(absl::StrCat("operator ", IdOf(op_[2]).substr(0, 8), "  -")));
  EXPECT_THAT(text, HasSubstr("~ role root: 3 of 5"));
  EXPECT_THAT(SignersOf(next, &next), Refused("WRONG_PARENT"));
}

TEST_F(CeremonyTest, WhoMustSayWhoTheAuthorityIsIsTold) {
  const Document root = Signed("1.root.json", Root(), {});
  const Document first = Signed("1.targets.json", Targets(), {&targets_op_});
  EXPECT_THAT(SigningStatus(first, *SignersOf(first, &root)), HasSubstr("one of the authority's"));
  const Document added = Signed(
      "2.targets.json", *Change(TargetsChange{.add_pending = {"acme"}, .expires = kLater}), {&targets_op_});
  EXPECT_THAT(SigningStatus(added, *SignersOf(added, &root, &first)), Not(HasSubstr("authority's")));
  const Document rotated = Signed(
      "2.targets.json", *Change(TargetsChange{.authority = NewSigner().public_key(), .expires = kLater}), {});
  EXPECT_THAT(SigningStatus(rotated, *SignersOf(rotated, &root, &first)),
              HasSubstr("one of the authority's"));
}

TEST_F(CeremonyTest, AKeyThatHasNoSayIsToldBeforeItSigns) {
  const Document root = Signed("1.root.json", Root(), {});
  const Document targets = Signed("1.targets.json", Targets(), {});
  trust::Targets role;
  role.expires = kLater;
  role.targets["acme/lamp/a.bin"] = trust::MakeTarget("image", 1, {"hw"});
  const Document acme = Signed("1.acme.json", role, {});
  EXPECT_EQ(acme.role(), "acme");
  const auto check = [](const Document& document, const Document* above, const crypto::Signer& key) {
    const auto signers = SignersOf(document, above);
    return signers.ok() ? CheckMaySign(document, *signers, key.public_key()) : signers.status();
  };
  EXPECT_OK(check(root, nullptr, op_[0]));
  EXPECT_THAT(check(root, nullptr, targets_op_), Refused("WRONG_KEY"));
  EXPECT_OK(check(targets, &root, targets_ma_));
  EXPECT_THAT(check(targets, &root, op_[0]), Refused("WRONG_KEY"));
  EXPECT_THAT(check(targets, &targets, targets_ma_), Refused("WRONG_PARENT"));
  EXPECT_OK(check(acme, &targets, acme_));
  EXPECT_OK(check(acme, &targets, authority_));
  EXPECT_THAT(check(acme, &targets, online_), Refused("WRONG_KEY"));
  EXPECT_THAT(check(acme, &root, acme_), Refused("WRONG_PARENT"));
}

TEST_F(CeremonyTest, FilesOfARepositoryAreVerifiedWithoutIt) {
  const Document first = Signed("1.root.json", Root(), {&op_[0], &op_[1], &ma_[0]});
  const Document second =
      Signed("2.root.json", *Change(RootChange{.roles = {}, .log_key = {}, .expires = kLater}),
             {&op_[0], &op_[1], &ma_[1]});
  const Document targets = Signed("1.targets.json", Targets(), {&targets_op_, &targets_ma_});
  trust::Targets role;
  role.expires = kLater;
  role.targets["acme/lamp/a.bin"] = trust::MakeTarget("image", 1, {"hw"});
  const Document acme = Signed("1.acme.json", role, {&acme_, &authority_});
  ASSERT_OK_AND_ASSIGN(const std::string text, VerifyFiles({acme, targets, second, first}, kNow));
  EXPECT_THAT(text, HasSubstr("1.root.json: root version 1"));
  EXPECT_THAT(text, HasSubstr("1.acme.json: acme version 1"));

  EXPECT_THAT(VerifyFiles({targets}, kNow), Refused("ROOT_MISSING"));
  EXPECT_THAT(VerifyFiles({first, acme}, kNow), Refused("TARGETS_MISSING"));
  EXPECT_FALSE(VerifyFiles({first, targets}, kLater).ok());
  const auto refused = [&](const Document& bad, const char* reason) {
    const absl::Status status = VerifyFiles({first, targets, bad}, kNow).status();
    EXPECT_THAT(status, Refused(reason));
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.file));
  };
  refused(Signed("1.acme.json", role, {&acme_}), "THRESHOLD_NOT_MET");
  role.targets["zenith/lamp/a.bin"] = trust::MakeTarget("image", 1, {"hw"});
  refused(Signed("2.acme.json", role, {&acme_, &authority_}), "PATH_NOT_DELEGATED");
  refused(Signed("2.root.json", *Change(RootChange{.roles = {}, .log_key = {}, .expires = kLater}),
                 {&op_[0], &op_[1], &op_[2]}),
          "THRESHOLD_NOT_MET");
  EXPECT_THAT(VerifyFiles({first, Signed("1.targets.json", Targets(), {&targets_op_})}, kNow),
              Refused("THRESHOLD_NOT_MET"));
}

}  // namespace
}  // namespace countersign::ctl
