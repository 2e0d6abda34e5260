// What the user is shown of the home or vehicle, at the page and at the terminal: put together from what the
// services say and what waits here. Plain functions of values; every text of somebody else's is clean of what
// a terminal or a page would obey (CleanText).
#ifndef COUNTERSIGN_TOOLS_GATEWAY_WEB_HOME_H_
#define COUNTERSIGN_TOOLS_GATEWAY_WEB_HOME_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/common/v1/update.pb.h"
#include "countersign/consent/v1/consent.pb.h"
#include "countersign/inventory/v1/inventory.pb.h"
#include "countersign/liaison/v1/liaison.pb.h"
#include "countersign/rollout/v1/rollout.pb.h"
#include "tools/gateway/desk.h"

namespace countersign::gateway {

// What was asked for with the question "is there something new?".
struct Check {
  enum class State { kNever, kRunning, kDone, kFailed };
  State state = State::kNever;
  absl::Time time;  // when it began, or ended
};

// As the services told it, and what this gateway knows itself.
struct HomeFacts {
  std::string gateway_id;
  std::vector<consent::v1::Prompt> prompts;
  std::vector<consent::v1::ConsentRecord> records;
  std::vector<consent::v1::Policy> policies;
  std::vector<rollout::v1::Assignment> assignments;
  std::vector<inventory::v1::Component> components;
  std::map<std::string, common::v1::ReleaseInfo> releases;  // by name, of the assignments that are open
  std::vector<liaison::v1::AvailableUpdate> offers;         // what manufacturers offer; as of the last check
  std::vector<Confirmation> confirmations;                  // as the agent knows them
  std::vector<ComponentProgress> progress;                  // the same
  std::optional<absl::Time> as_of;                          // when all of it was had last; never if absent
  bool reachable = false;                                   // whether the last attempt to have it succeeded
  Check check;
};

// A part that can be updated, as people call it.
struct DeviceView {
  std::string ecu_serial;
  std::string name;   // of the device: "thermostat"
  std::string model;  // "acme TH-1"
  std::string version;
  inventory::v1::Component::State state = inventory::v1::Component::STATE_UNSPECIFIED;
};

// A notice (UN R156, 7.2.2.2) with the digest that a consent binds to.
struct NoticeView {
  std::string language;
  std::string purpose, changes, unavailable, instructions;
  absl::Duration takes;
  std::string text_sha256;
};

struct UpdateView {
  std::string assignment;
  DeviceView device;
  std::string from_version, to_version;
  common::v1::UpdateKind kind = common::v1::UPDATE_KIND_UNSPECIFIED;
  common::v1::Criticality criticality = common::v1::CRITICALITY_UNSPECIFIED;
  std::optional<NoticeView> notice;  // in the user's language, or in the first that there is
};

// A question to the user.
struct QuestionView {
  std::string id;  // last part of the prompt's name
  UpdateView update;
  std::vector<std::string> advisory_ids;
  std::string advisory_risk, advisory_action;
  std::string mixed_justification;
  struct Terms {
    std::string id, version, language, text, text_sha256;
  };
  std::optional<Terms> terms;
  absl::Time asked;
  std::optional<absl::Time> latest_deferral;  // absent when it cannot be put off any more
};

// An update that was decided upon, or needs no decision, and is not at its end.
struct RunningView {
  UpdateView update;
  common::v1::UpdatePhase phase = common::v1::UPDATE_PHASE_UNSPECIFIED;
  std::string record_id;  // of the consent that can still be withdrawn; empty when it cannot
};

// An update that the user put off.
struct PostponedView {
  UpdateView update;
  absl::Time until;
};

// How an update ended.
struct OutcomeView {
  UpdateView update;
  common::v1::UpdatePhase phase = common::v1::UPDATE_PHASE_UNSPECIFIED;
  common::v1::FailureReason reason = common::v1::FAILURE_REASON_UNSPECIFIED;
  std::string detail;        // as a gateway or a service told it, in English
  std::string consented_by;  // who said yes or no; empty if nobody had to
  bool by_policy = false;    // a standing permission said it for them
  absl::Time time;
};

// A standing permission.
struct PolicyView {
  std::string id;
  bool active = false;
  std::string text;      // what was agreed to
  std::string language;  // of `text`
  std::string principal;
  absl::Time created;
};

// An update that a manufacturer offers and nobody has launched for this home.
struct OfferView {
  DeviceView device;
  std::string manufacturer;
  std::string version;
};

struct Home {
  std::string gateway_id;
  bool reachable = false;
  std::optional<absl::Time> as_of;
  Check check;
  std::vector<Confirmation> confirmations;  // images without a valid approval that their user may insist on
  std::vector<QuestionView> questions;      // the most critical first
  std::vector<RunningView> running;
  std::vector<PostponedView> postponed;  // the next first
  std::vector<OutcomeView> outcomes;     // the latest first
  std::vector<PolicyView> policies;      // the active ones first, the latest first
  std::vector<OfferView> offers;
  std::vector<DeviceView> devices;

  const QuestionView* FindQuestion(absl::string_view id) const;
  const RunningView* FindRunning(absl::string_view record_id) const;
  const Confirmation* FindConfirmation(absl::string_view ecu_serial, absl::string_view sha256) const;
  // The device with this component; one that is known by its serial only, if there is none.
  DeviceView Device(absl::string_view ecu_serial) const;
};

Home MakeHome(const HomeFacts& facts, absl::string_view language);

// The components of `facts` as liaison is asked about them. What runs on those that do not prove themselves
// is not known, and nothing is asked about them.
std::vector<liaison::v1::InstalledComponent> AskedAbout(const HomeFacts& facts);

// An answer, as its user gave it.
struct UserAnswer {
  std::string decision;  // "accept", "decline", "postpone"
  std::string principal_id;
  std::string language;               // of the notice that was shown; the first one's when empty
  std::string until;                  // RFC 3339, for "postpone"
  std::string shown_text_sha256;      // of the notice that was shown, where it can have changed since
  std::string accepted_terms_sha256;  // of the terms that the user says to have accepted
};

// The answer to `prompt` as the service wants it, bound to the notice that the user has seen.
// INVALID_ARGUMENT (LANGUAGE_UNKNOWN, TIME_INVALID, DECISION_UNKNOWN); FAILED_PRECONDITION (TEXT_DIFFERS)
// when another text was shown.
absl::StatusOr<consent::v1::AnswerPromptRequest> AnswerTo(const consent::v1::Prompt& prompt,
                                                          const UserAnswer& answer);

// What a policy says, in its language, for its user to agree to. The digest that a policy is bound to is of
// this.
std::string PolicyText(const consent::v1::Policy& policy);

// A time to which an answer can be put off.
struct Deferral {
  std::string label_key;  // words: "defer.hour", ...
  absl::Time until;
};
// What can be offered at `now`, in the order of time and within `latest`, which is the last of them.
std::vector<Deferral> Deferrals(absl::Time now, absl::Time latest, const absl::TimeZone& zone);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_WEB_HOME_H_
