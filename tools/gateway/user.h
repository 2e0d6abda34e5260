// What a user does at the gateway: answers questions, sets policies, looks how things stand (HOME-8).
#ifndef COUNTERSIGN_TOOLS_GATEWAY_USER_H_
#define COUNTERSIGN_TOOLS_GATEWAY_USER_H_

#include <string>

namespace CLI {
class App;
}

namespace countersign::ctl {
class Session;
}

namespace countersign::gateway {

// What the commands need to know of the gateway. The values are set when the command line is parsed.
struct UserFlags {
  const std::string& gateway_id;
  const std::string& folder;  // of its state
};

// news, prompts, answer, progress, history, records, withdraw, policy, user, status, updates, and --lang for
// all of them. What `flags` refers to outlives the parsing.
void AddUserCommands(CLI::App& app, ctl::Session& session, const UserFlags& flags);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_USER_H_
