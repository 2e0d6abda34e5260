// FOTA-R4: the keys of a gateway on a token or in a TPM; what it signs with them is what it signs with a
// file.
#include <stdlib.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "common/crypto/open_signer.h"
#include "common/crypto/pkcs11/keys.h"
#include "common/crypto/pkcs11/testing/soft_hsm.h"
#include "common/crypto/pkcs11/testing/soft_tpm.h"
#include "common/testing/status_matchers.h"
#include "common/trust/keys.h"
#include "common/trust/report.h"
#include "gtest/gtest.h"
#include "tools/gateway/fake_device.h"
#include "tools/gateway/reporter.h"

namespace countersign::gateway {
namespace {

using crypto::pkcs11::GenerateKey;

const absl::Time kNow = absl::FromUnixSeconds(1767225600);

// `manifest` and `proxy` as --key and --proxy-key take them.
void ReportWith(const std::string& manifest, const std::string& proxy) {
  ASSERT_OK_AND_ASSIGN(const crypto::PublicKey key, GenerateKey(manifest, crypto::KeyType::kEcdsaP256));
  ASSERT_OK_AND_ASSIGN(const crypto::PublicKey proxy_key, GenerateKey(proxy, crypto::KeyType::kEcdsaP256));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<crypto::Signer> signer, crypto::OpenSigner(manifest));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<crypto::Signer> proxy_signer, crypto::OpenSigner(proxy));

  std::string lan = "/tmp/token-XXXXXX";  // short: a socket's path has at most 107 characters
  ASSERT_NE(mkdtemp(lan.data()), nullptr);
  {
    FakeDevice lamp(lan, "lamp", {{"L-1", {}}});
    Incidents incidents;
    const Survey survey = SurveyDevices(*ListSockets(lan), {}, "nonce", proxy_signer.get(), incidents);
    ASSERT_OK_AND_ASSIGN(const std::string bytes,
                         PackManifest(survey, {}, "home-1", "nonce", 5, kNow, *signer));
    ASSERT_OK_AND_ASSIGN(const trust::Envelope envelope, trust::ParseManifestEnvelope(bytes));
    ASSERT_OK_AND_ASSIGN(const trust::GatewayManifest verified,
                         trust::VerifyManifest(envelope, "home-1", key, "nonce", 4));
    ASSERT_EQ(verified.reports.size(), 1u);
    ASSERT_OK(verified.reports[0]);
    EXPECT_OK(trust::VerifyReport(*verified.reports[0],
                                  {"L-1", trust::KeyId(proxy_key), proxy_key, true, 0, "nonce"}));
    // The other key's word is none.
    EXPECT_FALSE(trust::VerifyManifest(envelope, "home-1", proxy_key, "nonce", 4).ok());
  }
  std::filesystem::remove_all(lan);
}

TEST(TokenTest, AManifestIsSignedByAToken) {
  crypto::pkcs11::testing::SoftHsm hsm;
  hsm.AddToken("gateway");
  ReportWith(hsm.Uri("gateway", "manifest"), hsm.Uri("gateway", "proxy"));
}

TEST(TokenTest, AManifestIsSignedByATpm) {
  crypto::pkcs11::testing::SoftTpm tpm;
  ReportWith(tpm.Uri("manifest"), tpm.Uri("proxy"));
}

}  // namespace
}  // namespace countersign::gateway
