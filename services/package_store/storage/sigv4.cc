#include "services/package_store/storage/sigv4.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/status/errors.h"

namespace countersign::package_store {

absl::StatusOr<BucketCredentials> ParseBucketCredentials(absl::string_view text) {
  BucketCredentials credentials;
  int profiles = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      ++profiles;
      continue;
    }
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    const absl::string_view name = absl::StripAsciiWhitespace(field.first);
    const std::string value(absl::StripAsciiWhitespace(field.second));
    if (name == "aws_access_key_id") credentials.access_key = value;
    if (name == "aws_secret_access_key") credentials.secret_key = value;
    if (name == "aws_session_token") credentials.session_token = value;
  }
  if (credentials.access_key.empty() || credentials.secret_key.empty() || profiles > 1) {
    return Error(absl::StatusCode::kInvalidArgument, "BUCKET_CREDENTIALS",
                 "The file of --blob-s3-credentials must have the lines 'aws_access_key_id = ...' and "
                 "'aws_secret_access_key = ...', of one profile.");
  }
  return credentials;
}

std::string UriEncode(absl::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string encoded;
  for (const unsigned char c : text) {
    if (absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      encoded.push_back(static_cast<char>(c));
    } else {
      encoded.push_back('%');
      encoded.push_back(kDigits[c >> 4]);
      encoded.push_back(kDigits[c & 15]);
    }
  }
  return encoded;
}

std::string CanonicalQuery(const std::map<std::string, std::string>& parameters) {
  std::string query;
  for (const auto& [name, value] : parameters) {
    absl::StrAppend(&query, query.empty() ? "" : "&", UriEncode(name), "=", UriEncode(value));
  }
  return query;
}

std::string PresignGet(absl::string_view scheme, absl::string_view host, absl::string_view path,
                       absl::string_view region, const BucketCredentials& credentials, absl::Time now,
                       absl::Duration lifetime) {
  const std::string time = absl::FormatTime("%Y%m%dT%H%M%SZ", now, absl::UTCTimeZone());
  const std::string day = time.substr(0, 8);
  const std::string scope = absl::StrCat(day, "/", region, "/s3/aws4_request");
  std::map<std::string, std::string> parameters = {
      {"X-Amz-Algorithm", "AWS4-HMAC-SHA256"},
      {"X-Amz-Credential", absl::StrCat(credentials.access_key, "/", scope)},
      {"X-Amz-Date", time},
      {"X-Amz-Expires", absl::StrCat(absl::ToInt64Seconds(lifetime))},
      {"X-Amz-SignedHeaders", "host"}};
  if (!credentials.session_token.empty()) parameters["X-Amz-Security-Token"] = credentials.session_token;
  const std::string query = CanonicalQuery(parameters);
  const std::string request =
      absl::StrCat("GET\n", path, "\n", query, "\nhost:", host, "\n\nhost\nUNSIGNED-PAYLOAD");
  const std::string to_sign =
      absl::StrCat("AWS4-HMAC-SHA256\n", time, "\n", scope, "\n", crypto::Sha256Hex(request));
  std::string key = absl::StrCat("AWS4", credentials.secret_key);
  for (const absl::string_view part :
       {absl::string_view(day), region, absl::string_view("s3"), absl::string_view("aws4_request")}) {
    key = crypto::HmacSha256(key, part);
  }
  const std::string signature = crypto::HexEncode(crypto::HmacSha256(key, to_sign));
  return absl::StrCat(scheme, "://", host, path, "?", query, "&X-Amz-Signature=", signature);
}

}  // namespace countersign::package_store
