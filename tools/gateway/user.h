// What a user does at the gateway: answers questions, sets policies, looks how things stand (HOME-8).
#ifndef COUNTERSIGN_TOOLS_GATEWAY_USER_H_
#define COUNTERSIGN_TOOLS_GATEWAY_USER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "countersign/consent/v1/consent.pb.h"

namespace CLI {
class App;
}

namespace countersign::ctl {
class Session;
}

namespace countersign::gateway {

// prompts, answer, records, withdraw, policy, status, updates. `gateway_id` gets its value when the command
// line is parsed; both outlive it.
void AddUserCommands(CLI::App& app, ctl::Session& session, const std::string& gateway_id);

// How a user answered.
struct UserAnswer {
  std::string decision;  // "accept", "decline", "postpone"
  std::string principal_id;
  std::string language;  // of the notice that was shown; the first one's when empty
  std::string until;     // RFC 3339, for "postpone"
  bool accept_terms = false;
};

// The answer to `prompt` as the service wants it, with the digest of the notice that the user has seen.
// INVALID_ARGUMENT when there is no notice in that language, or the time is none.
absl::StatusOr<consent::v1::AnswerPromptRequest> AnswerTo(const consent::v1::Prompt& prompt,
                                                          const UserAnswer& answer);

// What a user is told before an update (UN R156, 7.2.2.2), in `language` or in the first that there is.
std::string PromptText(const consent::v1::Prompt& prompt, absl::string_view language);

// What a policy says, for its user to agree to.
std::string PolicyText(const consent::v1::Policy& policy);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_USER_H_
