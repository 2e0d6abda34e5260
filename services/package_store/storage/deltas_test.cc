#include "services/package_store/storage/deltas.h"

#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/db/database.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/feed/outbox_migrations.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/package_store/storage/package_store_migrations.h"

namespace countersign::package_store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1767225600);
constexpr absl::Duration kLease = absl::Minutes(5);
constexpr char kCaller[] = "gateway/home-1";

class DeltasTest : public ::testing::Test {
 protected:
  DeltasTest() : database_({.conninfo = db::TestCluster::Shared().CreateDatabase()}) {
    EXPECT_OK(db::Migrate(database_,
                          {db::RequestIdsMigrations(), feed::OutboxMigrations(), PackageStoreMigrations()}));
    for (int i = 0; i < 6; ++i) AddImage(absl::StrCat("image ", i), 1000);
    AddImage("large", 5000);
  }
  void AddImage(const std::string& content, int64_t length) {
    ASSERT_OK(database_.RunInTransaction("AddImage", [&](db::Transaction& tx) -> absl::Status {
      tx.exec_params("INSERT INTO images (sha256, length_bytes, stored_at) VALUES ($1, $2, $3)",
                     db::Bytes(crypto::Sha256(content)), length, db::Timestamp(kNow));
      return absl::OkStatus();
    }));
  }
  static std::string Image(int i) { return crypto::Sha256Hex(absl::StrCat("image ", i)); }

  DeltaState StateOf(int base, int image, absl::Time now = kNow) {
    const absl::StatusOr<Delta> delta = deltas_.Ask(Image(base), Image(image), kCaller, now);
    EXPECT_OK(delta);
    return delta.ok() ? delta->state : DeltaState::kNotWorthwhile;
  }
  Deltas::Claim Claim(absl::Time now = kNow) {
    const auto claim = deltas_.ClaimNext(now, now + kLease);
    EXPECT_OK(claim);
    EXPECT_TRUE(claim.ok() && claim->has_value());
    return claim.ok() && claim->has_value() ? **claim : Deltas::Claim();
  }
  bool Idle(absl::Time now) { return !deltas_.ClaimNext(now, now + kLease)->has_value(); }

  db::Database database_;
  Deltas deltas_{database_, {.max_image_bytes = 4000, .max_waiting_of_one = 3, .max_waiting = 5}};
};

TEST_F(DeltasTest, ADeltaIsMadeOnceAndThenKnown) {
  EXPECT_EQ(StateOf(0, 1), DeltaState::kPending);
  EXPECT_EQ(StateOf(0, 1), DeltaState::kPending);
  EXPECT_THAT(deltas_.GetReady(Image(0), Image(1)), StatusIs(absl::StatusCode::kNotFound, "DELTA_NOT_READY"));
  EXPECT_THAT(deltas_.CountWaiting(), IsOkAndHolds(1));
  const Deltas::Claim claim = Claim();
  EXPECT_EQ(claim.base_sha256, Image(0));
  EXPECT_EQ(claim.sha256, Image(1));
  EXPECT_EQ(claim.bytes, 1000);
  EXPECT_TRUE(Idle(kNow));
  ASSERT_OK(deltas_.CompleteReady(claim, "object", 77, crypto::Sha256Hex("delta"), kNow));
  ASSERT_OK_AND_ASSIGN(const Delta delta, deltas_.Ask(Image(0), Image(1), "operator/op", kNow));
  EXPECT_EQ(delta.state, DeltaState::kReady);
  EXPECT_EQ(delta.length_bytes, 77);
  EXPECT_EQ(delta.image_bytes, 1000);
  EXPECT_EQ(delta.delta_sha256, crypto::Sha256Hex("delta"));
  EXPECT_EQ(deltas_.GetReady(Image(0), Image(1))->object, "object");
  EXPECT_THAT(deltas_.IsObject("object"), IsOkAndHolds(true));
  EXPECT_THAT(deltas_.IsObject("another"), IsOkAndHolds(false));
  // The other way round is another delta.
  EXPECT_EQ(StateOf(1, 0), DeltaState::kPending);
  // Whose bytes are gone is made again.
  ASSERT_OK(deltas_.Forget("object"));
  EXPECT_EQ(StateOf(0, 1), DeltaState::kPending);
}

TEST_F(DeltasTest, WhatIsNotWorthwhileIsNotMadeTwice) {
  StateOf(0, 1);
  ASSERT_OK(deltas_.CompleteNotWorthwhile(Claim(), kNow));
  EXPECT_EQ(StateOf(0, 1), DeltaState::kNotWorthwhile);
  EXPECT_TRUE(Idle(kNow));
}

TEST_F(DeltasTest, LongImagesHaveNone) {
  const std::string large = crypto::Sha256Hex("large");
  EXPECT_EQ(deltas_.Ask(Image(0), large, kCaller, kNow)->state, DeltaState::kNotWorthwhile);
  EXPECT_EQ(deltas_.Ask(large, Image(0), kCaller, kNow)->state, DeltaState::kNotWorthwhile);
  EXPECT_TRUE(Idle(kNow));
}

TEST_F(DeltasTest, AnImageThatIsNotStoredHasNone) {
  const std::string nothing = crypto::Sha256Hex("nothing");
  EXPECT_THAT(deltas_.Ask(Image(0), nothing, kCaller, kNow),
              StatusIs(absl::StatusCode::kNotFound, "IMAGE_NOT_FOUND"));
  EXPECT_THAT(deltas_.Ask(nothing, Image(0), kCaller, kNow),
              StatusIs(absl::StatusCode::kNotFound, "IMAGE_NOT_FOUND"));
}

TEST_F(DeltasTest, OneCallerAndAllOfThemFillABoundedQueue) {
  const auto full = StatusIs(absl::StatusCode::kResourceExhausted, "TOO_MANY_DELTAS");
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(StateOf(0, i), DeltaState::kPending);
  EXPECT_THAT(deltas_.Ask(Image(0), Image(4), kCaller, kNow), full);
  // What waits is no new question, whoever asks.
  EXPECT_EQ(StateOf(0, 3), DeltaState::kPending);
  EXPECT_OK(deltas_.Ask(Image(0), Image(4), "gateway/home-2", kNow));
  EXPECT_OK(deltas_.Ask(Image(0), Image(5), "gateway/home-3", kNow));
  EXPECT_THAT(deltas_.Ask(Image(1), Image(5), "gateway/home-4", kNow), full);
  ASSERT_OK(deltas_.CompleteNotWorthwhile(Claim(), kNow));
  EXPECT_OK(deltas_.Ask(Image(1), Image(5), "gateway/home-4", kNow));
}

TEST_F(DeltasTest, ManyWhoAskAtOnceDoNotOvercomeTheBound) {
  std::vector<std::thread> askers;
  for (int i = 0; i < 6; ++i) {
    for (int j = 0; j < 6; ++j) {
      if (i == j) continue;
      askers.emplace_back([this, i, j] { deltas_.Ask(Image(i), Image(j), kCaller, kNow).IgnoreError(); });
    }
  }
  for (std::thread& asker : askers) asker.join();
  EXPECT_THAT(deltas_.CountWaiting(), IsOkAndHolds(3));
}

TEST_F(DeltasTest, TheLaterInTheQueueTheLongerTheDelay) {
  const absl::StatusOr<Delta> first = deltas_.Ask(Image(0), Image(1), kCaller, kNow);
  EXPECT_EQ(first->retry_delay, absl::Seconds(1));
  AddImage("a", int64_t{40} << 20);
  AddImage("b", int64_t{80} << 20);
  Deltas roomy(database_, {});
  const std::string a = crypto::Sha256Hex("a"), b = crypto::Sha256Hex("b");
  EXPECT_EQ(roomy.Ask(a, b, kCaller, kNow + absl::Seconds(1))->retry_delay, absl::Seconds(31));
  EXPECT_EQ(roomy.Ask(a, b, kCaller, kNow + absl::Seconds(1))->retry_delay, absl::Seconds(31));
  EXPECT_EQ(roomy.Ask(Image(0), Image(1), kCaller, kNow)->retry_delay, absl::Seconds(1));
}

TEST_F(DeltasTest, ManyReplicasTakeEachDeltaOnceAndTheLongestWaitingFirst) {
  for (int i = 1; i <= 3; ++i) StateOf(0, i, kNow + absl::Seconds(i));
  EXPECT_EQ(Claim().sha256, Image(1));
  std::vector<std::thread> replicas;
  std::vector<std::optional<Deltas::Claim>> claims(6);
  for (auto& claim : claims) {
    replicas.emplace_back([&] { claim = *deltas_.ClaimNext(kNow, kNow + kLease); });
  }
  for (std::thread& replica : replicas) replica.join();
  std::multiset<std::string> taken;
  for (const auto& claim : claims) {
    if (claim.has_value()) taken.insert(claim->sha256);
  }
  EXPECT_EQ(taken, (std::multiset<std::string>{Image(2), Image(3)}));
}

TEST_F(DeltasTest, AReplicaThatIsSilentForTooLongLosesItsClaim) {
  StateOf(0, 1);
  const Deltas::Claim first = Claim();
  EXPECT_TRUE(Idle(kNow + kLease - absl::Seconds(1)));
  ASSERT_OK(deltas_.Renew(first, kNow + 2 * kLease));
  EXPECT_TRUE(Idle(kNow + kLease));
  const absl::Time late = kNow + 2 * kLease;
  const Deltas::Claim second = Claim(late);
  EXPECT_EQ(second.sha256, Image(1));
  const auto lost = StatusIs(absl::StatusCode::kAborted, "CLAIM_LOST");
  EXPECT_THAT(deltas_.Renew(first, late + kLease), lost);
  EXPECT_THAT(deltas_.GiveBack(first, late), lost);
  EXPECT_THAT(deltas_.CompleteReady(first, "first", 1, Image(0), late), lost);
  EXPECT_THAT(deltas_.CompleteNotWorthwhile(first, late), lost);
  ASSERT_OK(deltas_.CompleteReady(second, "second", 1, Image(0), late));
  EXPECT_THAT(deltas_.CompleteReady(first, "first", 1, Image(0), late), lost);
  EXPECT_EQ(deltas_.GetReady(Image(0), Image(1))->object, "second");
}

// One that takes down whoever makes it must not take down all of them for ever.
TEST_F(DeltasTest, ADeltaThatNobodyLivesToFinishIsGivenUp) {
  StateOf(0, 1);
  absl::Time now = kNow;
  for (int i = 0; i < Deltas::kMaxAttempts; ++i) {
    Claim(now);
    now += kLease;
  }
  EXPECT_TRUE(Idle(now));
  EXPECT_EQ(StateOf(0, 1, kNow), DeltaState::kNotWorthwhile);
}

TEST_F(DeltasTest, WhatIsGivenBackIsTakenAgainAndNotCounted) {
  StateOf(0, 1);
  absl::Time now = kNow;
  for (int i = 0; i < 2 * Deltas::kMaxAttempts; ++i) {
    const Deltas::Claim claim = Claim(now);
    ASSERT_OK(deltas_.GiveBack(claim, now + absl::Minutes(1)));
    EXPECT_TRUE(Idle(now));
    now += absl::Minutes(1);
  }
}

TEST_F(DeltasTest, WhatNobodyAsksForIsForgotten) {
  for (int i = 1; i <= 3; ++i) StateOf(0, i, kNow + absl::Seconds(i));
  ASSERT_OK(deltas_.CompleteReady(Claim(), "one", 1, Image(0), kNow));
  ASSERT_OK(deltas_.CompleteReady(Claim(), "two", 1, Image(0), kNow));
  ASSERT_OK(deltas_.CompleteNotWorthwhile(Claim(), kNow));
  const absl::Time later = kNow + absl::Hours(24 * 40);
  EXPECT_THAT(deltas_.DeleteUnused(kNow), IsOkAndHolds(IsEmpty()));
  // The first is still asked for, and so is the third, whose verdict is old.
  StateOf(0, 1, later);
  StateOf(0, 3, later);
  EXPECT_THAT(deltas_.DeleteUnused(later - absl::Hours(24 * 30)), IsOkAndHolds(ElementsAre("two")));
  EXPECT_EQ(StateOf(0, 1, later), DeltaState::kReady);
  EXPECT_EQ(StateOf(0, 2, later), DeltaState::kPending);
  EXPECT_EQ(StateOf(0, 3, later), DeltaState::kPending);
}

}  // namespace
}  // namespace countersign::package_store
