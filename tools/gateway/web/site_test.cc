// Who may see and do what; what is kept on disk. The services are away: nobody listens at their address.
#include "tools/gateway/web/site.h"

#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "tools/gateway/web/acts.h"
#include "tools/gateway/web/front.h"
#include "tools/gateway/web/principals.h"

namespace countersign::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string Folder() {
  const std::string folder = ::testing::TempDir() + "/" + crypto::RandomHex(8);
  std::filesystem::create_directories(folder);
  return folder;
}

// --- Principals ---

TEST(PrincipalsTest, OnlyTheRightPinLetsIn) {
  Principals principals(Folder() + "/principals.json");
  FakeClock clock;
  ASSERT_OK(principals.Set("anna", "271828"));
  EXPECT_OK(principals.Verify("anna", "271828", clock.Now()));
  EXPECT_THAT(principals.Verify("anna", "271829", clock.Now()),
              StatusIs(absl::StatusCode::kUnauthenticated, "PIN_WRONG"));
  EXPECT_THAT(principals.Verify("", "", clock.Now()),
              StatusIs(absl::StatusCode::kUnauthenticated, "PIN_WRONG"));
  EXPECT_THAT(principals.Verify("bert", "271828", clock.Now()),
              StatusIs(absl::StatusCode::kUnauthenticated, "PIN_WRONG"));
  ASSERT_OK(principals.Remove("anna"));
  EXPECT_THAT(principals.Verify("anna", "271828", clock.Now()),
              StatusIs(absl::StatusCode::kUnauthenticated, "PIN_WRONG"));
  EXPECT_THAT(principals.Remove("anna"), StatusIs(absl::StatusCode::kNotFound, "PRINCIPAL_UNKNOWN"));
  EXPECT_THAT(*principals.List(), IsEmpty());
}

TEST(PrincipalsTest, WeakPinsAndStrangeNamesAreRefused) {
  Principals principals(Folder() + "/principals.json");
  EXPECT_THAT(principals.Set("anna", "12345"), StatusIs(absl::StatusCode::kInvalidArgument, "PIN_TOO_SHORT"));
  EXPECT_THAT(principals.Set("", "271828"),
              StatusIs(absl::StatusCode::kInvalidArgument, "PRINCIPAL_INVALID"));
  EXPECT_THAT(principals.Set("a b", "271828"),
              StatusIs(absl::StatusCode::kInvalidArgument, "PRINCIPAL_INVALID"));
}

TEST(PrincipalsTest, WrongPinsCloseTheDoorForLongerAndLonger) {
  const std::string path = Folder() + "/principals.json";
  Principals principals(path);
  FakeClock clock;
  ASSERT_OK(principals.Set("anna", "271828"));
  ASSERT_OK(principals.Set("bert", "314159"));
  const auto guess = [&] { return principals.Verify("anna", "000000", clock.Now()); };
  for (int i = 0; i <= Principals::kFreeFailures; ++i)
    EXPECT_THAT(guess(), StatusIs(absl::StatusCode::kUnauthenticated));
  // Also for the right one, also after a restart, and for nobody else.
  EXPECT_THAT(principals.Verify("anna", "271828", clock.Now()),
              StatusIs(absl::StatusCode::kResourceExhausted, "PIN_LOCKED"));
  EXPECT_THAT(Principals(path).Verify("anna", "271828", clock.Now()),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_OK(principals.Verify("bert", "314159", clock.Now()));
  absl::Duration wait = Principals::kFirstWait;
  for (int i = 0; i < 10; ++i) {
    clock.Advance(wait - absl::Seconds(1));
    EXPECT_THAT(guess(), StatusIs(absl::StatusCode::kResourceExhausted)) << i;
    clock.Advance(absl::Seconds(1));
    EXPECT_THAT(guess(), StatusIs(absl::StatusCode::kUnauthenticated)) << i;
    wait = std::min(wait * 2, Principals::kLongestWait);
  }
  clock.Advance(Principals::kLongestWait);
  EXPECT_OK(principals.Verify("anna", "271828", clock.Now()));
  // The right one makes good.
  EXPECT_THAT(guess(), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_OK(principals.Verify("anna", "271828", clock.Now()));
}

TEST(PrincipalsTest, WhoTriesNamesIsAsSlowAsWhoTriesPins) {
  Principals principals(Folder() + "/principals.json");
  FakeClock clock;
  ASSERT_OK(principals.Set("anna", "271828"));
  for (int i = 0; i <= Principals::kFreeFailures; ++i) {
    EXPECT_THAT(principals.Verify("name-" + std::to_string(i), "000000", clock.Now()),
                StatusIs(absl::StatusCode::kUnauthenticated));
  }
  EXPECT_THAT(principals.Verify("another", "000000", clock.Now()),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_OK(principals.Verify("anna", "271828", clock.Now()));
}

TEST(PrincipalsTest, ADamagedFileLetsNobodyIn) {
  const std::string path = Folder() + "/principals.json";
  ASSERT_OK(WriteFileAtomically(path, "{\"anna\": {\"pin\": 1}}"));
  Principals principals(path);
  EXPECT_THAT(principals.Verify("anna", "", FakeClock().Now()), StatusIs(absl::StatusCode::kDataLoss));
}

// --- Acts ---

Act MakeAct(const std::string& id, const std::string& subject) {
  return {.id = id,
          .kind = Act::Kind::kAnswer,
          .subject = subject,
          .what = "Install ü",
          .request = std::string("\0\xff\x01", 3),
          .principal = "anna",
          .time = absl::FromUnixSeconds(1767225600)};
}

TEST(ActsTest, WhatWasDecidedIsThereAfterARestart) {
  const std::string path = Folder() + "/answers.json";
  {
    const auto acts = Acts::Open(path);
    ASSERT_OK((*acts)->Add(MakeAct("1", "a")));
    ASSERT_OK((*acts)->Add(MakeAct("2", "b")));
    ASSERT_OK((*acts)->Add(MakeAct("3", "c")));
    ASSERT_OK((*acts)->Refuse("2", "PROMPT_EXPIRED"));
    ASSERT_OK((*acts)->Remove("3"));
  }
  const auto acts = Acts::Open(path);
  ASSERT_OK(acts);
  Act refused = MakeAct("2", "b");
  refused.state = Act::State::kRefused;
  refused.reason = "PROMPT_EXPIRED";
  EXPECT_THAT((*acts)->List(), ElementsAre(MakeAct("1", "a"), refused));
}

TEST(ActsTest, OneThingIsAnsweredOnceAndTheirNumberIsBounded) {
  const auto acts = Acts::Open(Folder() + "/answers.json");
  ASSERT_OK((*acts)->Add(MakeAct("1", "a")));
  EXPECT_THAT((*acts)->Add(MakeAct("2", "a")), StatusIs(absl::StatusCode::kAlreadyExists, "ANSWER_KEPT"));
  for (size_t i = 1; i < Acts::kMax; ++i) ASSERT_OK((*acts)->Add(MakeAct("x" + std::to_string(i), "")));
  EXPECT_THAT((*acts)->Add(MakeAct("y", "b")),
              StatusIs(absl::StatusCode::kResourceExhausted, "TOO_MANY_ANSWERS"));
}

TEST(ActsTest, ADamagedFileIsSaidSo) {
  const std::string path = Folder() + "/answers.json";
  for (const char* bytes : {"", "{}", "[1]", "[{\"id\": \"1\"}]", "[\xff]"}) {
    ASSERT_OK(WriteFileAtomically(path, bytes));
    EXPECT_THAT(Acts::Open(path), StatusIs(absl::StatusCode::kDataLoss, "STATE_DAMAGED")) << bytes;
  }
}

// --- Site ---

std::shared_ptr<grpc::Channel> Nobody() {
  return grpc::CreateChannel("unix:/nonexistent", grpc::InsecureChannelCredentials());
}

class SiteTest : public ::testing::Test {
 protected:
  SiteTest()
      : principals_(folder_ + "/principals.json"),
        // A port that nobody listens at.
        services_({Nobody(), Nobody(), Nobody(), Nobody()}, absl::Milliseconds(200)) {
    acts_ = *Acts::Open(folder_ + "/answers.json");
    watch_ = std::make_unique<HomeWatch>("home-1", &services_, acts_.get(), &desk_);
    site_ = std::make_unique<Site>(SiteOptions{.port = 8443,
                                               .names = {"gateway.home"},
                                               .zone = absl::UTCTimeZone(),
                                               .patience = absl::ZeroDuration()},
                                   watch_.get(), &principals_, &clock_);
    EXPECT_TRUE(principals_.Set("anna", "271828").ok());
  }

  static http::Request Make(const std::string& method, const std::string& path,
                            std::map<std::string, std::string> headers = {}) {
    http::Request request;
    request.method = method;
    request.path = path;
    headers.emplace("host", "127.0.0.1:8443");
    if (method == "POST") headers.emplace("origin", "http://127.0.0.1:8443");
    request.headers = headers;
    for (const auto& [name, value] : headers) request.header_counts[name] = 1;
    return request;
  }

  static std::string HeaderOf(const http::Response& response, const std::string& name) {
    for (const auto& [other, value] : response.headers) {
      if (other == name) return value;
    }
    return "";
  }

  // The cookie of somebody who signed in.
  std::string SignIn() {
    http::Request request = Make("POST", "/login");
    request.form = {{"principal", "anna"}, {"pin", "271828"}};
    const http::Response response = site_->Respond(request);
    EXPECT_EQ(response.code, 303);
    const std::string cookie = HeaderOf(response, "Set-Cookie");
    return cookie.substr(0, cookie.find(';'));
  }

  std::string CsrfOf(const std::string& cookie) {
    const std::string page = site_->Respond(Make("GET", "/", {{"cookie", cookie}})).body;
    const std::string before = "name=\"csrf\" value=\"";
    const size_t begin = page.find(before);
    return begin == std::string::npos ? "" : page.substr(begin + before.size(), 64);
  }

  const std::string folder_ = Folder();
  FakeClock clock_;
  Principals principals_;
  Services services_;
  Desk desk_;
  std::unique_ptr<Acts> acts_;
  std::unique_ptr<HomeWatch> watch_;
  std::unique_ptr<Site> site_;
};

TEST_F(SiteTest, OnlyOurNamesAndAddressesAreAnswered) {
  for (const char* host : {"127.0.0.1:8443", "localhost:8443", "LOCALHOST:8443", "[::1]:8443",
                           "192.168.1.7:8443", "gateway.home:8443", "Gateway.Home:8443"}) {
    EXPECT_EQ(site_->Respond(Make("GET", "/", {{"host", host}})).code, 200) << host;
  }
  for (const char* host :
       {"", "evil.example:8443", "127.0.0.1", "127.0.0.1:80", "127.0.0.1.evil.example:8443", "1:8443",
        "gateway.home.evil.example:8443", "[evil]:8443", "localhost:8443:8443", "0x7f000001:8443"}) {
    EXPECT_EQ(site_->Respond(Make("GET", "/", {{"host", host}})).code, 421) << host;
  }
  http::Request twice = Make("GET", "/");
  twice.header_counts["host"] = 2;
  EXPECT_EQ(site_->Respond(twice).code, 421);
}

TEST_F(SiteTest, AFormOfAnotherPageIsRefused) {
  const std::string cookie = SignIn();
  const std::string csrf = CsrfOf(cookie);
  const auto post = [&](std::map<std::string, std::string> headers, const std::string& token) {
    headers.emplace("cookie", cookie);
    http::Request request = Make("POST", "/dismiss", headers);
    if (request.headers["origin"].empty()) request.headers.erase("origin");
    request.form = {{"csrf", token}};
    return site_->Respond(request).code;
  };
  EXPECT_EQ(post({}, csrf), 303);
  EXPECT_EQ(post({{"origin", ""}, {"sec-fetch-site", "same-origin"}}, csrf), 303);
  EXPECT_EQ(post({{"origin", ""}}, csrf), 403);
  EXPECT_EQ(post({{"origin", "http://evil.example"}}, csrf), 403);
  EXPECT_EQ(post({{"origin", "null"}}, csrf), 403);
  EXPECT_EQ(post({{"origin", "https://127.0.0.1:8443"}}, csrf), 403);
  EXPECT_EQ(post({{"origin", "http://127.0.0.1:8444"}}, csrf), 403);
  for (const char* site : {"cross-site", "same-site", "none"})
    EXPECT_EQ(post({{"sec-fetch-site", site}}, csrf), 403);
  EXPECT_EQ(post({}, ""), 403);
  EXPECT_EQ(post({}, std::string(64, '0')), 403);
  // Another's token.
  EXPECT_EQ(post({}, CsrfOf(SignIn())), 403);
}

TEST_F(SiteTest, WhoIsNotSignedInChangesNothing) {
  for (const char* path :
       {"/answer", "/withdraw", "/permissions", "/permissions/withdraw", "/confirm", "/dismiss", "/logout"}) {
    const http::Response response = site_->Respond(Make("POST", path));
    EXPECT_EQ(response.code, 303) << path;
    EXPECT_EQ(HeaderOf(response, "Location"), "/login") << path;
    const http::Response forged =
        site_->Respond(Make("POST", path, {{"cookie", "countersign-session=" + std::string(64, 'a')}}));
    EXPECT_EQ(HeaderOf(forged, "Location"), "/login") << path;
  }
  EXPECT_THAT(acts_->List(), IsEmpty());
}

TEST_F(SiteTest, ASessionEndsWithSigningOutWithTimeAndWithIdleness) {
  const auto in = [&](const std::string& cookie) { return !CsrfOf(cookie).empty(); };
  std::string cookie = SignIn();
  EXPECT_TRUE(in(cookie));
  http::Request out = Make("POST", "/logout", {{"cookie", cookie}});
  out.form = {{"csrf", CsrfOf(cookie)}};
  EXPECT_EQ(site_->Respond(out).code, 303);
  EXPECT_FALSE(in(cookie));

  cookie = SignIn();
  clock_.Advance(Sessions::kIdle);
  EXPECT_TRUE(in(cookie));
  // A page that is open and asks by itself is not somebody who is there.
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(Sessions::kIdle / 2);
    site_->Respond(Make("GET", "/live", {{"cookie", cookie}}));
  }
  EXPECT_FALSE(in(cookie));

  cookie = SignIn();
  for (absl::Duration used; used <= Sessions::kLongest; used += Sessions::kIdle) {
    EXPECT_TRUE(in(cookie));
    clock_.Advance(Sessions::kIdle);
  }
  EXPECT_FALSE(in(cookie));
}

TEST_F(SiteTest, SessionsAreBounded) {
  const std::string first = SignIn();
  for (size_t i = 0; i < Sessions::kMax; ++i) {
    clock_.Advance(absl::Seconds(1));
    SignIn();
  }
  EXPECT_EQ(CsrfOf(first), "");
}

TEST_F(SiteTest, EveryAnswerSaysWhatABrowserMayDoWithIt) {
  for (const http::Request& request :
       {Make("GET", "/"), Make("GET", "/nowhere"), Make("POST", "/answer"),
        Make("GET", "/", {{"host", "evil.example"}}), Make("GET", "/static/app.js")}) {
    const http::Response response = site_->Respond(request);
    EXPECT_THAT(HeaderOf(response, "Content-Security-Policy"), HasSubstr("default-src 'none'"));
    EXPECT_THAT(HeaderOf(response, "Content-Security-Policy"), Not(HasSubstr("unsafe")));
    EXPECT_EQ(HeaderOf(response, "X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(HeaderOf(response, "Referrer-Policy"), "same-origin");
  }
}

TEST_F(SiteTest, TheLanguageIsTheBrowsersUntilItIsChosen) {
  EXPECT_THAT(site_->Respond(Make("GET", "/", {{"accept-language", "de-DE"}})).body,
              HasSubstr("<html lang=\"de\">"));
  http::Request request = Make("GET", "/", {{"accept-language", "de-DE"}});
  request.query = {{"lang", "en"}};
  const http::Response chosen = site_->Respond(request);
  EXPECT_THAT(chosen.body, HasSubstr("<html lang=\"en\">"));
  const std::string cookie = HeaderOf(chosen, "Set-Cookie");
  EXPECT_THAT(site_->Respond(Make("GET", "/", {{"accept-language", "de-DE"}, {"cookie", cookie}})).body,
              HasSubstr("<html lang=\"en\">"));
  request.query = {{"lang", "<x>"}};
  EXPECT_EQ(HeaderOf(site_->Respond(request), "Set-Cookie"), "");
}

TEST_F(SiteTest, WithoutServicesNothingIsPretended) {
  const std::string page = site_->Respond(Make("GET", "/")).body;
  EXPECT_THAT(page, HasSubstr("cannot be reached"));
  EXPECT_THAT(page, Not(HasSubstr("Nothing needs your attention")));
}

// FOTA-T2, PLUS-2: the services are away. What was agreed to is on disk; what was not shown is not agreed to.
TEST_F(SiteTest, APermissionIsKeptWhenTheTextWasShownAndRefusedWhenAnotherWas) {
  const std::string cookie = SignIn();
  http::Request shown = Make("GET", "/permissions/new", {{"cookie", cookie}});
  shown.query = {{"kind", "security"}, {"minimum", "high"}};
  const std::string page = site_->Respond(shown).body;
  EXPECT_THAT(page, HasSubstr("with an urgency of at least high"));
  const std::string before = "name=\"text\" value=\"";
  const std::string digest = page.substr(page.find(before) + before.size(), 64);
  http::Request agreed = Make("POST", "/permissions", {{"cookie", cookie}});
  agreed.form = {{"csrf", CsrfOf(cookie)}, {"kind", "security"}, {"language", "en"}, {"text", digest}};
  // Without the limit that the text had.
  site_->Respond(agreed);
  EXPECT_THAT(acts_->List(), IsEmpty());
  agreed.form.insert({"minimum", "high"});
  EXPECT_EQ(site_->Respond(agreed).code, 303);
  ASSERT_EQ(acts_->List().size(), 1u);
  consent::v1::CreatePolicyRequest request;
  ASSERT_TRUE(request.ParseFromString(acts_->List()[0].request));
  EXPECT_EQ(request.policy().principal_id(), "anna");
  EXPECT_EQ(request.policy().minimum_criticality(), common::v1::CRITICALITY_HIGH);
  EXPECT_EQ(request.policy().text_sha256(), digest);
  EXPECT_THAT(site_->Respond(Make("GET", "/permissions", {{"cookie", cookie}})).body,
              HasSubstr("this is kept here"));
}

// SC-USE-7
TEST_F(SiteTest, AnImageWithoutApprovalIsInstalledOnlyWithTheTick) {
  desk_.Show({{.ecu_serial = "T-1", .sha256 = "aa", .approval_result = "EXPIRED"}}, {});
  const std::string cookie = SignIn();
  http::Request request = Make("POST", "/confirm", {{"cookie", cookie}});
  request.form = {{"csrf", CsrfOf(cookie)}, {"ecu", "T-1"}, {"sha256", "aa"}, {"decision", "yes"}};
  EXPECT_EQ(site_->Respond(request).code, 400);
  EXPECT_THAT(desk_.TakeAnswers(), IsEmpty());
  request.form.insert({"understood", "yes"});
  EXPECT_EQ(site_->Respond(request).code, 303);
  const auto answers = desk_.TakeAnswers();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_TRUE(answers[0].confirm);
  EXPECT_EQ(answers[0].principal_id, "anna");
  // Anything but yes is no.
  desk_.Show({{.ecu_serial = "T-1", .sha256 = "aa", .approval_result = "EXPIRED"}}, {});
  request.form.erase("decision");
  site_->Respond(request);
  EXPECT_FALSE(desk_.TakeAnswers().at(0).confirm);
}

// A PIN does not go over a network in the clear because somebody forgot a flag.
TEST(FrontTest, OthersThanThisMachineAreServedWithTlsOnly) {
  Desk desk;
  const auto start = [&](FrontOptions options) {
    return Front::Start(options, "home-1", Folder(), {Nobody(), Nobody(), Nobody(), Nobody()}, &desk)
        .status();
  };
  EXPECT_THAT(start({.listen = "0.0.0.0:1"}), StatusIs(absl::StatusCode::kFailedPrecondition, "TLS_MISSING"));
  EXPECT_THAT(start({.listen = "[::]:1"}), StatusIs(absl::StatusCode::kFailedPrecondition, "TLS_MISSING"));
  EXPECT_THAT(start({.listen = "0.0.0.0:1", .certificate = "/nonexistent", .key = "/nonexistent"}),
              StatusIs(absl::StatusCode::kInvalidArgument, "TLS_UNUSABLE"));
  for (const char* listen :
       {"8443", "localhost:8443", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "[::1:1"}) {
    EXPECT_THAT(start({.listen = listen}),
                StatusIs(absl::StatusCode::kInvalidArgument, "WEB_ADDRESS_INVALID"))
        << listen;
  }
}

TEST(SafePathTest, OnlyPathsOfOursAreFollowed) {
  for (const char* path : {"/", "/updates/17", "/confirm/T-1/aa"}) EXPECT_EQ(SafePath(path), path);
  for (const char* path : {"", "//evil.example", "/\\evil.example", "https://evil.example", "javascript:x",
                           "/a?b=c", "/a#b", "/a\r\nb", "evil"}) {
    EXPECT_EQ(SafePath(path), "/") << path;
  }
}

}  // namespace
}  // namespace countersign::gateway
