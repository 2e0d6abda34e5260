#include "services/inventory/domain/component.h"

namespace countersign::inventory::domain {

absl::string_view GatewayKindName(GatewayKind kind) {
  switch (kind) {
    case GatewayKind::kHome:
      return "HOME";
    case GatewayKind::kVehicle:
      return "VEHICLE";
  }
  return "";
}

std::optional<GatewayKind> ParseGatewayKind(absl::string_view name) {
  for (GatewayKind kind : {GatewayKind::kHome, GatewayKind::kVehicle}) {
    if (name == GatewayKindName(kind)) return kind;
  }
  return std::nullopt;
}

absl::string_view StateName(State state) {
  switch (state) {
    case State::kUnverified:
      return "UNVERIFIED";
    case State::kVerified:
      return "VERIFIED";
    case State::kProxied:
      return "PROXIED";
    case State::kModified:
      return "MODIFIED";
    case State::kCompromised:
      return "COMPROMISED";
    case State::kQuarantined:
      return "QUARANTINED";
    case State::kRetired:
      return "RETIRED";
    case State::kAwaitingEnrolment:
      return "AWAITING_ENROLMENT";
  }
  return "";
}

std::optional<State> ParseState(absl::string_view name) {
  for (State state : kAllStates) {
    if (name == StateName(state)) return state;
  }
  return std::nullopt;
}

absl::string_view ChangeCauseName(ChangeCause cause) {
  switch (cause) {
    case ChangeCause::kReport:
      return "REPORT";
    case ChangeCause::kOrder:
      return "ORDER";
    case ChangeCause::kPolicy:
      return "POLICY";
    case ChangeCause::kPublication:
      return "PUBLICATION";
    case ChangeCause::kMove:
      return "MOVE";
  }
  return "";
}

State NextState(State state, ReportEvent event, bool image_changed) {
  if (state == State::kQuarantined || state == State::kRetired) return state;
  if (event == ReportEvent::kFailedProof) return State::kCompromised;
  if (state == State::kModified && !image_changed) return State::kModified;
  return event == ReportEvent::kProved ? State::kVerified : State::kProxied;
}

}  // namespace countersign::inventory::domain
