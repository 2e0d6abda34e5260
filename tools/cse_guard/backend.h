#ifndef COUNTERSIGN_TOOLS_CSE_GUARD_BACKEND_H_
#define COUNTERSIGN_TOOLS_CSE_GUARD_BACKEND_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tools/cse_guard/http.h"

namespace countersign::cse_guard {

// The CSE, over HTTP. Thread-safe: each thread has connections of its own.
class Backend {
 public:
  struct Options {
    std::string url;      // "http://127.0.0.1:8080", without a path
    std::string ca_file;  // PEM bundle for an https CSE; the system's when empty
    absl::Duration timeout = absl::Seconds(60);
    size_t max_body = 16 << 20;
  };

  // INVALID_ARGUMENT when the URL is none.
  static absl::StatusOr<Backend> Make(Options options);

  // The CSE's answer to `request`, which is sent as it is, with a length of its own. UNAVAILABLE with why
  // when there is none.
  absl::StatusOr<HttpResponse> Send(const HttpRequest& request) const;

 private:
  explicit Backend(Options options) : options_(std::move(options)) {}
  Options options_;
};

}  // namespace countersign::cse_guard

#endif  // COUNTERSIGN_TOOLS_CSE_GUARD_BACKEND_H_
