// What the page answers to a request: who may see and do what. Knows HTTP's values and not its bytes.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_WEB_SITE_H_
#define COUNTERSIGN_TOOLS_GATEWAY_WEB_SITE_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/http/server.h"
#include "tools/gateway/web/pages.h"
#include "tools/gateway/web/principals.h"
#include "tools/gateway/web/watch.h"

namespace countersign::gateway {

// Somebody who is signed in. In memory only: after a restart one signs in again.
struct Session {
  std::string principal;
  std::string csrf;
  absl::Time began;
  absl::Time used;
  std::string notice;  // to be told once
  bool notice_is_bad = false;
};

// Thread-safe.
class Sessions {
 public:
  static constexpr absl::Duration kIdle = absl::Minutes(15);
  static constexpr absl::Duration kLongest = absl::Hours(12);
  static constexpr size_t kMax = 32;

  // Returns the token that its browser shows; of too many the one that was idle longest ends.
  std::string Begin(const std::string& principal, absl::Time now);
  // The session; its notice is taken out of it when `take_notice`.
  std::optional<Session> Find(const std::string& token, absl::Time now, bool take_notice);
  // It is not idle.
  void Use(const std::string& token, absl::Time now);
  void End(const std::string& token);
  void Tell(const std::string& token, const std::string& notice, bool is_bad);

 private:
  absl::Mutex mutex_;
  // By the digest of the token: a lookup tells nobody by its time how much of a token is right.
  std::map<std::string, Session> sessions_ ABSL_GUARDED_BY(mutex_);
};

struct SiteOptions {
  bool tls = false;
  int port = 0;  // where it is served
  std::vector<std::string>
      names;            // of this machine, by which it may be called besides addresses and "localhost"
  absl::TimeZone zone;  // of those who live here
  // How long somebody who answers waits for the services.
  absl::Duration patience = absl::Seconds(4);
};

// Thread-safe.
class Site {
 public:
  // Watch and principals outlive it.
  Site(SiteOptions options, HomeWatch* watch, Principals* principals, const Clock* clock = &SystemClock());

  http::Response Respond(const http::Request& request);

 private:
  struct Call;  // a request, and whose it is

  bool IsHostOurs(const http::Request& request) const;
  bool IsFromOurPage(const http::Request& request) const;
  http::Response Get(const Call& call);
  http::Response Post(const Call& call);
  http::Response Login(const Call& call);
  http::Response Answer(const Call& call);
  http::Response Withdraw(const Call& call);
  http::Response CreatePolicy(const Call& call);
  http::Response WithdrawPolicy(const Call& call);
  http::Response Confirm(const Call& call);
  http::Response Submit(const Call& call, const Act& act, absl::string_view taken);
  // Back to a page of ours, where `notice` is told.
  http::Response Back(const Call& call, absl::string_view path, const std::string& notice, bool is_bad);
  http::Response Sorry(const Call& call, int code, absl::string_view key);
  Visit MakeVisit(const Call& call);
  Home Look(const Call& call) { return MakeHome(watch_.Look(), call_language(call)); }
  static const std::string& call_language(const Call& call);

  const SiteOptions options_;
  HomeWatch& watch_;
  Principals& principals_;
  const Clock& clock_;
  Sessions sessions_;
};

// A path of this site from an untrusted value: "/" for whatever else it is.
std::string SafePath(absl::string_view path);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_WEB_SITE_H_
