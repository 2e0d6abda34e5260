#include "services/inventory/domain/component.h"

#include <map>
#include <utility>

#include "gtest/gtest.h"

namespace countersign::inventory::domain {
namespace {

// Every state and every event: the state afterwards, when the image is the same and when it is another.
struct Row {
  State state;
  ReportEvent event;
  State same_image;
  State other_image;
};

constexpr Row kTable[] = {
    {State::kUnverified, ReportEvent::kProved, State::kVerified, State::kVerified},
    {State::kUnverified, ReportEvent::kVouchedFor, State::kProxied, State::kProxied},
    {State::kUnverified, ReportEvent::kFailedProof, State::kCompromised, State::kCompromised},
    {State::kVerified, ReportEvent::kProved, State::kVerified, State::kVerified},
    {State::kVerified, ReportEvent::kVouchedFor, State::kProxied, State::kProxied},
    {State::kVerified, ReportEvent::kFailedProof, State::kCompromised, State::kCompromised},
    {State::kProxied, ReportEvent::kProved, State::kVerified, State::kVerified},
    {State::kProxied, ReportEvent::kVouchedFor, State::kProxied, State::kProxied},
    {State::kProxied, ReportEvent::kFailedProof, State::kCompromised, State::kCompromised},
    {State::kModified, ReportEvent::kProved, State::kModified, State::kVerified},
    {State::kModified, ReportEvent::kVouchedFor, State::kModified, State::kProxied},
    {State::kModified, ReportEvent::kFailedProof, State::kCompromised, State::kCompromised},
    {State::kCompromised, ReportEvent::kProved, State::kVerified, State::kVerified},
    {State::kCompromised, ReportEvent::kVouchedFor, State::kProxied, State::kProxied},
    {State::kCompromised, ReportEvent::kFailedProof, State::kCompromised, State::kCompromised},
    {State::kQuarantined, ReportEvent::kProved, State::kQuarantined, State::kQuarantined},
    {State::kQuarantined, ReportEvent::kVouchedFor, State::kQuarantined, State::kQuarantined},
    {State::kQuarantined, ReportEvent::kFailedProof, State::kQuarantined, State::kQuarantined},
    {State::kRetired, ReportEvent::kProved, State::kRetired, State::kRetired},
    {State::kRetired, ReportEvent::kVouchedFor, State::kRetired, State::kRetired},
    {State::kRetired, ReportEvent::kFailedProof, State::kRetired, State::kRetired},
};

TEST(ComponentTest, EveryStateAndEventHasItsOutcome) {
  std::map<std::pair<State, ReportEvent>, Row> rows;
  for (const Row& row : kTable) rows[{row.state, row.event}] = row;
  for (State state : kAllStates) {
    for (ReportEvent event : kAllReportEvents) {
      const auto row = rows.find({state, event});
      ASSERT_NE(row, rows.end()) << StateName(state);
      EXPECT_EQ(NextState(state, event, false), row->second.same_image) << StateName(state);
      EXPECT_EQ(NextState(state, event, true), row->second.other_image) << StateName(state);
    }
  }
}

TEST(ComponentTest, NamesOfStatesAndKindsAreReadBack) {
  for (State state : kAllStates) EXPECT_EQ(ParseState(StateName(state)), state);
  EXPECT_EQ(ParseState(""), std::nullopt);
  EXPECT_EQ(ParseState("verified"), std::nullopt);
  EXPECT_EQ(ParseGatewayKind("HOME"), GatewayKind::kHome);
  EXPECT_EQ(ParseGatewayKind("VEHICLE"), GatewayKind::kVehicle);
  EXPECT_EQ(ParseGatewayKind("BOAT"), std::nullopt);
}

}  // namespace
}  // namespace countersign::inventory::domain
