#include "services/rollout/storage/rollout_store.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/feed/follower_migrations.h"
#include "common/feed/outbox.h"
#include "common/feed/outbox_migrations.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/rollout/storage/bundles.h"
#include "services/rollout/storage/director_store.h"
#include "services/rollout/storage/ended_packages.h"
#include "services/rollout/storage/outcomes.h"
#include "services/rollout/storage/rollout_migrations.h"

namespace countersign::rollout {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr absl::Duration kLease = absl::Seconds(30);

std::string Sha(int counter) { return absl::StrCat(std::string(62, 'a'), 10 + counter); }

Release Thermostat(int counter) {
  Release release;
  release.name = absl::StrCat("manufacturers/acme/releases/thermostat-", counter);
  release.manufacturer = "acme";
  release.image = {absl::StrCat("acme/thermostat/", counter, ".bin"), 100, Sha(counter)};
  release.version = absl::StrCat("2.0.", counter);
  release.version_format = VersionFormat::kTriplet;
  release.release_counter = counter;
  release.models = {"T1"};
  release.hardware_ids = {"t1-a"};
  release.kind = "SECURITY";
  release.info = std::string("opaque\0bytes", 12);
  return release;
}

Component Installed(const std::string& gateway, const std::string& serial) {
  return {.gateway = gateway,
          .ecu_serial = serial,
          .hardware_id = "t1-a",
          .manufacturer = "acme",
          .model = "T1",
          .version = "1.0.0",
          .sha256 = std::string(64, 'f'),
          .release_counter = 1,
          .report_counter = 5,
          .proved = true};
}

class RolloutStoreTest : public ::testing::Test {
 protected:
  RolloutStoreTest() : database_({.conninfo = db::TestCluster::Shared().CreateDatabase()}) {
    EXPECT_OK(db::Migrate(database_, {db::RequestIdsMigrations(), feed::OutboxMigrations(),
                                      feed::FollowerMigrations(), RolloutMigrations()}));
  }

  Request Asked(const std::string& request_id, const std::string& bytes = "bytes") {
    return {"operator/alice", "Method", request_id, bytes, [](const Rollout& rollout) {
              return absl::StrCat(rollout.id, " ", RolloutStateName(rollout.state));
            }};
  }

  std::string Create(const std::string& id, RolloutSpec spec = {}) {
    Rollout rollout;
    rollout.id = id;
    rollout.spec = std::move(spec);
    rollout.spec.display_name = id;
    rollout.created_by = "operator/alice";
    rollout.create_time = clock_.Now();
    EXPECT_OK(store_.Create(rollout, {Thermostat(2), Thermostat(3)}, Asked("create-" + id)));
    clock_.Advance(absl::Seconds(1));
    return id;
  }

  // Plans `count` components, one behind each gateway, and finishes planning.
  std::string Planned(const std::string& id, int count, RolloutSpec spec = {}) {
    Create(id, std::move(spec));
    absl::StatusOr<std::optional<PlanningJob>> job = store_.ClaimPlanning("planner", kLease);
    EXPECT_OK(job);
    EXPECT_TRUE(job->has_value());
    EXPECT_OK(store_.Plan(**job, Components(count), kLease));
    EXPECT_OK(store_.FinishPlanning(**job));
    return id;
  }

  std::vector<rollout::Planned> Components(int count) {
    std::vector<rollout::Planned> planned;
    for (int i = 0; i < count; ++i) {
      planned.push_back({Installed(absl::StrCat("gw-", i), absl::StrCat("ecu-", i)), 0});
    }
    return planned;
  }

  std::string Started(const std::string& id, int count, RolloutSpec spec = {}) {
    Planned(id, count, std::move(spec));
    EXPECT_OK(store_.Apply(id, RolloutEvent::kStart, "", {{}, {}}, Asked("start-" + id)));
    return id;
  }

  void Grant(const std::string& id, int count) {
    std::vector<ConsentDecision> decisions;
    for (int i = 0; i < count; ++i) decisions.push_back(Decided(id, i, AssignmentEvent::kConsentGranted));
    EXPECT_OK(store_.Decide(decisions));
  }

  ConsentDecision Decided(const std::string& id, int i, AssignmentEvent event) {
    return {id,
            absl::StrCat("gw-", i),
            absl::StrCat("ecu-", i),
            event,
            absl::StrCat("gateways/gw-", i, "/records/r1"),
            "user-1",
            "{\"record\":1}",
            std::nullopt};
  }

  Assignment Only(const std::string& gateway) {
    absl::StatusOr<std::vector<AssignmentView>> views =
        store_.Assignments(std::nullopt, gateway, 10, std::nullopt);
    EXPECT_OK(views);
    EXPECT_EQ(views->size(), 1);
    return views->at(0).assignment;
  }

  Rollout Get(const std::string& id) {
    absl::StatusOr<Rollout> rollout = store_.Get(id);
    EXPECT_OK(rollout);
    return *rollout;
  }

  std::vector<std::string> Hints() {
    absl::StatusOr<feed::Page> page = feed::Read(database_, "", 1000);
    EXPECT_OK(page);
    std::vector<std::string> hints;
    for (const feed::Event& event : page->events) {
      if (event.kind == kHintKind) hints.push_back(absl::StrCat(event.key, " ", event.payload));
    }
    return hints;
  }

  std::vector<FailedUpdate> Failures() {
    absl::StatusOr<feed::Page> page = feed::Read(database_, "", 1000);
    EXPECT_OK(page);
    std::vector<FailedUpdate> failures;
    for (const feed::Event& event : page->events) {
      if (event.kind == kFailureKind) failures.push_back(*DecodeFailure(event.payload));
    }
    return failures;
  }

  absl::Status TakeComponent(const Component& component) {
    return database_.RunInTransaction(
        "test", [&](db::Transaction& tx) -> absl::Status { return store_.TakeComponent(tx, component); });
  }

  FakeClock clock_;
  db::Database database_;
  std::vector<Ended> ended_;
  absl::Mutex ended_mutex_;
  RolloutStore store_{database_, clock_, [this](const Ended& ended) {
                        absl::MutexLock lock(&ended_mutex_);
                        ended_.push_back(ended);
                      }};
  DirectorStore director_{database_, store_};
};

TEST_F(RolloutStoreTest, ARolloutComesBackAsItWasMade) {
  const std::string id = Create("r1", {.releases = {},
                                       .filter = "model = \"T1\"",
                                       .max_concurrent = 3,
                                       .max_failures = 2,
                                       .assignment_timeout = absl::Minutes(90)});
  const Rollout rollout = Get(id);
  EXPECT_EQ(rollout.spec.filter, "model = \"T1\"");
  EXPECT_EQ(rollout.spec.max_concurrent, 3);
  EXPECT_EQ(rollout.spec.assignment_timeout, absl::Minutes(90));
  EXPECT_EQ(rollout.state, RolloutState::kPlanning);
  EXPECT_THAT(rollout.spec.releases, ElementsAre("manufacturers/acme/releases/thermostat-2",
                                                 "manufacturers/acme/releases/thermostat-3"));
  ASSERT_OK_AND_ASSIGN(const std::vector<Release> releases, store_.Releases(id));
  EXPECT_EQ(releases[1].image, Thermostat(3).image);
  EXPECT_EQ(releases[1].info, Thermostat(3).info);
  EXPECT_EQ(releases[1].models, Thermostat(3).models);
  EXPECT_THAT(store_.Get("nothing"), StatusIs(absl::StatusCode::kNotFound, "ROLLOUT_UNKNOWN"));
}

TEST_F(RolloutStoreTest, TheSameRequestTwiceIsDoneOnce) {
  Planned("r1", 1);
  ASSERT_OK_AND_ASSIGN(const std::string first, store_.Apply("r1", RolloutEvent::kStart, "", {}, Asked("q")));
  ASSERT_OK_AND_ASSIGN(const std::string second,
                       store_.Apply("r1", RolloutEvent::kStart, "", {}, Asked("q")));
  EXPECT_EQ(first, "r1 RUNNING");
  EXPECT_EQ(second, first);
  EXPECT_THAT(store_.Apply("r1", RolloutEvent::kStart, "", {}, Asked("other")),
              StatusIs(absl::StatusCode::kFailedPrecondition, "WRONG_STATE"));
  EXPECT_THAT(store_.Apply("r1", RolloutEvent::kStart, "", {}, Asked("q", "other bytes")),
              StatusIs(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
}

TEST_F(RolloutStoreTest, AnEtagThatIsNoLongerTrueAborts) {
  Planned("r1", 1);
  const std::string etag = Get("r1").etag();
  EXPECT_THAT(store_.Apply("r1", RolloutEvent::kStart, "\"0\"", {}, Asked("a")),
              StatusIs(absl::StatusCode::kAborted, "ETAG_MISMATCH"));
  EXPECT_OK(store_.Apply("r1", RolloutEvent::kStart, etag, {}, Asked("b")));
  EXPECT_NE(Get("r1").etag(), etag);
}

TEST_F(RolloutStoreTest, ListingIsNewestFirstAndPaged) {
  for (const char* id : {"r1", "r2", "r3"}) Create(id);
  ASSERT_OK_AND_ASSIGN(const std::vector<Rollout> first, store_.List(2, std::nullopt));
  ASSERT_EQ(first.size(), 2);
  EXPECT_EQ(first[0].id, "r3");
  ASSERT_OK_AND_ASSIGN(const std::vector<Rollout> rest,
                       store_.List(2, std::make_pair(first[1].create_time, first[1].id)));
  ASSERT_EQ(rest.size(), 1);
  EXPECT_EQ(rest[0].id, "r1");
}

// A planner that was killed in the middle: the next one goes through all of it again.
TEST_F(RolloutStoreTest, PlanningResumesWithoutDoublingWhenThePlannerIsGone) {
  Create("r1");
  ASSERT_OK_AND_ASSIGN(const auto dead, store_.ClaimPlanning("dead", kLease));
  ASSERT_TRUE(dead.has_value());
  ASSERT_OK(store_.Plan(*dead, Components(3), kLease));

  ASSERT_OK_AND_ASSIGN(auto second, store_.ClaimPlanning("second", kLease));
  EXPECT_FALSE(second.has_value()) << "it is claimed";
  clock_.Advance(kLease + absl::Seconds(1));
  ASSERT_OK_AND_ASSIGN(second, store_.ClaimPlanning("second", kLease));
  ASSERT_TRUE(second.has_value());
  EXPECT_THAT(store_.Plan(*dead, Components(5), kLease),
              StatusIs(absl::StatusCode::kAborted, "PLANNING_LOST"));
  EXPECT_THAT(store_.FinishPlanning(*dead), StatusIs(absl::StatusCode::kAborted, "PLANNING_LOST"));
  ASSERT_OK(store_.Plan(*second, Components(5), kLease));
  ASSERT_OK(store_.FinishPlanning(*second));
  EXPECT_EQ(Get("r1").state, RolloutState::kReady);
  EXPECT_EQ(Get("r1").counts, (AssignmentCounts{.total = 5, .waiting = 5}));
  ASSERT_OK_AND_ASSIGN(const auto views, store_.Assignments("r1", std::nullopt, 100, std::nullopt));
  EXPECT_EQ(views.size(), 5);
}

TEST_F(RolloutStoreTest, AComponentHasOneOpenAssignmentOverAllRollouts) {
  Planned("r1", 2);
  Planned("r2", 3);
  EXPECT_EQ(Get("r2").counts, (AssignmentCounts{.total = 3, .waiting = 1, .cancelled = 2}));
  ASSERT_OK_AND_ASSIGN(const auto views, store_.Assignments("r2", "gw-0", 10, std::nullopt));
  ASSERT_EQ(views.size(), 1);
  EXPECT_EQ(views[0].assignment.state, AssignmentState::kCancelled);
  EXPECT_EQ(views[0].assignment.failure_reason, static_cast<int>(FailureReason::kConflict));
  EXPECT_NE(views[0].assignment.failure_detail.find("rollouts/r1"), std::string::npos);
}

TEST_F(RolloutStoreTest, AFailedPlanLetsItsComponentsGo) {
  Create("r1");
  ASSERT_OK_AND_ASSIGN(const auto job, store_.ClaimPlanning("p", kLease));
  ASSERT_OK(store_.Plan(*job, Components(2), kLease));
  ASSERT_OK(store_.FailPlanning(*job, "The filter is wrong."));
  EXPECT_EQ(Get("r1").state, RolloutState::kFailed);
  EXPECT_THAT(store_.CallOff("r1", 10), IsOkAndHolds(2));
  EXPECT_TRUE(Get("r1").end_time.has_value());
  Planned("r2", 2);
  EXPECT_EQ(Get("r2").counts.waiting, 2);
}

// PLUS-4
TEST_F(RolloutStoreTest, MaxConcurrentIsExactWithManyReplicasAtOnce) {
  Started("r1", 40, {.max_concurrent = 7});
  Grant("r1", 40);
  std::vector<std::thread> replicas;
  std::atomic<int> moved = 0;
  for (int i = 0; i < 4; ++i) {
    replicas.emplace_back([&] {
      for (int round = 0; round < 10; ++round) {
        absl::StatusOr<int> admitted = store_.Admit("r1", 3);
        EXPECT_OK(admitted);
        moved += admitted.value_or(0);
      }
    });
  }
  for (std::thread& replica : replicas) replica.join();
  EXPECT_LE(moved, 7);
  // A replica that finds the rollout locked leaves it to the one that has it, so the last rounds may have
  // been left out.
  ASSERT_OK_AND_ASSIGN(const int rest, store_.Admit("r1", 100));
  EXPECT_EQ(moved + rest, 7);
  EXPECT_EQ(Get("r1").counts, (AssignmentCounts{.total = 40, .waiting = 33, .active = 7}));
}

// PLUS-4
TEST_F(RolloutStoreTest, FailuresPauseItAndAResumeCountsAnew) {
  Started("r1", 6, {.max_concurrent = 4, .max_failures = 2});
  Grant("r1", 6);
  ASSERT_THAT(store_.Admit("r1", 100), IsOkAndHolds(4));
  ASSERT_OK_AND_ASSIGN(auto views, store_.Assignments("r1", std::nullopt, 100, std::nullopt));
  int failed = 0;
  for (const AssignmentView& view : views) {
    if (!IsActive(view.assignment.state) || failed == 2) continue;
    ++failed;
    EXPECT_THAT(
        store_.Report(view.assignment.gateway, {{view.assignment.ecu_serial, Sha(2),
                                                 AssignmentEvent::kReportedFailed, 7, "it would not boot"}}),
        IsOkAndHolds(ElementsAre(true)));
  }
  EXPECT_EQ(Get("r1").state, RolloutState::kPaused);
  EXPECT_THAT(store_.Admit("r1", 100), IsOkAndHolds(0));
  EXPECT_EQ(ended_.size(), 2);
  ASSERT_OK(store_.Apply("r1", RolloutEvent::kResume, "", {}, Asked("resume")));
  EXPECT_THAT(store_.Admit("r1", 100), IsOkAndHolds(2));
  EXPECT_EQ(Get("r1").counts, (AssignmentCounts{.total = 6, .active = 4, .failed = 2}));
}

class BundlesTest : public RolloutStoreTest {
 protected:
  // Two homes with two components each, in a rollout that runs.
  void StartBundles(RolloutSpec spec) {
    spec.bundle = true;
    Create("r1", std::move(spec));
    const auto job = store_.ClaimPlanning("planner", kLease);
    ASSERT_OK(job);
    std::vector<rollout::Planned> planned;
    for (const char* gateway : {"gw-0", "gw-1"}) {
      for (const char* serial : {"a", "b"}) {
        planned.push_back({Installed(gateway, absl::StrCat(gateway, "-", serial)), 0});
      }
    }
    ASSERT_OK(store_.Plan(**job, planned, kLease));
    ASSERT_OK(store_.FinishPlanning(**job));
    ASSERT_OK(store_.Apply("r1", RolloutEvent::kStart, "", {{}, {}}, Asked("start")));
  }
  void Decide(const std::string& gateway, const std::string& part, AssignmentEvent event) {
    ConsentDecision decision = Decided("r1", 0, event);
    decision.gateway = gateway;
    decision.ecu_serial = absl::StrCat(gateway, "-", part);
    ASSERT_OK(store_.Decide(std::vector<ConsentDecision>{decision}));
  }
  std::vector<AssignmentState> States(const std::string& gateway) {
    const auto views = store_.Assignments("r1", gateway, 10, std::nullopt);
    EXPECT_OK(views);
    std::vector<AssignmentState> states;
    for (const AssignmentView& view : *views) {
      EXPECT_TRUE(view.bundle);
      states.push_back(view.assignment.state);
    }
    return states;
  }

  Bundles bundles_{database_, clock_};
};

TEST_F(BundlesTest, AGatewaysComponentsAreLetInTogetherOnceAllAreConsented) {
  StartBundles({.max_concurrent = 3});
  Decide("gw-0", "a", AssignmentEvent::kConsentGranted);
  Decide("gw-1", "a", AssignmentEvent::kConsentGranted);
  EXPECT_THAT(bundles_.Admit("r1", 100), IsOkAndHolds(0));
  EXPECT_THAT(store_.Admit("r1", 100), IsOkAndHolds(0)) << "one by one is not for bundles";
  Decide("gw-0", "b", AssignmentEvent::kConsentGranted);
  Decide("gw-1", "b", AssignmentEvent::kConsentGranted);
  // Three may be under way: one bundle, and not a half of the other.
  EXPECT_THAT(bundles_.Admit("r1", 100), IsOkAndHolds(2));
  EXPECT_THAT(bundles_.Admit("r1", 100), IsOkAndHolds(0));
  EXPECT_EQ(Get("r1").counts, (AssignmentCounts{.total = 4, .waiting = 2, .active = 2}));
}

TEST_F(BundlesTest, WhenOneOfABundleIsDeclinedTheOthersAreCancelledAndOtherHomesGoOn) {
  StartBundles({});
  for (const char* part : {"a", "b"}) Decide("gw-1", part, AssignmentEvent::kConsentGranted);
  Decide("gw-0", "a", AssignmentEvent::kConsentGranted);
  Decide("gw-0", "b", AssignmentEvent::kConsentDenied);
  EXPECT_THAT(bundles_.EndBroken("r1", 100), IsOkAndHolds(1));
  EXPECT_THAT(bundles_.EndBroken("r1", 100), IsOkAndHolds(0));
  EXPECT_THAT(States("gw-0"), ElementsAre(AssignmentState::kCancelled, AssignmentState::kCancelled));
  ASSERT_OK_AND_ASSIGN(const auto views, store_.Assignments("r1", "gw-0", 10, std::nullopt));
  EXPECT_EQ(views[0].assignment.failure_reason, static_cast<int>(FailureReason::kDependency));
  EXPECT_NE(views[0].assignment.failure_detail.find("gw-0-b"), std::string::npos);
  EXPECT_THAT(bundles_.Admit("r1", 100), IsOkAndHolds(2));
  EXPECT_THAT(States("gw-1"), ElementsAre(AssignmentState::kAdmitted, AssignmentState::kAdmitted));
}

TEST_F(BundlesTest, WhatIsBeingWrittenIsNotCalledBackWhenAnotherFails) {
  StartBundles({});
  for (const char* part : {"a", "b"}) Decide("gw-0", part, AssignmentEvent::kConsentGranted);
  ASSERT_THAT(bundles_.Admit("r1", 100), IsOkAndHolds(2));
  ASSERT_OK(store_.Report("gw-0", {{"gw-0-a", Sha(2), AssignmentEvent::kReportedUpdating, 0, ""},
                                   {"gw-0-b", Sha(2), AssignmentEvent::kReportedFailed, 7, "no"}}));
  EXPECT_THAT(bundles_.EndBroken("r1", 100), IsOkAndHolds(0));
  EXPECT_THAT(States("gw-0"), ElementsAre(AssignmentState::kUpdating, AssignmentState::kFailed));
}

TEST_F(BundlesTest, ABundleThatNeverFitsPausesTheRolloutAndSaysWhy) {
  StartBundles({.max_concurrent = 1});
  for (const char* part : {"a", "b"}) Decide("gw-0", part, AssignmentEvent::kConsentGranted);
  EXPECT_THAT(bundles_.Admit("r1", 100), IsOkAndHolds(0));
  EXPECT_EQ(Get("r1").state, RolloutState::kPaused);
  EXPECT_NE(Get("r1").state_reason.find("gw-0"), std::string::npos);
}

TEST_F(BundlesTest, WhatTheUserIsAskedAboutMayBeFetchedAheadUntilItEnds) {
  StartBundles({});
  const auto ahead = [&] {
    const auto signable = director_.LoadForSigning("gw-0");
    EXPECT_OK(signable);
    return signable->ahead.size();
  };
  const auto revision = [&] { return director_.LoadForSigning("gw-0")->state.revision; };
  EXPECT_EQ(ahead(), 0u);
  const int64_t before = revision();
  Decide("gw-0", "a", AssignmentEvent::kConsentPending);
  EXPECT_GT(revision(), before);
  EXPECT_EQ(ahead(), 1u);
  Decide("gw-0", "b", AssignmentEvent::kConsentPending);
  EXPECT_EQ(ahead(), 2u);
  Decide("gw-0", "b", AssignmentEvent::kConsentDenied);
  EXPECT_EQ(ahead(), 1u);
}

// PLUS-4: silence is a failure when its time is over.
TEST_F(RolloutStoreTest, SilenceIsAFailureWhenItsTimeIsOver) {
  Started("r1", 1, {.assignment_timeout = absl::Minutes(10)});
  Grant("r1", 1);
  ASSERT_THAT(store_.Admit("r1", 100), IsOkAndHolds(1));
  clock_.Advance(absl::Minutes(9));
  EXPECT_THAT(store_.Report("gw-0", {{"ecu-0", Sha(2), AssignmentEvent::kReportedUpdating, 0, ""}}),
              IsOkAndHolds(ElementsAre(true)));
  EXPECT_THAT(store_.TimeOut("r1", 100), IsOkAndHolds(0));
  clock_.Advance(absl::Minutes(2));
  EXPECT_THAT(store_.TimeOut("r1", 100), IsOkAndHolds(1));
  EXPECT_EQ(Only("gw-0").state, AssignmentState::kFailed);
  EXPECT_EQ(Only("gw-0").failure_reason, static_cast<int>(FailureReason::kTimeout));
  EXPECT_EQ(Get("r1").state, RolloutState::kCompleted);
  EXPECT_EQ(Get("r1").counts.failed, 1);
}

TEST_F(RolloutStoreTest, ConsentIsAskedForByOneReplicaUntilItsLeaseIsOver) {
  Started("r1", 3);
  ASSERT_OK_AND_ASSIGN(const auto first, store_.ClaimForConsent("r1", 2, kLease));
  EXPECT_EQ(first.size(), 2);
  EXPECT_EQ(first[0].release.info, Thermostat(2).info);
  ASSERT_OK_AND_ASSIGN(const auto second, store_.ClaimForConsent("r1", 2, kLease));
  EXPECT_EQ(second.size(), 1);
  clock_.Advance(kLease);
  ASSERT_OK_AND_ASSIGN(const auto again, store_.ClaimForConsent("r1", 10, kLease));
  EXPECT_EQ(again.size(), 3);
}

TEST_F(RolloutStoreTest, DecisionsMoveAssignmentsAndHintAtPrompts) {
  Started("r1", 4);
  ConsentDecision deferred = Decided("r1", 3, AssignmentEvent::kConsentDeferred);
  deferred.until = clock_.Now() + absl::Hours(1);
  ASSERT_OK(store_.Decide({Decided("r1", 0, AssignmentEvent::kConsentGranted),
                           Decided("r1", 1, AssignmentEvent::kConsentPending),
                           Decided("r1", 2, AssignmentEvent::kConsentDenied), deferred}));
  EXPECT_EQ(Only("gw-0").state, AssignmentState::kConsented);
  EXPECT_EQ(Only("gw-0").consented_by, "user-1");
  EXPECT_EQ(Only("gw-0").signed_consent, "{\"record\":1}");
  EXPECT_EQ(Only("gw-1").state, AssignmentState::kAwaitingConsent);
  EXPECT_EQ(Only("gw-2").state, AssignmentState::kCancelled);
  EXPECT_EQ(Only("gw-2").failure_reason, static_cast<int>(FailureReason::kUserRejected));
  EXPECT_EQ(Only("gw-3").state, AssignmentState::kDeferred);
  EXPECT_THAT(Hints(), ElementsAre("gw-1 PROMPTS"));
  EXPECT_THAT(store_.EndDeferrals("r1", 10), IsOkAndHolds(0));
  clock_.Advance(absl::Hours(1));
  EXPECT_THAT(store_.EndDeferrals("r1", 10), IsOkAndHolds(1));
  EXPECT_EQ(Only("gw-3").state, AssignmentState::kPlanned);
  ASSERT_OK_AND_ASSIGN(const GatewayStanding standing, director_.Standing("gw-1"));
  EXPECT_TRUE(standing.prompts_waiting);
}

// PLUS-2: withdrawn until the installation starts.
TEST_F(RolloutStoreTest, AWithdrawalCallsBackWhatIsNotYetUpdating) {
  Started("r1", 2);
  Grant("r1", 2);
  ASSERT_THAT(store_.Admit("r1", 100), IsOkAndHolds(2));
  ASSERT_OK(store_.Report("gw-1", {{"ecu-1", Sha(2), AssignmentEvent::kReportedUpdating, 0, ""}}));
  ASSERT_OK_AND_ASSIGN(const DirectorStore::Signable before, director_.LoadForSigning("gw-0"));
  EXPECT_EQ(before.admitted.size(), 1);
  ASSERT_OK(store_.Decide({Decided("r1", 0, AssignmentEvent::kConsentWithdrawn),
                           Decided("r1", 1, AssignmentEvent::kConsentWithdrawn)}));
  EXPECT_EQ(Only("gw-0").state, AssignmentState::kCancelled);
  EXPECT_EQ(Only("gw-1").state, AssignmentState::kUpdating);
  ASSERT_OK_AND_ASSIGN(const DirectorStore::Signable after, director_.LoadForSigning("gw-0"));
  EXPECT_TRUE(after.admitted.empty());
  EXPECT_GT(after.state.revision, before.state.revision);
}

TEST_F(RolloutStoreTest, AConsentThatExpiresBeforeItsTurnLetsNobodyIn) {
  Started("r1", 1);
  ConsentDecision decision = Decided("r1", 0, AssignmentEvent::kConsentGranted);
  decision.until = clock_.Now() + absl::Minutes(1);
  ASSERT_OK(store_.Decide({decision}));
  clock_.Advance(absl::Minutes(1));
  EXPECT_THAT(store_.Admit("r1", 10), IsOkAndHolds(1));
  EXPECT_EQ(Only("gw-0").state, AssignmentState::kCancelled);
}

TEST_F(RolloutStoreTest, AGatewayReportsOnlyItsOwnForwardAndForTheRightImage) {
  Started("r1", 2);
  Grant("r1", 2);
  ASSERT_THAT(store_.Admit("r1", 100), IsOkAndHolds(2));
  EXPECT_THAT(store_.Report("gw-0", {{"ecu-0", Sha(2), AssignmentEvent::kReportedDownloading, 0, ""},
                                     {"ecu-0", Sha(2), AssignmentEvent::kReportedUpdating, 0, ""},
                                     {"ecu-0", Sha(2), AssignmentEvent::kReportedDownloaded, 0, ""},
                                     {"ecu-0", Sha(3), AssignmentEvent::kReportedVerifying, 0, ""},
                                     {"ecu-1", Sha(2), AssignmentEvent::kReportedDownloading, 0, ""},
                                     {"none", Sha(2), AssignmentEvent::kReportedDownloading, 0, ""}}),
              IsOkAndHolds(ElementsAre(true, true, false, false, false, false)));
  EXPECT_EQ(Only("gw-0").state, AssignmentState::kUpdating);
  EXPECT_EQ(Only("gw-1").state, AssignmentState::kAdmitted);
}

// FOTA-H
TEST_F(RolloutStoreTest, OnlyALaterProvedReportOfTheImageCompletes) {
  Started("r1", 1);
  Grant("r1", 1);
  ASSERT_THAT(store_.Admit("r1", 100), IsOkAndHolds(1));
  ASSERT_OK(store_.Report("gw-0", {{"ecu-0", Sha(2), AssignmentEvent::kReportedVerifying, 0, ""}}));
  Component component = Installed("gw-0", "ecu-0");
  component.report_counter = 6;
  ASSERT_OK(TakeComponent(component));  // the old image again
  component.sha256 = Sha(2);
  component.proved = false;  // COMPROMISED
  ASSERT_OK(TakeComponent(component));
  component.proved = true;
  component.report_counter = 5;  // the report that it was planned from
  ASSERT_OK(TakeComponent(component));
  EXPECT_EQ(Only("gw-0").state, AssignmentState::kVerifying);
  component.report_counter = 7;
  component.proxied = true;
  ASSERT_OK(TakeComponent(component));
  ASSERT_OK(TakeComponent(component));
  EXPECT_EQ(Only("gw-0").state, AssignmentState::kSucceeded);
  EXPECT_TRUE(Only("gw-0").proxied);
  EXPECT_EQ(Get("r1").state, RolloutState::kCompleted);
  EXPECT_EQ(Get("r1").counts, (AssignmentCounts{.total = 1, .succeeded = 1}));
}

// FOTA-P1
TEST_F(RolloutStoreTest, AFailedUpdateIsToldOnceWithItsReason) {
  Started("r1", 3);
  Grant("r1", 2);
  ASSERT_THAT(store_.Admit("r1", 100), IsOkAndHolds(2));
  const int reason = static_cast<int>(FailureReason::kSignatureInvalid);
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK(store_.Report("gw-0",
                            {{"ecu-0", Sha(2), AssignmentEvent::kReportedFailed, reason, "bad signature"}}));
  }
  const std::vector<FailedUpdate> failures = Failures();
  ASSERT_EQ(failures.size(), 1) << "what was called off is no failure, nor is a second report of the same";
  EXPECT_EQ(failures[0].gateway, "gw-0");
  EXPECT_EQ(failures[0].ecu_serial, "ecu-0");
  EXPECT_EQ(failures[0].rollout, "r1");
  EXPECT_EQ(failures[0].state, AssignmentState::kFailed);
  EXPECT_EQ(failures[0].failure_reason, reason);
  EXPECT_EQ(failures[0].version, store_.Releases("r1")->at(0).version);
  EXPECT_NE(failures[0].detail.find("bad"), std::string::npos);
}

// FOTA-R3
TEST_F(RolloutStoreTest, AnOrderToStopIsSignedForAGatewayThatHasNoRollout) {
  const auto changed = [&] { return director_.Standing("gw-7")->changed; };
  Component component;
  component.gateway = "gw-7";
  component.ecu_serial = "ecu-7";
  ASSERT_OK(TakeComponent(component));
  EXPECT_FALSE(director_.Standing("gw-7")->known) << "most components are never ordered to stop";
  component.quarantined = true;
  ASSERT_OK(TakeComponent(component));
  EXPECT_TRUE(changed());
  EXPECT_THAT(Hints(), ElementsAre("gw-7 METADATA"));
  ASSERT_OK_AND_ASSIGN(DirectorStore::Signable signable, director_.LoadForSigning("gw-7"));
  EXPECT_EQ(signable.quarantined, (std::set<std::string>{"ecu-7"}));
  ASSERT_OK_AND_ASSIGN(const bool stored,
                       director_.Save("gw-7", signable.state, {{1, 1, 1}, "t", "s", "m"}, "k"));
  EXPECT_TRUE(stored);
  EXPECT_FALSE(changed());
  ASSERT_OK(TakeComponent(component));
  EXPECT_FALSE(changed()) << "the same news again is no news";

  component.quarantined = false;
  ASSERT_OK(TakeComponent(component));
  EXPECT_TRUE(changed());
  ASSERT_OK_AND_ASSIGN(signable, director_.LoadForSigning("gw-7"));
  EXPECT_TRUE(signable.quarantined.empty());
}

TEST_F(RolloutStoreTest, ProgressReportsMayAllBeLost) {
  Started("r1", 1);
  Grant("r1", 1);
  ASSERT_THAT(store_.Admit("r1", 100), IsOkAndHolds(1));
  Component component = Installed("gw-0", "ecu-0");
  component.report_counter = 6;
  component.sha256 = Sha(2);
  ASSERT_OK(TakeComponent(component));
  EXPECT_EQ(Only("gw-0").state, AssignmentState::kSucceeded);
}

TEST_F(RolloutStoreTest, AnAbortCancelsWhatIsNotYetUpdatingAndWaitsForTheRest) {
  Started("r1", 3);
  Grant("r1", 2);
  ASSERT_THAT(store_.Admit("r1", 100), IsOkAndHolds(2));
  ASSERT_OK(store_.Report("gw-0", {{"ecu-0", Sha(2), AssignmentEvent::kReportedUpdating, 0, ""}}));
  ASSERT_OK(store_.Apply("r1", RolloutEvent::kAbort, "", {}, Asked("abort")));
  EXPECT_EQ(Get("r1").counts, (AssignmentCounts{.total = 3, .active = 1, .cancelled = 2}));
  EXPECT_FALSE(Get("r1").end_time.has_value());
  Component component = Installed("gw-0", "ecu-0");
  component.report_counter = 6;
  component.sha256 = Sha(2);
  ASSERT_OK(TakeComponent(component));
  EXPECT_EQ(Get("r1").state, RolloutState::kAborted);
  EXPECT_EQ(Get("r1").counts.succeeded, 1);
  EXPECT_TRUE(Get("r1").end_time.has_value());
}

TEST_F(RolloutStoreTest, AnEmptyRolloutIsCompletedAsItStarts) {
  Started("r1", 0);
  EXPECT_EQ(Get("r1").state, RolloutState::kCompleted);
}

TEST_F(RolloutStoreTest, LaunchingRecordsWhoLaunchedAndWhoApproved) {
  Planned("r1", 1);
  ASSERT_OK(store_.Apply("r1", RolloutEvent::kStart, "",
                         {{.manufacturer_key_ids = {"k1", "k2"}, .approved_by = "authority/ma"}, {}},
                         Asked("s")));
  EXPECT_EQ(Get("r1").launched_by, "operator/alice");  // HOME-6
  EXPECT_EQ(Get("r1").launch_time, clock_.Now());
  ASSERT_OK_AND_ASSIGN(const auto views, store_.Assignments("r1", std::nullopt, 10, std::nullopt));
  EXPECT_THAT(views[0].release.manufacturer_key_ids, ElementsAre("k1", "k2"));
  EXPECT_EQ(views[0].release.approved_by, "authority/ma");
}

TEST_F(RolloutStoreTest, AssignmentsArePagedInOrderOfGatewayAndComponent) {
  Planned("r1", 5);
  ASSERT_OK_AND_ASSIGN(const auto first, store_.Assignments("r1", std::nullopt, 3, std::nullopt));
  ASSERT_EQ(first.size(), 3);
  const Assignment& last = first[2].assignment;
  ASSERT_OK_AND_ASSIGN(
      const auto rest,
      store_.Assignments("r1", std::nullopt, 3, AssignmentKey{last.gateway, last.ecu_serial, last.rollout}));
  ASSERT_EQ(rest.size(), 2);
  EXPECT_EQ(rest[0].assignment.gateway, "gw-3");
}

TEST_F(RolloutStoreTest, ARefusalOfTheSignerEndsTheAssignment) {
  Started("r1", 1);
  Grant("r1", 1);
  ASSERT_THAT(store_.Admit("r1", 100), IsOkAndHolds(1));
  ASSERT_OK(store_.Refuse({"gw-0", "ecu-0", "r1"}, AssignmentEvent::kRefusedBySigner,
                          FailureReason::kNotApproved, "not approved any more"));
  EXPECT_EQ(Only("gw-0").state, AssignmentState::kFailed);
  EXPECT_EQ(Only("gw-0").failure_reason, static_cast<int>(FailureReason::kNotApproved));
}

// SC-MA
TEST_F(RolloutStoreTest, TheEndOfAPackageStopsLaunchedRolloutsAndIsOverWhenItComesBack) {
  EndedPackages ended(database_, clock_);
  Started("r1", 3);
  Grant("r1", 3);
  ASSERT_THAT(store_.Admit("r1", 2), IsOkAndHolds(2));
  ASSERT_OK_AND_ASSIGN(const std::vector<Release> releases, store_.Releases("r1"));
  const std::string path = releases.at(0).image.target_path;
  EXPECT_THAT(ended.Why(path), IsOkAndHolds(std::nullopt));
  ASSERT_OK(ended.TakeAll({{"acme/other/o.bin", true, "another"}}));
  EXPECT_EQ(Only("gw-0").state, AssignmentState::kAdmitted);
  ASSERT_OK(ended.TakeAll({{path, true, "The package was withdrawn."}}));
  EXPECT_THAT(ended.Why(path), IsOkAndHolds(std::optional<std::string>("The package was withdrawn.")));
  for (const char* gateway : {"gw-0", "gw-1", "gw-2"}) {
    EXPECT_EQ(Only(gateway).state, AssignmentState::kCancelled);
    EXPECT_EQ(Only(gateway).failure_reason, static_cast<int>(FailureReason::kNotApproved));
    EXPECT_EQ(Only(gateway).failure_detail, "The package was withdrawn.");
  }
  ASSERT_OK_AND_ASSIGN(const Rollout over, store_.Get("r1"));
  EXPECT_EQ(over.counts.cancelled, 3);
  EXPECT_EQ(over.failures_since_go, 0);
  EXPECT_THAT(ended.Stop(1), IsOkAndHolds(false));
  ASSERT_OK(ended.TakeAll({{path, false, ""}}));
  EXPECT_THAT(ended.Why(path), IsOkAndHolds(std::nullopt));
}

// A rollout that is launched after the news, by a check that came before it.
TEST_F(RolloutStoreTest, WhatIsLaunchedAfterItsPackageHasEndedIsStoppedInPortions) {
  EndedPackages ended(database_, clock_);
  Planned("r1", 3);
  ASSERT_OK_AND_ASSIGN(const std::vector<Release> releases, store_.Releases("r1"));
  ASSERT_OK(ended.TakeAll({{releases.at(0).image.target_path, true, "The package was revoked."}}));
  EXPECT_THAT(ended.Stop(2), IsOkAndHolds(false)) << "nobody has launched it";
  EXPECT_EQ(Only("gw-0").state, AssignmentState::kPlanned);
  ASSERT_OK(store_.Apply("r1", RolloutEvent::kStart, "", {{}, {}}, Asked("start")));
  EXPECT_THAT(ended.Stop(2), IsOkAndHolds(true));
  EXPECT_EQ(Only("gw-2").state, AssignmentState::kPlanned);
  EXPECT_THAT(ended.Stop(2), IsOkAndHolds(false));
  EXPECT_EQ(Only("gw-2").state, AssignmentState::kCancelled);
}

TEST_F(RolloutStoreTest, DirectorVersionsRiseByOneWhoeverSigns) {
  ASSERT_OK_AND_ASSIGN(const DirectorStore::Signable one, director_.LoadForSigning("gw-0"));
  ASSERT_OK_AND_ASSIGN(const DirectorStore::Signable two, director_.LoadForSigning("gw-0"));
  DirectorMetadata metadata;
  metadata.versions = {1, 1, 1};
  metadata.targets = "t1";
  metadata.snapshot = "s1";
  metadata.timestamp = "m1";
  EXPECT_THAT(director_.Save("gw-0", one.state, metadata, "root 1"), IsOkAndHolds(true));
  metadata.targets = "other";
  EXPECT_THAT(director_.Save("gw-0", two.state, metadata, "root 1"), IsOkAndHolds(false));
  ASSERT_OK_AND_ASSIGN(const auto stored, director_.Load("gw-0"));
  ASSERT_TRUE(stored.has_value());
  EXPECT_EQ(stored->metadata.targets, "t1");
  EXPECT_EQ(stored->revision, stored->signed_revision);
  metadata.versions = {2, 2, 2};
  metadata.targets = "t2";
  metadata.snapshot = "s2";
  EXPECT_THAT(director_.Save("gw-0", *stored, metadata, "root 1"), IsOkAndHolds(true));
  EXPECT_THAT(director_.Targets("gw-0", 2), IsOkAndHolds(std::optional<std::string>("t2")));
  EXPECT_THAT(director_.Targets("gw-0", 1), IsOkAndHolds(std::optional<std::string>("t1")));
  EXPECT_THAT(director_.Snapshot("gw-0", 1), IsOkAndHolds(std::optional<std::string>("s1")));
  EXPECT_THAT(director_.Targets("gw-0", 3), IsOkAndHolds(std::optional<std::string>()));
  EXPECT_THAT(director_.Targets("gw-1", 1), IsOkAndHolds(std::optional<std::string>()));
}

TEST_F(RolloutStoreTest, RootsComeOneAfterTheOther) {
  EXPECT_THAT(director_.LatestRoot(), IsOkAndHolds(::testing::Eq(std::nullopt)));
  EXPECT_THAT(director_.PublishRoot({2, "two"}, clock_.Now()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT"));
  EXPECT_OK(director_.PublishRoot({1, "one"}, clock_.Now()));
  EXPECT_OK(director_.PublishRoot({1, "one"}, clock_.Now()));
  EXPECT_THAT(director_.PublishRoot({1, "another"}, clock_.Now()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT"));
  EXPECT_OK(director_.PublishRoot({2, "two"}, clock_.Now()));
  EXPECT_THAT(director_.RootFile(1), IsOkAndHolds(std::optional<std::string>("one")));
  EXPECT_THAT(director_.RootFile(3), IsOkAndHolds(std::optional<std::string>()));
}

TEST_F(RolloutStoreTest, VerifiedRolesOfTheImageRepositoryNeverGoBack) {
  DatabaseTrustedStore trusted(database_);
  const auto bytes = [](int version) {
    return absl::StrCat(R"({"signatures":[],"signed":{"_type":"timestamp","version":)", version, "}}");
  };
  EXPECT_THAT(trusted.Load("timestamp"), IsOkAndHolds(std::optional<std::string>()));
  ASSERT_OK(trusted.Save("timestamp", bytes(5)));
  ASSERT_OK(trusted.Save("timestamp", bytes(4)));
  EXPECT_THAT(trusted.Load("timestamp"), IsOkAndHolds(std::optional<std::string>(bytes(5))));
  ASSERT_OK(trusted.Remove("timestamp"));
  ASSERT_OK(trusted.Save("timestamp", bytes(1)));
  EXPECT_THAT(trusted.Load("timestamp"), IsOkAndHolds(std::optional<std::string>(bytes(1))));
}

TEST_F(RolloutStoreTest, StatesAreCountedForMetrics) {
  Started("r1", 3);
  Grant("r1", 1);
  EXPECT_THAT(store_.CountStates("r1"),
              IsOkAndHolds(UnorderedElementsAre(Pair(AssignmentState::kPlanned, 2),
                                                Pair(AssignmentState::kConsented, 1))));
}

TEST_F(RolloutStoreTest, ClaimsThatCouldNotBeAskedForGoBackAtOnce) {
  Started("r1", 2);
  ASSERT_OK_AND_ASSIGN(const auto claimed, store_.ClaimForConsent("r1", 10, kLease));
  ASSERT_EQ(claimed.size(), 2);
  ASSERT_OK(store_.ReturnClaims(claimed));
  ASSERT_OK_AND_ASSIGN(const auto again, store_.ClaimForConsent("r1", 10, kLease));
  EXPECT_EQ(again.size(), 2);
}

TEST_F(RolloutStoreTest, RecallableIsWhatConsentCanStillMove) {
  Started("r1", 3);
  Grant("r1", 2);
  ASSERT_THAT(store_.Admit("r1", 100), IsOkAndHolds(2));
  ASSERT_OK(store_.Report("gw-0", {{"ecu-0", Sha(2), AssignmentEvent::kReportedUpdating, 0, ""}}));
  ASSERT_OK_AND_ASSIGN(const auto first, store_.Recallable(1, std::nullopt));
  ASSERT_EQ(first.size(), 1);
  EXPECT_EQ(first[0].assignment.gateway, "gw-1");
  EXPECT_EQ(first[0].release.info, Thermostat(2).info);
  ASSERT_OK_AND_ASSIGN(const auto rest, store_.Recallable(10, AssignmentKey{"gw-1", "ecu-1", "r1"}));
  ASSERT_EQ(rest.size(), 1);
  EXPECT_EQ(rest[0].assignment.gateway, "gw-2");
}

TEST_F(RolloutStoreTest, QuestionsThatNeedNoAnswerAnyMoreAreClosed) {
  Started("r1", 3);
  ASSERT_OK(store_.Decide({Decided("r1", 0, AssignmentEvent::kConsentPending),
                           Decided("r1", 1, AssignmentEvent::kConsentGranted),
                           Decided("r1", 2, AssignmentEvent::kConsentDenied)}));
  EXPECT_THAT(store_.ClosingQuestions(10), IsOkAndHolds(::testing::IsEmpty()));
  ASSERT_OK(store_.Apply("r1", RolloutEvent::kAbort, "", {}, Asked("abort")));
  const AssignmentKey key{"gw-0", "ecu-0", "r1"};
  EXPECT_THAT(store_.ClosingQuestions(10), IsOkAndHolds(ElementsAre(key)));
  ASSERT_OK(store_.ForgetClosing({key}));
  EXPECT_THAT(store_.ClosingQuestions(10), IsOkAndHolds(::testing::IsEmpty()));
  // The answer that it was asked came late.
  ASSERT_OK(store_.Decide({Decided("r1", 0, AssignmentEvent::kConsentPending)}));
  EXPECT_THAT(store_.ClosingQuestions(10), IsOkAndHolds(ElementsAre(key)));
}

TEST_F(RolloutStoreTest, TheServiceCanPauseARolloutAndSaysWhy) {
  Started("r1", 1);
  ASSERT_OK(store_.PauseBecause("r1", "The release's notice is incomplete."));
  EXPECT_EQ(Get("r1").state, RolloutState::kPaused);
  EXPECT_EQ(Get("r1").state_reason, "The release's notice is incomplete.");
}

}  // namespace
}  // namespace countersign::rollout
