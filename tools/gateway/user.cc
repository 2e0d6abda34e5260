#include "tools/gateway/user.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/consent_record.h"
#include "countersign/consent/v1/consent.grpc.pb.h"
#include "countersign/inventory/v1/inventory.grpc.pb.h"
#include "countersign/rollout/v1/rollout.grpc.pb.h"
#include "tools/ctl/call.h"
#include "tools/ctl/session.h"

namespace countersign::gateway {
namespace {

namespace v1 = countersign::consent::v1;
using common::v1::UserNotice;
using ctl::Session;
using v1::ConsentService;

// "UPDATE_KIND_SECURITY" as "security".
std::string Plain(absl::string_view name, absl::string_view prefix) {
  return absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
}

std::string CriticalityText(common::v1::Criticality criticality) {
  return Plain(common::v1::Criticality_Name(criticality), "CRITICALITY_");
}

std::string KindText(int kind) {
  return Plain(common::v1::UpdateKind_Name(static_cast<common::v1::UpdateKind>(kind)), "UPDATE_KIND_");
}

// The notice in `language`, or the first one when that is empty; nullptr if there is none.
const UserNotice* FindNotice(const v1::Prompt& prompt, absl::string_view language) {
  for (const UserNotice& notice : prompt.question().release().notices()) {
    if (language.empty() || notice.language() == language) return &notice;
  }
  return nullptr;
}

std::string Parent(const std::string& gateway_id) { return absl::StrCat("gateways/", gateway_id); }

// "gateways/home-1/prompts/17" from that or from "17".
std::string ChildName(const std::string& gateway_id, absl::string_view collection, const std::string& id) {
  return ctl::ResourceName(absl::StrCat(Parent(gateway_id), "/", collection), id);
}

absl::StatusOr<std::vector<v1::Prompt>> ListPrompts(Session& session, const std::string& gateway_id,
                                                    bool closed) {
  ASSIGN_OR_RETURN(auto stub, ctl::MakeStub<ConsentService>(session, "consent"));
  v1::ListPromptsRequest request;
  request.set_parent(Parent(gateway_id));
  request.set_show_closed(closed);
  return ctl::ListAll(session, *stub, &ConsentService::Stub::ListPrompts, request,
                      &v1::ListPromptsResponse::prompts);
}

absl::Status ShowPrompts(Session& session, const std::string& gateway_id, const std::string& language) {
  ASSIGN_OR_RETURN(const std::vector<v1::Prompt> prompts, ListPrompts(session, gateway_id, /*closed=*/false));
  if (session.json()) {
    std::vector<const google::protobuf::Message*> messages;
    for (const v1::Prompt& prompt : prompts) messages.push_back(&prompt);
    session.PrintTable(messages, {});
    return absl::OkStatus();
  }
  for (const v1::Prompt& prompt : prompts) std::cout << PromptText(prompt, language) << "\n";
  if (prompts.empty()) session.Say("Nothing waits for an answer.");
  return absl::OkStatus();
}

absl::Status Answer(Session& session, const std::string& name, const std::string& gateway_id,
                    const UserAnswer& answer) {
  // Also those that are closed: the service says best why it takes no answer.
  ASSIGN_OR_RETURN(const std::vector<v1::Prompt> prompts, ListPrompts(session, gateway_id, /*closed=*/true));
  for (const v1::Prompt& prompt : prompts) {
    if (prompt.name() != name) continue;
    ASSIGN_OR_RETURN(const v1::AnswerPromptRequest request, AnswerTo(prompt, answer));
    return ctl::CallAndPrint<ConsentService>(session, "consent", &ConsentService::Stub::AnswerPrompt,
                                             request);
  }
  return Error(absl::StatusCode::kNotFound, "PROMPT_UNKNOWN",
               absl::StrCat("there is no ", name, ": `prompts` lists what waits for an answer"));
}

void AddPrompts(CLI::App& app, Session& session, const std::string& gateway_id) {
  auto shown = std::make_shared<std::string>();
  CLI::App* verb =
      session.AddVerb(app, "prompts", "Show what waits for the user",
                      [&session, &gateway_id, shown] { return ShowPrompts(session, gateway_id, *shown); });
  verb->add_option("--language", *shown, "language of the notices, e.g. en");

  struct Flags {
    std::string prompt;
    UserAnswer answer;
  };
  auto flags = std::make_shared<Flags>();
  verb = session.AddVerb(app, "answer", "Answer a prompt", [&session, &gateway_id, flags] {
    return Answer(session, ChildName(gateway_id, "prompts", flags->prompt), gateway_id, flags->answer);
  });
  verb->add_option("prompt", flags->prompt, "the prompt, as `prompts` shows it")->required();
  verb->add_option("decision", flags->answer.decision, "what the user decided")
      ->required()
      ->check(CLI::IsMember({"accept", "decline", "postpone"}));
  verb->add_option("--principal", flags->answer.principal_id, "who decided: a pseudonym, not a name")
      ->required();
  verb->add_option("--language", flags->answer.language, "language of the notice that was shown");
  verb->add_option("--until", flags->answer.until, "to when it is postponed, e.g. 2026-01-31T12:00:00Z");
  verb->add_flag("--accept-terms", flags->answer.accept_terms, "the user accepts the terms of use");
}

void AddRecords(CLI::App& app, Session& session, const std::string& gateway_id) {
  session.AddVerb(app, "records", "List what the users decided", [&session, &gateway_id] {
    v1::ListRecordsRequest request;
    request.set_parent(Parent(gateway_id));
    return ctl::ListAndPrint<ConsentService>(session, "consent", &ConsentService::Stub::ListRecords, request,
                                             &v1::ListRecordsResponse::records,
                                             {{"RECORD", "name"},
                                              {"ASSIGNMENT", "assignment"},
                                              {"DECISION", "decision"},
                                              {"BY", "principal_id"},
                                              {"POLICY", "policy"},
                                              {"AT", "decide_time"}});
  });

  auto request = std::make_shared<v1::WithdrawConsentRequest>();
  CLI::App* verb =
      session.AddVerb(app, "withdraw", "Take a consent back; what is not being installed stops",
                      [&session, &gateway_id, request] {
                        request->set_name(ChildName(gateway_id, "records", request->name()));
                        request->set_request_id(crypto::Uuid());
                        return ctl::CallAndPrint<ConsentService>(
                            session, "consent", &ConsentService::Stub::WithdrawConsent, *request);
                      });
  verb->add_option("record", *request->mutable_name(), "the record, as `records` shows it")->required();
  verb->add_option("--principal", *request->mutable_principal_id(), "who withdraws")->required();
}

void AddPolicies(CLI::App& app, Session& session, const std::string& gateway_id) {
  CLI::App& group = *app.add_subcommand("policy", "What may be installed without asking");
  group.require_subcommand(1);
  group.fallthrough();

  struct Flags {
    v1::Policy policy;
    std::vector<std::string> kinds;
    std::string criticality;
    std::vector<std::string> components;
    std::vector<std::string> terms;
  };
  auto flags = std::make_shared<Flags>();
  flags->policy.set_language("en");
  CLI::App* verb =
      session.AddVerb(group, "create", "Set up a policy", [&session, &gateway_id, flags]() -> absl::Status {
        v1::CreatePolicyRequest request;
        request.set_parent(Parent(gateway_id));
        request.set_request_id(crypto::Uuid());
        v1::Policy& policy = *request.mutable_policy();
        policy = flags->policy;
        for (const std::string& kind : flags->kinds) {
          common::v1::UpdateKind value = common::v1::UPDATE_KIND_UNSPECIFIED;
          common::v1::UpdateKind_Parse(absl::StrCat("UPDATE_KIND_", absl::AsciiStrToUpper(kind)), &value);
          policy.add_kinds(value);
        }
        if (!flags->criticality.empty()) {
          common::v1::Criticality value = common::v1::CRITICALITY_UNSPECIFIED;
          common::v1::Criticality_Parse(
              absl::StrCat("CRITICALITY_", absl::AsciiStrToUpper(flags->criticality)), &value);
          policy.set_minimum_criticality(value);
        }
        for (const std::string& serial : flags->components) policy.add_ecu_serials(serial);
        for (const std::string& sha256 : flags->terms) policy.add_accepted_terms_sha256(sha256);
        const std::string text = PolicyText(policy);
        policy.set_text_sha256(crypto::Sha256Hex(text));
        session.Say(text);
        return ctl::CallAndPrint<ConsentService>(session, "consent", &ConsentService::Stub::CreatePolicy,
                                                 request);
      });
  verb->add_option("--kind", flags->kinds, "kind of update that it grants; may be repeated")
      ->required()
      ->check(CLI::IsMember({"security", "functionality", "mixed"}));
  verb->add_option("--principal", *flags->policy.mutable_principal_id(),
                   "who sets it: a pseudonym, not a name")
      ->required();
  verb->add_option("--minimum-criticality", flags->criticality, "grant only what is at least so critical")
      ->check(CLI::IsMember({"low", "medium", "high", "critical"}));
  verb->add_option("--component", flags->components, "grant only for this component; may be repeated");
  verb->add_option("--accept-terms", flags->terms,
                   "SHA-256 of terms of use that it accepts; may be repeated");
  verb->add_option("--language", *flags->policy.mutable_language(), "language of the policy's text; en");

  session.AddVerb(group, "list", "List the policies", [&session, &gateway_id] {
    v1::ListPoliciesRequest request;
    request.set_parent(Parent(gateway_id));
    return ctl::ListAndPrint<ConsentService>(session, "consent", &ConsentService::Stub::ListPolicies, request,
                                             &v1::ListPoliciesResponse::policies,
                                             {{"POLICY", "name"},
                                              {"KINDS", "kinds"},
                                              {"FROM CRITICALITY", "minimum_criticality"},
                                              {"COMPONENTS", "ecu_serials"},
                                              {"BY", "principal_id"},
                                              {"STATE", "state"}});
  });

  auto withdrawn = std::make_shared<v1::WithdrawPolicyRequest>();
  verb = session.AddVerb(group, "withdraw", "End a policy", [&session, &gateway_id, withdrawn] {
    withdrawn->set_name(ChildName(gateway_id, "policies", withdrawn->name()));
    return ctl::CallAndPrint<ConsentService>(session, "consent", &ConsentService::Stub::WithdrawPolicy,
                                             *withdrawn);
  });
  verb->add_option("name", *withdrawn->mutable_name(), "the policy, as `policy list` shows it")->required();
}

void AddStatus(CLI::App& app, Session& session) {
  using inventory::v1::InventoryService;
  using rollout::v1::RolloutService;
  session.AddVerb(app, "status", "What the home's components run, as the inventory has it", [&session] {
    return ctl::ListAndPrint<InventoryService>(session, "inventory", &InventoryService::Stub::ListComponents,
                                               inventory::v1::ListComponentsRequest(),
                                               &inventory::v1::ListComponentsResponse::components,
                                               {{"COMPONENT", "ecu_serial"},
                                                {"DEVICE", "device"},
                                                {"VERSION", "installed.version"},
                                                {"STATE", "state"},
                                                {"REASON", "state_reason"},
                                                {"REPORTED", "report_time"}});
  });
  session.AddVerb(
      app, "updates", "Updates of the home's components, as the rollout service has them", [&session] {
        rollout::v1::ListAssignmentsRequest request;
        request.set_parent("rollouts/-");
        return ctl::ListAndPrint<RolloutService>(session, "rollout", &RolloutService::Stub::ListAssignments,
                                                 request, &rollout::v1::ListAssignmentsResponse::assignments,
                                                 {{"COMPONENT", "ecu_serial"},
                                                  {"FROM", "from_version"},
                                                  {"TO", "to_version"},
                                                  {"PHASE", "phase"},
                                                  {"REASON", "failure_reason"},
                                                  {"DETAIL", "failure_detail"}});
      });
}

}  // namespace

absl::StatusOr<v1::AnswerPromptRequest> AnswerTo(const v1::Prompt& prompt, const UserAnswer& answer) {
  const UserNotice* notice = FindNotice(prompt, answer.language);
  if (notice == nullptr) {
    return Error(absl::StatusCode::kInvalidArgument, "LANGUAGE_UNKNOWN",
                 absl::StrCat("the update has no notice in language ", answer.language,
                              ": give one that `prompts --json` shows"));
  }
  v1::AnswerPromptRequest request;
  request.set_name(prompt.name());
  request.set_request_id(crypto::Uuid());
  request.set_principal_id(answer.principal_id);
  request.set_language(notice->language());
  request.set_text_sha256(trust::NoticeTextSha256(notice->purpose(), notice->changes(),
                                                  notice->install_duration().seconds(),
                                                  notice->unavailable_functions(), notice->instructions()));
  if (answer.decision == "accept") {
    request.set_decision(v1::DECISION_GRANTED);
  } else if (answer.decision == "decline") {
    request.set_decision(v1::DECISION_DENIED);
  } else {
    request.set_decision(v1::DECISION_DEFERRED);
    absl::Time until;
    std::string error;
    if (!absl::ParseTime(absl::RFC3339_full, answer.until, &until, &error)) {
      return Error(absl::StatusCode::kInvalidArgument, "TIME_INVALID",
                   "give --until with the time to which it is postponed, e.g. 2026-01-31T12:00:00Z");
    }
    request.mutable_deferred_until_time()->set_seconds(absl::ToUnixSeconds(until));
  }
  if (answer.accept_terms) {
    request.set_accepted_terms_sha256(prompt.question().release().terms().text_sha256());
  }
  return request;
}

std::string PromptText(const v1::Prompt& prompt, absl::string_view language) {
  const v1::ConsentQuestion& question = prompt.question();
  const common::v1::ReleaseInfo& release = question.release();
  const UserNotice* notice = FindNotice(prompt, language);
  if (notice == nullptr) notice = FindNotice(prompt, "");
  std::string text =
      absl::StrCat(prompt.name(), "\n  component    ", question.ecu_serial(), "\n  version      ",
                   question.from_version().empty() ? "?" : question.from_version(), " -> ", release.version(),
                   "\n  kind         ", KindText(release.kind()), "\n  criticality  ",
                   CriticalityText(release.criticality()), "\n");
  if (notice != nullptr) {
    absl::StrAppend(&text, "  purpose      ", notice->purpose(), "\n  changes      ", notice->changes(),
                    "\n  takes        ",
                    absl::FormatDuration(absl::Seconds(notice->install_duration().seconds())),
                    "\n  unavailable  ", notice->unavailable_functions(), "\n  what to do   ",
                    notice->instructions(), "\n  language     ", notice->language(), "\n");
  }
  if (release.has_advisory()) {
    absl::StrAppend(&text, "  closes       ", absl::StrJoin(release.advisory().ids(), ", "), ": ",
                    release.advisory().risk(), "\n");
  }
  if (release.has_terms()) {
    absl::StrAppend(&text, "  terms        ", release.terms().id(), " ", release.terms().version(),
                    ", SHA-256 ", release.terms().text_sha256(),
                    "; to accept the update give --accept-terms\n");
    if (!release.terms().text().empty()) absl::StrAppend(&text, release.terms().text(), "\n");
  }
  return text;
}

std::string PolicyText(const v1::Policy& policy) {
  std::vector<std::string> kinds;
  for (const int kind : policy.kinds()) kinds.push_back(KindText(kind));
  return absl::StrCat(
      "Updates of kind ", absl::StrJoin(kinds, ", "),
      policy.minimum_criticality() == common::v1::CRITICALITY_UNSPECIFIED
          ? std::string()
          : absl::StrCat(" that are at least of criticality ", CriticalityText(policy.minimum_criticality())),
      policy.ecu_serials().empty()
          ? std::string(" may be installed on everything at this gateway")
          : absl::StrCat(" may be installed on ", absl::StrJoin(policy.ecu_serials(), ", ")),
      " without asking again, until this policy is withdrawn.");
}

void AddUserCommands(CLI::App& app, Session& session, const std::string& gateway_id) {
  AddPrompts(app, session, gateway_id);
  AddRecords(app, session, gateway_id);
  AddPolicies(app, session, gateway_id);
  AddStatus(app, session);
}

}  // namespace countersign::gateway
