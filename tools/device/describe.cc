#include "tools/device/describe.h"

#include "absl/strings/str_cat.h"

namespace countersign::device {
namespace {

using namespace common::v1;

struct End {
  UpdatePhase phase;
  FailureReason reason;
};

End EndOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kNone:
      break;
    case Outcome::kCameUp:
      return {UPDATE_PHASE_VERIFYING, FAILURE_REASON_UNSPECIFIED};
    case Outcome::kRolledBack:
      return {UPDATE_PHASE_ROLLED_BACK, FAILURE_REASON_UPDATE_FAILED};
    case Outcome::kReverted:
      return {UPDATE_PHASE_ROLLED_BACK, FAILURE_REASON_DEPENDENCY};
    case Outcome::kPostponed:
      return {UPDATE_PHASE_FAILED, FAILURE_REASON_PRECONDITION_NOT_MET};
    case Outcome::kFellBack:
      return {UPDATE_PHASE_ROLLED_BACK, FAILURE_REASON_INTEGRITY};
    case Outcome::kNoImage:
      return {UPDATE_PHASE_FAILED, FAILURE_REASON_ROLLBACK_FAILED};
  }
  return {UPDATE_PHASE_UNSPECIFIED, FAILURE_REASON_UNSPECIFIED};
}

}  // namespace

v1::ApprovalResult ToApprovalResult(const std::string& name) {
  v1::ApprovalResult result = v1::APPROVAL_RESULT_UNSPECIFIED;
  v1::ApprovalResult_Parse(absl::StrCat("APPROVAL_RESULT_", name), &result);
  return result;
}

v1::GetDescriptionResponse Describe(const Device& device) {
  v1::GetDescriptionResponse response;
  const inventory::v1::Device& description = device.description();
  response.set_device_id(device.id());
  response.set_manufacturer(description.manufacturer());
  response.set_model(description.model());
  response.set_hardware_version(description.hardware_version());
  response.set_app_id(description.app_id());
  response.set_clock_behind(device.time().behind());
  for (const std::unique_ptr<Component>& component : device.components()) {
    v1::ComponentDescription& described = *response.add_components();
    described.set_ecu_serial(component->ecu_serial());
    described.set_hardware_id(component->hardware_id());
    described.set_constrained(component->constrained());
    for (const inventory::v1::Component& provisioned : description.components()) {
      if (provisioned.ecu_serial() != component->ecu_serial()) continue;
      described.set_public_key_pem(provisioned.public_key_pem());
    }
    described.set_quarantined(device.quarantined(*component));
    described.set_approval_result(ToApprovalResult(component->running().approval_result));
    described.set_approval_override(component->running().approval_override);
    if (const std::optional<SlotContent> other = component->Inactive();
        other.has_value() && other->awaits_confirmation) {
      described.set_awaits_confirmation_sha256(other->sha256);
    }
    const BootState& boot = component->boot_state();
    described.set_damage(boot.damage);
    described.set_provisional(boot.stage == Stage::kProvisional);
    described.set_bundle(boot.bundle);
    if (boot.outcome == Outcome::kNone) continue;
    const End end = EndOf(boot.outcome);
    described.set_last_update(end.phase);
    described.set_failure_reason(end.reason);
    described.set_last_update_sha256(boot.trial_sha256);
  }
  return response;
}

}  // namespace countersign::device
