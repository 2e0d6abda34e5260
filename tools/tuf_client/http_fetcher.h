#ifndef COUNTERSIGN_TOOLS_TUF_CLIENT_HTTP_FETCHER_H_
#define COUNTERSIGN_TOOLS_TUF_CLIENT_HTTP_FETCHER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/trust/client.h"

namespace countersign::tuf_client {

// Files below a base URL, http or https, by libcurl. A server that sends less than a kilobyte a second for
// half a minute, redirects more than three times or to another protocol, or sends more than it was asked for
// is hung up on. Not thread-safe.
class HttpFetcher : public trust::Fetcher {
 public:
  // `base_url` may end with a slash or not.
  explicit HttpFetcher(std::string base_url);

  // 403 and 404 are NOT_FOUND: a bucket that nobody may list says the first for what is not there. Other
  // answers but 200, and no answer, are UNAVAILABLE.
  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override;

  // Hands the file at `path` to `sink` in pieces; an error of the sink ends the transfer and comes out of it.
  absl::Status Stream(absl::string_view path, int64_t max_length,
                      const std::function<absl::Status(absl::string_view)>& sink);

 private:
  std::string base_url_;
};

}  // namespace countersign::tuf_client

#endif  // COUNTERSIGN_TOOLS_TUF_CLIENT_HTTP_FETCHER_H_
