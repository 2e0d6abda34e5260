// What the terminal asks of the agent that runs in the same folder, or reads from there.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_AGENT_COMMANDS_H_
#define COUNTERSIGN_TOOLS_GATEWAY_AGENT_COMMANDS_H_

#include <string>

namespace CLI {
class App;
}

namespace countersign::ctl {
class Session;
}

namespace countersign::gateway {

// check, confirmations, confirm, install-bundle. `dir` gets its value when the command line is parsed; all
// outlive it.
void AddAgentCommands(CLI::App& app, ctl::Session& session, const std::string& dir);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_AGENT_COMMANDS_H_
