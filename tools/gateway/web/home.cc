#include "tools/gateway/web/home.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/status/errors.h"
#include "common/trust/consent_record.h"
#include "tools/gateway/web/words.h"

namespace countersign::gateway {
namespace {

namespace consent = countersign::consent::v1;
namespace common = countersign::common::v1;
using ::countersign::inventory::v1::Component;
using ::countersign::rollout::v1::Assignment;

std::string LastPart(const std::string& name) { return name.substr(name.rfind('/') + 1); }

template <typename Timestamp>
absl::Time TimeOf(const Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string DigestOf(const common::UserNotice& notice) {
  return trust::NoticeTextSha256(notice.purpose(), notice.changes(), notice.install_duration().seconds(),
                                 notice.unavailable_functions(), notice.instructions());
}

// The notice in `language` ("de" is content with "de-AT"), or the first one if `or_first`; nullptr if there
// is none.
const common::UserNotice* FindNotice(const common::ReleaseInfo& release, absl::string_view language,
                                     bool or_first) {
  for (const common::UserNotice& notice : release.notices()) {
    if (notice.language() == language) return &notice;
  }
  if (!or_first) return nullptr;
  for (const common::UserNotice& notice : release.notices()) {
    const std::string primary = notice.language().substr(0, notice.language().find('-'));
    if (primary == language) return &notice;
  }
  return release.notices().empty() ? nullptr : &release.notices(0);
}

bool IsEnd(common::UpdatePhase phase) {
  return phase == common::UPDATE_PHASE_SUCCEEDED || phase == common::UPDATE_PHASE_FAILED ||
         phase == common::UPDATE_PHASE_ROLLED_BACK || phase == common::UPDATE_PHASE_CANCELLED;
}

// Until then a consent can be withdrawn (PLUS-2).
bool IsBeforeInstallation(common::UpdatePhase phase) {
  return phase == common::UPDATE_PHASE_UNSPECIFIED || phase == common::UPDATE_PHASE_IDLE ||
         phase == common::UPDATE_PHASE_DOWNLOADING || phase == common::UPDATE_PHASE_DOWNLOADED ||
         phase == common::UPDATE_PHASE_AWAITING_CONSENT ||
         phase == common::UPDATE_PHASE_AWAITING_PRECONDITION;
}

bool Proves(Component::State state) {
  return state == Component::STATE_VERIFIED || state == Component::STATE_PROXIED;
}

// Puts a Home together.
class Assembly {
 public:
  Assembly(const HomeFacts& facts, absl::string_view language) : facts_(facts), language_(language) {
    for (const consent::ConsentRecord& record : facts.records) records_[record.assignment()] = &record;
    for (const consent::Prompt& prompt : facts.prompts) {
      if (prompt.state() == consent::Prompt::STATE_WAITING) asked_.insert(prompt.question().assignment());
    }
  }

  Home Make() {
    home_.gateway_id = facts_.gateway_id;
    home_.reachable = facts_.reachable;
    home_.as_of = facts_.as_of;
    home_.check = facts_.check;
    AddConfirmations();
    AddDevices();
    AddQuestions();
    for (const Assignment& assignment : facts_.assignments) AddAssignment(assignment);
    std::stable_sort(home_.outcomes.begin(), home_.outcomes.end(),
                     [](const auto& a, const auto& b) { return a.time > b.time; });
    std::stable_sort(home_.postponed.begin(), home_.postponed.end(),
                     [](const auto& a, const auto& b) { return a.until < b.until; });
    AddPolicies();
    AddOffers();
    return std::move(home_);
  }

 private:
  void AddConfirmations() {
    for (Confirmation confirmation : facts_.confirmations) {
      confirmation.device_id = CleanText(confirmation.device_id);
      confirmation.target_path = CleanText(confirmation.target_path);
      confirmation.version = CleanText(confirmation.version);
      home_.confirmations.push_back(std::move(confirmation));
    }
  }

  void AddDevices() {
    for (const Component& component : facts_.components) {
      home_.devices.push_back({
          .ecu_serial = CleanText(component.ecu_serial()),
          .name =
              CleanText(component.device().empty() ? component.ecu_serial() : LastPart(component.device())),
          .model = CleanText(absl::StrCat(component.manufacturer(), " ", component.model())),
          .version = CleanText(component.installed().version()),
          .state = component.state(),
      });
    }
  }

  UpdateView MakeUpdate(const std::string& assignment, const std::string& ecu_serial,
                        const std::string& from_version, const std::string& to_version,
                        const common::ReleaseInfo& release) {
    UpdateView update = {
        .assignment = assignment,
        .device = home_.Device(ecu_serial),
        .from_version = CleanText(from_version),
        .to_version = CleanText(to_version),
        .kind = release.kind(),
        .criticality = release.criticality(),
        .notice = {},
    };
    if (const common::UserNotice* notice = FindNotice(release, language_, /*or_first=*/true)) {
      update.notice = NoticeView{
          .language = CleanText(notice->language()),
          .purpose = CleanText(notice->purpose()),
          .changes = CleanText(notice->changes()),
          .unavailable = CleanText(notice->unavailable_functions()),
          .instructions = CleanText(notice->instructions()),
          .takes = absl::Seconds(notice->install_duration().seconds()),
          .text_sha256 = DigestOf(*notice),
      };
    }
    return update;
  }

  void AddQuestions() {
    for (const consent::Prompt& prompt : facts_.prompts) {
      if (prompt.state() != consent::Prompt::STATE_WAITING) continue;
      const consent::ConsentQuestion& asked = prompt.question();
      const common::ReleaseInfo& release = asked.release();
      QuestionView question = {
          .id = LastPart(prompt.name()),
          .update = MakeUpdate(asked.assignment(), asked.ecu_serial(), asked.from_version(),
                               release.version(), release),
          .advisory_ids = {},
          .advisory_risk = CleanText(release.advisory().risk()),
          .advisory_action = CleanText(release.advisory().action()),
          .mixed_justification = CleanText(release.mixed_justification()),
          .terms = {},
          .asked = TimeOf(prompt.create_time()),
          .latest_deferral = {},
      };
      for (const std::string& id : release.advisory().ids()) question.advisory_ids.push_back(CleanText(id));
      if (release.has_terms()) {
        const common::TermsOfUse& terms = release.terms();
        question.terms = QuestionView::Terms{
            .id = CleanText(terms.id()),
            .version = CleanText(terms.version()),
            .language = CleanText(terms.language()),
            .text = CleanText(terms.text()),
            .text_sha256 = CleanText(terms.text_sha256()),
        };
      }
      if (prompt.has_latest_deferral_time()) question.latest_deferral = TimeOf(prompt.latest_deferral_time());
      home_.questions.push_back(std::move(question));
    }
    std::stable_sort(home_.questions.begin(), home_.questions.end(), [](const auto& a, const auto& b) {
      return a.update.criticality > b.update.criticality;
    });
  }

  void AddAssignment(const Assignment& assignment) {
    const auto known = facts_.releases.find(assignment.release());
    UpdateView update = MakeUpdate(assignment.name(), assignment.ecu_serial(), assignment.from_version(),
                                   assignment.to_version(),
                                   known == facts_.releases.end() ? common::ReleaseInfo() : known->second);
    const auto found = records_.find(assignment.name());
    const consent::ConsentRecord* record = found == records_.end() ? nullptr : found->second;
    if (IsEnd(assignment.phase())) {
      home_.outcomes.push_back({
          .update = std::move(update),
          .phase = assignment.phase(),
          .reason = assignment.failure_reason(),
          .detail = CleanText(assignment.failure_detail()),
          .consented_by = CleanText(record == nullptr ? assignment.consented_by() : record->principal_id()),
          .by_policy = record != nullptr && !record->policy().empty(),
          .time = TimeOf(assignment.update_time()),
      });
      return;
    }
    if (asked_.contains(assignment.name())) return;  // it is among the questions
    if (record != nullptr && record->decision() == consent::DECISION_DEFERRED) {
      home_.postponed.push_back({.update = std::move(update), .until = TimeOf(record->valid_until_time())});
      return;
    }
    common::UpdatePhase phase = assignment.phase();
    // The gateway knows before the server does; that it is complete only the server says (FOTA-H).
    for (const ComponentProgress& progress : facts_.progress) {
      if (progress.ecu_serial == assignment.ecu_serial() && progress.sha256 == assignment.image().sha256() &&
          progress.phase > phase && progress.phase <= common::UPDATE_PHASE_VERIFYING) {
        phase = progress.phase;
      }
    }
    const bool granted = record != nullptr && record->decision() == consent::DECISION_GRANTED;
    // The answer is there, and the server has not got to it.
    if (granted && phase == common::UPDATE_PHASE_AWAITING_CONSENT) phase = common::UPDATE_PHASE_IDLE;
    home_.running.push_back({
        .update = std::move(update),
        .phase = phase,
        .record_id = granted && IsBeforeInstallation(phase) ? LastPart(record->name()) : "",
    });
  }

  void AddPolicies() {
    for (const consent::Policy& policy : facts_.policies) {
      home_.policies.push_back({
          .id = LastPart(policy.name()),
          .active = policy.state() == consent::Policy::STATE_ACTIVE,
          .text = CleanText(PolicyText(policy)),
          .language = CleanText(policy.language()),
          .principal = CleanText(policy.principal_id()),
          .created = TimeOf(policy.create_time()),
      });
    }
    std::stable_sort(home_.policies.begin(), home_.policies.end(), [](const auto& a, const auto& b) {
      return std::pair(a.active, a.created) > std::pair(b.active, b.created);
    });
  }

  void AddOffers() {
    std::set<std::pair<std::string, std::string>> launched;
    for (const Assignment& assignment : facts_.assignments) {
      launched.emplace(assignment.ecu_serial(), assignment.release());
    }
    for (const liaison::v1::AvailableUpdate& offer : facts_.offers) {
      if (launched.contains({offer.ecu_serial(), offer.release().name()})) continue;
      const std::vector<std::string> parts = absl::StrSplit(offer.release().name(), '/');
      home_.offers.push_back({
          .device = home_.Device(offer.ecu_serial()),
          .manufacturer = CleanText(parts.size() > 1 ? parts[1] : ""),
          .version = CleanText(offer.release().info().version()),
      });
    }
  }

  const HomeFacts& facts_;
  const std::string language_;
  std::map<std::string, const consent::ConsentRecord*>
      records_;                  // by assignment; the latest, as they come in order
  std::set<std::string> asked_;  // assignments that the user is asked about
  Home home_;
};

template <typename Range, typename Matches>
auto* FindIn(const Range& range, Matches matches) {
  const auto found = std::find_if(range.begin(), range.end(), matches);
  return found == range.end() ? nullptr : &*found;
}

}  // namespace

const QuestionView* Home::FindQuestion(absl::string_view id) const {
  return FindIn(questions, [&](const QuestionView& question) { return question.id == id; });
}

const RunningView* Home::FindRunning(absl::string_view record_id) const {
  return FindIn(running, [&](const RunningView& update) {
    return !record_id.empty() && update.record_id == record_id;
  });
}

const Confirmation* Home::FindConfirmation(absl::string_view ecu_serial, absl::string_view sha256) const {
  return FindIn(confirmations, [&](const Confirmation& confirmation) {
    return confirmation.ecu_serial == ecu_serial && confirmation.sha256 == sha256;
  });
}

DeviceView Home::Device(absl::string_view ecu_serial) const {
  const DeviceView* found =
      FindIn(devices, [&](const DeviceView& device) { return device.ecu_serial == ecu_serial; });
  if (found != nullptr) return *found;
  return {.ecu_serial = CleanText(ecu_serial), .name = CleanText(ecu_serial), .model = {}, .version = {}};
}

Home MakeHome(const HomeFacts& facts, absl::string_view language) { return Assembly(facts, language).Make(); }

std::vector<liaison::v1::InstalledComponent> AskedAbout(const HomeFacts& facts) {
  std::vector<liaison::v1::InstalledComponent> asked;
  for (const Component& component : facts.components) {
    if (!Proves(component.state())) continue;
    liaison::v1::InstalledComponent& installed = asked.emplace_back();
    installed.set_ecu_serial(component.ecu_serial());
    installed.set_manufacturer(component.manufacturer());
    installed.set_model(component.model());
    installed.set_hardware_id(component.hardware_id());
    installed.set_version(component.installed().version());
    installed.set_release_counter(component.installed().release_counter());
  }
  return asked;
}

absl::StatusOr<consent::AnswerPromptRequest> AnswerTo(const consent::Prompt& prompt,
                                                      const UserAnswer& answer) {
  const common::ReleaseInfo& release = prompt.question().release();
  const common::UserNotice* notice = answer.language.empty() && !release.notices().empty()
                                         ? &release.notices(0)
                                         : FindNotice(release, answer.language, /*or_first=*/false);
  if (notice == nullptr) {
    return Error(absl::StatusCode::kInvalidArgument, "LANGUAGE_UNKNOWN",
                 absl::StrCat("the prompt has no notice in the language \"", answer.language, "\""));
  }
  consent::AnswerPromptRequest request;
  request.set_name(prompt.name());
  request.set_principal_id(answer.principal_id);
  request.set_language(notice->language());
  request.set_text_sha256(DigestOf(*notice));
  request.set_request_id(crypto::Uuid());
  if (!answer.shown_text_sha256.empty() && answer.shown_text_sha256 != request.text_sha256()) {
    return Error(absl::StatusCode::kFailedPrecondition, "TEXT_DIFFERS",
                 "what is told about the update has changed since it was shown: read it again");
  }
  if (answer.decision == "accept") {
    request.set_decision(consent::DECISION_GRANTED);
    request.set_accepted_terms_sha256(answer.accepted_terms_sha256);
  } else if (answer.decision == "decline") {
    request.set_decision(consent::DECISION_DENIED);
  } else if (answer.decision == "postpone") {
    request.set_decision(consent::DECISION_DEFERRED);
    absl::Time until;
    std::string error;
    if (!absl::ParseTime(absl::RFC3339_full, answer.until, &until, &error)) {
      return Error(absl::StatusCode::kInvalidArgument, "TIME_INVALID",
                   "give the time to which it is postponed, e.g. 2026-01-31T12:00:00Z");
    }
    request.mutable_deferred_until_time()->set_seconds(absl::ToUnixSeconds(until));
  } else {
    return Error(absl::StatusCode::kInvalidArgument, "DECISION_UNKNOWN",
                 "the decision is accept, decline or postpone");
  }
  return request;
}

std::string PolicyText(const consent::Policy& policy) {
  const Words& words = Words::In(policy.language());
  std::vector<std::string> kinds, serials(policy.ecu_serials().begin(), policy.ecu_serials().end());
  for (const int kind : policy.kinds()) kinds.push_back(words.Kind(static_cast<common::UpdateKind>(kind)));
  return words.Say(
      "policy.text",
      {{"kinds", words.List(kinds)},
       {"criticality", policy.minimum_criticality() == common::CRITICALITY_UNSPECIFIED
                           ? ""
                           : words.Say("policy.text.criticality",
                                       {{"criticality", words.Criticality(policy.minimum_criticality())}})},
       {"where", serials.empty() ? words.Say("policy.text.everywhere") : words.List(serials)},
       {"terms", policy.accepted_terms_sha256().empty() ? "" : words.Say("policy.text.terms")}});
}

std::vector<Deferral> Deferrals(absl::Time now, absl::Time latest, const absl::TimeZone& zone) {
  std::vector<Deferral> offered;
  const absl::CivilDay today = absl::ToCivilDay(now, zone);
  const auto at = [&](absl::CivilDay day, int hour) {
    return absl::FromCivil(absl::CivilHour(day) + hour, zone);
  };
  for (const auto& [label, until] : {
           std::pair("defer.hour", now + absl::Hours(1)),
           std::pair("defer.tonight", at(today, 22)),
           std::pair("defer.tomorrow", at(today + 1, 8)),
           std::pair("defer.three_days", at(today + 3, 8)),
           std::pair("defer.week", at(today + 7, 8)),
       }) {
    // In whole minutes: a page that is looked at a little later offers the same.
    const absl::Time minute = absl::FromUnixSeconds(absl::ToUnixSeconds(until) / 60 * 60);
    const bool soon = !offered.empty() && minute < offered.back().until + absl::Minutes(30);
    if (minute > now + absl::Minutes(10) && minute < latest && !soon) offered.push_back({label, minute});
  }
  std::sort(offered.begin(), offered.end(),
            [](const Deferral& a, const Deferral& b) { return a.until < b.until; });
  if (latest > now) offered.push_back({"defer.latest", absl::FromUnixSeconds(absl::ToUnixSeconds(latest))});
  return offered;
}

}  // namespace countersign::gateway
