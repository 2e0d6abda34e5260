// HTTP/1.1 messages, read strictly: what two readers might understand differently is refused, and what is
// sent on is written anew from what was understood.
#ifndef COUNTERSIGN_TOOLS_CSE_GUARD_HTTP_H_
#define COUNTERSIGN_TOOLS_CSE_GUARD_HTTP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::cse_guard {

using Headers = std::vector<std::pair<std::string, std::string>>;  // in their order, as they were written

struct HttpRequest {
  std::string method;  // upper case
  std::string target;  // "/path?query", as it was written
  Headers headers;     // those between hops taken away
  std::string body;
};

struct HttpResponse {
  int status = 500;
  Headers headers;
  std::string body;
};

// How the body of a request is delimited, and what else is between these two hops.
struct Framing {
  bool chunked = false;
  int64_t content_length = 0;
  bool keep_alive = true;
  bool expects_continue = false;
};

inline constexpr size_t kMaxHeadBytes = 32 << 10;

// The head of a request, up to and with the empty line. INVALID_ARGUMENT (HTTP_MALFORMED) for anything that
// RFC 9112 does not allow or that is known from request smuggling: lines that do not end in CRLF, folded
// lines, blanks before a colon, control characters, repeated or contradictory lengths, a target that is no
// path.
struct ParsedHead {
  HttpRequest request;  // without body
  Framing framing;
};
absl::StatusOr<ParsedHead> ParseHead(absl::string_view head);

// The decoded body at the beginning of `bytes`, which are in chunks, and how many bytes it took; nullopt
// while it is not all there. INVALID_ARGUMENT (HTTP_MALFORMED), RESOURCE_EXHAUSTED (BODY_TOO_LARGE).
// Extensions and trailers are refused: nobody here has a use for them.
struct Dechunked {
  std::string body;
  size_t consumed;
};
absl::StatusOr<std::optional<Dechunked>> Dechunk(absl::string_view bytes, size_t max_body);

// The first value of a header, whatever its letters' case; nullopt if there is none.
std::optional<absl::string_view> Header(const Headers& headers, absl::string_view name);
int CountHeader(const Headers& headers, absl::string_view name);
void RemoveHeader(Headers& headers, absl::string_view name);
void SetHeader(Headers& headers, absl::string_view name, absl::string_view value);

// Takes away what concerns one connection only (RFC 9110, 7.6.1), with what `Connection` names.
void RemoveHopByHop(Headers& headers);

// The response as it is sent, with a Content-Length of its own. `head_only` answers HEAD.
std::string Serialise(const HttpResponse& response, bool keep_alive, bool head_only);

}  // namespace countersign::cse_guard

#endif  // COUNTERSIGN_TOOLS_CSE_GUARD_HTTP_H_
