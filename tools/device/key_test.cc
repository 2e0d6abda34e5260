// FOTA-R4: a component's key in tamper-proof hardware: an HSM or a card (SoftHSM), a TPM (swtpm).
#include <filesystem>
#include <string>

#include "common/crypto/pkcs11/keys.h"
#include "common/crypto/pkcs11/testing/soft_hsm.h"
#include "common/crypto/pkcs11/testing/soft_tpm.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "tools/device/test_device.h"

namespace countersign::device {
namespace {

using crypto::pkcs11::GenerateKey;
using crypto::pkcs11::testing::SoftHsm;
using crypto::pkcs11::testing::SoftTpm;

struct Hsm {
  Hsm() {
    hsm.AddToken("lamp");
    EXPECT_OK(GenerateKey(uri(), crypto::KeyType::kEd25519));
  }
  std::string uri() const { return hsm.Uri("lamp", "identity"); }
  void Away() { hsm.Remove(); }
  void Back() { hsm.Insert(); }
  SoftHsm hsm;
};

struct Tpm {
  Tpm() { EXPECT_OK(GenerateKey(uri(), crypto::KeyType::kEcdsaP256)); }
  std::string uri() const { return tpm.Uri("identity"); }
  void Away() { tpm.PowerOff(); }
  void Back() { tpm.PowerOn(); }
  SoftTpm tpm;
};

template <typename Token>
class KeyTest : private Token, public DeviceTest {
 protected:
  KeyTest() : DeviceTest({.keys = {{kEcu, Token::uri()}}}) {}
  // The key's sessions end before its token.
  ~KeyTest() override { Halt(); }
  using Token::Away;
  using Token::Back;
};

using Tokens = ::testing::Types<Hsm, Tpm>;
TYPED_TEST_SUITE(KeyTest, Tokens);

// FOTA-R4, FOTA-H
TYPED_TEST(KeyTest, ReportsAreSignedOnTheTokenAndNoKeyLiesOnTheDisk) {
  EXPECT_FALSE(std::filesystem::exists(this->ComponentFolder() + "/key.pem"));
  EXPECT_EQ(this->Report().version, "1.0.0");
  this->ExpectWorks();
  EXPECT_EQ(this->Report().version, "2.0.0");
}

// FOTA-R4: a device without its token is not somebody else, and goes on when it is back.
TYPED_TEST(KeyTest, ADeviceWhoseTokenIsAwayDoesItsWorkAndReportsAgainWhenItIsBack) {
  this->Away();
  this->Boot();
  EXPECT_TRUE(this->operates_.at(kEcu));
  grpc::ClientContext context;
  v1::GetVersionReportsRequest request;
  v1::GetVersionReportsResponse response;
  EXPECT_EQ(this->stub_->GetVersionReports(&context, request, &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  this->Back();
  EXPECT_EQ(this->Report().version, "1.0.0");
}

TEST(KeyProvisioningTest, AKeyThatIsNotOnTheTokenMakesNoDevice) {
  SoftHsm hsm;
  hsm.AddToken("lamp");
  const std::string folder = hsm.folder() + "/device";
  const auto provision = [&](const std::string& serial, const std::string& key) {
    return Provision({.folder = folder,
                      .device_id = "lamp",
                      .components = {{kEcu, kHardware}},
                      .keys = {{serial, key}},
                      .factory_image = hsm.PinFile()});
  };
  EXPECT_THAT(provision(kEcu, hsm.Uri("lamp", "identity")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(provision(kOtherEcu, hsm.Uri("lamp", "identity")),
              StatusIs(absl::StatusCode::kInvalidArgument, "KEY_WITHOUT_COMPONENT"));
  EXPECT_FALSE(std::filesystem::exists(folder + "/components/" + kEcu));
}

}  // namespace
}  // namespace countersign::device
