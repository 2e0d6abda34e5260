#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_SIGV4_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_SIGV4_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

// AWS Signature Version 4 in a URL's query, which libcurl does not sign ("Authenticating requests: using
// query parameters" of the Amazon S3 API reference). Requests with a header are signed by libcurl.
namespace countersign::package_store {

struct BucketCredentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  // empty unless the key is a temporary one
};

// Reads a credentials file as the AWS command line writes it: `aws_access_key_id = ...`,
// `aws_secret_access_key = ...`, optionally `aws_session_token = ...`, of one profile. INVALID_ARGUMENT
// (BUCKET_CREDENTIALS), whose message never has a value of the file.
absl::StatusOr<BucketCredentials> ParseBucketCredentials(absl::string_view text);

// `text` as RFC 3986 has it in a URL: everything but unreserved characters in %XX.
std::string UriEncode(absl::string_view text);

// `name=value&...`, encoded and in the order in which they are signed. Also what libcurl 7.88 is to be given:
// it signs a query as it stands.
std::string CanonicalQuery(const std::map<std::string, std::string>& parameters);

// A URL that GETs `path` (encoded, from the first slash on) at `host` (with its port, unless it is the
// scheme's own) for `lifetime` from `now` on, at most seven days.
std::string PresignGet(absl::string_view scheme, absl::string_view host, absl::string_view path,
                       absl::string_view region, const BucketCredentials& credentials, absl::Time now,
                       absl::Duration lifetime);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_SIGV4_H_
