#include "common/onem2m/identifiers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/status/errors.h"

namespace countersign::onem2m {
namespace {

constexpr size_t kMaxIdLength = 256;
constexpr size_t kMaxAuthorityLength = 32;
constexpr size_t kMaxLabelLength = 63;  // RFC 1035
constexpr size_t kMaxDomainLength = 253;

absl::Status AppIdMalformed(absl::string_view text, absl::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "APP_ID_MALFORMED",
               absl::StrCat("\"", text.substr(0, 64), "\" is not an App-ID: ", why,
                            ". An App-ID is R{authority-id}.{reverse DNS}.{application}, e.g. "
                            "Ra01.com.company.smartcity, or N and anything."));
}

absl::Status AeIdMalformed(absl::string_view text, absl::string_view why) {
  return Error(
      absl::StatusCode::kInvalidArgument, "AE_ID_MALFORMED",
      absl::StrCat("\"", text.substr(0, 64), "\" is not an AE-ID: ", why,
                   ". An AE-ID is C... or S..., alone, as /{CSE}/{C...} or /{S...}, or after //{provider}."));
}

// RFC 3986, 2.3.
bool IsUnreserved(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' || c == '~';
}

bool AllUnreserved(absl::string_view text) { return std::all_of(text.begin(), text.end(), IsUnreserved); }

bool IsDnsLabel(absl::string_view label) {
  if (label.empty() || label.size() > kMaxLabelLength || label.front() == '-' || label.back() == '-')
    return false;
  return std::all_of(label.begin(), label.end(),
                     [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-'; });
}

// A name between slashes.
bool IsSegment(absl::string_view text) { return !text.empty() && AllUnreserved(text); }

}  // namespace

absl::StatusOr<AppId> ParseAppId(absl::string_view text) {
  if (text.empty()) return AppIdMalformed(text, "it is empty");
  if (text.size() > kMaxIdLength)
    return AppIdMalformed(text, absl::StrCat("it is longer than ", kMaxIdLength));
  if (!AllUnreserved(text))
    return AppIdMalformed(text, "it has characters other than letters, digits, - . _ ~");
  AppId app_id;
  app_id.text = std::string(text);
  if (text.front() == 'N') {
    if (text.size() == 1) return AppIdMalformed(text, "nothing follows its N");
    return app_id;
  }
  if (text.front() != 'R' && text.front() != 'r')
    return AppIdMalformed(text, "it begins with neither R nor N");
  app_id.registered_form = true;
  app_id.lower_case_prefix = text.front() == 'r';
  app_id.text.front() = 'R';

  std::vector<std::string> parts = absl::StrSplit(text.substr(1), '.');
  if (parts.size() < 3)
    return AppIdMalformed(text, "it needs an authority, a reverse DNS name and an application");
  if (parts.front().empty()) return AppIdMalformed(text, "the authority's id is missing after the R");
  if (parts.back().empty()) return AppIdMalformed(text, "the application's name is missing at its end");
  app_id.authority = parts.front();
  app_id.application = parts.back();
  const std::vector<std::string> labels(parts.begin() + 1, parts.end() - 1);
  if (!std::all_of(labels.begin(), labels.end(), IsDnsLabel)) {
    return AppIdMalformed(text, "what stands between authority and application is not a reverse DNS name");
  }
  app_id.reverse_dns = absl::StrJoin(labels, ".");
  if (app_id.reverse_dns.size() > kMaxDomainLength) {
    return AppIdMalformed(text, absl::StrCat("its reverse DNS name is longer than ", kMaxDomainLength));
  }
  return app_id;
}

absl::Status CheckRegisterable(const AppId& app_id) {
  if (!app_id.registered_form) {
    return Error(absl::StatusCode::kInvalidArgument, "APP_ID_NOT_REGISTERABLE",
                 absl::StrCat("\"", app_id.text,
                              "\" begins with N, which stands for an App-ID that is in no registry: "
                              "give the application one that begins with R."));
  }
  if (app_id.lower_case_prefix) {
    return Error(absl::StatusCode::kInvalidArgument, "APP_ID_NOT_REGISTERABLE",
                 absl::StrCat("A lower-case prefix is forbidden from oneM2M release 4: register \"",
                              app_id.text, "\"."));
  }
  return absl::OkStatus();
}

absl::StatusOr<AeId> ParseAeId(absl::string_view text) {
  if (text.empty()) return AeIdMalformed(text, "it is empty");
  if (text.size() > kMaxIdLength)
    return AeIdMalformed(text, absl::StrCat("it is longer than ", kMaxIdLength));
  AeId ae_id;
  absl::string_view rest = text;
  const bool absolute = absl::ConsumePrefix(&rest, "//");
  const bool relative = !absolute && absl::ConsumePrefix(&rest, "/");
  std::vector<std::string> parts = absl::StrSplit(rest, '/');
  if (!std::all_of(parts.begin(), parts.end(), IsSegment)) {
    return AeIdMalformed(text, "a part is empty or has characters other than letters, digits, - . _ ~");
  }
  if (absolute) {
    ae_id.service_provider = std::move(parts.front());
    parts.erase(parts.begin());
    if (parts.empty()) return AeIdMalformed(text, "nothing follows the service provider");
  }
  ae_id.stem = std::move(parts.back());
  parts.pop_back();
  const char first = ae_id.stem.front();
  if (first != 'C' && first != 'S') return AeIdMalformed(text, "its last part begins with neither C nor S");
  if (ae_id.stem.size() == 1) return AeIdMalformed(text, absl::StrCat("nothing follows its ", ae_id.stem));
  if (parts.size() > 1) return AeIdMalformed(text, "it has too many parts");
  if (!parts.empty()) ae_id.cse = std::move(parts.front());
  if (first == 'S' && !ae_id.cse.empty()) {
    return AeIdMalformed(text, "an S... is given by the service provider and stands behind no CSE");
  }
  if (first == 'C' && ae_id.cse.empty() && (absolute || relative)) {
    return AeIdMalformed(text, "a C... is unique within its CSE only, which must stand before it");
  }
  return ae_id;
}

bool IsAuthorityId(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxAuthorityLength &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); });
}

bool IsStemPattern(absl::string_view pattern) {
  absl::string_view stem = pattern;
  const bool open = absl::ConsumeSuffix(&stem, "*");
  if (stem.size() < (open ? 1 : 2) || pattern.size() > kMaxIdLength) return false;
  return (stem.front() == 'C' || stem.front() == 'S') && AllUnreserved(stem);
}

bool StemMatches(absl::string_view pattern, absl::string_view stem) {
  if (absl::ConsumeSuffix(&pattern, "*")) return stem.substr(0, pattern.size()) == pattern;
  return pattern == stem;
}

}  // namespace countersign::onem2m
