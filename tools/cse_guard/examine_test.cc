#include "tools/cse_guard/examine.h"

#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace countersign::cse_guard {
namespace {

using ::testing::HasSubstr;

constexpr char kAeBody[] = R"({"m2m:ae": {"api": "Ra01.com.acme.thermostat", "rr": true, "rn": "t1"}})";

HttpRequest Post(const std::string& content_type, const std::string& body,
                 const std::string& target = "/cse-in") {
  HttpRequest request{
      "POST", target, {{"Host", "cse"}, {"X-M2M-Origin", "Cthermostat"}, {"X-M2M-RI", "1"}}, body};
  if (!content_type.empty()) request.headers.emplace_back("Content-Type", content_type);
  return request;
}

Examined Of(const HttpRequest& request, const std::string& policy = "{}") {
  return Examine(request, *Policy::Parse(policy));
}

TEST(ExamineTest, AnAeCreationIsSeenWithWhatItPresents) {
  // APPID-2
  for (const char* type :
       {"application/json;ty=2", "application/json; ty=2", "application/vnd.onem2m-res+json ; ty=2 ",
        "application/json;ty=2;charset=utf-8", "application/json; charset=UTF-8; ty=2"}) {
    const Examined examined = Of(Post(type, kAeBody));
    ASSERT_FALSE(examined.refusal.has_value()) << type << ": " << examined.refusal->message;
    ASSERT_TRUE(examined.ae.has_value()) << type;
    EXPECT_EQ(examined.ae->app_id, "Ra01.com.acme.thermostat");
    EXPECT_EQ(examined.ae->ae_id, "Cthermostat");
    EXPECT_EQ(examined.originator, "Cthermostat");
  }
  HttpRequest request = Post("application/json;ty=2", R"({"m2m:ae": {"api": "Nx", "or": "https://saref"}})");
  request.headers[1].second = "C";
  EXPECT_EQ(Of(request).ae->ae_id, "");
  EXPECT_EQ(Of(request).ae->data_model, "https://saref");
}

TEST(ExamineTest, OtherRequestsPass) {
  EXPECT_FALSE(Of({"GET", "/cse-in?fu=1&ty=2&lbl=a%2Fb", {{"X-M2M-Origin", "C1"}}, ""}).refusal.has_value());
  EXPECT_FALSE(Of({"DELETE", "/cse-in/t1", {{"X-M2M-Origin", "C1"}}, ""}).refusal.has_value());
  EXPECT_EQ(Of(Post("application/json;ty=3", R"({"m2m:cnt": {}})")).creates, 3);
  EXPECT_EQ(
      Of(Post("application/json;ty=4", R"({"m2m:cin": {"con": "{\"m2m:ae\": {\"api\": \"x\"}}"}})")).creates,
      4);
  EXPECT_FALSE(Of(Post("application/json", R"({"m2m:sgn": {"nev": {}}})")).refusal.has_value());
  HttpRequest update = Post("application/json", R"({"m2m:ae": {"lbl": ["x"]}})");
  update.method = "PUT";
  EXPECT_TRUE(Of(update).updates);
  EXPECT_FALSE(Of(update).refusal.has_value());
}

// What a CSE might take for the creation of an <AE> otherwise than it was understood here.
TEST(ExamineTest, NoOtherFormOfTheTypePasses) {
  for (const char* type : {"application/json;TY=2",
                           "application/json;ty=02",
                           "application/json;ty=\"2\"",
                           "application/json;ty= 2",
                           "application/json;ty =2",
                           "application/json;ty=2;ty=3",
                           "application/json;ty=3;ty=2",
                           "application/json;ty=+2",
                           "application/json;ty=2.0",
                           "application/json;ty=0x2",
                           "application/json;ty=\xd9\xa2",
                           "application/json;ty=2_",
                           "application/json;x=2;ty=3",
                           "application/json;ty=",
                           "application/json;ty",
                           "application/json,text/plain;ty=2",
                           ";ty=2",
                           "application/json;;ty=2",
                           "application/json;ty=2;",
                           "application/json;charset=utf-16;ty=2",
                           "application/json;ty=123456"}) {
    ASSERT_TRUE(Of(Post(type, kAeBody)).refusal.has_value()) << type;
    EXPECT_EQ(Of(Post(type, kAeBody)).refusal->http_status, 400) << type;
  }
  // A type that is JSON to who looks at its beginning only.
  EXPECT_EQ(Of(Post("application/jsonp;ty=2", kAeBody)).refusal->rsc, kUnsupportedMediaType);
  EXPECT_EQ(Of(Post("text/plain;ty=2", kAeBody)).refusal->rsc, kUnsupportedMediaType);
  EXPECT_TRUE(Of(Post("application/json", kAeBody)).refusal.has_value()) << "an m2m:ae without ty";
  EXPECT_TRUE(Of(Post("application/json;ty=3", kAeBody)).refusal.has_value());
  EXPECT_TRUE(Of(Post("application/json;ty=3", R"({"m2m:AE": {"api": "Nx"}})")).refusal.has_value());
  EXPECT_TRUE(Of(Post("", kAeBody)).refusal.has_value());
  EXPECT_TRUE(Of(Post("application/json;ty=3", R"({"m2m:cnt": {}})", "/cse-in?ty=2")).refusal.has_value());
  EXPECT_TRUE(Of(Post("application/json;ty=3", R"({"m2m:cnt": {}})", "/cse-in?%74y=2")).refusal.has_value());
  EXPECT_TRUE(Of(Post("application/json", "{}", "/cse-in?op=1")).refusal.has_value());
}

TEST(ExamineTest, NoOtherFormOfTheRequestPasses) {
  for (const char* name : {"X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method", "X_M2M_Origin",
                           "X-Original-URL", "X-M2M-Origin", "x-m2m-ri"}) {
    HttpRequest request = Post("application/json;ty=3", R"({"m2m:cnt": {}})");
    request.headers.emplace_back(name, "POST");
    EXPECT_TRUE(Of(request).refusal.has_value()) << name;
  }
  HttpRequest request = Post("application/json;ty=2", kAeBody);
  request.headers.emplace_back("content-type", "application/json;ty=3");
  EXPECT_TRUE(Of(request).refusal.has_value());
  request = Post("application/json;ty=2", kAeBody);
  request.headers.emplace_back("Content-Encoding", "gzip");
  EXPECT_EQ(Of(request).refusal->http_status, 415);
  for (const char* method : {"PATCH", "CONNECT", "TRACE", "CREATE", "QUERY"}) {
    request = Post("application/json;ty=2", kAeBody);
    request.method = method;
    EXPECT_EQ(Of(request).refusal->http_status, 405) << method;
  }
  request = Post("application/json;ty=2", kAeBody);
  request.method = "PUT";
  EXPECT_TRUE(Of(request).refusal.has_value());
  for (const char* target : {"/cse-in/../x", "/cse-in/%2e%2e/x", "/cse-in%2ffopt", "/cse%", "/cse%zz",
                             "/cse%00", "/cse%252f", "/./cse"}) {
    EXPECT_TRUE(Of(Post("application/json;ty=3", R"({"m2m:cnt": {}})", target)).refusal.has_value())
        << target;
  }
}

TEST(ExamineTest, AnAeComesNeitherThroughAGroupNorWithinAnotherRequest) {
  for (const char* target :
       {"/cse-in/grp/fopt", "/cse-in/grp/FOPT", "/cse-in/grp/%66opt", "/cse-in/grp/fopt/x"}) {
    const Examined examined = Of(Post("application/json;ty=2", kAeBody, target));
    ASSERT_TRUE(examined.refusal.has_value()) << target;
    EXPECT_EQ(examined.refusal->rsc, kAppRuleValidationFailed);
    EXPECT_THAT(examined.refusal->message, HasSubstr("FANOUT_AE_CREATION"));
  }
  EXPECT_FALSE(
      Of(Post("application/json;ty=3", R"({"m2m:cnt": {}})", "/cse-in/grp/fopt")).refusal.has_value());
  for (const std::string body : {
           R"({"m2m:actr": {"apv": {"op": 1, "to": "/id-in", "ty": 2, "pc": {}}}})",
           R"({"m2m:actr": {"apv": {"op": "1", "ty": " 2 "}}})",
           R"({"m2m:actr": {"apv": {"op": 1.0, "ty": 2.0}}})",
           R"({"m2m:trnm": {"rqps": [{"m2m:rqp": {"op": 1, "ty": 2}}]}})",
           R"({"m2m:rqp": {"op": 1, "pc": {"m2m:ae": {"api": "Nx"}}}})",
           R"({"x": [[{"m2m:\u0061e": {}}]]})",
       }) {
    const Examined examined = Of(Post("application/json;ty=65", body));
    ASSERT_TRUE(examined.refusal.has_value()) << body;
    EXPECT_THAT(examined.refusal->message, HasSubstr("EMBEDDED_AE_CREATION")) << body;
    HttpRequest update = Post("application/json", body);
    update.method = "PUT";
    EXPECT_TRUE(Of(update).refusal.has_value()) << body;
  }
  HttpRequest update = Post("application/json", R"({"m2m:ae": {"api": "Ra01.com.acme.other"}})");
  update.method = "PUT";
  EXPECT_THAT(Of(update).refusal->message, HasSubstr("APP_ID_CHANGE"));
}

TEST(ExamineTest, JsonThatParsersReadDifferentlyIsRefused) {
  for (const std::string& body : {
           std::string(R"({"m2m:ae": {"api": "Ra01.com.acme.good", "api": "Ra01.com.acme.bad"}})"),
           std::string(R"({"m2m:ae": {"api": "Ra01.com.acme.good", "\u0061pi": "Ra01.com.acme.bad"}})"),
           std::string(R"({"m2m:ae": {"api": "Nx"}, "m2m:ae": {"api": "Ny"}})"),
           std::string(R"({"m2m:ae": {"api": "Nx"}, "m2m:cnt": {}})"),
           std::string("\xef\xbb\xbf") + kAeBody,
           std::string(kAeBody) + kAeBody,
           std::string(kAeBody) + "//",
           std::string(R"({"m2m:ae": /* {"api": "Nx"} */ {"api": "Ny"}})"),
           std::string(R"({"m2m:ae": {'api': 'Nx'}})"),
           std::string(R"({"m2m:ae": {"api": "Nx",}})"),
           std::string(R"({"m2m:ae": {"api": "N)") + '\xff' + R"("}})",
           std::string(R"({"m2m:ae": {"api": "Nx")") + '\0' + "}}",
           std::string(R"({"m2m:ae": {"api": ["Nx"]}})"),
           std::string(R"({"m2m:ae": {"API": "Nx"}})"),
           std::string(R"({"m2m:ae": {"Api": "Ny", "api": "Nx"}})"),
           std::string(R"({"m2m:ae": {}})"),
           std::string(R"({"m2m:ae": [{"api": "Nx"}]})"),
           std::string(R"([{"m2m:ae": {"api": "Nx"}}])"),
           std::string(R"({"M2M:AE": {"api": "Nx"}})"),
           std::string(R"({"m2m:ae": {"api": "Nx", "x": )") + std::string(100, '[') + std::string(100, ']') +
               "}}",
           std::string(""),
           std::string("null"),
       }) {
    ASSERT_TRUE(Of(Post("application/json;ty=2", body)).refusal.has_value()) << body;
  }
}

TEST(ExamineTest, WhatCannotBeReadPassesOnlyIfThePolicySaysSo) {
  const HttpRequest xml = Post("application/xml;ty=2", "<m2m:ae/>");
  EXPECT_EQ(Of(xml).refusal->http_status, 415);
  EXPECT_EQ(Of(xml).refusal->rsc, kUnsupportedMediaType);
  EXPECT_EQ(Of(Post("application/cbor;ty=3", "\xa0")).refusal->http_status, 415);
  const std::string policy = R"({"unreadable": {"aeCreation": "pass", "other": "pass"}})";
  EXPECT_TRUE(Of(xml, policy).unreadable);
  EXPECT_FALSE(Of(xml, policy).refusal.has_value());
  EXPECT_TRUE(Of(Post("application/cbor;ty=3", "\xa0"), policy).unreadable);
  EXPECT_TRUE(Of(xml, R"({"unreadable": {"other": "pass"}})").refusal.has_value());
}

TEST(ExamineTest, WhoIsToGetAnAeIdIsToldIt) {
  HttpRequest request = Post("application/json;ty=2", kAeBody, "/cse-in?rcn=0");
  EXPECT_FALSE(Of(request).refusal.has_value()) << "who has one knows it";
  for (const char* origin : {"", "C", "S"}) {
    request.headers[1].second = origin;
    request.target = "/cse-in?rcn=0";
    EXPECT_TRUE(Of(request).refusal.has_value()) << origin;
    request.target = "/cse-in?rt=1";
    EXPECT_TRUE(Of(request).refusal.has_value()) << origin;
    request.target = "/cse-in?rcn=1";
    EXPECT_FALSE(Of(request).refusal.has_value()) << origin;
  }
  request.headers[1].second = "nobody";
  EXPECT_TRUE(Of(request).refusal.has_value());
}

TEST(UnmistakableJsonTest, NoShortcutOfAnyParserFindsAnythingInIt) {
  const nlohmann::json value = {{"a\\", "\"//#;;/*'"}, {"b", {1, true, nullptr, "W\xc3\xa4rme\n\t"}}};
  ASSERT_OK_AND_ASSIGN(const std::string text, UnmistakableJson(value));
  EXPECT_EQ(nlohmann::json::parse(text), value);
  for (const char* shortcut : {"\\\\", "\\\"", "/", "#", ";", "'", "*"}) {
    EXPECT_EQ(text.find(shortcut), std::string::npos) << shortcut << " in " << text;
  }
  EXPECT_THAT(UnmistakableJson({{"x", 1.5}}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(UnmistakableJson(nlohmann::json::parse("{\"x\": 123456789012345678901234567890}")),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(UnmistakableJsonTest, WhatIsWrittenIsReadTheSame) {
  std::mt19937 random(20260101);
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    for (int length = static_cast<int>(random() % 20); length > 0; --length) {
      text.push_back(static_cast<char>(1 + random() % 127));
    }
    const nlohmann::json value = {{text, text}};
    ASSERT_OK_AND_ASSIGN(const std::string written, UnmistakableJson(value));
    ASSERT_OK_AND_ASSIGN(const nlohmann::json read, ParseUnmistakable(written));
    EXPECT_EQ(read, value);
  }
}

TEST(ExamineTest, NonsenseIsReadOrRefusedAndNeverMore) {
  std::mt19937 random(20260102);
  for (int round = 0; round < 30000; ++round) {
    HttpRequest request = Post("application/json;ty=2", kAeBody);
    for (int changes = 1 + static_cast<int>(random() % 3); changes > 0; --changes) {
      std::string& part = random() % 3 == 0 ? request.headers[3].second : request.body;
      part[random() % part.size()] = static_cast<char>(random());
    }
    const Examined examined = Of(request);
    if (examined.ae.has_value()) {
      EXPECT_EQ((*examined.body)["m2m:ae"]["api"], examined.ae->app_id);
    }
  }
}

}  // namespace
}  // namespace countersign::cse_guard
