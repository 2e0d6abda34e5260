#include "services/liaison/storage/liaison_store.h"

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/crypto/random.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/db/testing/test_cluster.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/liaison/storage/liaison_migrations.h"

namespace countersign::liaison {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

Mutation NewMutation(const std::string& bytes = "request") {
  return {"operator/op", "/test", crypto::Uuid(), bytes};
}

domain::Release NewRelease(const std::string& id, int64_t counter, const std::string& manufacturer = "acme") {
  domain::Release release;
  release.manufacturer = manufacturer;
  release.offer = {.release_id = id,
                   .component = absl::StrCat(manufacturer, "/lamp"),
                   .version = "1.0.0",
                   .version_format = VersionFormat::kTriplet,
                   .release_counter = counter,
                   .models = {"L1"},
                   .hardware_ids = {"hw-1"}};
  release.info = absl::StrCat("said of ", id, std::string(1, '\0'));
  release.create_time = kNow;
  return release;
}

class LiaisonStoreTest : public ::testing::Test {
 protected:
  LiaisonStoreTest() : database_({.conninfo = db::TestCluster::Shared().CreateDatabase()}) {
    EXPECT_OK(db::Migrate(database_, {db::RequestIdsMigrations(), LiaisonMigrations()}));
  }

  absl::StatusOr<std::string> Add(const std::string& id, domain::Channel channel,
                                  const Mutation& mutation = NewMutation()) {
    domain::Manufacturer manufacturer;
    manufacturer.id = id;
    manufacturer.display_name = absl::StrCat(id, " Ltd");
    manufacturer.channel = channel;
    manufacturer.backend_address = channel == domain::Channel::kBackend ? "oem.example:443" : "";
    manufacturer.create_time = kNow;
    return store_.CreateManufacturer(mutation, manufacturer,
                                     [](const domain::Manufacturer& added) { return added.id; });
  }
  absl::StatusOr<std::string> Announce(const domain::Release& release,
                                       const Mutation& mutation = NewMutation()) {
    return store_.CreateRelease(mutation, release, [](const domain::Release& r) { return r.info; });
  }
  absl::Status Notify(const std::string& manufacturer, const std::string& id) {
    domain::Notice notice;
    notice.manufacturer = manufacturer;
    notice.id = id;
    notice.models = {"L1"};
    notice.text = "keys leaked";
    notice.create_time = kNow;
    return store_.CreateNotice(NewMutation(), notice, [](const domain::Notice& n) { return n.id; }).status();
  }
  absl::StatusOr<std::string> RequestRefresh(const std::string& id, absl::Time now) {
    return store_.RequestRefresh(NewMutation(), id, now,
                                 [](const domain::Manufacturer& asked) { return asked.id; });
  }
  // The manufacturer that `owner` is to ask now, for two minutes; "" for none.
  std::string Claim(const std::string& owner, absl::Time now) {
    const auto claimed = store_.ClaimRefresh(owner, now, now + absl::Minutes(2));
    EXPECT_OK(claimed.status());
    return claimed.ok() && claimed->has_value() ? (*claimed)->id : "";
  }
  domain::RefreshState StateOf(const std::string& id) { return store_.GetManufacturer(id)->refresh_state; }

  db::Database database_;
  LiaisonStore store_{database_};
};

TEST_F(LiaisonStoreTest, ARepeatedRequestIsDoneOnceAndAnotherOfThatIdIsRefused) {
  const Mutation mutation = NewMutation();
  EXPECT_THAT(Add("acme", domain::Channel::kPush, mutation), IsOkAndHolds("acme"));
  EXPECT_THAT(Add("acme", domain::Channel::kPush, mutation), IsOkAndHolds("acme"));
  EXPECT_THAT(Add("acme", domain::Channel::kPush),
              StatusIs(absl::StatusCode::kAlreadyExists, "MANUFACTURER_EXISTS"));
  Mutation other = mutation;
  other.request_bytes = "another request";
  EXPECT_FALSE(Add("zeta", domain::Channel::kPush, other).ok());
  EXPECT_THAT(store_.GetManufacturer("zeta"), StatusIs(absl::StatusCode::kNotFound, "MANUFACTURER_UNKNOWN"));

  const Mutation announce = NewMutation();
  const domain::Release release = NewRelease("lamp-1", 1);
  EXPECT_THAT(Announce(release, announce), IsOkAndHolds(release.info));
  EXPECT_THAT(Announce(release, announce), IsOkAndHolds(release.info));
  EXPECT_THAT(Announce(release), StatusIs(absl::StatusCode::kAlreadyExists, "RELEASE_EXISTS"));
  EXPECT_THAT(store_.GetRelease("acme", "lamp-1")->info, release.info);
}

TEST_F(LiaisonStoreTest, WhatNobodyAddedIsNotFound) {
  EXPECT_THAT(Announce(NewRelease("lamp-1", 1)),
              StatusIs(absl::StatusCode::kNotFound, "MANUFACTURER_UNKNOWN"));
  EXPECT_THAT(store_.TakeOffer(NewRelease("lamp-1", 1)),
              StatusIs(absl::StatusCode::kNotFound, "MANUFACTURER_UNKNOWN"));
  EXPECT_THAT(Notify("acme", "1"), StatusIs(absl::StatusCode::kNotFound, "MANUFACTURER_UNKNOWN"));
  EXPECT_THAT(RequestRefresh("acme", kNow), StatusIs(absl::StatusCode::kNotFound, "MANUFACTURER_UNKNOWN"));
  ASSERT_OK(Add("acme", domain::Channel::kPush).status());
  EXPECT_THAT(store_.GetRelease("acme", "lamp-1"), StatusIs(absl::StatusCode::kNotFound, "RELEASE_UNKNOWN"));
  EXPECT_THAT(RequestRefresh("acme", kNow), StatusIs(absl::StatusCode::kFailedPrecondition, "NO_BACKEND"));
}

TEST_F(LiaisonStoreTest, OfManyReleasesAtOnceWithOneCounterOneIsTaken) {
  ASSERT_OK(Add("acme", domain::Channel::kPush).status());
  std::atomic<int> taken = 0;
  std::atomic<int> fell = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const absl::Status status = Announce(NewRelease(absl::StrCat("lamp-", i), 7)).status();
      if (status.ok()) ++taken;
      if (ReasonOf(status) == "RELEASE_COUNTER_FELL") ++fell;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 1);
  EXPECT_EQ(fell, 7);
}

TEST_F(LiaisonStoreTest, ABackendIsAskedByOneReplica) {
  ASSERT_OK(Add("acme", domain::Channel::kBackend).status());
  ASSERT_OK(Add("zeta", domain::Channel::kPush).status());
  std::atomic<int> claims = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] { claims += Claim(absl::StrCat("replica-", i), kNow) == "acme" ? 1 : 0; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(claims, 1);
  EXPECT_EQ(StateOf("acme"), domain::RefreshState::kRunning);
}

TEST_F(LiaisonStoreTest, ALeaseThatRanOutIsTakenOverAndItsOldOwnerCanChangeNothing) {
  ASSERT_OK(Add("acme", domain::Channel::kBackend).status());
  ASSERT_EQ(Claim("one", kNow), "acme");
  EXPECT_EQ(Claim("two", kNow + absl::Seconds(119)), "");
  EXPECT_OK(store_.ExtendLease("acme", "one", kNow + absl::Minutes(3)));
  EXPECT_EQ(Claim("two", kNow + absl::Minutes(2)), "");
  EXPECT_EQ(Claim("two", kNow + absl::Minutes(3)), "acme");

  const absl::Time later = kNow + absl::Minutes(4);
  EXPECT_THAT(store_.ExtendLease("acme", "one", later), StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
  EXPECT_THAT(store_.FinishRefresh("acme", "one", kNow, later, later + absl::Hours(1), ""),
              StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
  EXPECT_EQ(StateOf("acme"), domain::RefreshState::kRunning);

  EXPECT_OK(store_.FinishRefresh("acme", "two", kNow, later, later + absl::Hours(1), "no route"));
  const domain::Manufacturer failed = *store_.GetManufacturer("acme");
  EXPECT_EQ(failed.refresh_state, domain::RefreshState::kFailed);
  EXPECT_EQ(failed.refresh_error, "no route");
  EXPECT_THAT(failed.refresh_time, Optional(later));
  EXPECT_EQ(Claim("one", later + absl::Minutes(59)), "");
  EXPECT_EQ(Claim("one", later + absl::Hours(1)), "acme");
}

TEST_F(LiaisonStoreTest, ARefreshThatIsRequestedWhileOneRunsIsDoneAfterIt) {
  ASSERT_OK(Add("acme", domain::Channel::kBackend).status());
  const auto claimed = store_.ClaimRefresh("one", kNow, kNow + absl::Minutes(2));
  ASSERT_OK(claimed.status());
  ASSERT_TRUE(claimed->has_value());
  const absl::Time later = kNow + absl::Seconds(10);
  ASSERT_OK(RequestRefresh("acme", later).status());
  EXPECT_EQ(Claim("two", later), "");
  ASSERT_OK(store_.FinishRefresh("acme", "one", (*claimed)->next_refresh, later, later + absl::Hours(1), ""));
  EXPECT_EQ(StateOf("acme"), domain::RefreshState::kRunning);
  EXPECT_EQ(Claim("two", later), "acme");
}

// HOME-4
TEST_F(LiaisonStoreTest, WhatIsNoLongerOfferedIsWithdrawnAndMayBeOfferedAgain) {
  ASSERT_OK(Add("acme", domain::Channel::kBackend).status());
  ASSERT_OK(store_.TakeOffer(NewRelease("lamp-1", 1)).status());
  ASSERT_OK(store_.TakeOffer(NewRelease("lamp-2", 2)).status());
  for (const char* id : {"lamp-1", "lamp-2"}) {
    ASSERT_OK(store_.SetReleaseState("acme", id, domain::ReleaseState::kAvailable));
  }
  EXPECT_EQ(store_.TakeOffer(NewRelease("lamp-1", 1))->state, domain::ReleaseState::kAvailable);
  EXPECT_THAT(*store_.FindOffers("acme", "L1"), SizeIs(2));

  ASSERT_OK(store_.WithdrawOthers("acme", {"lamp-1"}));
  EXPECT_EQ(store_.GetRelease("acme", "lamp-2")->state, domain::ReleaseState::kWithdrawn);
  EXPECT_THAT(*store_.FindOffers("acme", "L1"), SizeIs(1));
  EXPECT_EQ(store_.TakeOffer(NewRelease("lamp-2", 2))->state, domain::ReleaseState::kRetrieving);
  EXPECT_EQ(store_.GetRelease("acme", "lamp-2")->state, domain::ReleaseState::kRetrieving);
}

TEST_F(LiaisonStoreTest, AReleaseStaysWhatItIsAndCountersRise) {
  ASSERT_OK(Add("acme", domain::Channel::kBackend).status());
  ASSERT_OK(store_.TakeOffer(NewRelease("lamp-2", 2)).status());
  domain::Release changed = NewRelease("lamp-2", 2);
  changed.info = "something else";
  EXPECT_THAT(store_.TakeOffer(changed), StatusIs(absl::StatusCode::kFailedPrecondition, "RELEASE_CHANGED"));
  EXPECT_THAT(store_.TakeOffer(NewRelease("lamp-1", 1)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "RELEASE_COUNTER_FELL"));
  domain::Release elsewhere = NewRelease("lamp-1", 1);
  elsewhere.offer.hardware_ids = {"hw-2"};
  EXPECT_OK(store_.TakeOffer(elsewhere).status());
}

TEST_F(LiaisonStoreTest, ReleasesArePagedInOrderOfManufacturerAndId) {
  for (const char* id : {"zeta", "acme"}) ASSERT_OK(Add(id, domain::Channel::kPush).status());
  ASSERT_OK(Announce(NewRelease("a", 1, "zeta")).status());
  ASSERT_OK(Announce(NewRelease("a", 1)).status());
  ASSERT_OK(Announce(NewRelease("b", 2)).status());
  std::vector<std::string> found;
  LiaisonStore::Key after;
  while (true) {
    const std::vector<domain::Release> page = *store_.ListReleases("", after, 1);
    if (page.empty()) break;
    ASSERT_THAT(page, SizeIs(1));
    after = {page[0].manufacturer, page[0].offer.release_id};
    found.push_back(absl::StrCat(after.first, "/", after.second));
  }
  EXPECT_THAT(found, ElementsAre("acme/a", "acme/b", "zeta/a"));
  EXPECT_THAT(*store_.ListReleases("acme", {}, 10), SizeIs(2));
  EXPECT_THAT(*store_.ListManufacturers("acme", 10), SizeIs(1));
}

// HOME-3
TEST_F(LiaisonStoreTest, NoticesArePagedNewestFirst) {
  for (const char* id : {"zeta", "acme"}) ASSERT_OK(Add(id, domain::Channel::kPush).status());
  ASSERT_OK(Notify("acme", "1"));
  ASSERT_OK(Notify("zeta", "1"));
  ASSERT_OK(Notify("acme", "2"));
  std::vector<std::string> found;
  LiaisonStore::Key after;
  while (true) {
    const std::vector<domain::Notice> page = *store_.ListNotices("", after, 1);
    if (page.empty()) break;
    ASSERT_THAT(page, SizeIs(1));
    after = {page[0].manufacturer, page[0].id};
    found.push_back(absl::StrCat(after.first, "/", after.second));
  }
  EXPECT_THAT(found, ElementsAre("acme/2", "zeta/1", "acme/1"));
  EXPECT_THAT(*store_.ListNotices("acme", {}, 10), SizeIs(2));
}

// HOME-3
TEST_F(LiaisonStoreTest, ANoticeIsClaimedOnceUntilItsNextAttemptAndNeverAfterDelivery) {
  ASSERT_OK(Add("acme", domain::Channel::kBackend).status());
  ASSERT_OK(Add("zeta", domain::Channel::kPush).status());
  ASSERT_OK(Notify("acme", "1"));
  ASSERT_OK(Notify("zeta", "1"));
  const absl::Time retry = kNow + absl::Minutes(1);
  const auto claimed = store_.ClaimDeliveries(kNow, retry, 10);
  ASSERT_OK(claimed.status());
  ASSERT_THAT(*claimed, SizeIs(1));
  EXPECT_EQ((*claimed)[0].notice.manufacturer, "acme");
  EXPECT_EQ((*claimed)[0].backend_address, "oem.example:443");
  EXPECT_THAT(*store_.ClaimDeliveries(kNow, retry, 10), IsEmpty());
  EXPECT_THAT(*store_.ClaimDeliveries(retry, retry + absl::Minutes(1), 10), SizeIs(1));
  ASSERT_OK(store_.MarkDelivered("acme", {"1"}));
  EXPECT_THAT(*store_.ClaimDeliveries(kNow + absl::Hours(1), kNow + absl::Hours(2), 10), IsEmpty());
  EXPECT_EQ((*store_.ListNotices("acme", {}, 10))[0].state, domain::NoticeState::kDelivered);
  EXPECT_EQ((*store_.ListNotices("zeta", {}, 10))[0].state, domain::NoticeState::kPending);
}

}  // namespace
}  // namespace countersign::liaison
