#include "tools/gateway/web/speech.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace countersign::gateway {
namespace {

using ::countersign::inventory::v1::Component;

bool InstallingNow(const RunningView& running) {
  return running.phase >= common::v1::UPDATE_PHASE_UPDATING &&
         running.phase <= common::v1::UPDATE_PHASE_VERIFYING;
}

// `<prefix>.<reason>` if there are words for it, else `<prefix>.other`.
std::string WordsFor(absl::string_view prefix, absl::string_view reason, const Speaker& speaker) {
  const std::string key = absl::StrCat(prefix, ".", absl::AsciiStrToLower(reason));
  return speaker.Say(speaker.words.Has(key) ? key : absl::StrCat(prefix, ".other"));
}

}  // namespace

std::string Headline(const Home& home, const Speaker& speaker) {
  const Words& words = speaker.words;
  if (!home.as_of) return words.Say(home.reachable ? "headline.loading" : "headline.unreachable");
  if (!home.confirmations.empty()) return words.Say("headline.confirmation");
  const auto installing = std::count_if(home.running.begin(), home.running.end(), InstallingNow);
  if (installing > 0) return words.Count("headline.installing", static_cast<int>(installing));
  if (!home.questions.empty())
    return words.Count("headline.questions", static_cast<int>(home.questions.size()));
  if (!home.running.empty()) return words.Count("headline.running", static_cast<int>(home.running.size()));
  if (!home.postponed.empty())
    return words.Count("headline.postponed", static_cast<int>(home.postponed.size()));
  return words.Say("headline.nothing");
}

std::string CheckResult(const Home& home, const Speaker& speaker) {
  switch (home.check.state) {
    case Check::State::kNever:
      return "";
    case Check::State::kRunning:
      return speaker.Say("check.running");
    case Check::State::kFailed:
      return speaker.Say("check.failed", {{"time", speaker.Time(home.check.time)}});
    case Check::State::kDone:
      break;
  }
  const std::string time = speaker.Time(home.check.time);
  if (!home.confirmations.empty()) return speaker.Say("check.confirmation", {{"time", time}});
  if (!home.questions.empty()) {
    return speaker.Say(
        "check.questions",
        {{"time", time},
         {"updates", speaker.words.Count("updates", static_cast<int>(home.questions.size()))}});
  }
  if (!home.running.empty() || !home.postponed.empty())
    return speaker.Say("check.underway", {{"time", time}});
  if (!home.offers.empty()) return speaker.Say("check.offers", {{"time", time}});
  return speaker.Say("check.nothing", {{"time", time}});
}

std::vector<std::string> CheckLimits(const Home& home, const Speaker& speaker) {
  std::vector<std::string> limits;
  if (home.check.state != Check::State::kDone) return limits;
  for (const OfferView& offer : home.offers) {
    limits.push_back(speaker.Say(
        "check.offer",
        {{"manufacturer", offer.manufacturer}, {"version", offer.version}, {"device", offer.device.name}}));
  }
  for (const DeviceView& device : home.devices) {
    if (device.state == Component::STATE_VERIFIED || device.state == Component::STATE_PROXIED ||
        device.state == Component::STATE_RETIRED) {
      continue;
    }
    limits.push_back(speaker.Say("check.unknown", {{"device", device.name}}));
  }
  return limits;
}

std::string Versions(const UpdateView& update, const Speaker& speaker) {
  if (update.from_version.empty()) return speaker.Say("versions.to", {{"to", update.to_version}});
  return speaker.Say("versions", {{"from", update.from_version}, {"to", update.to_version}});
}

std::string OutcomeText(const OutcomeView& outcome, const Speaker& speaker) {
  const Words::Arguments values = {{"device", outcome.update.device.name},
                                   {"from", outcome.update.from_version},
                                   {"to", outcome.update.to_version},
                                   {"reason", speaker.words.Reason(outcome.reason)}};
  switch (outcome.phase) {
    case common::v1::UPDATE_PHASE_SUCCEEDED:
      return speaker.Say("outcome.succeeded", values);
    case common::v1::UPDATE_PHASE_ROLLED_BACK:
      return speaker.Say("outcome.rolled_back", values);
    case common::v1::UPDATE_PHASE_CANCELLED:
      return speaker.Say(outcome.reason == common::v1::FAILURE_REASON_UNSPECIFIED
                             ? "outcome.cancelled"
                             : "outcome.cancelled.reason",
                         values);
    default:
      return speaker.Say("outcome.failed", values);
  }
}

std::string DecidedBy(const OutcomeView& outcome, const Speaker& speaker) {
  if (outcome.consented_by.empty()) return "";
  const bool declined = outcome.reason == common::v1::FAILURE_REASON_USER_REJECTED;
  return speaker.Say(outcome.by_policy ? "decided.policy"
                     : declined        ? "decided.declined"
                                       : "decided.user",
                     {{"who", outcome.consented_by}});
}

std::string ApprovalText(absl::string_view approval_result, const Speaker& speaker) {
  return WordsFor("approval", approval_result, speaker);
}

std::string RefusalText(absl::string_view reason, const Speaker& speaker) {
  return WordsFor("refused", reason, speaker);
}

std::string DeviceNote(const DeviceView& device, const Speaker& speaker) {
  std::string state = absl::AsciiStrToLower(Component::State_Name(device.state));
  state = state.substr(state.find('_') + 1);
  return device.state == Component::STATE_VERIFIED ? "" : speaker.Say(absl::StrCat("device.", state));
}

const std::vector<std::string>& Steps() {
  static const auto& steps = *new std::vector<std::string>{"step.download", "step.ready", "step.install",
                                                           "step.restart", "step.verify"};
  return steps;
}

int StepsDone(common::v1::UpdatePhase phase) {
  switch (phase) {
    case common::v1::UPDATE_PHASE_DOWNLOADED:
    case common::v1::UPDATE_PHASE_AWAITING_PRECONDITION:
      return 1;
    case common::v1::UPDATE_PHASE_UPDATING:
      return 2;
    case common::v1::UPDATE_PHASE_REBOOT_PENDING:
      return 3;
    case common::v1::UPDATE_PHASE_VERIFYING:
      return 4;
    case common::v1::UPDATE_PHASE_SUCCEEDED:
      return 5;
    default:
      return 0;
  }
}

}  // namespace countersign::gateway
