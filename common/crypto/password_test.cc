#include "common/crypto/password.h"

#include <string>

#include "gtest/gtest.h"

namespace countersign::crypto {
namespace {

// RFC 7914, section 12, third vector, cut to the 32 bytes that are kept: scrypt's output is PBKDF2's, whose
// blocks of 32 bytes do not depend on how many follow.
TEST(PasswordTest, ThePublishedVectorVerifies) {
  const std::string hash =
      "scrypt$16384$8$1$536f6469756d43686c6f72696465$"
      "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2";
  EXPECT_TRUE(VerifyPassword("pleaseletmein", hash));
  EXPECT_FALSE(VerifyPassword("pleaseletmeout", hash));
}

TEST(PasswordTest, OnlyThePasswordThatWasHashedVerifies) {
  const std::string hash = HashPassword("271828");
  EXPECT_TRUE(VerifyPassword("271828", hash));
  EXPECT_FALSE(VerifyPassword("271829", hash));
  EXPECT_FALSE(VerifyPassword("", hash));
  EXPECT_EQ(hash.find("271828"), std::string::npos);
}

TEST(PasswordTest, EqualPasswordsHaveDifferentHashes) {
  EXPECT_NE(HashPassword("1234"), HashPassword("1234"));
}

TEST(PasswordTest, WhatIsNoHashOrTooDearVerifiesNothing) {
  const std::string hash = HashPassword("1234");
  for (const std::string& bad :
       {std::string(), std::string("1234"), "x" + hash, hash.substr(0, hash.size() - 2), hash + "$",
        // 1 GiB
        "scrypt$1048576$8$1$00$" + std::string(64, '0'), "scrypt$16384$8$100000$00$" + std::string(64, '0'),
        "scrypt$0$0$0$00$" + std::string(64, '0')}) {
    EXPECT_FALSE(VerifyPassword("1234", bad)) << bad;
  }
}

}  // namespace
}  // namespace countersign::crypto
