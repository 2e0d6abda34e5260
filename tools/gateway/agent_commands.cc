#include "tools/gateway/agent_commands.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "tools/ctl/session.h"
#include "tools/gateway/inbox.h"
#include "tools/gateway/state.h"

namespace countersign::gateway {
namespace {

using ctl::Session;

// A download or a transfer that is under way is waited for.
constexpr absl::Duration kCheckTime = absl::Minutes(2);
constexpr absl::Duration kInstallTime = absl::Minutes(15);

absl::Status NeedDir(const std::string& dir) {
  if (!dir.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "FLAG_MISSING",
               "give --dir before the command, or set it in the file that --config names");
}

absl::Status Ask(Session& session, const std::string& dir, InboxRequest request, absl::Duration timeout) {
  RETURN_IF_ERROR(NeedDir(dir));
  ASSIGN_OR_RETURN(const std::string answer, AskAgent(dir, std::move(request), timeout));
  if (session.json()) {
    const nlohmann::json text = {{"answer", answer}};
    std::printf("%s\n", text.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    session.Say(answer);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, Attempt>> Waiting(const std::string& dir) {
  RETURN_IF_ERROR(NeedDir(dir));
  ASSIGN_OR_RETURN(const std::unique_ptr<State> state, State::Open(dir));
  std::map<std::string, Attempt> waiting;
  for (const auto& [serial, attempt] : state->attempts()) {
    if (attempt.stage == Attempt::Stage::kConfirming) waiting[serial] = attempt;
  }
  return waiting;
}

absl::Status ShowConfirmations(Session& session, const std::string& dir) {
  ASSIGN_OR_RETURN(const auto waiting, Waiting(dir));
  if (session.json()) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& [serial, attempt] : waiting) {
      list.push_back({{"ecu_serial", serial},
                      {"target_path", attempt.target_path},
                      {"version", attempt.version},
                      {"sha256", attempt.sha256},
                      {"approval_result", attempt.approval_result}});
    }
    std::printf("%s\n", list.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return absl::OkStatus();
  }
  if (waiting.empty()) session.Say("Nothing waits for your confirmation.");
  for (const auto& [serial, attempt] : waiting) {
    session.Say(absl::StrCat(
        serial, ": ", attempt.target_path, ", version ", attempt.version, ", SHA-256 ", attempt.sha256,
        "\n  The Management Authority's approval of this software is not in order (", attempt.approval_result,
        "). Install it only if you know where it comes from.\n  `confirm ", serial,
        " accept|reject --principal ID`"));
  }
  return absl::OkStatus();
}

struct ConfirmFlags {
  std::string ecu_serial, word, principal_id;
};

absl::Status Confirm(Session& session, const std::string& dir, const ConfirmFlags& flags) {
  ASSIGN_OR_RETURN(const auto waiting, Waiting(dir));
  const auto found = waiting.find(flags.ecu_serial);
  if (found == waiting.end()) {
    return Error(absl::StatusCode::kNotFound, "CONFIRMATION_UNKNOWN",
                 absl::StrCat("nothing waits for a confirmation on component ", flags.ecu_serial,
                              "; `confirmations` shows what does"));
  }
  return Ask(session, dir,
             {.kind = InboxRequest::Kind::kConfirm,
              .answer = {.ecu_serial = flags.ecu_serial,
                         .sha256 = found->second.sha256,
                         .confirm = flags.word == "accept",
                         .principal_id = flags.principal_id}},
             kCheckTime);
}

}  // namespace

void AddAgentCommands(CLI::App& app, Session& session, const std::string& dir) {
  session.AddVerb(app, "check", "Have the agent look for updates now", [&session, &dir] {
    return Ask(session, dir, {.kind = InboxRequest::Kind::kCheck}, kCheckTime);
  });
  session.AddVerb(app, "confirmations", "Images that a device wants your confirmation of",
                  [&session, &dir] { return ShowConfirmations(session, dir); });
  auto flags = std::make_shared<ConfirmFlags>();
  CLI::App* verb =
      session.AddVerb(app, "confirm", "Have an image installed whose approval is not in order, or not",
                      [&session, &dir, flags] { return Confirm(session, dir, *flags); });
  verb->add_option("component", flags->ecu_serial, "as `confirmations` shows it")->required();
  verb->add_option("word", flags->word, "accept or reject")
      ->required()
      ->check(CLI::IsMember({"accept", "reject"}));
  verb->add_option("--principal", flags->principal_id, "who answers")->required();
  auto file = std::make_shared<std::string>();
  verb = session.AddVerb(
      app, "install-bundle", "Install an offline package, without network", [&session, &dir, file] {
        std::error_code error;
        const std::string path = std::filesystem::absolute(*file, error).string();
        return Ask(session, dir, {.kind = InboxRequest::Kind::kInstallPackage, .argument = path},
                   kInstallTime);
      });
  verb->add_option("file", *file, "as `countersign bundle create` wrote it")->required();
}

}  // namespace countersign::gateway
