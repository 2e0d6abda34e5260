#include "tools/cse_guard/backend.h"

#include <curl/curl.h>

#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status/errors.h"

namespace countersign::cse_guard {
namespace {

struct FreeCurl {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

struct Receiver {
  HttpResponse response;
  size_t max_body;
  bool too_large = false;
};

size_t OnHeader(char* data, size_t, size_t size, void* user) {
  auto& receiver = *static_cast<Receiver*>(user);
  const absl::string_view line = absl::StripTrailingAsciiWhitespace(absl::string_view(data, size));
  if (absl::StartsWith(line, "HTTP/")) {
    // Another block: what came before was informational.
    receiver.response.headers.clear();
    return size;
  }
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return size;
  receiver.response.headers.emplace_back(line.substr(0, colon),
                                         absl::StripAsciiWhitespace(line.substr(colon + 1)));
  return size;
}

size_t OnBody(char* data, size_t, size_t size, void* user) {
  auto& receiver = *static_cast<Receiver*>(user);
  if (receiver.response.body.size() + size > receiver.max_body) {
    receiver.too_large = true;
    return 0;
  }
  receiver.response.body.append(data, size);
  return size;
}

}  // namespace

absl::StatusOr<Backend> Backend::Make(Options options) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) return absl::InternalError("curl cannot be used");
  absl::string_view url = options.url;
  absl::ConsumeSuffix(&url, "/");
  const size_t authority = url.find("://");
  if ((!absl::StartsWith(url, "http://") && !absl::StartsWith(url, "https://")) ||
      url.find('/', authority + 3) != absl::string_view::npos || url.size() == authority + 3) {
    return Error(
        absl::StatusCode::kInvalidArgument, "URL_INVALID",
        absl::StrCat("\"", options.url, "\" is not the address of a CSE, e.g. http://127.0.0.1:8080"));
  }
  options.url = std::string(url);
  return Backend(std::move(options));
}

absl::StatusOr<HttpResponse> Backend::Send(const HttpRequest& request) const {
  static thread_local const std::unique_ptr<CURL, FreeCurl> kept(curl_easy_init());
  CURL* const curl = kept.get();
  if (curl == nullptr) return absl::InternalError("curl cannot be used");
  curl_easy_reset(curl);  // keeps connections

  Receiver receiver{.response = {}, .max_body = options_.max_body};
  const std::string url = absl::StrCat(options_.url, request.target);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  // On a kept connection that turns out to be dead curl tries again, and a creation is to be sent once.
  if (request.method == "POST") curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(options_.timeout)));
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
  if (!options_.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options_.ca_file.c_str());
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (request.method == "HEAD") curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data());
  }
  // What curl would add by itself is taken away, unless the application had it.
  curl_slist* list = nullptr;
  for (const char* own : {"Accept", "User-Agent", "Content-Type", "Expect"}) {
    if (!Header(request.headers, own).has_value())
      list = curl_slist_append(list, absl::StrCat(own, ":").c_str());
  }
  for (const auto& [name, value] : request.headers) {
    // curl's way to say that a header is there and empty.
    list = curl_slist_append(
        list, value.empty() ? absl::StrCat(name, ";").c_str() : absl::StrCat(name, ": ", value).c_str());
  }
  const std::unique_ptr<curl_slist, FreeCurl> headers(list);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, OnHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &receiver);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &receiver);

  const CURLcode code = curl_easy_perform(curl);
  if (code != CURLE_OK) {
    return Error(absl::StatusCode::kUnavailable, receiver.too_large ? "ANSWER_TOO_LARGE" : "CSE_UNREACHABLE",
                 receiver.too_large ? "the CSE's answer is too large" : curl_easy_strerror(code));
  }
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  receiver.response.status = static_cast<int>(status);
  RemoveHopByHop(receiver.response.headers);
  return std::move(receiver.response);
}

}  // namespace countersign::cse_guard
