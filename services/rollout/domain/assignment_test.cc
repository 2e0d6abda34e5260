#include "services/rollout/domain/assignment.h"

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::rollout {
namespace {

using S = AssignmentState;
using E = AssignmentEvent;

// Every state and every event, a row for each event and a column for each state that is not an end. '.' is
// refused.
TEST(AssignmentStateTest, TheTableOfStatesAndEventsIsThis) {
  const S columns[] = {S::kPlanned,  S::kAwaitingConsent, S::kDeferred,   S::kConsented,
                       S::kAdmitted, S::kDownloading,     S::kDownloaded, S::kAwaitingPrecondition,
                       S::kUpdating, S::kRebootPending,   S::kVerifying};
  const std::map<char, S> letters = {
      {'P', S::kPlanned},  {'A', S::kAwaitingConsent}, {'D', S::kDeferred},   {'C', S::kConsented},
      {'a', S::kAdmitted}, {'d', S::kDownloading},     {'o', S::kDownloaded}, {'p', S::kAwaitingPrecondition},
      {'u', S::kUpdating}, {'r', S::kRebootPending},   {'v', S::kVerifying},  {'S', S::kSucceeded},
      {'F', S::kFailed},   {'R', S::kRolledBack},      {'X', S::kCancelled}};
  const std::map<E, std::string> rows = {
      //                                 PADCadopurv
      {E::kConsentPending, "AA........."},
      {E::kConsentGranted, "CCCC......."},
      {E::kConsentDenied, "XXXX......."},
      {E::kConsentDeferred, "DDD........"},
      {E::kDeferralOver, "..P........"},
      {E::kConsentWithdrawn, "XXXXXXXX..."},
      {E::kConsentExpired, "XXXXXXXX..."},
      {E::kAdmitted, "...a......."},
      {E::kReportedDownloading, "....dd....."},
      {E::kReportedDownloaded, "....ooo...."},
      {E::kReportedAwaitingPrecondition, "....pppp..."},
      {E::kReportedUpdating, "....uuuuu.."},
      {E::kReportedRebootPending, "....rrrrrr."},
      {E::kReportedVerifying, "....vvvvvvv"},
      {E::kReportedFailed, "....FFFFFFF"},
      {E::kReportedRolledBack, "....RRRRRRR"},
      {E::kTimedOut, "....FFFFFFF"},
      {E::kImageProved, "XXXXSSSSSSS"},
      {E::kRefusedBySigner, "....FFFF..."},
      {E::kCalledOff, "XXXXXXXX..."},
      {E::kPackageEnded, "XXXXXXXX..."},
  };
  for (const E event : kAllAssignmentEvents) {
    const std::string& row = rows.at(event);
    ASSERT_EQ(row.size(), std::size(columns));
    for (size_t i = 0; i < row.size(); ++i) {
      const std::optional<S> expected = row[i] == '.' ? std::nullopt : std::make_optional(letters.at(row[i]));
      EXPECT_EQ(Next(columns[i], event), expected)
          << "event " << static_cast<int>(event) << " in state " << static_cast<int>(columns[i]);
    }
    for (const S end : {S::kSucceeded, S::kFailed, S::kRolledBack, S::kCancelled}) {
      EXPECT_EQ(Next(end, event), std::nullopt) << "event " << static_cast<int>(event) << " after the end";
    }
  }
}

TEST(AssignmentStateTest, EveryStateWaitsIsActiveOrHasEnded) {
  for (const S state : kAllAssignmentStates) {
    EXPECT_EQ(IsWaiting(state) + IsActive(state) + IsEnded(state), 1) << static_cast<int>(state);
  }
}

TEST(AssignmentCountTest, CountsFollowAndOnlyFailuresUseTheBudget) {
  Rollout rollout;
  rollout.counts = {.total = 2, .waiting = 2};
  Count(rollout, S::kConsented, S::kAdmitted);
  Count(rollout, S::kAdmitted, S::kVerifying);
  EXPECT_EQ(rollout.counts, (AssignmentCounts{.total = 2, .waiting = 1, .active = 1}));
  Count(rollout, S::kVerifying, S::kRolledBack);
  Count(rollout, S::kPlanned, S::kCancelled);
  EXPECT_EQ(rollout.counts, (AssignmentCounts{.total = 2, .failed = 1, .cancelled = 1}));
  EXPECT_EQ(rollout.failures_since_go, 1);
}

Release Thermostat(const std::string& name, int64_t counter) {
  Release release;
  release.name = name;
  release.manufacturer = "acme";
  release.image = {"acme/thermostat/" + name, 100, std::string(63, '0') + std::to_string(counter)};
  release.version = "2.0." + std::to_string(counter);
  release.version_format = VersionFormat::kTriplet;
  release.release_counter = counter;
  release.models = {"T1", "T2"};
  release.hardware_ids = {"t1-rev-a", "t1-rev-b"};
  return release;
}

Component Installed() {
  return {.gateway = "gw-1",
          .ecu_serial = "ecu-1",
          .hardware_id = "t1-rev-b",
          .manufacturer = "acme",
          .model = "T1",
          .version = "1.9.0",
          .sha256 = std::string(64, 'f'),
          .release_counter = 3,
          .report_counter = 8,
          .proved = true};
}

TEST(FittingTest, TheFirstReleaseThatFitsIsTaken) {
  EXPECT_EQ(FirstFitting({Thermostat("old", 3), Thermostat("new", 4), Thermostat("newer", 5)}, Installed()),
            1);
}

TEST(FittingTest, ModelHardwareAndManufacturerMustFit) {
  const std::vector<Release> releases = {Thermostat("new", 4)};
  const auto refused = [&](auto change) {
    Component component = Installed();
    change(component);
    EXPECT_EQ(FirstFitting(releases, component), std::nullopt);
  };
  EXPECT_EQ(FirstFitting(releases, Installed()), 0);
  refused([](Component& c) { c.model = "T3"; });
  refused([](Component& c) { c.hardware_id = "t2-rev-a"; });
  refused([](Component& c) { c.manufacturer = "globex"; });
}

TEST(FittingTest, TheCounterMustRise) {
  Component component = Installed();
  component.release_counter = 4;
  EXPECT_EQ(FirstFitting({Thermostat("same", 4)}, component), std::nullopt);
  component.release_counter = 5;
  EXPECT_EQ(FirstFitting({Thermostat("older", 4)}, component), std::nullopt);
}

// HOME-1
TEST(FittingTest, WhatHasNotProvedItselfGetsNothing) {
  Component component = Installed();
  component.proved = false;
  EXPECT_EQ(FirstFitting({Thermostat("new", 4)}, component), std::nullopt);
}

TEST(FittingTest, TheMinimumVersionIsComparedByItsFormatAndFailsClosed) {
  std::vector<Release> releases = {Thermostat("new", 4)};
  releases[0].minimum_installed_version = "1.10.0";
  Component component = Installed();
  EXPECT_EQ(FirstFitting(releases, component), std::nullopt);
  component.version = "1.10.0";
  EXPECT_EQ(FirstFitting(releases, component), 0);
  component.version = "factory";
  EXPECT_EQ(FirstFitting(releases, component), std::nullopt);
}

// FOTA-H
TEST(ProofTest, OnlyALaterReportOfExactlyTheImageThatProvesItselfCounts) {
  const std::string sha256(64, 'a');
  const Assignment assignment = {.gateway = "gw-1", .ecu_serial = "ecu-1", .from_report_counter = 8};
  Component after = Installed();
  after.report_counter = 9;
  after.sha256 = sha256;
  EXPECT_TRUE(Proves(after, assignment, sha256));
  const auto refused = [&](auto change) {
    Component component = after;
    change(component);
    EXPECT_FALSE(Proves(component, assignment, sha256));
  };
  refused([](Component& c) { c.sha256 = std::string(64, 'f'); });
  refused([](Component& c) { c.report_counter = 8; });
  refused([](Component& c) { c.proved = false; });
  refused([](Component& c) { c.modified = true; });
  refused([](Component& c) { c.gateway = "gw-2"; });
}

TEST(ApprovalTest, ThePackageMustBeExactlyWhatTheReleasePromises) {
  const Release release = Thermostat("new", 4);
  const Package good = {.manufacturer = "acme",
                        .image = release.image,
                        .hardware_ids = {"t1-rev-b", "t1-rev-a", "t1-rev-c"},
                        .release_counter = 4};
  EXPECT_OK(CheckApproved(release, good));
  const auto refused = [&](auto change) {
    Package package = good;
    change(package);
    EXPECT_THAT(CheckApproved(release, package),
                StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_APPROVED"));
  };
  refused([](Package& p) { p.manufacturer = "globex"; });
  refused([](Package& p) { p.image.target_path = "acme/thermostat/other"; });
  refused([](Package& p) { ++p.image.length; });
  refused([](Package& p) { p.image.sha256 = std::string(64, 'e'); });
  refused([](Package& p) { p.release_counter = 3; });
  refused([](Package& p) { p.hardware_ids = {"t1-rev-a"}; });
}

}  // namespace
}  // namespace countersign::rollout
