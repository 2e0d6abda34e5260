#include "tools/cse_guard/examine.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/onem2m/identifiers.h"
#include "common/status/macros.h"
#include "nlohmann/json.hpp"

namespace countersign::cse_guard {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 32;
constexpr char kAe[] = "m2m:ae";
constexpr int64_t kCreate = 1;  // `op`

Refusal BadRequest(std::string message) { return {400, kBadRequest, std::move(message)}; }

bool IsJson(absl::string_view media_type) {
  for (const absl::string_view known :
       {"application/json", "application/vnd.onem2m-res+json", "application/vnd.onem2m-ntfy+json",
        "application/vnd.onem2m-preq+json", "application/vnd.onem2m-prsp+json"}) {
    if (absl::EqualsIgnoreCase(media_type, known)) return true;
  }
  return false;
}

struct ContentType {
  std::string media_type;
  int ty = 0;  // 0 when there is none
};

// Only what has one reading: a type, and perhaps `;ty=N` and `;charset=utf-8`. There is a CSE that takes the
// value of the first parameter for `ty`, whatever its name, and reads numbers as its language does.
absl::StatusOr<ContentType> ParseContentType(absl::string_view text) {
  std::vector<absl::string_view> parts = absl::StrSplit(text, ';');
  ContentType made;
  made.media_type = std::string(absl::StripAsciiWhitespace(parts[0]));
  if (made.media_type.empty() || std::any_of(made.media_type.begin(), made.media_type.end(), [](char c) {
        return !absl::ascii_isalnum(static_cast<unsigned char>(c)) &&
               absl::string_view("!#$&^_.+-/").find(c) == absl::string_view::npos;
      })) {
    return absl::InvalidArgumentError("Content-Type has no proper media type");
  }
  bool charset = false;
  for (size_t i = 1; i < parts.size(); ++i) {
    absl::string_view parameter = absl::StripAsciiWhitespace(parts[i]);
    if (absl::ConsumePrefix(&parameter, "ty=")) {
      const bool digits = !parameter.empty() && parameter.size() <= 5 && parameter.front() != '0' &&
                          std::all_of(parameter.begin(), parameter.end(), [](char c) {
                            return absl::ascii_isdigit(static_cast<unsigned char>(c));
                          });
      if (made.ty != 0 || !digits || !absl::SimpleAtoi(parameter, &made.ty)) {
        return absl::InvalidArgumentError("Content-Type must have one ;ty= and a number behind it");
      }
    } else if (!charset && absl::EqualsIgnoreCase(parameter, "charset=utf-8")) {
      charset = true;
    } else {
      return absl::InvalidArgumentError(
          "Content-Type has a parameter other than ty (in lower case, without quotes or blanks) and "
          "charset=utf-8");
    }
  }
  return made;
}

// The segments of a target's path, decoded, and the names in its query. INVALID_ARGUMENT for what decodes to
// something else in the eyes of different servers.
struct Target {
  std::vector<std::string> segments;
  std::vector<std::pair<std::string, std::string>> query;
};

absl::StatusOr<std::string> PercentDecode(absl::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) ||
        !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 2]))) {
      return absl::InvalidArgumentError("the target has a % that is no escape");
    }
    const auto digit = [](char c) {
      return absl::ascii_isdigit(static_cast<unsigned char>(c)) ? c - '0' : absl::ascii_tolower(c) - 'a' + 10;
    };
    const char c = static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '/' || c == '\\' || c == '%') {
      return absl::InvalidArgumentError(
          "the target has an escape of a slash, a percent or a control character");
    }
    decoded.push_back(c);
    i += 2;
  }
  return decoded;
}

absl::StatusOr<Target> ParseTarget(absl::string_view text) {
  Target target;
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('?', 1));
  for (const absl::string_view segment : absl::StrSplit(parts.first.substr(1), '/')) {
    ASSIGN_OR_RETURN(std::string decoded, PercentDecode(segment));
    if (decoded == "." || decoded == "..")
      return absl::InvalidArgumentError("the target has dots for a segment");
    target.segments.push_back(std::move(decoded));
  }
  for (const absl::string_view pair : absl::StrSplit(parts.second, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> halves =
        absl::StrSplit(pair, absl::MaxSplits('=', 1));
    ASSIGN_OR_RETURN(std::string name, PercentDecode(halves.first));
    // In values slashes and percents are usual.
    target.query.emplace_back(std::move(name), std::string(halves.second));
  }
  return target;
}

// Numbers are written as such or as strings, by whoever is lenient.
bool Means(const json& value, int64_t number) {
  if (value.is_number_float()) return value.get<double>() == static_cast<double>(number);
  if (value.is_number()) return value == number;
  int64_t parsed;
  return value.is_string() && absl::SimpleAtoi(value.get_ref<const std::string&>(), &parsed) &&
         parsed == number;
}

// Whether there is a request to create an <AE> in `value`, or the content of one.
bool HasCreation(const json& value, bool at_root) {
  if (value.is_array()) {
    return std::any_of(value.begin(), value.end(),
                       [](const json& element) { return HasCreation(element, false); });
  }
  if (!value.is_object()) return false;
  if (value.contains("op") && value.contains("ty") && Means(value["op"], kCreate) &&
      Means(value["ty"], kTypeAe)) {
    return true;
  }
  for (const auto& [key, inner] : value.items()) {
    if (!at_root && absl::EqualsIgnoreCase(key, kAe)) return true;
    if (HasCreation(inner, false)) return true;
  }
  return false;
}

std::optional<Refusal> CheckHeaders(const HttpRequest& request) {
  std::set<std::string> seen;
  for (const auto& [name, value] : request.headers) {
    const std::string lower = absl::AsciiStrToLower(name);
    if ((absl::StartsWith(lower, "x-m2m-") || lower == "content-type" || lower == "content-encoding") &&
        !seen.insert(lower).second) {
      return BadRequest(absl::StrCat(name, " is there twice"));
    }
    // Some gateways turn blanks and underscores into dashes.
    if (absl::StartsWith(lower, "x_m2m") || absl::StrContains(lower, "method-override") ||
        absl::StrContains(lower, "method_override") || lower == "x-http-method" || lower == "x-method" ||
        lower == "x-original-url" || lower == "x-rewrite-url") {
      return BadRequest(absl::StrCat(name, " would make another request of it"));
    }
  }
  if (seen.count("content-encoding") > 0) {
    return Refusal{415, kUnsupportedMediaType,
                   "the body is encoded, and cannot be looked into: send it plain"};
  }
  return std::nullopt;
}

class Examiner {
 public:
  Examiner(const HttpRequest& request, const Policy& policy) : request_(request), policy_(policy) {}

  Examined Run() {
    if (auto refusal = CheckHeaders(request_); refusal.has_value()) return Refuse(*refusal);
    static const std::set<std::string>& methods =
        *new std::set<std::string>{"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"};
    if (methods.count(request_.method) == 0) {
      return Refuse(
          {405, kBadRequest, absl::StrCat(request_.method, " is no method of oneM2M's HTTP binding")});
    }
    absl::StatusOr<Target> target = ParseTarget(request_.target);
    if (!target.ok()) return Refuse(BadRequest(std::string(target.status().message())));
    target_ = *std::move(target);
    if (const auto origin = Header(request_.headers, "X-M2M-Origin"); origin.has_value()) {
      examined_.originator = std::string(*origin);
    }
    if (request_.method == "POST" || request_.method == "PUT" || !request_.body.empty()) ExamineContent();
    return std::move(examined_);
  }

 private:
  Examined Refuse(Refusal refusal) {
    Examined refused;
    refused.refusal = std::move(refusal);
    return refused;
  }
  void Fail(Refusal refusal) { examined_ = Refuse(std::move(refusal)); }

  void ExamineContent() {
    ContentType type;
    if (const auto text = Header(request_.headers, "Content-Type"); text.has_value()) {
      const absl::StatusOr<ContentType> parsed = ParseContentType(*text);
      if (!parsed.ok()) return Fail(BadRequest(std::string(parsed.status().message())));
      type = *parsed;
    } else if (!request_.body.empty()) {
      return Fail(BadRequest("there is a body and no Content-Type"));
    }
    if (request_.method == "POST") {
      examined_.creates = type.ty;
      // `ty` of a query is a filter's; on a creation it could be taken for its type.
      for (const auto& [name, value] : target_.query) {
        if (absl::EqualsIgnoreCase(name, "ty") || absl::EqualsIgnoreCase(name, "op")) {
          return Fail(BadRequest(absl::StrCat("a POST with ", name, " in its query is not clear")));
        }
      }
    } else if (type.ty != 0) {
      return Fail(BadRequest("ty is for creations, which are POST"));
    }
    examined_.updates = request_.method == "PUT";
    const bool creates_ae = examined_.creates == kTypeAe;
    if (creates_ae &&
        std::any_of(target_.segments.begin(), target_.segments.end(),
                    [](const std::string& segment) { return absl::EqualsIgnoreCase(segment, "fopt"); })) {
      return Fail({403, kAppRuleValidationFailed,
                   "FANOUT_AE_CREATION: an AE registers itself, and not through a group"});
    }
    if (!type.media_type.empty() && !IsJson(type.media_type))
      return ExamineUnreadable(creates_ae, type.media_type);
    if (request_.body.empty()) {
      if (creates_ae) Fail(BadRequest("the creation of an AE has no content"));
      return;
    }
    absl::StatusOr<json> body = ParseUnmistakable(request_.body);
    if (!body.ok()) return Fail(BadRequest(std::string(body.status().message())));
    if (HasCreation(*body, /*at_root=*/true)) {
      return Fail({403, kAppRuleValidationFailed,
                   "EMBEDDED_AE_CREATION: an AE registers itself, and not within another request"});
    }
    examined_.body = std::make_shared<json>(*std::move(body));
    if (creates_ae) return ExamineAe();
    const json* const ae = OwnAe();
    if (ae == nullptr) return;
    if (request_.method != "PUT") return Fail(BadRequest("there is an m2m:ae, and ty is not 2"));
    if (!ae->is_object() || ae->contains("api")) {
      return Fail(
          {403, kAppRuleValidationFailed, "APP_ID_CHANGE: an AE's App-ID is what it registered with"});
    }
  }

  // The m2m:ae that is the request's content, in any letters' case.
  const json* OwnAe() const {
    if (!examined_.body->is_object()) return nullptr;
    for (const auto& [key, value] : examined_.body->items()) {
      if (absl::EqualsIgnoreCase(key, kAe)) return &value;
    }
    return nullptr;
  }

  void ExamineUnreadable(bool creates_ae, const std::string& media_type) {
    if (creates_ae ? policy_.passes_unreadable_creations() : policy_.passes_unreadable_others()) {
      examined_.unreadable = true;
      return;
    }
    Fail({415, kUnsupportedMediaType,
          absl::StrCat("UNREADABLE: ", media_type, " cannot be looked into here: send application/json")});
  }

  void ExamineAe() {
    const json& body = *examined_.body;
    if (!body.is_object() || body.size() != 1 || !body.contains(kAe) || !body[kAe].is_object()) {
      return Fail(BadRequest("the content of the creation of an AE is one m2m:ae"));
    }
    const json& ae = body[kAe];
    AeCreation creation;
    for (const auto& [key, value] : ae.items()) {
      // So that no other case of these is one to somebody.
      const std::string lower = absl::AsciiStrToLower(key);
      if ((lower == "api" || lower == "or" || lower == "acpi" || lower == "aei") && key != lower) {
        return Fail(BadRequest(absl::StrCat("m2m:ae has ", key, ", which is written ", lower)));
      }
    }
    if (!ae.contains("api") || !ae["api"].is_string()) return Fail(BadRequest("m2m:ae has no api"));
    creation.app_id = ae["api"];
    if (ae.contains("or")) {
      if (!ae["or"].is_string()) return Fail(BadRequest("or is not a string"));
      creation.data_model = ae["or"];
    }
    const std::string& origin = examined_.originator;
    if (!origin.empty() && origin != "C" && origin != "S") {
      if (!onem2m::ParseAeId(origin).ok()) return Fail(BadRequest("X-M2M-Origin is not an AE-ID"));
      creation.ae_id = origin;
    } else if (const std::optional<Refusal> refusal = CheckThatAnswerTells(); refusal.has_value()) {
      return Fail(*refusal);
    }
    examined_.ae = std::move(creation);
  }

  // The guard has to learn which AE-ID the CSE gives.
  std::optional<Refusal> CheckThatAnswerTells() const {
    if (CountHeader(request_.headers, "X-M2M-RTU") > 0) {
      return BadRequest("an AE that wants an AE-ID waits for the answer: leave X-M2M-RTU out");
    }
    for (const auto& [name, value] : target_.query) {
      if ((name == "rcn" && value != "1" && value != "3") || (name == "rt" && value != "3")) {
        return BadRequest("an AE that wants an AE-ID has to be told it: leave rcn and rt out");
      }
    }
    return std::nullopt;
  }

  const HttpRequest& request_;
  const Policy& policy_;
  Target target_;
  Examined examined_;
};

void Append(const json& value, std::string& out, bool& lossy) {
  if (value.is_object() || value.is_array()) {
    const bool object = value.is_object();
    out.push_back(object ? '{' : '[');
    bool first = true;
    for (const auto& [key, inner] : value.items()) {
      if (!first) out.push_back(',');
      first = false;
      if (object) {
        Append(json(key), out, lossy);
        out.push_back(':');
      }
      Append(inner, out, lossy);
    }
    out.push_back(object ? '}' : ']');
  } else if (value.is_string()) {
    // nlohmann escapes what is not ASCII; of what is left, what anybody's shortcuts could stumble over.
    const std::string quoted = value.dump(-1, ' ', /*ensure_ascii=*/true);
    out.push_back('"');
    for (size_t i = 1; i + 1 < quoted.size(); ++i) {
      char c = quoted[i];
      if (c == '\\') {
        c = quoted[++i];
        switch (c) {
          case 'u':
            absl::StrAppend(&out, "\\u", quoted.substr(i + 1, 4));
            i += 4;
            continue;
          case 'b':
            c = '\b';
            break;
          case 'f':
            c = '\f';
            break;
          case 'n':
            c = '\n';
            break;
          case 'r':
            c = '\r';
            break;
          case 't':
            c = '\t';
            break;
          default:
            break;
        }
        absl::StrAppendFormat(&out, "\\u%04x", static_cast<unsigned char>(c));
      } else if (absl::string_view("/#;'*").find(c) != absl::string_view::npos) {
        absl::StrAppendFormat(&out, "\\u%04x", static_cast<unsigned char>(c));
      } else {
        out.push_back(c);
      }
    }
    out.push_back('"');
  } else {
    if (value.is_number_float()) lossy = true;
    out += value.dump();
  }
}

}  // namespace

absl::StatusOr<json> ParseUnmistakable(absl::string_view text) {
  if (absl::StartsWith(text, "\xef\xbb\xbf"))
    return absl::InvalidArgumentError("the JSON begins with a byte order mark");
  std::vector<std::set<std::string>> keys;
  const char* fault = nullptr;
  const auto look = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth >= kMaxDepth) fault = "the JSON is too deep";
    switch (event) {
      case json::parse_event_t::object_start:
        keys.emplace_back();
        break;
      case json::parse_event_t::object_end:
        keys.pop_back();
        break;
      case json::parse_event_t::key:
        if (!keys.back().insert(parsed.get<std::string>()).second) fault = "the JSON has a key twice";
        break;
      default:
        break;
    }
    return true;
  };
  json value = json::parse(text.begin(), text.end(), look, /*allow_exceptions=*/false);
  if (fault != nullptr) return absl::InvalidArgumentError(fault);
  if (value.is_discarded()) return absl::InvalidArgumentError("the body is not JSON");
  return value;
}

absl::StatusOr<std::string> UnmistakableJson(const json& value) {
  std::string out;
  bool lossy = false;
  Append(value, out, lossy);
  if (lossy) return absl::InvalidArgumentError("the JSON has a number that not everybody reads the same");
  return out;
}

Examined Examine(const HttpRequest& request, const Policy& policy) { return Examiner(request, policy).Run(); }

}  // namespace countersign::cse_guard
