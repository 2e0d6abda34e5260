#include "common/crypto/x509.h"

#include <string>

#include "absl/time/time.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::crypto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1767268800);

CertificateSpec Spec() {
  CertificateSpec spec;
  spec.common_name = "gateway gw-1";
  spec.uris = {"spiffe://home.example/gateway/gw-1"};
  spec.dns_names = {"localhost"};
  spec.ip_addresses = {"127.0.0.1", "::1"};
  spec.not_before = kNow;
  spec.not_after = kNow + absl::Hours(1);
  return spec;
}

TEST(X509Test, ALeafSaysWhatItsSpecificationSaid) {
  ASSERT_OK_AND_ASSIGN(const CertificateAndKey authority, MakeCertificateAuthority(Spec()));
  ASSERT_OK_AND_ASSIGN(const CertificateAndKey leaf, IssueCertificate(authority, Spec()));
  ASSERT_OK_AND_ASSIGN(const CertificateInfo info, ParseCertificate(leaf.certificate_pem));
  EXPECT_EQ(info.common_name, "gateway gw-1");
  EXPECT_THAT(info.uris, ElementsAre("spiffe://home.example/gateway/gw-1"));
  EXPECT_THAT(info.dns_names, ElementsAre("localhost"));
  EXPECT_EQ(info.not_before, kNow);
  EXPECT_EQ(info.not_after, kNow + absl::Hours(1));
  EXPECT_THAT(leaf.key_pem, HasSubstr("BEGIN PRIVATE KEY"));
}

TEST(X509Test, ACommaInANameStaysInItsName) {
  ASSERT_OK_AND_ASSIGN(const CertificateAndKey authority, MakeCertificateAuthority(Spec()));
  CertificateSpec spec = Spec();
  spec.uris = {"spiffe://home.example/gateway/a,URI:spiffe://home.example/operator/anna"};
  ASSERT_OK_AND_ASSIGN(const CertificateAndKey leaf, IssueCertificate(authority, spec));
  ASSERT_OK_AND_ASSIGN(const CertificateInfo info, ParseCertificate(leaf.certificate_pem));
  EXPECT_EQ(info.uris, spec.uris);
}

TEST(X509Test, ALeafIssuesNothing) {
  ASSERT_OK_AND_ASSIGN(const CertificateAndKey authority, MakeCertificateAuthority(Spec()));
  ASSERT_OK_AND_ASSIGN(const CertificateAndKey leaf, IssueCertificate(authority, Spec()));
  EXPECT_THAT(IssueCertificate(leaf, Spec()), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(X509Test, AKeyOfAnotherCertificateIsRecognised) {
  ASSERT_OK_AND_ASSIGN(const CertificateAndKey one, MakeCertificateAuthority(Spec()));
  ASSERT_OK_AND_ASSIGN(const CertificateAndKey other, MakeCertificateAuthority(Spec()));
  EXPECT_OK(CheckKeyMatches(one.certificate_pem, one.key_pem));
  EXPECT_THAT(CheckKeyMatches(one.certificate_pem, other.key_pem),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(IssueCertificate({one.certificate_pem, other.key_pem}, Spec()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(X509Test, RefusesWhatACertificateCannotSay) {
  ASSERT_OK_AND_ASSIGN(const CertificateAndKey authority, MakeCertificateAuthority(Spec()));
  CertificateSpec spec = Spec();
  spec.common_name = "";
  EXPECT_THAT(IssueCertificate(authority, spec), StatusIs(absl::StatusCode::kInvalidArgument));
  spec = Spec();
  spec.ip_addresses = {"300.1.1.1"};
  EXPECT_THAT(IssueCertificate(authority, spec), StatusIs(absl::StatusCode::kInvalidArgument));
  spec = Spec();
  spec.uris = {"spiffe://home.example/ga teway"};
  EXPECT_THAT(IssueCertificate(authority, spec), StatusIs(absl::StatusCode::kInvalidArgument));
  spec = Spec();
  spec.not_after = spec.not_before;
  EXPECT_THAT(IssueCertificate(authority, spec), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(X509Test, WhatIsNoCertificateIsRefused) {
  EXPECT_THAT(ParseCertificate(""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseCertificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace countersign::crypto
