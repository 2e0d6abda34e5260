// The flags that all services have in common. Each may come from the environment too: --http-listen is
// COUNTERSIGN_HTTP_LISTEN. A flag wins over its variable. Whoever calls these includes <CLI/CLI.hpp> in that
// one file.
#ifndef COUNTERSIGN_COMMON_RPC_FLAGS_H_
#define COUNTERSIGN_COMMON_RPC_FLAGS_H_

#include <string>

#include "common/rpc/server.h"
#include "common/rpc/tls.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace countersign::rpc {

// `flag` with its dashes, e.g. "--database". The target keeps its value when neither flag nor variable is
// there.
CLI::Option* AddFlag(CLI::App& app, const std::string& flag, std::string& target, const std::string& help);
CLI::Option* AddFlag(CLI::App& app, const std::string& flag, int& target, const std::string& help);
CLI::Option* AddFlag(CLI::App& app, const std::string& flag, bool& target, const std::string& help);

// --tls-cert --tls-key --tls-ca --trust-domain, all required: for clients.
void AddTlsFlags(CLI::App& app, TlsOptions& options);

// The above and --listen --http-listen --port-file --threads --grace-seconds --log-level.
void AddServerFlags(CLI::App& app, ServerOptions& options);

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_FLAGS_H_
