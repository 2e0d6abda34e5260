// Every sentence that a user reads, at the page and at the terminal, in each language
// (pages/<language>.json).
#ifndef COUNTERSIGN_TOOLS_GATEWAY_WEB_WORDS_H_
#define COUNTERSIGN_TOOLS_GATEWAY_WEB_WORDS_H_

#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/common/v1/update.pb.h"

namespace countersign::gateway {

// The languages that there are words in; the first is what those are given who speak none of them.
const std::vector<std::string>& Languages();

// The one of Languages() that an Accept-Language header (RFC 9110, 12.5.4) likes best.
std::string ChooseLanguage(absl::string_view accept_language);

// What is between a text and its reader, taken out: control characters other than line breaks, which a
// terminal obeys, characters that turn the direction of what follows, and what is not UTF-8.
std::string CleanText(absl::string_view text);

// The words of one language. Immutable; lives for ever.
class Words {
 public:
  using Arguments = std::initializer_list<std::pair<absl::string_view, std::string>>;

  // English for a language that there is not.
  static const Words& In(absl::string_view language);

  const std::string& language() const { return language_; }

  // The sentence of `key`, its `{name}`s replaced. A key that there is not is shown as "[[key]]": a test sees
  // to it that none is.
  std::string Say(absl::string_view key, Arguments arguments = {}) const;
  bool Has(absl::string_view key) const;
  const std::map<std::string, std::string, std::less<>>& table() const { return table_; }

  // "1 update", "2 updates": `key`.one or `key`.many with {count}.
  std::string Count(absl::string_view key, int count) const;
  // "a", "a and b", "a, b and c".
  std::string List(const std::vector<std::string>& items) const;
  // "about 2 minutes".
  std::string Duration(absl::Duration duration) const;
  // "today at 16:20", "21 November 2026 at 16:20", in `zone`.
  std::string Time(absl::Time time, absl::Time now, const absl::TimeZone& zone) const;
  // Of the vocabularies of the API.
  std::string Phase(common::v1::UpdatePhase phase) const;
  std::string Reason(common::v1::FailureReason reason) const;
  std::string Kind(common::v1::UpdateKind kind) const;
  std::string Criticality(common::v1::Criticality criticality) const;

 private:
  Words(std::string language, absl::string_view json);

  std::string language_;
  std::map<std::string, std::string, std::less<>> table_;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_WEB_WORDS_H_
