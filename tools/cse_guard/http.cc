#include "tools/cse_guard/http.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::cse_guard {
namespace {

constexpr size_t kMaxHeaders = 100;
constexpr size_t kMaxTarget = 8192;
constexpr size_t kMaxMethod = 16;
constexpr size_t kMaxLengthDigits = 12;
constexpr size_t kMaxChunkDigits = 7;

absl::Status Malformed(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "HTTP_MALFORMED", what);
}

bool IsTokenChar(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         absl::string_view("!#$%&'*+-.^_`|~").find(c) != absl::string_view::npos;
}

bool IsToken(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}

bool IsVisible(char c) { return c > 0x20 && c < 0x7f; }

// Bytes from 0x80 are let pass in values, as RFC 9110 does; what they mean is nobody's business here.
bool IsFieldValue(absl::string_view value) {
  return std::none_of(value.begin(), value.end(), [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return (u < 0x20 && c != '\t') || u == 0x7f;
  });
}

absl::Status ParseRequestLine(absl::string_view line, HttpRequest& request, bool& is_1_1) {
  const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
  if (parts.size() != 3) return Malformed("the request line is not a method, a target and a version");
  const absl::string_view method = parts[0], target = parts[1], version = parts[2];
  if (method.empty() || method.size() > kMaxMethod || !std::all_of(method.begin(), method.end(), [](char c) {
        return absl::ascii_isupper(static_cast<unsigned char>(c));
      })) {
    return Malformed("the method is not one in upper-case letters");
  }
  if (target.empty() || target.front() != '/' || target.size() > kMaxTarget ||
      !std::all_of(target.begin(), target.end(), IsVisible) || absl::StrContains(target, '#') ||
      absl::StrContains(target, '\\')) {
    return Malformed("the target is not a path");
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return Malformed("the version is not HTTP/1.1");
  is_1_1 = version == "HTTP/1.1";
  request.method = std::string(method);
  request.target = std::string(target);
  return absl::OkStatus();
}

absl::Status ParseFraming(const Headers& headers, bool is_1_1, Framing& framing) {
  const int lengths = CountHeader(headers, "Content-Length");
  const int encodings = CountHeader(headers, "Transfer-Encoding");
  if (lengths + encodings > 1) return Malformed("the body's length is stated twice");
  if (lengths == 1) {
    const absl::string_view digits = *Header(headers, "Content-Length");
    if (digits.empty() || digits.size() > kMaxLengthDigits ||
        !std::all_of(digits.begin(), digits.end(),
                     [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }) ||
        !absl::SimpleAtoi(digits, &framing.content_length)) {
      return Malformed("Content-Length is not a number");
    }
  }
  if (encodings == 1) {
    if (!is_1_1 || !absl::EqualsIgnoreCase(*Header(headers, "Transfer-Encoding"), "chunked")) {
      return Malformed("Transfer-Encoding is not chunked");
    }
    framing.chunked = true;
  }
  if (is_1_1 && CountHeader(headers, "Host") != 1) return Malformed("there is not exactly one Host");
  framing.keep_alive = is_1_1;
  if (const auto connection = Header(headers, "Connection"); connection.has_value()) {
    for (const absl::string_view option : absl::StrSplit(*connection, ',')) {
      if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(option), "close")) framing.keep_alive = false;
    }
  }
  if (const auto expect = Header(headers, "Expect"); expect.has_value()) {
    if (!absl::EqualsIgnoreCase(*expect, "100-continue")) return Malformed("Expect is not 100-continue");
    framing.expects_continue = true;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ParsedHead> ParseHead(absl::string_view head) {
  if (head.size() > kMaxHeadBytes) return Malformed("the head is too long");
  if (!absl::ConsumeSuffix(&head, "\r\n\r\n")) return Malformed("the head has no end");
  ParsedHead parsed;
  bool is_1_1 = false;
  bool first = true;
  for (const absl::string_view line : absl::StrSplit(head, "\r\n")) {
    if (absl::StrContains(line, '\r') || absl::StrContains(line, '\n')) {
      return Malformed("a line does not end in CR and LF");
    }
    if (first) {
      RETURN_IF_ERROR(ParseRequestLine(line, parsed.request, is_1_1));
      first = false;
      continue;
    }
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos || !IsToken(line.substr(0, colon))) {
      return Malformed("a header has no proper name");
    }
    // Before white space is taken away, which for Abseil is more than blanks and tabs.
    if (!IsFieldValue(line.substr(colon + 1))) return Malformed("a header has a control character");
    const absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
    if (parsed.request.headers.size() == kMaxHeaders) return Malformed("there are too many headers");
    parsed.request.headers.emplace_back(line.substr(0, colon), value);
  }
  RETURN_IF_ERROR(ParseFraming(parsed.request.headers, is_1_1, parsed.framing));
  RemoveHopByHop(parsed.request.headers);
  return parsed;
}

absl::StatusOr<std::optional<Dechunked>> Dechunk(absl::string_view bytes, size_t max_body) {
  Dechunked made;
  size_t at = 0;
  while (true) {
    const size_t end = bytes.find("\r\n", at);
    if (end == absl::string_view::npos) {
      if (bytes.size() - at > kMaxChunkDigits + 1) return Malformed("a chunk has no proper length");
      return std::nullopt;
    }
    const absl::string_view digits = bytes.substr(at, end - at);
    if (digits.empty() || digits.size() > kMaxChunkDigits ||
        !std::all_of(digits.begin(), digits.end(),
                     [](char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); })) {
      return Malformed("a chunk has no proper length");
    }
    size_t length = 0;
    for (const char c : digits) {
      length =
          length * 16 +
          (absl::ascii_isdigit(static_cast<unsigned char>(c)) ? c - '0' : absl::ascii_tolower(c) - 'a' + 10);
    }
    if (made.body.size() + length > max_body) {
      return Error(absl::StatusCode::kResourceExhausted, "BODY_TOO_LARGE",
                   absl::StrCat("the body has more than ", max_body, " bytes"));
    }
    at = end + 2;
    if (bytes.size() < at + length + 2) return std::nullopt;
    if (bytes.substr(at + length, 2) != "\r\n") {
      return Malformed(length == 0 ? "there is something behind the last chunk"
                                   : "a chunk is longer than it says");
    }
    made.body.append(bytes.data() + at, length);
    at += length + 2;
    if (length == 0) {
      made.consumed = at;
      return made;
    }
  }
}

std::optional<absl::string_view> Header(const Headers& headers, absl::string_view name) {
  for (const auto& [key, value] : headers) {
    if (absl::EqualsIgnoreCase(key, name)) return value;
  }
  return std::nullopt;
}

int CountHeader(const Headers& headers, absl::string_view name) {
  return static_cast<int>(std::count_if(headers.begin(), headers.end(), [&](const auto& header) {
    return absl::EqualsIgnoreCase(header.first, name);
  }));
}

void RemoveHeader(Headers& headers, absl::string_view name) {
  headers.erase(
      std::remove_if(headers.begin(), headers.end(),
                     [&](const auto& header) { return absl::EqualsIgnoreCase(header.first, name); }),
      headers.end());
}

void SetHeader(Headers& headers, absl::string_view name, absl::string_view value) {
  RemoveHeader(headers, name);
  headers.emplace_back(name, value);
}

void RemoveHopByHop(Headers& headers) {
  std::vector<std::string> names = {"Connection",
                                    "Keep-Alive",
                                    "Proxy-Connection",
                                    "Proxy-Authenticate",
                                    "Proxy-Authorization",
                                    "TE",
                                    "Trailer",
                                    "Transfer-Encoding",
                                    "Upgrade",
                                    "HTTP2-Settings",
                                    "Content-Length",
                                    "Expect"};
  for (const auto& [key, value] : headers) {
    if (!absl::EqualsIgnoreCase(key, "Connection")) continue;
    for (const absl::string_view option : absl::StrSplit(value, ',')) {
      const std::string name(absl::StripAsciiWhitespace(option));
      // Nobody may have what the CSE decides by taken away.
      if (!absl::StartsWithIgnoreCase(name, "X-M2M-") && !absl::EqualsIgnoreCase(name, "Content-Type") &&
          !absl::EqualsIgnoreCase(name, "Host")) {
        names.push_back(name);
      }
    }
  }
  for (const std::string& name : names) RemoveHeader(headers, name);
}

std::string Serialise(const HttpResponse& response, bool keep_alive, bool head_only) {
  std::string text = absl::StrCat("HTTP/1.1 ", response.status, " \r\n");
  for (const auto& [name, value] : response.headers) absl::StrAppend(&text, name, ": ", value, "\r\n");
  const bool bodiless = response.status == 204 || response.status == 304 || response.status < 200;
  if (!bodiless) absl::StrAppend(&text, "Content-Length: ", response.body.size(), "\r\n");
  absl::StrAppend(&text, "Connection: ", keep_alive ? "keep-alive" : "close", "\r\n\r\n");
  if (!head_only && !bodiless) text += response.body;
  return text;
}

}  // namespace countersign::cse_guard
