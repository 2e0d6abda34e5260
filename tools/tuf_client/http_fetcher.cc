#include "tools/tuf_client/http_fetcher.h"

#include <curl/curl.h>

#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/macros.h"
#include "common/trust/reasons.h"

namespace countersign::tuf_client {
namespace {

constexpr long kMaxRedirects = 3;
constexpr long kConnectSeconds = 20;
constexpr long kMinBytesPerSecond = 1000;
constexpr long kMaxSlowSeconds = 30;

struct CurlFree {
  void operator()(CURL* curl) const { ::curl_easy_cleanup(curl); }
};

// A transfer, as its callback sees it.
struct Transfer {
  CURL* curl;
  int64_t left;
  const std::function<absl::Status(absl::string_view)>& sink;
  absl::Status status;
};

size_t Take(char* data, size_t size, size_t count, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  const absl::string_view bytes(data, size * count);
  long code = 0;
  ::curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &code);
  if (code != 200) return bytes.size();  // the page that goes with an error
  transfer.left -= static_cast<int64_t>(bytes.size());
  if (transfer.left < 0) {
    transfer.status = trust::Refuse(trust::kLengthExceeded, "the server sends more than was promised");
  } else {
    transfer.status = transfer.sink(bytes);
  }
  return transfer.status.ok() ? bytes.size() : 0;
}

}  // namespace

HttpFetcher::HttpFetcher(std::string base_url) : base_url_(std::move(base_url)) {
  if (!absl::EndsWith(base_url_, "/")) base_url_ += '/';
}

absl::StatusOr<std::string> HttpFetcher::Fetch(absl::string_view filename, int64_t max_length) {
  std::string bytes;
  RETURN_IF_ERROR(Stream(filename, max_length, [&bytes](absl::string_view piece) {
    bytes.append(piece.data(), piece.size());
    return absl::OkStatus();
  }));
  return bytes;
}

absl::Status HttpFetcher::Stream(absl::string_view path, int64_t max_length,
                                 const std::function<absl::Status(absl::string_view)>& sink) {
  const std::unique_ptr<CURL, CurlFree> curl(::curl_easy_init());
  if (curl == nullptr) return absl::InternalError("libcurl does not start");
  const std::string url = absl::StrCat(base_url_, path);
  Transfer transfer{curl.get(), max_length, sink, absl::OkStatus()};
  char reason[CURL_ERROR_SIZE] = "";
  ::curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  ::curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  ::curl_easy_setopt(curl.get(), CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  ::curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  ::curl_easy_setopt(curl.get(), CURLOPT_MAXREDIRS, kMaxRedirects);
  ::curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  ::curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_LIMIT, kMinBytesPerSecond);
  ::curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_TIME, kMaxSlowSeconds);
  ::curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  ::curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "countersign");
  ::curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, reason);
  ::curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &Take);
  ::curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &transfer);
  const CURLcode result = ::curl_easy_perform(curl.get());
  RETURN_IF_ERROR(transfer.status);
  if (result != CURLE_OK) {
    return absl::UnavailableError(
        absl::StrCat(url, ": ", reason[0] != '\0' ? reason : ::curl_easy_strerror(result)));
  }
  long code = 0;
  ::curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &code);
  if (code == 403 || code == 404) return absl::NotFoundError(absl::StrCat("there is no ", url));
  if (code != 200) return absl::UnavailableError(absl::StrCat(url, " is answered with ", code));
  return absl::OkStatus();
}

}  // namespace countersign::tuf_client
