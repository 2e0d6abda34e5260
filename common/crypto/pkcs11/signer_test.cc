// FOTA-R4: keys in tamper-proof hardware. SoftHSM is the hardware, and a module around it has the faults that
// SoftHSM does not.
#include "common/crypto/pkcs11/signer.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/crypto/base64.h"
#include "common/crypto/open_signer.h"
#include "common/crypto/pkcs11/errors.h"
#include "common/crypto/pkcs11/keys.h"
#include "common/crypto/pkcs11/module.h"
#include "common/crypto/pkcs11/testing/card.h"
#include "common/crypto/pkcs11/testing/faulty_module.h"
#include "common/crypto/pkcs11/testing/soft_hsm.h"
#include "common/crypto/pkcs11/uri.h"
#include "common/crypto/x509.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::crypto::pkcs11 {
namespace {

using testing::Faults;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::SoftHsm;

class Pkcs11SignerTest : public ::testing::Test {
 protected:
  Pkcs11SignerTest() : faults_(Faults::Reset()) { hsm_.AddToken("store"); }

  std::string Make(const std::string& name, KeyType type = KeyType::kEcdsaP256) {
    EXPECT_OK(GenerateKey(hsm_.Uri("store", name), type));
    return hsm_.Uri("store", name);
  }
  // Of the key behind the module with faults.
  std::string Faulty(const std::string& name) const {
    return hsm_.Uri("store", name, Faults::Module(), hsm_.PinFile());
  }
  std::unique_ptr<Pkcs11Signer> Open(const std::string& uri) {
    absl::StatusOr<std::unique_ptr<Pkcs11Signer>> signer = Pkcs11Signer::Open(uri, clock_);
    EXPECT_OK(signer.status());
    return signer.ok() ? *std::move(signer) : nullptr;
  }
  static void ExpectSigns(const Signer& signer) {
    const absl::StatusOr<std::string> signature = signer.Sign("message");
    ASSERT_OK(signature);
    EXPECT_OK(signer.public_key().Verify("message", *signature));
    EXPECT_FALSE(signer.public_key().Verify("massage", *signature).ok());
  }

  SoftHsm hsm_;
  Faults& faults_;
  FakeClock clock_;
};

class Pkcs11KeyTypeTest : public Pkcs11SignerTest, public ::testing::WithParamInterface<KeyType> {};

INSTANTIATE_TEST_SUITE_P(AllKeyTypes, Pkcs11KeyTypeTest,
                         ::testing::Values(KeyType::kEd25519, KeyType::kEcdsaP256, KeyType::kRsaPss));

TEST_P(Pkcs11KeyTypeTest, AKeyMadeOnTheTokenSignsWhereverASignerDoes) {
  ASSERT_OK_AND_ASSIGN(const PublicKey made, GenerateKey(hsm_.Uri("store", "k"), GetParam()));
  EXPECT_EQ(made.type(), GetParam());
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Signer> signer, OpenSigner(hsm_.Uri("store", "k")));
  EXPECT_TRUE(signer->public_key() == made);
  ExpectSigns(*signer);
  EXPECT_OK(signer->Check());
  // What a metadata file may have, and nothing at all.
  for (const std::string& message : {std::string(), std::string(3 << 20, 'x')}) {
    ASSERT_OK_AND_ASSIGN(const std::string signature, signer->Sign(message));
    EXPECT_OK(made.Verify(message, signature));
  }
}

TEST_P(Pkcs11KeyTypeTest, ManyThreadsShareAFewSessions) {
  Make("k", GetParam());
  const std::unique_ptr<Pkcs11Signer> signer = Open(Faulty("k"));
  ASSERT_NE(signer, nullptr);
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 10; ++j) {
        const std::string message = absl::StrCat(i, "/", j);
        const absl::StatusOr<std::string> signature = signer->Sign(message);
        if (signature.ok() && signer->public_key().Verify(message, *signature).ok()) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 160);
  EXPECT_LE(faults_.max_sessions, 4);
  EXPECT_EQ(faults_.logins, 1) << "the login is the process's";
}

TEST_P(Pkcs11KeyTypeTest, APublicKeyMayBeWrittenBare) {
  const std::string uri = Make("k", GetParam());
  const PublicKey key = Open(uri)->public_key();
  faults_.bare_points = true;
  EXPECT_TRUE(Open(Faulty("k"))->public_key() == key);
}

TEST_F(Pkcs11SignerTest, AnRsaTokenThatDigestsByItselfIsUsedSo) {
  Make("k", KeyType::kRsaPss);
  faults_.no_pss_of_digests = true;
  ExpectSigns(*Open(Faulty("k")));
}

TEST_F(Pkcs11SignerTest, KeysOfAllKindsLieSideBySideAndAreListed) {
  Make("ed", KeyType::kEd25519);
  Make("ec", KeyType::kEcdsaP256);
  const std::unique_ptr<Pkcs11Signer> ed = Open(hsm_.Uri("store", "ed"));
  const std::unique_ptr<Pkcs11Signer> ec = Open(hsm_.Uri("store", "ec"));
  ExpectSigns(*ec);
  ExpectSigns(*ed);
  ASSERT_OK_AND_ASSIGN(const std::vector<TokenKey> keys, ListKeys(hsm_.Uri("store")));
  ASSERT_EQ(keys.size(), 2u);
  for (const TokenKey& key : keys) {
    EXPECT_FALSE(key.extractable);
    ASSERT_TRUE(key.public_key.has_value());
    EXPECT_TRUE(*key.public_key == ed->public_key() || *key.public_key == ec->public_key());
    // The name that the list gives opens the key.
    const std::string uri =
        absl::StrCat(key.uri, "?module-path=", SoftHsm::Module(), "&pin-source=", hsm_.PinFile());
    EXPECT_TRUE(Open(uri)->public_key() == *key.public_key);
  }
}

TEST_F(Pkcs11SignerTest, ANameIsGivenOnce) {
  Make("k");
  EXPECT_THAT(GenerateKey(hsm_.Uri("store", "k"), KeyType::kEd25519),
              StatusIs(absl::StatusCode::kAlreadyExists, "KEY_EXISTS"));
  EXPECT_THAT(GenerateKey(hsm_.Uri("store"), KeyType::kEd25519),
              StatusIs(absl::StatusCode::kInvalidArgument, kUriInvalid));
}

TEST_F(Pkcs11SignerTest, WhatTheUriDoesNotNameExactlyIsRefused) {
  const std::string uri = Make("k");
  hsm_.AddToken("other");
  hsm_.AddToken("twin");
  hsm_.AddToken("twin");
  EXPECT_THAT(Pkcs11Signer::Open(hsm_.Uri("store", "nothing")),
              StatusIs(absl::StatusCode::kNotFound, kKeyNotFound));
  EXPECT_THAT(Pkcs11Signer::Open(hsm_.Uri("other", "k")),
              StatusIs(absl::StatusCode::kNotFound, kKeyNotFound));
  EXPECT_THAT(Pkcs11Signer::Open(hsm_.Uri("nowhere", "k")),
              StatusIs(absl::StatusCode::kUnavailable, kTokenAbsent));
  EXPECT_THAT(Pkcs11Signer::Open(hsm_.Uri("twin", "k")),
              StatusIs(absl::StatusCode::kFailedPrecondition, kTokenAmbiguous));
  EXPECT_THAT(Pkcs11Signer::Open(hsm_.Uri("store")),
              StatusIs(absl::StatusCode::kInvalidArgument, kUriInvalid));
  EXPECT_THAT(Pkcs11Signer::Open(absl::StrReplaceAll(uri, {{"object=k", "object=k;type=public"}})),
              StatusIs(absl::StatusCode::kInvalidArgument, kUriInvalid));
  EXPECT_OK(Pkcs11Signer::Open(absl::StrReplaceAll(uri, {{"object=k", "object=k;type=private"}})));
}

TEST_F(Pkcs11SignerTest, AModuleThatIsNoneIsNamed) {
  for (const std::string& module : {std::string("/nowhere/module.so"), hsm_.ConfigFile(),
                                    std::string("/usr/lib/x86_64-linux-gnu/libz.so.1")}) {
    const absl::Status status = Pkcs11Signer::Open(hsm_.Uri("store", "k", module, hsm_.PinFile())).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, kModuleUnusable));
    EXPECT_THAT(std::string(status.message()), HasSubstr(module));
  }
}

TEST_F(Pkcs11SignerTest, AWrongPinIsTriedOnce) {
  Make("k");
  const std::string wrong = hsm_.FileWith("wrong", "98765\n");
  const std::string uri = hsm_.Uri("store", "k", Faults::Module(), wrong);
  for (int i = 0; i < 5; ++i) {
    const absl::Status status = Pkcs11Signer::Open(uri).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, kPinWrong));
    EXPECT_THAT(status.ToString(), Not(HasSubstr("98765")));
  }
  EXPECT_EQ(faults_.logins, 1);
  // The file is put right, and that is looked at.
  hsm_.FileWith("wrong", "1234");
  ExpectSigns(*Open(uri));
}

TEST_F(Pkcs11SignerTest, WithoutAPinThereIsNoLogin) {
  Make("k");
  const std::string empty = hsm_.FileWith("empty", "\n");
  for (const std::string& file : {std::string(), empty, std::string("/nowhere/pin")}) {
    EXPECT_THAT(Pkcs11Signer::Open(hsm_.Uri("store", "k", Faults::Module(), file)),
                StatusIs(absl::StatusCode::kFailedPrecondition, kPinMissing));
  }
  EXPECT_EQ(faults_.logins, 0);
}

TEST_F(Pkcs11SignerTest, ATokenThatIsLockedOrAboutToBeIsLeftAlone) {
  Make("k");
  for (const CK_FLAGS flag : {CKF_USER_PIN_LOCKED, CKF_USER_PIN_FINAL_TRY}) {
    faults_.token_flags = flag;
    EXPECT_THAT(Pkcs11Signer::Open(Faulty("k")), StatusIs(absl::StatusCode::kFailedPrecondition, kPinLocked));
  }
  EXPECT_EQ(faults_.logins, 0);
  faults_.token_flags = 0;
  faults_.login.Set(CKR_PIN_LOCKED, 10);
  EXPECT_THAT(Pkcs11Signer::Open(Faulty("k")), StatusIs(absl::StatusCode::kFailedPrecondition, kPinLocked));
  EXPECT_EQ(faults_.logins, 1);
}

TEST_F(Pkcs11SignerTest, ALostSessionIsReplacedWithoutNotice) {
  Make("k");
  const std::unique_ptr<Pkcs11Signer> signer = Open(Faulty("k"));
  for (const CK_RV rv : {CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_DEVICE_REMOVED, CKR_DEVICE_ERROR,
                         CKR_TOKEN_NOT_PRESENT, CKR_USER_NOT_LOGGED_IN, CKR_KEY_HANDLE_INVALID,
                         CKR_OBJECT_HANDLE_INVALID, CKR_GENERAL_ERROR}) {
    faults_.sign_init.Set(rv);
    ExpectSigns(*signer);
    faults_.sign.Set(rv);
    ExpectSigns(*signer);
  }
  faults_.get_token_info.Set(CKR_DEVICE_REMOVED);
  EXPECT_OK(signer->Check());
  EXPECT_EQ(faults_.finalizes, 0) << "a new session was enough";
  // A module that needs a restart gets it.
  faults_.sign_init.Set(CKR_DEVICE_REMOVED, 2);
  ExpectSigns(*signer);
  EXPECT_EQ(faults_.finalizes, 1);
  faults_.sign_init.Set(CKR_DEVICE_REMOVED);
  faults_.open_session.Set(CKR_SESSION_COUNT);
  ExpectSigns(*signer);
  EXPECT_EQ(faults_.finalizes, 2);
}

TEST_F(Pkcs11SignerTest, AModuleThatDoesNotComeBackAtOnceComesBackLater) {
  Make("k");
  const std::unique_ptr<Pkcs11Signer> signer = Open(Faulty("k"));
  faults_.sign_init.Set(CKR_DEVICE_REMOVED, 2);
  faults_.initialize.Set(CKR_GENERAL_ERROR);
  EXPECT_THAT(signer->Sign("x"), StatusIs(absl::StatusCode::kUnavailable, kModuleUnusable));
  clock_.Advance(absl::Minutes(1));
  ExpectSigns(*signer);
}

TEST_F(Pkcs11SignerTest, DataThatTheTokenRefusesIsNoLossOfTheToken) {
  Make("k", KeyType::kEd25519);
  const std::unique_ptr<Pkcs11Signer> signer = Open(Faulty("k"));
  faults_.sign.Set(CKR_DATA_LEN_RANGE);
  EXPECT_THAT(signer->Sign("more than it takes"), StatusIs(absl::StatusCode::kUnavailable, kDataRefused));
  EXPECT_OK(signer->Check());
  ExpectSigns(*signer);
}

TEST_F(Pkcs11SignerTest, ThePublicHalfMayComeFromACertificate) {
  const std::string uri = absl::StrReplaceAll(hsm_.Uri("store", "k", Faults::Module(), hsm_.PinFile()),
                                              {{"object=k", "object=k;id=%07"}});
  ASSERT_OK(GenerateKey(uri, KeyType::kEcdsaP256));
  CertificateSpec spec;
  spec.common_name = "store";
  spec.not_before = clock_.Now();
  spec.not_after = clock_.Now() + absl::Hours(1);
  ASSERT_OK_AND_ASSIGN(const CertificateAndKey other, MakeCertificateAuthority(spec));
  std::string base64;
  for (const absl::string_view line : absl::StrSplit(other.certificate_pem, '\n')) {
    if (!absl::StartsWith(line, "-")) absl::StrAppend(&base64, line);
  }
  ASSERT_OK_AND_ASSIGN(const std::string der, Base64Decode(base64));
  testing::StoreCertificate(uri, "07", der);
  faults_.no_public_keys = true;
  const std::unique_ptr<Pkcs11Signer> signer = Open(uri);
  ASSERT_NE(signer, nullptr);
  EXPECT_TRUE(signer->public_key() == PemSigner::Parse(other.key_pem).value().public_key());
  // It is another key's certificate, and that does not go unnoticed.
  EXPECT_THAT(signer->Sign("x"), StatusIs(absl::StatusCode::kUnavailable, kTokenFailed));
}

TEST_F(Pkcs11SignerTest, APrivateKeyAloneIsNotEnough) {
  Make("k");
  faults_.no_public_keys = true;
  EXPECT_THAT(Pkcs11Signer::Open(Faulty("k")), StatusIs(absl::StatusCode::kFailedPrecondition, kKeyUnusable));
}

TEST_F(Pkcs11SignerTest, ATokenThatIsPulledOutIsMissedAndFoundAgain) {
  const std::string uri = Make("k");
  const std::unique_ptr<Pkcs11Signer> signer = Open(uri);
  ExpectSigns(*signer);
  hsm_.Remove();
  EXPECT_THAT(signer->Check(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(signer->Sign("x"), StatusIs(absl::StatusCode::kUnavailable));
  clock_.Advance(absl::Minutes(1));
  EXPECT_THAT(signer->Sign("x"), StatusIs(absl::StatusCode::kUnavailable));
  hsm_.Insert();
  clock_.Advance(absl::Minutes(1));
  EXPECT_OK(signer->Check());
  ExpectSigns(*signer);
}

TEST_F(Pkcs11SignerTest, LossIsNoticedByASignatureToo) {
  const std::unique_ptr<Pkcs11Signer> signer = Open(Make("k"));
  hsm_.Remove();
  EXPECT_THAT(signer->Sign("x"), StatusIs(absl::StatusCode::kUnavailable));
  hsm_.Insert();
  clock_.Advance(absl::Minutes(1));
  ExpectSigns(*signer);
}

TEST_F(Pkcs11SignerTest, WhileATokenIsAwayItIsAskedForOnceASecondAndRestartedEverMoreRarely) {
  Make("k");
  const std::unique_ptr<Pkcs11Signer> signer = Open(Faulty("k"));
  faults_.sign_init.Set(CKR_DEVICE_REMOVED, 1'000'000);
  const int before = faults_.initializes;
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(signer->Sign("x").ok());
  EXPECT_EQ(1'000'000 - faults_.sign_init.times, 3) << "a session, a new one, a restart";
  for (int second = 0; second < 120; ++second) {
    clock_.Advance(absl::Seconds(1));
    EXPECT_FALSE(signer->Sign("x").ok());
    EXPECT_FALSE(signer->Check().ok());
  }
  EXPECT_LE(faults_.initializes - before, 10);
  EXPECT_GE(faults_.initializes - before, 5);
  faults_.sign_init.times = 0;
  clock_.Advance(absl::Seconds(1));
  EXPECT_OK(signer->Check());
}

TEST_F(Pkcs11SignerTest, ARestartForOneTokenIsNotNoticedByTheUsersOfAnother) {
  Make("k");
  Make("busy");
  const std::unique_ptr<Pkcs11Signer> signer = Open(Faulty("k"));
  const std::unique_ptr<Pkcs11Signer> busy = Open(Faulty("busy"));
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0, signatures = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        if (!busy->Sign("x").ok()) ++failed;
        ++signatures;
      }
    });
  }
  // Restarts while the others sign.
  for (int i = 0; i < 20; ++i) {
    clock_.Advance(absl::Minutes(1));
    while (signatures < 20 * i) std::this_thread::yield();
    ASSERT_OK_AND_ASSIGN(const Module::Ptr module, Module::Load(Faults::Module()));
    uint64_t generation;
    {
      const Module::Use use(*module);
      generation = use.generation();
    }
    EXPECT_OK(module->Restart(generation));
    ExpectSigns(*signer);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(faults_.finalizes, 20);
}

TEST_F(Pkcs11SignerTest, ASignatureThatIsNotTheKeysNeverLeaves) {
  Make("k");
  const std::unique_ptr<Pkcs11Signer> signer = Open(Faulty("k"));
  faults_.wrong_signature = true;
  EXPECT_THAT(signer->Sign("x"), StatusIs(absl::StatusCode::kUnavailable, kTokenFailed));
  clock_.Advance(absl::Seconds(2));
  EXPECT_FALSE(signer->Check().ok()) << "the token is there, and cannot sign";
  faults_.wrong_signature = false;
  clock_.Advance(absl::Seconds(2));
  EXPECT_OK(signer->Check());
}

TEST_F(Pkcs11SignerTest, ATokenWithAnotherKeyOfTheSameNameIsNotTheToken) {
  const std::unique_ptr<Pkcs11Signer> signer = Open(Make("k"));
  hsm_.Remove();
  EXPECT_FALSE(signer->Check().ok());
  SoftHsm impostor;
  impostor.AddToken("store");
  {
    // The impostor's tokens lie where the real ones were.
    ASSERT_EQ(rename((impostor.folder() + "/tokens").c_str(), (hsm_.folder() + "/tokens").c_str()), 0);
    setenv("SOFTHSM2_CONF", hsm_.ConfigFile().c_str(), 1);
  }
  clock_.Advance(absl::Minutes(1));
  EXPECT_FALSE(signer->Check().ok());  // no such key there
  EXPECT_OK(GenerateKey(hsm_.Uri("store", "k"), KeyType::kEcdsaP256));
  clock_.Advance(absl::Minutes(1));
  EXPECT_THAT(signer->Check(), StatusIs(absl::StatusCode::kUnavailable));
  clock_.Advance(absl::Minutes(1));
  EXPECT_THAT(signer->Sign("x"), StatusIs(absl::StatusCode::kUnavailable, kTokenFailed));
}

TEST_F(Pkcs11SignerTest, TheModuleIsFinalisedWhenItsLastUserGoes) {
  Make("k");
  {
    const std::unique_ptr<Pkcs11Signer> a = Open(Faulty("k"));
    const std::unique_ptr<Pkcs11Signer> b = Open(Faulty("k"));
    EXPECT_EQ(faults_.initializes, 1);
  }
  EXPECT_EQ(faults_.finalizes, 1);
  ExpectSigns(*Open(Faulty("k")));
  EXPECT_EQ(faults_.initializes, 2);
  EXPECT_EQ(faults_.finalizes, 2);
}

// What a process with its own end does after a fork; the exit code tells what it found.
int InChild(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int result = -1;
  EXPECT_EQ(waitpid(child, &result, 0), child);
  return result;
}

TEST_F(Pkcs11SignerTest, AForkedChildOpensTheTokenForItself) {
  Make("k");
  const std::unique_ptr<Pkcs11Signer> signer = Open(Faulty("k"));
  ExpectSigns(*signer);
  const auto signs = [&] {
    const absl::StatusOr<std::string> signature = signer->Sign("child");
    return signature.ok() && signer->public_key().Verify("child", *signature).ok();
  };
  EXPECT_EQ(InChild([&] { return signs() && faults_.initializes == 2; }), 0);
  // A child of a child.
  EXPECT_EQ(InChild([&] { return signs() && InChild(signs) == 0; }), 0);
  ExpectSigns(*signer);
}

}  // namespace
}  // namespace countersign::crypto::pkcs11
