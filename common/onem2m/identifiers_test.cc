#include "common/onem2m/identifiers.h"

#include <random>
#include <string>

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::onem2m {
namespace {

// APPID-1
TEST(AppIdTest, ARegisteredAppIdIsTakenApart) {
  ASSERT_OK_AND_ASSIGN(const AppId app_id, ParseAppId("Ra01.com.company.smartcity"));
  EXPECT_TRUE(app_id.registered_form);
  EXPECT_FALSE(app_id.lower_case_prefix);
  EXPECT_EQ(app_id.text, "Ra01.com.company.smartcity");
  EXPECT_EQ(app_id.authority, "a01");
  EXPECT_EQ(app_id.reverse_dns, "com.company");
  EXPECT_EQ(app_id.application, "smartcity");
  EXPECT_OK(CheckRegisterable(app_id));
}

TEST(AppIdTest, AnAuthorityMayHaveAnyLength) {
  EXPECT_THAT(ParseAppId("R1.com.app"), IsOk());
  EXPECT_THAT(ParseAppId("R0123456789abcdef.com.company.division.app_2~x"), IsOk());
}

TEST(AppIdTest, ALowerCasePrefixIsReadAsAnUpperCaseOneAndNotRegistered) {
  ASSERT_OK_AND_ASSIGN(const AppId app_id, ParseAppId("ra01.com.company.smartcity"));
  EXPECT_TRUE(app_id.lower_case_prefix);
  EXPECT_EQ(app_id.text, "Ra01.com.company.smartcity");
  EXPECT_THAT(CheckRegisterable(app_id),
              StatusIs(absl::StatusCode::kInvalidArgument, "APP_ID_NOT_REGISTERABLE"));
}

TEST(AppIdTest, ANonRegisteredAppIdIsWellFormedAndNotRegistered) {
  ASSERT_OK_AND_ASSIGN(const AppId app_id, ParseAppId("Nmy-app"));
  EXPECT_FALSE(app_id.registered_form);
  EXPECT_THAT(CheckRegisterable(app_id),
              StatusIs(absl::StatusCode::kInvalidArgument, "APP_ID_NOT_REGISTERABLE"));
}

TEST(AppIdTest, WhatIsNoAppIdIsRefused) {
  for (const std::string& text : {std::string(""),
                                  std::string("R"),
                                  std::string("N"),
                                  std::string("X1.com.app"),
                                  std::string("n-app"),
                                  std::string("R.com.company.app"),
                                  std::string("Ra01.app"),
                                  std::string("Ra01.com."),
                                  std::string("Ra01..app"),
                                  std::string("Ra01.com..app"),
                                  std::string("Ra01.-com.app"),
                                  std::string("Ra01.com-.app"),
                                  std::string("Ra01.co_m.app"),
                                  std::string("Ra01.com.a/b"),
                                  std::string("Ra01.com.a b"),
                                  std::string("Ra01.com.caf\xc3\xa9"),
                                  std::string("Ra01.com.a\0b", 12),
                                  std::string("Ra01.com.a%20b"),
                                  "Ra01." + std::string(64, 'a') + ".app",
                                  "N" + std::string(256, 'a'),
                                  std::string(" Ra01.com.app"),
                                  std::string("Ra01.com.app\n")}) {
    EXPECT_THAT(ParseAppId(text), StatusIs(absl::StatusCode::kInvalidArgument, "APP_ID_MALFORMED")) << text;
  }
  EXPECT_THAT(ParseAppId("N" + std::string(255, 'a')), IsOk());
}

TEST(AeIdTest, EveryFormIsTakenApart) {
  struct Case {
    const char* text;
    const char* service_provider;
    const char* cse;
    const char* stem;
  };
  for (const Case& c :
       {Case{"C190XX7T", "", "", "C190XX7T"}, Case{"S563423", "", "", "S563423"},
        Case{"/CSE090112/C190XX7T", "", "CSE090112", "C190XX7T"}, Case{"/S563423", "", "", "S563423"},
        Case{"//www.m2mprovider.com/CSE090112/C190XX7T", "www.m2mprovider.com", "CSE090112", "C190XX7T"},
        Case{"//www.m2mprovider.com/S563423", "www.m2mprovider.com", "", "S563423"}}) {
    ASSERT_OK_AND_ASSIGN(const AeId ae_id, ParseAeId(c.text));
    EXPECT_EQ(ae_id.service_provider, c.service_provider) << c.text;
    EXPECT_EQ(ae_id.cse, c.cse) << c.text;
    EXPECT_EQ(ae_id.stem, c.stem) << c.text;
  }
}

TEST(AeIdTest, WhatIsNoAeIdIsRefused) {
  for (const std::string& text : {std::string(""),
                                  std::string("C"),
                                  std::string("S"),
                                  std::string("X1"),
                                  std::string("c1"),
                                  std::string("/"),
                                  std::string("//"),
                                  std::string("/C1"),
                                  std::string("/cse/S1"),
                                  std::string("cse/S1"),
                                  std::string("//sp"),
                                  std::string("//sp/"),
                                  std::string("//sp/C1"),
                                  std::string("//sp/cse/S1"),
                                  std::string("//sp/cse/x/C1"),
                                  std::string("///C1"),
                                  std::string("/cse//C1"),
                                  std::string("/cse/C1/"),
                                  std::string("/c e/C1"),
                                  std::string("C1\n"),
                                  std::string("C\0x", 3),
                                  "C" + std::string(256, 'a')}) {
    EXPECT_THAT(ParseAeId(text), StatusIs(absl::StatusCode::kInvalidArgument, "AE_ID_MALFORMED")) << text;
  }
}

TEST(AeIdTest, AStemPatternIsWholeOrOpen) {
  EXPECT_TRUE(IsStemPattern("C190XX7T"));
  EXPECT_TRUE(IsStemPattern("Cacme-*"));
  EXPECT_TRUE(IsStemPattern("S*"));
  for (const char* text : {"", "*", "C", "X1", "c1", "C*1", "C1**", "/cse/C1", "C 1"}) {
    EXPECT_FALSE(IsStemPattern(text)) << text;
  }
  EXPECT_TRUE(StemMatches("C190", "C190"));
  EXPECT_FALSE(StemMatches("C190", "C1901"));
  EXPECT_TRUE(StemMatches("C19*", "C1901"));
  EXPECT_FALSE(StemMatches("C19*", "C1"));
}

TEST(IdentifiersTest, NonsenseIsReadOrRefusedAndNeverMore) {
  std::mt19937 random(20260101);
  const char characters[] = "RrNCSa0./-_~ \n\xff%";
  for (int round = 0; round < 50000; ++round) {
    std::string text;
    for (int length = static_cast<int>(random() % 12); length > 0; --length) {
      text.push_back(characters[random() % sizeof(characters)]);
    }
    const absl::StatusOr<AppId> app_id = ParseAppId(text);
    if (app_id.ok() && app_id->registered_form) {
      EXPECT_EQ(app_id->text,
                "R" + app_id->authority + "." + app_id->reverse_dns + "." + app_id->application);
    }
    const absl::StatusOr<AeId> ae_id = ParseAeId(text);
    if (ae_id.ok()) {
      EXPECT_NE(text.find(ae_id->stem), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace countersign::onem2m
