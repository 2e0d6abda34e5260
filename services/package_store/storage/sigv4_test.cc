#include "services/package_store/storage/sigv4.h"

#include <string>

#include "absl/strings/match.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::package_store {
namespace {

// "Example: GET Object" of "Authenticating requests: using query parameters", Amazon S3 API reference.
TEST(SigV4Test, AUrlIsSignedAsAmazonsExampleIs) {
  absl::Time now;
  std::string error;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, "2013-05-24T00:00:00Z", &now, &error)) << error;
  EXPECT_EQ(PresignGet("https", "examplebucket.s3.amazonaws.com", "/test.txt", "us-east-1",
                       {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""}, now,
                       absl::Hours(24)),
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
            "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
            "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
            "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

TEST(SigV4Test, ATemporaryKeysTokenIsPartOfTheUrl) {
  const std::string url = PresignGet("https", "host", "/b/k", "eu-west-1", {"key", "secret", "to/ken="},
                                     absl::UnixEpoch(), absl::Minutes(1));
  EXPECT_TRUE(absl::StrContains(url, "&X-Amz-Security-Token=to%2Fken%3D&")) << url;
}

TEST(SigV4Test, AQueryIsInTheOrderAndEncodingThatIsSigned) {
  EXPECT_EQ(CanonicalQuery({{"uploads", ""}, {"prefix", "a b/c+d"}, {"key-marker", "\xc3\xa4~"}}),
            "key-marker=%C3%A4~&prefix=a%20b%2Fc%2Bd&uploads=");
}

TEST(SigV4Test, CredentialsAreReadAsTheAwsCommandLineWritesThem) {
  const auto credentials = ParseBucketCredentials(
      "# a comment\r\n[default]\r\naws_access_key_id=AK\r\n  aws_secret_access_key = a/b+c=d==\r\n"
      "region = eu-west-1\n\naws_session_token = t\n");
  ASSERT_OK(credentials);
  EXPECT_EQ(credentials->access_key, "AK");
  EXPECT_EQ(credentials->secret_key, "a/b+c=d==");
  EXPECT_EQ(credentials->session_token, "t");
}

TEST(SigV4Test, CredentialsThatAreNoneAreRefusedWithoutTheirText) {
  for (const char* text : {"", "AKIDTELLTALE", "aws_access_key_id = AKIDTELLTALE\n",
                           "[a]\naws_access_key_id = AKIDTELLTALE\naws_secret_access_key = x\n[b]\n"}) {
    const auto credentials = ParseBucketCredentials(text);
    EXPECT_THAT(credentials, StatusIs(absl::StatusCode::kInvalidArgument, "BUCKET_CREDENTIALS"));
    EXPECT_FALSE(absl::StrContains(credentials.status().message(), "TELLTALE"));
  }
}

}  // namespace
}  // namespace countersign::package_store
