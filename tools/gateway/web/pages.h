// The pages as HTML. Functions of values; every word of theirs is from Words.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_WEB_PAGES_H_
#define COUNTERSIGN_TOOLS_GATEWAY_WEB_PAGES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "countersign/consent/v1/consent.pb.h"
#include "tools/gateway/web/acts.h"
#include "tools/gateway/web/home.h"
#include "tools/gateway/web/html.h"
#include "tools/gateway/web/speech.h"

namespace countersign::gateway {

// Who looks, and at what.
struct Visit {
  Speaker speaker;
  std::string path;       // of this page, with what leads back to it
  std::string principal;  // who is signed in; empty for nobody
  std::string csrf;       // of the session
  bool has_principals = true;
  std::string notice;  // told once, at the top
  bool notice_is_bad = false;
  std::vector<Act> acts;  // answers that are kept or were refused
};

// What changes by itself on the home page; the script fetches it again and again.
Html LivePart(const Home& home, const Visit& visit);

std::string HomePage(const Home& home, const Visit& visit);
std::string QuestionPage(const Home& home, const QuestionView& question, const Visit& visit);
std::string ConfirmationPage(const Home& home, const Confirmation& confirmation, const Visit& visit);
std::string HistoryPage(const Home& home, const Visit& visit);
std::string PoliciesPage(const Home& home, const Visit& visit);
// The text of a policy before its user agrees to it.
std::string NewPolicyPage(const Home& home, const consent::v1::Policy& policy, const Visit& visit);
// `next`: the page that the user wanted.
std::string LoginPage(const Home& home, const Visit& visit, absl::string_view next,
                      absl::string_view principal);
// Something went wrong, or is not there: `key` is the sentence.
std::string SorryPage(const Home& home, const Visit& visit, absl::string_view key);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_WEB_PAGES_H_
