// The sentences in which the page and the terminal tell the same things.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_WEB_SPEECH_H_
#define COUNTERSIGN_TOOLS_GATEWAY_WEB_SPEECH_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tools/gateway/web/home.h"
#include "tools/gateway/web/words.h"

namespace countersign::gateway {

// In which words, when and where something is told.
struct Speaker {
  const Words& words;
  absl::Time now;
  absl::TimeZone zone;

  std::string Say(absl::string_view key, Words::Arguments arguments = {}) const {
    return words.Say(key, arguments);
  }
  std::string Time(absl::Time time) const { return words.Time(time, now, zone); }
};

// What matters most now, in one sentence.
std::string Headline(const Home& home, const Speaker& speaker);
// What the last check found, honestly: nothing new only if everybody was asked and had nothing. Empty if none
// was made.
std::string CheckResult(const Home& home, const Speaker& speaker);
// One sentence for each component that the check cannot speak for.
std::vector<std::string> CheckLimits(const Home& home, const Speaker& speaker);
// "1.0.0 → 1.1.0", as far as it is known.
std::string Versions(const UpdateView& update, const Speaker& speaker);
// How an update ended, with the reason.
std::string OutcomeText(const OutcomeView& outcome, const Speaker& speaker);
// Who decided; empty if nobody had to.
std::string DecidedBy(const OutcomeView& outcome, const Speaker& speaker);
// What the check of an approval found.
std::string ApprovalText(absl::string_view approval_result, const Speaker& speaker);
// Why a service did not take an answer.
std::string RefusalText(absl::string_view reason, const Speaker& speaker);
// What is known of what a device runs; empty for one that is as it should be.
std::string DeviceNote(const DeviceView& device, const Speaker& speaker);

// The steps of an installation, and how many of them are behind it.
const std::vector<std::string>& Steps();
int StepsDone(common::v1::UpdatePhase phase);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_WEB_SPEECH_H_
