#include "common/trust/client.h"

#include <memory>
#include <string>
#include <utility>

#include "common/crypto/digest.h"
#include "common/testing/status_matchers.h"
#include "common/trust/reasons.h"
#include "common/trust/test_repository.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::trust {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);
constexpr char kPath[] = "acme/lamp/fw.bin";

// A fetcher that hands out more than it is asked for: the attack of endless data.
class EndlessFetcher : public Fetcher {
 public:
  explicit EndlessFetcher(const std::map<std::string, std::string>* files) : files_(files) {}
  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override {
    if (filename == endless) return std::string(static_cast<size_t>(max_length) + 1, 'x');
    return files_.Fetch(filename, max_length);
  }
  std::string endless;

 private:
  MapFetcher files_;
};

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() : repository_(kNow), fetcher_(&repository_.files) {
    repository_.AddManufacturer("acme", {"acme/*", "acme/*/*"});
    repository_.delegated["acme"].targets[kPath] = MakeTarget("image", 1, {"lamp"});
    repository_.Publish();
    Restart();
  }

  // A new client on the same store: what survives is what is on the disk.
  void Restart(const ClientLimits& limits = {}) {
    client_ = std::make_unique<RepositoryClient>(&fetcher_, &store_, repository_.first_root, limits);
  }
  absl::Status Refresh() { return client_->Refresh(kNow); }

  TestRepository repository_;
  EndlessFetcher fetcher_;
  MemoryStore store_;
  std::unique_ptr<RepositoryClient> client_;
};

const auto kRollback = StatusIs(absl::StatusCode::kFailedPrecondition, kMetadataRollback);

TEST_F(ClientTest, ATargetIsFoundThroughTheWholeChain) {
  ASSERT_OK(Refresh());
  EXPECT_THAT(client_->FindTarget(kPath, kNow), IsOkAndHolds(repository_.delegated["acme"].targets[kPath]));
  EXPECT_THAT(client_->FindTarget("acme/lamp/none.bin", kNow),
              StatusIs(absl::StatusCode::kNotFound, kTargetUnknown));
  EXPECT_THAT(client_->FindTarget("other/x", kNow), StatusIs(absl::StatusCode::kNotFound, kTargetUnknown));
}

TEST_F(ClientTest, NewVersionsAreFollowedAcrossRestarts) {
  ASSERT_OK(Refresh());
  ASSERT_OK(client_->FindTarget(kPath, kNow));
  repository_.delegated["acme"].targets["acme/new.bin"] = MakeTarget("new", 2, {"lamp"});
  repository_.Raise({"acme"});
  repository_.Publish();
  Restart();
  ASSERT_OK(Refresh());
  EXPECT_OK(client_->FindTarget("acme/new.bin", kNow));
}

TEST_F(ClientTest, WithNothingNewOnlyTheTimestampAndTheNextRootAreAskedFor) {
  ASSERT_OK(Refresh());
  ASSERT_OK(client_->FindTarget(kPath, kNow));
  const std::string timestamp = repository_.files["timestamp.json"];
  repository_.files = {{"timestamp.json", timestamp}};
  Restart();
  ASSERT_OK(Refresh());
  EXPECT_OK(client_->FindTarget(kPath, kNow));
}

TEST_F(ClientTest, NothingIsAnsweredUnlessTheLastRefreshWasGood) {
  EXPECT_THAT(client_->FindTarget(kPath, kNow), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK(Refresh());
  repository_.files["timestamp.json"] = "nonsense";
  EXPECT_THAT(Refresh(), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
  EXPECT_THAT(client_->FindTarget(kPath, kNow), StatusIs(absl::StatusCode::kFailedPrecondition));
}

// Attack: arbitrary software.
TEST_F(ClientTest, AManufacturersRoleWithoutTheAuthorityIsNotBelieved) {
  Targets& acme = repository_.delegated["acme"];
  acme.targets[kPath] = MakeTarget("evil", 1, {"lamp"});
  repository_.files["1.acme.json"] = SignedBytes(acme.ToEnvelope(), {&repository_.manufacturer});
  ASSERT_OK(Refresh());
  EXPECT_THAT(client_->FindTarget(kPath, kNow),
              StatusIs(absl::StatusCode::kInvalidArgument, kThresholdNotMet));
}

// Attack: arbitrary software.
TEST_F(ClientTest, AnAlteredRoleIsNotBelieved) {
  std::string& bytes = repository_.files["1.acme.json"];
  const size_t at = bytes.find(crypto::Sha256Hex("image"));
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, 64, crypto::Sha256Hex("evil"));
  ASSERT_OK(Refresh());
  EXPECT_THAT(client_->FindTarget(kPath, kNow),
              StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid));
}

// Attack: stolen timestamp and snapshot keys cannot make new targets.
TEST_F(ClientTest, TheKeysOfTimestampAndSnapshotCannotMakeTargets) {
  Targets evil = repository_.targets;
  evil.version = 2;
  evil.targets["acme/evil.bin"] = MakeTarget("evil", 9, {"lamp"});
  repository_.targets = evil;
  repository_.Raise({});
  repository_.Publish();
  repository_.files["2.targets.json"] =
      SignedBytes(evil.ToEnvelope(), {&repository_.timestamp_signer, &repository_.snapshot_signer});
  EXPECT_THAT(Refresh(), StatusIs(absl::StatusCode::kInvalidArgument, kThresholdNotMet));
}

// Attack: metadata rollback.
TEST_F(ClientTest, AnOlderTimestampIsRefused) {
  const std::string old = repository_.files["timestamp.json"];
  repository_.Raise({});
  repository_.Publish();
  ASSERT_OK(Refresh());
  repository_.files["timestamp.json"] = old;
  Restart();
  EXPECT_THAT(Refresh(), kRollback);
}

// Attack: metadata rollback, with a stolen timestamp key.
TEST_F(ClientTest, ANewTimestampForAnOlderSnapshotIsRefused) {
  const FileMeta old = repository_.timestamp.snapshot;
  repository_.Raise({});
  repository_.Publish();
  ASSERT_OK(Refresh());
  repository_.timestamp.version = 10;
  repository_.timestamp.snapshot = old;
  repository_.files["timestamp.json"] =
      SignedBytes(repository_.timestamp.ToEnvelope(), {&repository_.timestamp_signer});
  EXPECT_THAT(Refresh(), kRollback);
}

// Attack: metadata rollback, with stolen timestamp and snapshot keys.
TEST_F(ClientTest, ANewSnapshotWithAnOlderRoleIsRefused) {
  repository_.Raise({"acme", "targets"});
  repository_.Publish();
  ASSERT_OK(Refresh());
  repository_.Raise({});
  --repository_.delegated["acme"].version;
  repository_.Publish();
  EXPECT_THAT(Refresh(), kRollback);
}

// Attack: metadata rollback, by leaving out.
TEST_F(ClientTest, ASnapshotThatLosesARoleIsRefused) {
  ASSERT_OK(Refresh());
  repository_.Raise({});
  repository_.delegated.clear();
  repository_.snapshot.roles.clear();
  repository_.Publish();
  EXPECT_THAT(Refresh(), kRollback);
}

TEST_F(ClientTest, AnotherTimestampOfTheSameVersionChangesNothing) {
  ASSERT_OK(Refresh());
  repository_.timestamp.snapshot.version = 7;
  repository_.files["timestamp.json"] =
      SignedBytes(repository_.timestamp.ToEnvelope(), {&repository_.timestamp_signer});
  ASSERT_OK(Refresh());
  EXPECT_EQ(client_->timestamp().snapshot.version, 1);
}

// Attack: freeze.
TEST_F(ClientTest, EachDocumentExpires) {
  const auto expired = StatusIs(absl::StatusCode::kFailedPrecondition, kExpired);
  EXPECT_OK(client_->Refresh(kNow + absl::Hours(24) - absl::Seconds(1)));
  EXPECT_THAT(client_->Refresh(kNow + absl::Hours(24)), expired);  // timestamp

  repository_.timestamp.expires = kNow + absl::Hours(24 * 365);
  repository_.Raise({});
  repository_.Publish();
  EXPECT_OK(client_->Refresh(kNow + absl::Hours(24 * 7) - absl::Seconds(1)));
  EXPECT_THAT(client_->Refresh(kNow + absl::Hours(24 * 7)), expired);  // snapshot

  repository_.snapshot.expires = kNow + absl::Hours(24 * 365);
  repository_.targets.expires = kNow + absl::Hours(24 * 10);
  repository_.Raise({"targets"});
  repository_.Publish();
  EXPECT_THAT(client_->Refresh(kNow + absl::Hours(24 * 10)), expired);  // targets

  repository_.targets.expires = kNow + absl::Hours(24 * 365);
  repository_.Raise({"targets"});
  repository_.Publish();
  EXPECT_OK(client_->Refresh(kNow + absl::Hours(24 * 29)));
  EXPECT_THAT(client_->Refresh(kNow + absl::Hours(24 * 30)), expired);  // root
  ASSERT_OK(client_->Refresh(kNow));
  EXPECT_THAT(client_->FindTarget(kPath, kNow + absl::Hours(24 * 30)), expired);  // acme
}

// Attack: mix-and-match.
TEST_F(ClientTest, ASnapshotOtherThanTheTimestampPromisesIsRefused) {
  std::string& snapshot = repository_.files["1.snapshot.json"];
  const std::string promised = snapshot;
  // Rightly signed and of the same length (signatures' lengths vary), so that only the digest tells.
  do {
    snapshot = SignedBytes(repository_.snapshot.ToEnvelope(), {&repository_.snapshot_signer});
  } while (snapshot == promised || snapshot.size() != promised.size());
  EXPECT_THAT(Refresh(), StatusIs(absl::StatusCode::kInvalidArgument, kDigestMismatch));
}

// Attack: mix-and-match.
TEST_F(ClientTest, ASnapshotOfAnotherVersionIsRefusedEvenIfItsDigestIsPromised) {
  const FileMeta promised = FileMeta::Of(2, repository_.files["1.snapshot.json"]);
  repository_.files["2.snapshot.json"] = repository_.files["1.snapshot.json"];
  repository_.timestamp.version = 2;
  repository_.timestamp.snapshot = promised;
  repository_.files["timestamp.json"] =
      SignedBytes(repository_.timestamp.ToEnvelope(), {&repository_.timestamp_signer});
  EXPECT_THAT(Refresh(), StatusIs(absl::StatusCode::kFailedPrecondition, kVersionMismatch));
}

// Attack: mix-and-match.
TEST_F(ClientTest, ARoleOfAnotherVersionThanTheSnapshotPromisesIsRefused) {
  const std::string old = repository_.files["1.acme.json"];
  repository_.Raise({"acme"});
  repository_.Publish();
  repository_.files["2.acme.json"] = old;
  ASSERT_OK(Refresh());
  EXPECT_THAT(client_->FindTarget(kPath, kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, kVersionMismatch));
}

// Attack: endless data.
TEST_F(ClientTest, MoreThanTheAllowedBytesIsRefused) {
  const auto too_long = StatusIs(absl::StatusCode::kResourceExhausted, kLengthExceeded);
  for (const char* file : {"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"}) {
    fetcher_.endless = file;
    EXPECT_THAT(Refresh(), too_long) << file;
  }
  fetcher_.endless = "1.acme.json";
  ASSERT_OK(Refresh());
  EXPECT_THAT(client_->FindTarget(kPath, kNow), too_long);
}

TEST_F(ClientTest, ARootRotationIsFollowedStepByStep) {
  ASSERT_OK(Refresh());
  for (int version = 2; version <= 4; ++version) {
    Root next = repository_.root;
    next.version = version;
    repository_.RotateRoot(next, repository_.RootSigners());
  }
  Restart();
  ASSERT_OK(Refresh());
  EXPECT_EQ(client_->root().version, 4);
  Restart({.max_root_rotations = 1});
  EXPECT_OK(Refresh());
}

// Attack: root rotation skipped.
TEST_F(ClientTest, ARootInThePlaceOfAnotherVersionIsRefused) {
  Root next = repository_.root;
  next.version = 3;
  repository_.files["2.root.json"] = SignedBytes(next.ToEnvelope(), repository_.RootSigners());
  EXPECT_THAT(Refresh(), StatusIs(absl::StatusCode::kFailedPrecondition, kRootSkipped));
  next.version = 1;
  repository_.files["2.root.json"] = SignedBytes(next.ToEnvelope(), repository_.RootSigners());
  EXPECT_THAT(Refresh(), kRollback);
}

// Attack: root rotation by a thief of one root key.
TEST_F(ClientTest, ARootWithoutItsPredecessorsThresholdIsRefused) {
  Root next = repository_.root;
  next.version = 2;
  repository_.files["2.root.json"] = SignedBytes(next.ToEnvelope(), {&repository_.root_signers[0]});
  EXPECT_THAT(Refresh(), StatusIs(absl::StatusCode::kInvalidArgument, kThresholdNotMet));
}

TEST_F(ClientTest, ARepositoryThatRotatesForeverIsLeftInPieces) {
  for (int version = 2; version <= 6; ++version) {
    Root next = repository_.root;
    next.version = version;
    repository_.RotateRoot(next, repository_.RootSigners());
  }
  Restart({.max_root_rotations = 4});
  EXPECT_THAT(Refresh(), StatusIs(absl::StatusCode::kResourceExhausted, kLimitExceeded));
  EXPECT_OK(Refresh());
}

// Attack: stolen timestamp key; recovery from versions that it drove up.
TEST_F(ClientTest, RotatedTimestampKeysUndoAFastForward) {
  repository_.timestamp.version = kMaxVersion;
  repository_.snapshot.version = 1000;
  repository_.Publish();
  ASSERT_OK(Refresh());

  const crypto::PemSigner thief = std::exchange(repository_.timestamp_signer, NewSigner());
  Root next = repository_.root;
  next.version = 2;
  next.roles["timestamp"].key_ids.clear();
  next.AddKey("timestamp", repository_.timestamp_signer.public_key());
  repository_.RotateRoot(next, repository_.RootSigners());
  repository_.timestamp.version = 2;
  repository_.snapshot.version = 2;
  repository_.Publish();
  Restart();
  ASSERT_OK(Refresh());
  EXPECT_EQ(client_->timestamp().version, 2);

  // And the stolen key is worth nothing any more.
  repository_.timestamp.version = 3;
  repository_.files["timestamp.json"] = SignedBytes(repository_.timestamp.ToEnvelope(), {&thief});
  EXPECT_THAT(Refresh(), StatusIs(absl::StatusCode::kInvalidArgument, kThresholdNotMet));
}

// Attack: stolen snapshot key; its successor begins below the versions that it drove up.
TEST_F(ClientTest, ARotatedSnapshotKeyUndoesAFastForward) {
  repository_.snapshot.version = 1000;
  repository_.Publish();
  ASSERT_OK(Refresh());
  repository_.snapshot_signer = NewSigner();
  Root next = repository_.root;
  next.version = 2;
  next.roles["snapshot"].key_ids.clear();
  next.AddKey("snapshot", repository_.snapshot_signer.public_key());
  repository_.RotateRoot(next, repository_.RootSigners());
  repository_.timestamp.version = 2;
  repository_.snapshot.version = 2;
  repository_.Publish();
  Restart();
  ASSERT_OK(Refresh());
  EXPECT_EQ(client_->snapshot().version, 2);
}

TEST_F(ClientTest, AMissingTimestampIsAnError) {
  repository_.files.erase("timestamp.json");
  EXPECT_THAT(Refresh(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ClientTest, AnInitialRootThatIsNoneIsRefused) {
  RepositoryClient client(&fetcher_, &store_, "nonsense");
  EXPECT_THAT(client.Refresh(kNow), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
}

TEST_F(ClientTest, ADocumentOfAnotherRoleIsRefused) {
  repository_.files["timestamp.json"] = repository_.files["1.targets.json"];
  EXPECT_THAT(Refresh(), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
}

class DelegationTest : public ClientTest {
 protected:
  // A role that delegates to roles named, all with the same keys and the pattern "*".
  void Delegate(std::optional<Delegations>& from, const std::vector<std::string>& roles,
                bool terminating = false) {
    if (!from.has_value()) from.emplace();
    for (const std::string& role : roles) {
      from->roles.push_back({.name = role, .paths = {"*", "x/*"}, .terminating = terminating});
      from->AddKey(repository_.manufacturer.public_key());
      repository_.delegated[role].expires = repository_.targets.expires;
    }
  }
  absl::StatusOr<TargetFile> Find(const std::string& path) {
    repository_.Raise({"targets"});
    repository_.Publish();
    Restart(limits_);
    if (absl::Status status = Refresh(); !status.ok()) return status;
    return client_->FindTarget(path, kNow);
  }
  ClientLimits limits_;
};

// Attack: delegation abuse.
TEST_F(DelegationTest, EarlierRolesWin) {
  Delegate(repository_.targets.delegations, {"a", "b"});
  repository_.delegated["a"].targets["f"] = MakeTarget("of a", 1, {"h"});
  repository_.delegated["b"].targets["f"] = MakeTarget("of b", 1, {"h"});
  repository_.delegated["b"].targets["g"] = MakeTarget("g of b", 1, {"h"});
  EXPECT_THAT(Find("f"), IsOkAndHolds(MakeTarget("of a", 1, {"h"})));
  EXPECT_THAT(client_->FindTarget("g", kNow), IsOkAndHolds(MakeTarget("g of b", 1, {"h"})));
}

// Attack: delegation abuse.
TEST_F(DelegationTest, DepthGoesBeforeBreadth) {
  Delegate(repository_.targets.delegations, {"a", "b"});
  Delegate(repository_.delegated["a"].delegations, {"c"});
  repository_.delegated["c"].targets["f"] = MakeTarget("of c", 1, {"h"});
  repository_.delegated["b"].targets["f"] = MakeTarget("of b", 1, {"h"});
  EXPECT_THAT(Find("f"), IsOkAndHolds(MakeTarget("of c", 1, {"h"})));
}

// Attack: delegation abuse.
TEST_F(DelegationTest, ATerminatingRoleHasTheLastWord) {
  Delegate(repository_.targets.delegations, {"a"}, /*terminating=*/true);
  Delegate(repository_.targets.delegations, {"b"});
  repository_.delegated["b"].targets["f"] = MakeTarget("of b", 1, {"h"});
  EXPECT_THAT(Find("f"), StatusIs(absl::StatusCode::kNotFound, kTargetUnknown));
}

// Attack: delegation abuse.
TEST_F(DelegationTest, WhatARoleSaysOutsideItsPathsIsNotHeard) {
  Delegate(repository_.targets.delegations, {"a"});
  repository_.delegated["a"].targets["other/f"] = MakeTarget("x", 1, {"h"});
  repository_.delegated["a"].targets["x/y/f"] = MakeTarget("x", 1, {"h"});
  repository_.delegated["acme"].targets["other/f"] = MakeTarget("x", 1, {"h"});
  EXPECT_THAT(Find("other/f"), StatusIs(absl::StatusCode::kNotFound, kTargetUnknown));
  EXPECT_THAT(client_->FindTarget("x/y/f", kNow), StatusIs(absl::StatusCode::kNotFound, kTargetUnknown));
}

// Attack: delegation abuse.
TEST_F(DelegationTest, CyclesEnd) {
  Delegate(repository_.targets.delegations, {"a"});
  Delegate(repository_.delegated["a"].delegations, {"b"});
  Delegate(repository_.delegated["b"].delegations, {"a"});
  EXPECT_THAT(Find("f"), StatusIs(absl::StatusCode::kNotFound, kTargetUnknown));
}

// Attack: delegation abuse.
TEST_F(DelegationTest, DepthAndNumberAreLimited) {
  Delegate(repository_.targets.delegations, {"a"});
  Delegate(repository_.delegated["a"].delegations, {"b"});
  Delegate(repository_.delegated["b"].delegations, {"c"});
  repository_.delegated["c"].targets["f"] = MakeTarget("x", 1, {"h"});
  EXPECT_OK(Find("f"));
  limits_ = {.max_delegation_depth = 2};
  EXPECT_THAT(Find("f"), StatusIs(absl::StatusCode::kResourceExhausted, kLimitExceeded));
  limits_ = {.max_delegations_visited = 2};
  EXPECT_THAT(Find("f"), StatusIs(absl::StatusCode::kResourceExhausted, kLimitExceeded));
}

TEST_F(DelegationTest, ADelegatedRoleThatTheSnapshotLacksIsNotSkipped) {
  Delegate(repository_.targets.delegations, {"a", "b"});
  repository_.delegated["b"].targets["f"] = MakeTarget("of b", 1, {"h"});
  repository_.delegated.erase("a");
  EXPECT_THAT(Find("f"), StatusIs(absl::StatusCode::kNotFound, kRoleNotPublished));
}

TEST(DirectoryStoreTest, KeepsWhatWasSavedAndTakesRoleNamesOnly) {
  const std::string folder = ::testing::TempDir() + "/trusted/images";
  ASSERT_OK_AND_ASSIGN(DirectoryStore store, DirectoryStore::Open(folder));
  EXPECT_THAT(store.Load("root"), IsOkAndHolds(::testing::Eq(std::nullopt)));
  ASSERT_OK(store.Save("root", "bytes"));
  ASSERT_OK_AND_ASSIGN(const DirectoryStore again, DirectoryStore::Open(folder));
  EXPECT_THAT(again.Load("root"), IsOkAndHolds(::testing::Optional(std::string("bytes"))));
  ASSERT_OK(store.Remove("root"));
  ASSERT_OK(store.Remove("root"));
  EXPECT_THAT(store.Load("root"), IsOkAndHolds(::testing::Eq(std::nullopt)));
  EXPECT_THAT(store.Save("../escape", "x"), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
}

}  // namespace
}  // namespace countersign::trust
