// How the terminal speaks with the agent that runs in the same folder: files below <dir>/inbox, each replaced
// atomically, so that whoever may write to the gateway's state may ask, and nobody else.
//   <id>.request   what is asked for
//   <id>.answer    what the agent said
#ifndef COUNTERSIGN_TOOLS_GATEWAY_INBOX_H_
#define COUNTERSIGN_TOOLS_GATEWAY_INBOX_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tools/gateway/desk.h"

namespace countersign::gateway {

struct InboxRequest {
  enum class Kind { kCheck, kInstallPackage, kConfirm };
  std::string id;
  Kind kind = Kind::kCheck;
  std::string argument;       // kInstallPackage: the file
  ConfirmationAnswer answer;  // kConfirm
};

// The agent's end. Stateless.
class Inbox {
 public:
  explicit Inbox(const std::string& dir) : folder_(dir + "/inbox") {}

  // The requests that came, oldest first; each is taken once. What cannot be read is answered with that.
  std::vector<InboxRequest> Take() const;
  // `text` is for people; `ok` says whether it was done.
  void Answer(const std::string& id, absl::string_view text, bool ok = true) const;

 private:
  const std::string folder_;
};

// The terminal's end: what the agent of `dir` answers. UNAVAILABLE (AGENT_NOT_RUNNING) at once when none runs
// there, FAILED_PRECONDITION (AGENT_REFUSED) with its words, DEADLINE_EXCEEDED (AGENT_BUSY) after `timeout`,
// and then it is done later.
absl::StatusOr<std::string> AskAgent(const std::string& dir, InboxRequest request, absl::Duration timeout);

// A check's outcome for people: an honest "nothing new", or what there is (HOME-10, FOTA-T2).
std::string CheckText(const CheckOutcome& outcome);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_INBOX_H_
