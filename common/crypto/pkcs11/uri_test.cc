#include "common/crypto/pkcs11/uri.h"

#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::crypto::pkcs11 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Pkcs11UriTest, EveryPartIsDecoded) {
  ASSERT_OK_AND_ASSIGN(
      const Uri uri,
      ParseUri("pkcs11:token=The%20store;manufacturer=SoftHSM%20project;model=v2;serial=00ff;slot-id=7;"
               "object=a%3Bb;id=%00%FFx;type=private?module-path=/lib/p%26q.so&pin-source=file:///run/pin"));
  EXPECT_EQ(uri.token, "The store");
  EXPECT_EQ(uri.manufacturer, "SoftHSM project");
  EXPECT_EQ(uri.model, "v2");
  EXPECT_EQ(uri.serial, "00ff");
  EXPECT_EQ(uri.slot_id, 7);
  EXPECT_EQ(uri.object, "a;b");
  EXPECT_EQ(uri.id, std::string("\0\xffx", 3));
  EXPECT_EQ(uri.type, "private");
  EXPECT_EQ(uri.module_path, "/lib/p&q.so");
  EXPECT_EQ(uri.pin_source, "/run/pin");
  EXPECT_EQ(uri.ToString(),
            "pkcs11:token=The%20store;manufacturer=SoftHSM%20project;model=v2;serial=00ff;slot-id=7;"
            "object=a%3Bb;id=%00%FF%78;type=private");
}

TEST(Pkcs11UriTest, APinFileMayBeAPathOrAFileUri) {
  for (const char* const source : {"/run/pin", "file:/run/pin", "file:///run/pin"}) {
    ASSERT_OK_AND_ASSIGN(const Uri uri,
                         ParseUri(absl::StrCat("pkcs11:token=t?module-path=/m.so&pin-source=", source)));
    EXPECT_EQ(uri.pin_source, "/run/pin") << source;
  }
}

TEST(Pkcs11UriTest, APinInTheUriIsRefusedAndNotRepeated) {
  for (const char* const text :
       {"pkcs11:token=t?module-path=/m.so&pin-value=s3cret",
        "pkcs11:token=t;pin-value=s3cret?module-path=/m.so", "pkcs11:token=t?pin-value=s3cret"}) {
    const absl::Status status = ParseUri(text).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, kUriInvalid)) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("pin-source=FILE")) << text;
    EXPECT_THAT(std::string(status.ToString()), Not(HasSubstr("s3cret"))) << text;
  }
}

TEST(Pkcs11UriTest, WhatCannotBeMeantIsRefused) {
  for (const char* const text : {
           "",
           "pkcs11",
           "pkcs12:token=t?module-path=/m.so",
           "pkcs11:",                                            // no module
           "pkcs11:token=t",                                     // no module
           "pkcs11:token=t?module-path=m.so",                    // searched for in who knows which folder
           "pkcs11:token=t?module-path=",                        //
           "pkcs11:token=t?module-name=softhsm2",                // not known
           "pkcs11:token?module-path=/m.so",                     // no value
           "pkcs11:token=?module-path=/m.so",                    //
           "pkcs11:token=t;?module-path=/m.so",                  // an empty attribute
           "pkcs11:token=t;token=u?module-path=/m.so",           // which one?
           "pkcs11:tokne=t?module-path=/m.so",                   // a typing error must not match every token
           "pkcs11:token=t;x-vendor=1?module-path=/m.so",        //
           "pkcs11:token=t;type=privat?module-path=/m.so",       //
           "pkcs11:token=t;slot-id=x?module-path=/m.so",         //
           "pkcs11:token=t;slot-id=-1?module-path=/m.so",        //
           "pkcs11:token=a b?module-path=/m.so",                 //
           "pkcs11:token=a%2?module-path=/m.so",                 //
           "pkcs11:token=a%zz?module-path=/m.so",                //
           "pkcs11:token=a%00b?module-path=/m.so",               // cut off where C sees it
           "pkcs11:token=t?module-path=/m.so%00/x",              //
           "pkcs11:token=t?module-path=/m.so&pin-source=pin",    //
           "pkcs11:token=t?module-path=/m.so&pin-source=|cat",   // RFC 7512 allows a command; we do not
           "pkcs11:token=t?module-path=/m.so&module-path=/n.so"  //
       }) {
    EXPECT_THAT(ParseUri(text), StatusIs(absl::StatusCode::kInvalidArgument, kUriInvalid)) << text;
  }
  EXPECT_THAT(ParseUri(absl::StrCat("pkcs11:token=", std::string(5000, 'a'), "?module-path=/m.so")),
              StatusIs(absl::StatusCode::kInvalidArgument, kUriInvalid));
}

TEST(Pkcs11UriTest, WhatIsReadIsWrittenAndReadAgainTheSameWhateverTheBytes) {
  std::mt19937 random(7512);  // NOLINT: the same bytes in every run
  const std::string alphabet = "pkcs1:token=object;?&%/.-az%20%3B\xff\n\"";
  int read = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = "pkcs11:token=";
    for (size_t j = random() % 40; j > 0; --j) text.push_back(alphabet[random() % alphabet.size()]);
    text += "?module-path=/m.so";
    const absl::StatusOr<Uri> uri = ParseUri(text);
    if (!uri.ok()) continue;
    ++read;
    ASSERT_OK_AND_ASSIGN(const Uri again, ParseUri(uri->ToString() + "?module-path=/m.so"));
    EXPECT_EQ(again.token, uri->token);
    EXPECT_EQ(again.object, uri->object);
  }
  EXPECT_GT(read, 100);
}

}  // namespace
}  // namespace countersign::crypto::pkcs11
