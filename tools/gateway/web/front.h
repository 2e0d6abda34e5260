// The page that the agent serves: `gateway run --web 127.0.0.1:8443`.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_WEB_FRONT_H_
#define COUNTERSIGN_TOOLS_GATEWAY_WEB_FRONT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/gateway/desk.h"
#include "tools/gateway/web/services.h"

namespace CLI {
class App;
}

namespace countersign::gateway {

struct FrontOptions {
  std::string listen;              // address:port; empty for no page
  std::string certificate, key;    // PEM files, for TLS
  bool plain = false;              // without TLS, also where others can listen
  std::vector<std::string> names;  // of this machine
};

// --web and what belongs to it; `options` outlives the parsing.
void AddFrontFlags(CLI::App& run, FrontOptions& options);

// The file of those who may decide, below the gateway's folder.
std::string PrincipalsPath(const std::string& folder);

// Serves the page, on threads of its own, until it is destroyed.
class Front {
 public:
  // `folder` is the gateway's, the desk outlives the front. INVALID_ARGUMENT (WEB_ADDRESS_INVALID);
  // FAILED_PRECONDITION (TLS_MISSING) when it would be served in the clear to others than this machine; see
  // http::Server::Start and Acts::Open.
  static absl::StatusOr<std::unique_ptr<Front>> Start(const FrontOptions& options,
                                                      const std::string& gateway_id,
                                                      const std::string& folder, ServiceChannels channels,
                                                      Desk* desk);
  ~Front();

 private:
  Front();
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_WEB_FRONT_H_
