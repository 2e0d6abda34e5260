#include "tools/gateway/web/site.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "tools/gateway/web/assets.h"
#include "tools/gateway/web/words.h"

namespace countersign::gateway {
namespace {

using http::Request;
using http::Response;

constexpr char kHtml[] = "text/html; charset=utf-8";

// Nothing from elsewhere, nothing inline, nobody's frame.
constexpr char kPolicy[] =
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

std::string Cookie(const Request& request, absl::string_view name) {
  for (absl::string_view part : absl::StrSplit(request.Header("cookie"), ';')) {
    part = absl::StripAsciiWhitespace(part);
    if (absl::ConsumePrefix(&part, absl::StrCat(name, "="))) return std::string(part);
  }
  return "";
}

std::string ContentType(absl::string_view name) {
  if (absl::EndsWith(name, ".css")) return "text/css; charset=utf-8";
  if (absl::EndsWith(name, ".js")) return "text/javascript; charset=utf-8";
  if (absl::EndsWith(name, ".svg")) return "image/svg+xml";
  return "application/octet-stream";
}

Response Redirect(absl::string_view path) {
  Response response;
  response.code = 303;
  response.headers.push_back({"Location", std::string(path)});
  return response;
}

Response HtmlPage(std::string html, int code = 200) {
  return {.code = code, .content_type = kHtml, .body = std::move(html), .headers = {}};
}

// What belongs to one of the ids that we make, and can stand in a path.
bool IsId(absl::string_view text) {
  return !text.empty() && text.size() <= 128 && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  });
}

// The policy that a form describes; nullopt if it describes none.
std::optional<consent::v1::Policy> PolicyOf(const std::multimap<std::string, std::string>& values) {
  consent::v1::Policy policy;
  const auto [begin, end] = values.equal_range("kind");
  for (auto kind = begin; kind != end; ++kind) {
    common::v1::UpdateKind value;
    if (!common::v1::UpdateKind_Parse(absl::StrCat("UPDATE_KIND_", absl::AsciiStrToUpper(kind->second)),
                                      &value) ||
        value == common::v1::UPDATE_KIND_UNSPECIFIED) {
      return std::nullopt;
    }
    if (std::find(policy.kinds().begin(), policy.kinds().end(), value) == policy.kinds().end())
      policy.add_kinds(value);
  }
  if (policy.kinds().empty()) return std::nullopt;
  const auto minimum = values.find("minimum");
  if (minimum != values.end() && !minimum->second.empty()) {
    common::v1::Criticality value;
    if (!common::v1::Criticality_Parse(absl::StrCat("CRITICALITY_", absl::AsciiStrToUpper(minimum->second)),
                                       &value)) {
      return std::nullopt;
    }
    policy.set_minimum_criticality(value);
  }
  return policy;
}

}  // namespace

std::string SafePath(absl::string_view path) {
  const bool ours = !path.empty() && path.size() <= 256 && path[0] == '/' && !absl::StartsWith(path, "//") &&
                    std::all_of(path.begin(), path.end(), [](char c) {
                      return absl::ascii_isalnum(c) || c == '/' || c == '-' || c == '_' || c == '.';
                    });
  return ours ? std::string(path) : "/";
}

std::string Sessions::Begin(const std::string& principal, absl::Time now) {
  const std::string token = crypto::RandomHex(32);
  absl::MutexLock lock(&mutex_);
  if (sessions_.size() >= kMax) {
    sessions_.erase(std::min_element(sessions_.begin(), sessions_.end(), [](const auto& a, const auto& b) {
      return a.second.used < b.second.used;
    }));
  }
  sessions_[crypto::Sha256Hex(token)] = {
      .principal = principal, .csrf = crypto::RandomHex(32), .began = now, .used = now, .notice = {}};
  return token;
}

std::optional<Session> Sessions::Find(const std::string& token, absl::Time now, bool take_notice) {
  if (token.empty()) return std::nullopt;
  absl::MutexLock lock(&mutex_);
  const auto found = sessions_.find(crypto::Sha256Hex(token));
  if (found == sessions_.end()) return std::nullopt;
  Session& session = found->second;
  if (now - session.used > kIdle || now - session.began > kLongest || now < session.began) {
    sessions_.erase(found);
    return std::nullopt;
  }
  Session copy = session;
  if (take_notice) session.notice.clear();
  return copy;
}

void Sessions::End(const std::string& token) {
  absl::MutexLock lock(&mutex_);
  sessions_.erase(crypto::Sha256Hex(token));
}

void Sessions::Tell(const std::string& token, const std::string& notice, bool is_bad) {
  absl::MutexLock lock(&mutex_);
  const auto found = sessions_.find(crypto::Sha256Hex(token));
  if (found == sessions_.end()) return;
  found->second.notice = notice;
  found->second.notice_is_bad = is_bad;
}

void Sessions::Use(const std::string& token, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  const auto found = sessions_.find(crypto::Sha256Hex(token));
  if (found != sessions_.end()) found->second.used = now;
}

struct Site::Call {
  const Request& request;
  std::string token;
  std::optional<Session> session;
  std::string language;
  absl::Time now;

  const Words& words() const { return Words::In(language); }
};

const std::string& Site::call_language(const Call& call) { return call.language; }

Site::Site(SiteOptions options, HomeWatch* watch, Principals* principals, const Clock* clock)
    : options_(std::move(options)), watch_(*watch), principals_(*principals), clock_(*clock) {}

// A name that somebody else's server gives out for this machine's address (DNS rebinding) is not ours. An
// address is: nobody can make it mean another machine.
bool Site::IsHostOurs(const Request& request) const {
  const auto count = request.header_counts.find("host");
  if (count == request.header_counts.end() || count->second != 1) return false;
  std::string host = absl::AsciiStrToLower(request.Header("host"));
  const std::string port = absl::StrCat(":", options_.port);
  if (absl::EndsWith(host, port)) {
    host.resize(host.size() - port.size());
  } else if (options_.port != (options_.tls ? 443 : 80)) {
    return false;
  }
  if (host == "localhost" ||
      std::find(options_.names.begin(), options_.names.end(), host) != options_.names.end()) {
    return true;
  }
  unsigned char address[sizeof(in6_addr)];
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    return inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), address) == 1;
  }
  return inet_pton(AF_INET, host.c_str(), address) == 1;
}

// Browsers say where a form came from, each of the last years both ways; who says neither is not let in.
bool Site::IsFromOurPage(const Request& request) const {
  const std::string site = request.Header("sec-fetch-site");
  const std::string origin = request.Header("origin");
  if (site.empty() && origin.empty()) return false;
  if (!site.empty() && site != "same-origin") return false;
  return origin.empty() || origin == absl::StrCat(options_.tls ? "https://" : "http://",
                                                  absl::AsciiStrToLower(request.Header("host")));
}

Response Site::Respond(const Request& request) {
  const absl::Time now = clock_.Now();
  Call call{.request = request,
            .token = Cookie(request, "countersign-session"),
            .session = {},
            .language = Cookie(request, "countersign-language"),
            .now = now};
  const std::string asked = request.Query("lang");
  const bool known = std::find(Languages().begin(), Languages().end(), asked) != Languages().end();
  if (known) call.language = asked;
  if (std::find(Languages().begin(), Languages().end(), call.language) == Languages().end()) {
    call.language = ChooseLanguage(request.Header("accept-language"));
  }
  Response response;
  if (!IsHostOurs(request)) {
    response = {.code = 421, .body = "This is not a name of this gateway. Call it by its address.\n"};
  } else if (request.method == "POST") {
    // A page that is open keeps nobody signed in; what its user does, does.
    call.session = sessions_.Find(call.token, now, /*take_notice=*/false);
    if (call.session) sessions_.Use(call.token, now);
    response = Post(call);
  } else {
    const bool live = request.path == "/live" || absl::StartsWith(request.path, "/static/");
    call.session = sessions_.Find(call.token, now, /*take_notice=*/!live);
    if (call.session && !live) sessions_.Use(call.token, now);
    response = Get(call);
  }
  if (known) {
    response.headers.push_back({"Set-Cookie", absl::StrCat("countersign-language=", asked,
                                                           "; Path=/; Max-Age=31536000; SameSite=Strict",
                                                           options_.tls ? "; Secure" : "")});
  }
  const bool cached = std::any_of(response.headers.begin(), response.headers.end(),
                                  [](const auto& header) { return header.first == "Cache-Control"; });
  if (!cached) response.headers.push_back({"Cache-Control", "no-store"});
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"Content-Security-Policy", kPolicy},
           {"X-Content-Type-Options", "nosniff"},
           {"X-Frame-Options", "DENY"},
           // Not no-referrer, with which a browser does not say where a form came from.
           {"Referrer-Policy", "same-origin"},
           {"Cross-Origin-Opener-Policy", "same-origin"},
           {"Cross-Origin-Resource-Policy", "same-origin"},
           {"Permissions-Policy", "camera=(), geolocation=(), microphone=()"}}) {
    response.headers.push_back({name, value});
  }
  return response;
}

Visit Site::MakeVisit(const Call& call) {
  Visit visit = {
      .speaker = {.words = call.words(), .now = call.now, .zone = options_.zone},
      .path = SafePath(call.request.path),
      .principal = {},
      .csrf = {},
      .notice = {},
      .acts = watch_.acts(),
  };
  // A part of the home page leads back to it.
  if (visit.path == "/live") visit.path = "/";
  if (call.session) {
    visit.principal = call.session->principal;
    visit.csrf = call.session->csrf;
    visit.notice = call.session->notice;
    visit.notice_is_bad = call.session->notice_is_bad;
  }
  return visit;
}

Response Site::Sorry(const Call& call, int code, absl::string_view key) {
  return HtmlPage(SorryPage(Look(call), MakeVisit(call), key), code);
}

Response Site::Back(const Call& call, absl::string_view path, const std::string& notice, bool is_bad) {
  sessions_.Tell(call.token, notice, is_bad);
  return Redirect(path);
}

Response Site::Get(const Call& call) {
  const Request& request = call.request;
  absl::string_view rest = request.path;
  if (absl::ConsumePrefix(&rest, "/static/")) {
    const Asset* asset = absl::EndsWith(rest, ".json") ? nullptr : FindAsset(rest);
    if (asset == nullptr) return Sorry(call, 404, "sorry.missing");
    Response response{.content_type = ContentType(rest), .body = std::string(asset->content)};
    if (request.Query("v") == std::string(asset->version)) {
      response.headers.push_back({"Cache-Control", "public, max-age=31536000, immutable"});
    }
    return response;
  }
  const Home home = Look(call);
  Visit visit = MakeVisit(call);
  if (request.path == "/") return HtmlPage(HomePage(home, visit));
  if (request.path == "/live") return HtmlPage(LivePart(home, visit).markup());
  if (request.path == "/history") return HtmlPage(HistoryPage(home, visit));
  if (request.path == "/permissions") return HtmlPage(PoliciesPage(home, visit));
  if (request.path == "/permissions/new") {
    std::optional<consent::v1::Policy> policy = PolicyOf(request.query);
    if (!policy) return Back(call, "/permissions", visit.speaker.Say("policy.which"), /*is_bad=*/true);
    policy->set_language(call.language);
    visit.path = "/permissions";
    return HtmlPage(NewPolicyPage(home, *policy, visit));
  }
  if (request.path == "/login") {
    const auto principals = principals_.List();
    visit.has_principals = principals.ok() && !principals->empty();
    return HtmlPage(LoginPage(home, visit, SafePath(request.Query("next")), ""));
  }
  if (absl::ConsumePrefix(&rest, "/updates/")) {
    const QuestionView* question = home.FindQuestion(rest);
    if (question == nullptr) return Sorry(call, 404, home.as_of ? "sorry.answered" : "sorry.loading");
    return HtmlPage(QuestionPage(home, *question, visit));
  }
  if (absl::ConsumePrefix(&rest, "/confirm/")) {
    const std::vector<std::string> parts = absl::StrSplit(rest, '/');
    const Confirmation* confirmation =
        parts.size() == 2 ? home.FindConfirmation(parts[0], parts[1]) : nullptr;
    if (confirmation == nullptr) return Sorry(call, 404, "sorry.answered");
    return HtmlPage(ConfirmationPage(home, *confirmation, visit));
  }
  return Sorry(call, 404, "sorry.missing");
}

Response Site::Post(const Call& call) {
  const Request& request = call.request;
  if (!IsFromOurPage(request)) {
    log::Warn("a form from another page was refused", {{"path", SafePath(request.path)}});
    return Sorry(call, 403, "sorry.elsewhere");
  }
  if (request.path == "/login") return Login(call);
  if (request.path == "/check") {
    if (watch_.Look().check.state != Check::State::kRunning) watch_.CheckNow();
    return Redirect("/");
  }
  if (!call.session) return Redirect("/login");
  if (!crypto::ConstantTimeEqual(request.Form("csrf"), call.session->csrf)) {
    log::Warn("a form without its token was refused", {{"path", SafePath(request.path)}});
    return Sorry(call, 403, "sorry.elsewhere");
  }
  if (request.path == "/logout") {
    sessions_.End(call.token);
    return Redirect("/");
  }
  if (request.path == "/answer") return Answer(call);
  if (request.path == "/withdraw") return Withdraw(call);
  if (request.path == "/permissions") return CreatePolicy(call);
  if (request.path == "/permissions/withdraw") return WithdrawPolicy(call);
  if (request.path == "/confirm") return Confirm(call);
  if (request.path == "/dismiss") {
    for (const Act& act : watch_.acts()) {
      if (act.id == request.Form("act") && act.state == Act::State::kRefused) (void)watch_.Dismiss(act.id);
    }
    return Redirect("/");
  }
  return Sorry(call, 404, "sorry.missing");
}

Response Site::Login(const Call& call) {
  const std::string principal = call.request.Form("principal");
  const std::string next = SafePath(call.request.Form("next"));
  const absl::Status status = principals_.Verify(principal, call.request.Form("pin"), call.now);
  if (!status.ok()) {
    log::Warn("nobody was let in", {{"reason", ReasonOf(status)}});
    Visit visit = MakeVisit(call);
    visit.path = "/login";
    const auto info = ErrorInfoOf(status);
    const auto seconds =
        info ? info->metadata.find("seconds") : std::map<std::string, std::string>::const_iterator();
    const bool locked = absl::IsResourceExhausted(status) && info && seconds != info->metadata.end();
    visit.notice =
        locked ? visit.speaker.Say("login.locked", {{"seconds", seconds->second}})
               : visit.speaker.Say(absl::IsUnauthenticated(status) ? "login.wrong" : "sorry.internal");
    visit.notice_is_bad = true;
    Response response = HtmlPage(LoginPage(Look(call), visit, next, CleanText(principal).substr(0, 128)),
                                 locked                            ? 429
                                 : absl::IsUnauthenticated(status) ? 403
                                                                   : 500);
    if (locked) response.headers.push_back({"Retry-After", seconds->second});
    return response;
  }
  // A new token for whoever signs in: one that somebody else knew before is worth nothing.
  if (call.session) sessions_.End(call.token);
  const std::string token = sessions_.Begin(principal, call.now);
  log::Info("signed in", {{"principal", principal}});
  Response response = Redirect(next);
  response.headers.push_back(
      {"Set-Cookie", absl::StrCat("countersign-session=", token, "; Path=/; HttpOnly; SameSite=Strict",
                                  options_.tls ? "; Secure" : "")});
  return response;
}

Response Site::Submit(const Call& call, const Act& act, absl::string_view taken) {
  const Speaker speaker{.words = call.words(), .now = call.now, .zone = options_.zone};
  const absl::StatusOr<Outcome> outcome = watch_.Submit(act, options_.patience);
  const absl::string_view back =
      act.kind == Act::Kind::kCreatePolicy || act.kind == Act::Kind::kWithdrawPolicy ? "/permissions" : "/";
  log::Info("a user decided", {{"principal", act.principal}, {"subject", act.subject}, {"id", act.id}});
  if (!outcome.ok())
    return Back(call, back, RefusalText(ReasonOf(outcome.status()), speaker), /*is_bad=*/true);
  switch (*outcome) {
    case Outcome::kTaken:
      return Back(call, back, speaker.Say(taken, {{"what", act.what}}), /*is_bad=*/false);
    case Outcome::kKept:
      // The card of what is kept says so, for as long as it is.
      return Back(call, back, "", /*is_bad=*/false);
    case Outcome::kRefused:
      return Back(call, back, "", /*is_bad=*/false);
  }
  return Redirect(back);
}

Response Site::Answer(const Call& call) {
  const Request& request = call.request;
  const Speaker speaker{.words = call.words(), .now = call.now, .zone = options_.zone};
  const HomeFacts facts = watch_.Look();
  const std::string id = request.Form("prompt");
  for (const consent::v1::Prompt& prompt : facts.prompts) {
    if (!IsId(id) || prompt.name() != absl::StrCat("gateways/", facts.gateway_id, "/prompts/", id)) continue;
    const std::string page = absl::StrCat("/updates/", id);
    const common::v1::ReleaseInfo& release = prompt.question().release();
    const UserAnswer answer = {.decision = request.Form("decision"),
                               .principal_id = call.session->principal,
                               .language = request.Form("language"),
                               .until = request.Form("until"),
                               .shown_text_sha256 = request.Form("text"),
                               .accepted_terms_sha256 = request.Form("terms")};
    if (answer.shown_text_sha256.empty()) return Sorry(call, 400, "sorry.form");
    if (answer.decision == "accept" && release.has_terms() &&
        answer.accepted_terms_sha256 != release.terms().text_sha256()) {
      // Those that were shown may have been others, or none were ticked.
      return Back(call, page, RefusalText("TERMS_NOT_ACCEPTED", speaker), /*is_bad=*/true);
    }
    const absl::StatusOr<consent::v1::AnswerPromptRequest> made = AnswerTo(prompt, answer);
    if (!made.ok()) return Back(call, page, RefusalText(ReasonOf(made.status()), speaker), /*is_bad=*/true);
    const DeviceView device = MakeHome(facts, call.language).Device(prompt.question().ecu_serial());
    Act act = {.id = made->request_id(),
               .kind = Act::Kind::kAnswer,
               .subject = prompt.name(),
               .what = speaker.Say("act.answer." + answer.decision,
                                   {{"device", device.name}, {"version", CleanText(release.version())}}),
               .request = made->SerializeAsString(),
               .principal = call.session->principal,
               .time = call.now,
               .reason = {}};
    return Submit(call, act, "taken");
  }
  return Sorry(call, 404, "sorry.answered");
}

Response Site::Withdraw(const Call& call) {
  const Speaker speaker{.words = call.words(), .now = call.now, .zone = options_.zone};
  const Home home = Look(call);
  const RunningView* running = home.FindRunning(call.request.Form("record"));
  if (running == nullptr) return Back(call, "/", RefusalText("NOT_GRANTED", speaker), /*is_bad=*/true);
  consent::v1::WithdrawConsentRequest request;
  request.set_name(absl::StrCat("gateways/", home.gateway_id, "/records/", running->record_id));
  request.set_principal_id(call.session->principal);
  request.set_request_id(crypto::Uuid());
  return Submit(call,
                {.id = request.request_id(),
                 .kind = Act::Kind::kWithdrawConsent,
                 .subject = request.name(),
                 .what = speaker.Say("act.withdraw", {{"device", running->update.device.name},
                                                      {"version", running->update.to_version}}),
                 .request = request.SerializeAsString(),
                 .principal = call.session->principal,
                 .time = call.now,
                 .reason = {}},
                "taken");
}

Response Site::CreatePolicy(const Call& call) {
  const Speaker speaker{.words = call.words(), .now = call.now, .zone = options_.zone};
  std::optional<consent::v1::Policy> policy = PolicyOf(call.request.form);
  if (!policy) return Back(call, "/permissions", speaker.Say("policy.which"), /*is_bad=*/true);
  policy->set_language(call.request.Form("language"));
  policy->set_principal_id(call.session->principal);
  policy->set_text_sha256(crypto::Sha256Hex(PolicyText(*policy)));
  // It is agreed to what was shown, and to nothing that became of it since.
  if (policy->text_sha256() != call.request.Form("text")) {
    return Back(call, "/permissions", RefusalText("TEXT_DIFFERS", speaker), /*is_bad=*/true);
  }
  consent::v1::CreatePolicyRequest request;
  request.set_parent(absl::StrCat("gateways/", watch_.Look().gateway_id));
  *request.mutable_policy() = *policy;
  request.set_request_id(crypto::Uuid());
  return Submit(call,
                {.id = request.request_id(),
                 .kind = Act::Kind::kCreatePolicy,
                 .subject = {},
                 .what = speaker.Say("act.policy"),
                 .request = request.SerializeAsString(),
                 .principal = call.session->principal,
                 .time = call.now,
                 .reason = {}},
                "taken");
}

Response Site::WithdrawPolicy(const Call& call) {
  const Speaker speaker{.words = call.words(), .now = call.now, .zone = options_.zone};
  const std::string id = call.request.Form("policy");
  const HomeFacts facts = watch_.Look();
  consent::v1::WithdrawPolicyRequest request;
  request.set_name(absl::StrCat("gateways/", facts.gateway_id, "/policies/", id));
  const bool known =
      std::any_of(facts.policies.begin(), facts.policies.end(),
                  [&](const consent::v1::Policy& policy) { return policy.name() == request.name(); });
  if (!IsId(id) || !known) return Sorry(call, 404, "sorry.missing");
  return Submit(call,
                {.id = crypto::Uuid(),
                 .kind = Act::Kind::kWithdrawPolicy,
                 .subject = request.name(),
                 .what = speaker.Say("act.policy.withdraw"),
                 .request = request.SerializeAsString(),
                 .principal = call.session->principal,
                 .time = call.now,
                 .reason = {}},
                "taken");
}

Response Site::Confirm(const Call& call) {
  const Speaker speaker{.words = call.words(), .now = call.now, .zone = options_.zone};
  const Request& request = call.request;
  const bool install = request.Form("decision") == "yes";
  if (install && request.Form("understood") != "yes") return Sorry(call, 400, "sorry.form");
  const absl::Status status = watch_.Confirm({.ecu_serial = request.Form("ecu"),
                                              .sha256 = request.Form("sha256"),
                                              .confirm = install,
                                              .principal_id = call.session->principal});
  log::Info("a user decided about an image without approval", {{"principal", call.session->principal},
                                                               {"sha256", CleanText(request.Form("sha256"))},
                                                               {"install", install},
                                                               {"error", status}});
  if (!status.ok()) return Back(call, "/", speaker.Say("sorry.answered"), /*is_bad=*/true);
  return Back(call, "/", speaker.Say(install ? "confirm.taken.yes" : "confirm.taken.no"), /*is_bad=*/false);
}

}  // namespace countersign::gateway
