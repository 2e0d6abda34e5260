#include "common/crypto/chain.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/x509.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::crypto {
namespace {

using ::testing::ElementsAre;

const absl::Time kNow = absl::FromUnixSeconds(1767268800);

CertificateSpec SpecOf(const std::string& name) {
  CertificateSpec spec;
  spec.common_name = name;
  spec.uris = {absl::StrCat("urn:onem2m:api:", name)};
  spec.not_before = kNow;
  spec.not_after = kNow + absl::Hours(1);
  return spec;
}

class ChainTest : public ::testing::Test {
 protected:
  const CertificateAndKey root_ = *MakeCertificateAuthority(SpecOf("root"));
  const CertificateAndKey other_root_ = *MakeCertificateAuthority(SpecOf("root"));
  const CertificateAndKey leaf_ = *IssueCertificate(root_, SpecOf("leaf"));
  const CertificateAndKey sibling_ = *IssueCertificate(root_, SpecOf("sibling"));
};

TEST_F(ChainTest, AChainSaysWhoseItIsAndWhoSignedIt) {
  ASSERT_OK_AND_ASSIGN(const std::vector<ChainCertificate> chain,
                       ParseChain({leaf_.certificate_pem, root_.certificate_pem}));
  ASSERT_EQ(chain.size(), 2u);
  EXPECT_THAT(chain[0].uris, ElementsAre("urn:onem2m:api:leaf"));
  EXPECT_TRUE(chain[0].signed_by_next);
  EXPECT_FALSE(chain[0].self_signed);
  EXPECT_FALSE(chain[0].is_authority);
  EXPECT_TRUE(chain[1].self_signed);
  EXPECT_TRUE(chain[1].is_authority);
  EXPECT_FALSE(chain[1].signed_by_next);
  EXPECT_EQ(chain[0].not_before, kNow);
  EXPECT_EQ(chain[0].not_after, kNow + absl::Hours(1));
  EXPECT_NE(chain[0].public_key_sha256, chain[1].public_key_sha256);
}

TEST_F(ChainTest, DerAndPemAndPemInOneAreTheSame) {
  ASSERT_OK_AND_ASSIGN(const std::vector<ChainCertificate> pem,
                       ParseChain({leaf_.certificate_pem + root_.certificate_pem}));
  ASSERT_OK_AND_ASSIGN(const std::vector<ChainCertificate> der, ParseChain({pem[0].der, pem[1].der}));
  EXPECT_EQ(pem[0].sha256, der[0].sha256);
  EXPECT_EQ(pem[1].sha256, der[1].sha256);
  EXPECT_TRUE(der[0].signed_by_next);
}

TEST_F(ChainTest, AnIssuerOfTheSameNameThatDidNotSignIsNoIssuer) {
  EXPECT_FALSE((*ParseChain({leaf_.certificate_pem, other_root_.certificate_pem}))[0].signed_by_next);
  EXPECT_FALSE((*ParseChain({leaf_.certificate_pem, sibling_.certificate_pem}))[0].signed_by_next);
  EXPECT_FALSE((*ParseChain({leaf_.certificate_pem}))[0].signed_by_next);
}

TEST_F(ChainTest, WhatIsNoChainIsRefused) {
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument, "CREDENTIAL_MALFORMED");
  EXPECT_THAT(ParseChain({}), refused);
  EXPECT_THAT(ParseChain({""}), refused);
  EXPECT_THAT(ParseChain({"certificate"}), refused);
  EXPECT_THAT(ParseChain({leaf_.key_pem}), refused);
  EXPECT_THAT(ParseChain({"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}), refused);
  std::string torn = leaf_.certificate_pem + root_.certificate_pem;
  torn.resize(torn.size() - 100);
  EXPECT_THAT(ParseChain({torn}), refused);
  const std::string der = (*ParseChain({leaf_.certificate_pem}))[0].der;
  EXPECT_THAT(ParseChain({der + "x"}), refused);
  EXPECT_THAT(ParseChain({der.substr(0, der.size() - 1)}), refused);
  EXPECT_THAT(ParseChain(std::vector<std::string>(kMaxChainLength + 1, der)), refused);
  std::string many;
  for (size_t i = 0; i <= kMaxChainLength; ++i) many += leaf_.certificate_pem;
  EXPECT_THAT(ParseChain({many}), refused);
}

}  // namespace
}  // namespace countersign::crypto
