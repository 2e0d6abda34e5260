// The home as text, for a terminal: the same as the page, in the same words.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_TERMINAL_H_
#define COUNTERSIGN_TOOLS_GATEWAY_TERMINAL_H_

#include <string>

#include "tools/gateway/web/home.h"
#include "tools/gateway/web/speech.h"

namespace countersign::gateway {

// What a user is told before an update (UN R156, 7.2.2.2), and how to answer.
std::string QuestionText(const QuestionView& question, const Speaker& speaker);
// What a check found, with all that it cannot speak for.
std::string CheckText(const Home& home, const Speaker& speaker);
// Updates that are under way or postponed; "" if there are none.
std::string ProgressText(const Home& home, const Speaker& speaker);
std::string HistoryText(const Home& home, const Speaker& speaker);
std::string PoliciesText(const Home& home, const Speaker& speaker);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_TERMINAL_H_
