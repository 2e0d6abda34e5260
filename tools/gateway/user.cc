#include "tools/gateway/user.h"

#include <termios.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/clock/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "countersign/consent/v1/consent.grpc.pb.h"
#include "countersign/inventory/v1/inventory.grpc.pb.h"
#include "countersign/rollout/v1/rollout.grpc.pb.h"
#include "tools/ctl/call.h"
#include "tools/ctl/session.h"
#include "tools/gateway/terminal.h"
#include "tools/gateway/web/front.h"
#include "tools/gateway/web/home.h"
#include "tools/gateway/web/principals.h"
#include "tools/gateway/web/services.h"
#include "tools/gateway/web/speech.h"

namespace countersign::gateway {
namespace {

namespace v1 = countersign::consent::v1;
using ctl::Session;
using v1::ConsentService;

constexpr absl::Duration kFollowInterval = absl::Seconds(1);

// What all commands share.
struct Terminal {
  Session& session;
  const std::string& gateway_id;
  const std::string& folder;
  std::string language;

  Speaker speaker() const {
    return {.words = Words::In(language), .now = SystemClock().Now(), .zone = absl::LocalTimeZone()};
  }
};
using TerminalPtr = std::shared_ptr<Terminal>;

// As people set their terminal: "de_AT.UTF-8" is "de".
std::string LanguageOfEnvironment() {
  for (const char* variable : {"LC_ALL", "LC_MESSAGES", "LANG"}) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0') return std::string(value).substr(0, 2);
  }
  return "";
}

std::string Parent(const std::string& gateway_id) { return absl::StrCat("gateways/", gateway_id); }

// "gateways/home-1/prompts/17" from that or from "17".
std::string ChildName(const std::string& gateway_id, absl::string_view collection, const std::string& id) {
  return ctl::ResourceName(absl::StrCat(Parent(gateway_id), "/", collection), id);
}

absl::StatusOr<HomeFacts> Ask(Terminal& terminal, bool check) {
  ServiceChannels channels;
  ASSIGN_OR_RETURN(channels.consent, terminal.session.Dial("consent"));
  ASSIGN_OR_RETURN(channels.inventory, terminal.session.Dial("inventory"));
  ASSIGN_OR_RETURN(channels.liaison, terminal.session.Dial("liaison"));
  ASSIGN_OR_RETURN(channels.rollout, terminal.session.Dial("rollout"));
  const Services services(channels, terminal.session.timeout());
  HomeFacts facts;
  facts.gateway_id = terminal.gateway_id;
  RETURN_IF_ERROR(services.Refresh(&facts));
  facts.reachable = true;
  facts.as_of = SystemClock().Now();
  if (check) {
    RETURN_IF_ERROR(services.FindOffers(&facts));
    facts.check = {.state = Check::State::kDone, .time = SystemClock().Now()};
  }
  return facts;
}

absl::StatusOr<std::vector<v1::Prompt>> ListPrompts(Terminal& terminal, bool closed) {
  ASSIGN_OR_RETURN(auto stub, ctl::MakeStub<ConsentService>(terminal.session, "consent"));
  v1::ListPromptsRequest request;
  request.set_parent(Parent(terminal.gateway_id));
  request.set_show_closed(closed);
  return ctl::ListAll(terminal.session, *stub, &ConsentService::Stub::ListPrompts, request,
                      &v1::ListPromptsResponse::prompts);
}

void PrintPrompts(Terminal& terminal, const HomeFacts& facts) {
  if (terminal.session.json()) {
    std::vector<const google::protobuf::Message*> messages;
    for (const v1::Prompt& prompt : facts.prompts) messages.push_back(&prompt);
    terminal.session.PrintTable(messages, {});
    return;
  }
  const Home home = MakeHome(facts, terminal.speaker().words.language());
  for (const QuestionView& question : home.questions)
    std::cout << QuestionText(question, terminal.speaker()) << "\n";
}

absl::Status ShowPrompts(Terminal& terminal) {
  HomeFacts facts;
  facts.gateway_id = terminal.gateway_id;
  ASSIGN_OR_RETURN(facts.prompts, ListPrompts(terminal, /*closed=*/false));
  PrintPrompts(terminal, facts);
  if (facts.prompts.empty()) terminal.session.Say(terminal.speaker().Say("terminal.nothing"));
  return absl::OkStatus();
}

// FOTA-T2
absl::Status CheckForUpdates(Terminal& terminal) {
  const absl::StatusOr<HomeFacts> facts = Ask(terminal, /*check=*/true);
  if (!facts.ok()) {
    terminal.session.Say(
        terminal.speaker().Say("check.failed", {{"time", terminal.speaker().Time(SystemClock().Now())}}));
    return facts.status();
  }
  const Home home = MakeHome(*facts, terminal.speaker().words.language());
  if (!terminal.session.json()) {
    std::cout << CheckText(home, terminal.speaker()) << ProgressText(home, terminal.speaker()) << "\n";
  }
  PrintPrompts(terminal, *facts);
  return absl::OkStatus();
}

absl::Status ShowProgress(Terminal& terminal, bool follow) {
  std::string shown;
  while (true) {
    ASSIGN_OR_RETURN(const HomeFacts facts, Ask(terminal, /*check=*/false));
    if (terminal.session.json()) {
      std::vector<const google::protobuf::Message*> messages;
      for (const auto& assignment : facts.assignments) messages.push_back(&assignment);
      terminal.session.PrintTable(messages, {});
      return absl::OkStatus();
    }
    const Speaker speaker = terminal.speaker();
    const Home home = MakeHome(facts, speaker.words.language());
    std::string text = ProgressText(home, speaker);
    // Nothing is left to follow: how it ended is what follows.
    const bool ended = home.running.empty();
    if (ended) absl::StrAppend(&text, Headline(home, speaker), "\n");
    if (ended && !shown.empty() && !home.outcomes.empty()) {
      absl::StrAppend(&text, OutcomeText(home.outcomes.front(), speaker), "\n");
    }
    if (text != shown) std::cout << text << std::flush;
    shown = text;
    if (!follow || ended) return absl::OkStatus();
    absl::SleepFor(kFollowInterval);
  }
}

absl::Status ShowHistory(Terminal& terminal) {
  ASSIGN_OR_RETURN(const HomeFacts facts, Ask(terminal, /*check=*/false));
  std::cout << HistoryText(MakeHome(facts, terminal.speaker().words.language()), terminal.speaker());
  return absl::OkStatus();
}

// A word for people beside the error for scripts: an answer that a terminal could not give is not kept.
absl::Status NotTaken(Terminal& terminal, const absl::Status& status) {
  if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
    terminal.session.Say(terminal.speaker().Say("terminal.gone"));
  } else if (!status.ok()) {
    terminal.session.Say(RefusalText(ReasonOf(status), terminal.speaker()));
  }
  return status;
}

absl::Status Answer(Terminal& terminal, const std::string& name, UserAnswer answer, bool accept_terms) {
  // Also those that are closed: the service says best why it takes no answer.
  const absl::StatusOr<std::vector<v1::Prompt>> prompts = ListPrompts(terminal, /*closed=*/true);
  if (!prompts.ok()) return NotTaken(terminal, prompts.status());
  for (const v1::Prompt& prompt : *prompts) {
    if (prompt.name() != name) continue;
    if (accept_terms) answer.accepted_terms_sha256 = prompt.question().release().terms().text_sha256();
    ASSIGN_OR_RETURN(const v1::AnswerPromptRequest request, AnswerTo(prompt, answer));
    return NotTaken(terminal, ctl::CallAndPrint<ConsentService>(
                                  terminal.session, "consent", &ConsentService::Stub::AnswerPrompt, request));
  }
  return Error(absl::StatusCode::kNotFound, "PROMPT_UNKNOWN",
               absl::StrCat("there is no ", name, ": `prompts` lists what waits for an answer"));
}

void AddPrompts(CLI::App& app, const TerminalPtr& terminal) {
  Session& session = terminal->session;
  session.AddVerb(app, "news", "Ask everybody for updates, and say so when there are none",
                  [terminal] { return CheckForUpdates(*terminal); });
  CLI::App* verb = session.AddVerb(app, "prompts", "Show what waits for the user",
                                   [terminal] { return ShowPrompts(*terminal); });
  verb->add_option("--language", terminal->language, "the same as --lang");

  auto follow = std::make_shared<bool>(false);
  verb = session.AddVerb(app, "progress", "Show the updates that are under way",
                         [terminal, follow] { return ShowProgress(*terminal, *follow); });
  verb->add_flag("--follow", *follow, "go on until none is");
  session.AddVerb(app, "history", "Show how updates ended", [terminal] { return ShowHistory(*terminal); });

  struct Flags {
    std::string prompt;
    UserAnswer answer;
    bool accept_terms = false;
  };
  auto flags = std::make_shared<Flags>();
  verb = session.AddVerb(app, "answer", "Answer a prompt", [terminal, flags] {
    return Answer(*terminal, ChildName(terminal->gateway_id, "prompts", flags->prompt), flags->answer,
                  flags->accept_terms);
  });
  verb->add_option("prompt", flags->prompt, "the prompt, as `prompts` shows it")->required();
  verb->add_option("decision", flags->answer.decision, "what the user decided")
      ->required()
      ->check(CLI::IsMember({"accept", "decline", "postpone"}));
  verb->add_option("--principal", flags->answer.principal_id, "who decided: a pseudonym, not a name")
      ->required();
  verb->add_option("--language", flags->answer.language, "language of the notice that was shown");
  verb->add_option("--until", flags->answer.until, "to when it is postponed, e.g. 2026-01-31T12:00:00Z");
  verb->add_flag("--accept-terms", flags->accept_terms, "the user accepts the terms of use");
}

void AddRecords(CLI::App& app, const TerminalPtr& terminal) {
  Session& session = terminal->session;
  session.AddVerb(app, "records", "List what the users decided", [terminal] {
    v1::ListRecordsRequest request;
    request.set_parent(Parent(terminal->gateway_id));
    return ctl::ListAndPrint<ConsentService>(terminal->session, "consent", &ConsentService::Stub::ListRecords,
                                             request, &v1::ListRecordsResponse::records,
                                             {{"RECORD", "name"},
                                              {"ASSIGNMENT", "assignment"},
                                              {"DECISION", "decision"},
                                              {"BY", "principal_id"},
                                              {"POLICY", "policy"},
                                              {"AT", "decide_time"}});
  });

  auto request = std::make_shared<v1::WithdrawConsentRequest>();
  CLI::App* verb = session.AddVerb(
      app, "withdraw", "Take a consent back; what is not being installed stops", [terminal, request] {
        request->set_name(ChildName(terminal->gateway_id, "records", request->name()));
        request->set_request_id(crypto::Uuid());
        return NotTaken(*terminal,
                        ctl::CallAndPrint<ConsentService>(terminal->session, "consent",
                                                          &ConsentService::Stub::WithdrawConsent, *request));
      });
  verb->add_option("record", *request->mutable_name(), "the record, as `records` shows it")->required();
  verb->add_option("--principal", *request->mutable_principal_id(), "who withdraws")->required();
}

absl::Status ListPolicies(Terminal& terminal) {
  v1::ListPoliciesRequest request;
  request.set_parent(Parent(terminal.gateway_id));
  if (terminal.session.json()) {
    return ctl::ListAndPrint<ConsentService>(terminal.session, "consent", &ConsentService::Stub::ListPolicies,
                                             request, &v1::ListPoliciesResponse::policies, {});
  }
  ASSIGN_OR_RETURN(auto stub, ctl::MakeStub<ConsentService>(terminal.session, "consent"));
  HomeFacts facts;
  ASSIGN_OR_RETURN(facts.policies, ctl::ListAll(terminal.session, *stub, &ConsentService::Stub::ListPolicies,
                                                request, &v1::ListPoliciesResponse::policies));
  std::cout << PoliciesText(MakeHome(facts, terminal.speaker().words.language()), terminal.speaker());
  return absl::OkStatus();
}

void AddPolicies(CLI::App& app, const TerminalPtr& terminal) {
  Session& session = terminal->session;
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
  CLI::App* verb = session.AddVerb(group, "create", "Set up a policy", [terminal, flags]() -> absl::Status {
    v1::CreatePolicyRequest request;
    request.set_parent(Parent(terminal->gateway_id));
    request.set_request_id(crypto::Uuid());
    v1::Policy& policy = *request.mutable_policy();
    policy = flags->policy;
    policy.set_language(terminal->speaker().words.language());
    for (const std::string& kind : flags->kinds) {
      common::v1::UpdateKind value = common::v1::UPDATE_KIND_UNSPECIFIED;
      common::v1::UpdateKind_Parse(absl::StrCat("UPDATE_KIND_", absl::AsciiStrToUpper(kind)), &value);
      policy.add_kinds(value);
    }
    if (!flags->criticality.empty()) {
      common::v1::Criticality value = common::v1::CRITICALITY_UNSPECIFIED;
      common::v1::Criticality_Parse(absl::StrCat("CRITICALITY_", absl::AsciiStrToUpper(flags->criticality)),
                                    &value);
      policy.set_minimum_criticality(value);
    }
    for (const std::string& serial : flags->components) policy.add_ecu_serials(serial);
    for (const std::string& sha256 : flags->terms) policy.add_accepted_terms_sha256(sha256);
    const std::string text = PolicyText(policy);
    policy.set_text_sha256(crypto::Sha256Hex(text));
    terminal->session.Say(text);
    return NotTaken(*terminal,
                    ctl::CallAndPrint<ConsentService>(terminal->session, "consent",
                                                      &ConsentService::Stub::CreatePolicy, request));
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
  verb->add_option("--language", terminal->language, "the same as --lang");

  session.AddVerb(group, "list", "List the policies", [terminal] { return ListPolicies(*terminal); });

  auto withdrawn = std::make_shared<v1::WithdrawPolicyRequest>();
  verb = session.AddVerb(group, "withdraw", "End a policy", [terminal, withdrawn] {
    withdrawn->set_name(ChildName(terminal->gateway_id, "policies", withdrawn->name()));
    return NotTaken(*terminal,
                    ctl::CallAndPrint<ConsentService>(terminal->session, "consent",
                                                      &ConsentService::Stub::WithdrawPolicy, *withdrawn));
  });
  verb->add_option("name", *withdrawn->mutable_name(), "the policy, as `policy list` shows it")->required();
}

// A line from the terminal, which does not show it, or from what stands in its place.
std::string ReadPin() {
  termios before;
  const bool shown = tcgetattr(STDIN_FILENO, &before) == 0;
  if (shown) {
    termios hidden = before;
    hidden.c_lflag &= ~ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    std::cerr << "PIN: " << std::flush;
  }
  const absl::Cleanup show = [&] {
    if (shown) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  };
  std::string pin;
  std::getline(std::cin, pin);
  if (shown) std::cerr << "\n";
  return pin;
}

// The file of those who may decide; FAILED_PRECONDITION (FLAG_MISSING) when nobody said where.
absl::StatusOr<std::string> PathOfPrincipals(const Terminal& terminal) {
  if (!terminal.folder.empty()) return PrincipalsPath(terminal.folder);
  return Error(absl::StatusCode::kFailedPrecondition, "FLAG_MISSING",
               "give --dir before the command, or set it in the file that --config names");
}

void AddPrincipals(CLI::App& app, const TerminalPtr& terminal) {
  Session& session = terminal->session;
  CLI::App& group = *app.add_subcommand("user", "Who may decide at the page");
  group.require_subcommand(1);
  group.fallthrough();
  auto id = std::make_shared<std::string>();
  session
      .AddVerb(group, "add", "Let somebody decide, with the PIN on standard input; or give a new PIN",
               [terminal, id]() -> absl::Status {
                 ASSIGN_OR_RETURN(const std::string path, PathOfPrincipals(*terminal));
                 return Principals(path).Set(*id, ReadPin());
               })
      ->add_option("principal", *id, "who: a pseudonym, not a name")
      ->required();
  session
      .AddVerb(group, "remove", "Let somebody decide no more",
               [terminal, id]() -> absl::Status {
                 ASSIGN_OR_RETURN(const std::string path, PathOfPrincipals(*terminal));
                 return Principals(path).Remove(*id);
               })
      ->add_option("principal", *id, "who")
      ->required();
  session.AddVerb(group, "list", "List who may decide", [terminal]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::string path, PathOfPrincipals(*terminal));
    ASSIGN_OR_RETURN(const std::vector<std::string> ids, Principals(path).List());
    for (const std::string& one : ids) std::cout << one << "\n";
    return absl::OkStatus();
  });
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

void AddUserCommands(CLI::App& app, Session& session, const UserFlags& flags) {
  const TerminalPtr terminal(new Terminal{session, flags.gateway_id, flags.folder, LanguageOfEnvironment()});
  app.add_option("--lang", terminal->language,
                 "language that people are spoken to in, en or de; as LANG says without it");
  AddPrompts(app, terminal);
  AddRecords(app, terminal);
  AddPolicies(app, terminal);
  AddPrincipals(app, terminal);
  AddStatus(app, session);
}

}  // namespace countersign::gateway
