// What the gateway noticed and the server should know (FOTA-R5): it goes on working, and tells in its next
// manifest.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_INCIDENTS_H_
#define COUNTERSIGN_TOOLS_GATEWAY_INCIDENTS_H_

#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/trust/report.h"

namespace countersign::gateway {

// Thread-safe. A flood of one kind is one incident with a count; of more kinds than a manifest has room for
// the rest is counted together.
class Incidents {
 public:
  // Logs it, the first time since it was reported last. `detail` may be anything that somebody sent: what is
  // told of it is printable and short.
  void Note(absl::string_view reason, absl::string_view device_id, absl::string_view ecu_serial,
            absl::string_view detail);
  // The same about no device, for a `status` with a reason; `otherwise` is the reason if it has none.
  void Note(const absl::Status& status, absl::string_view otherwise);
  // A call to `service` that found somebody else at its address, and nothing else, is noted.
  void NoteIfForged(absl::string_view service, const absl::Status& status);

  // What was noted and not reported.
  std::vector<trust::Incident> pending() const;
  // Of these, so many times each, the server knows.
  void Reported(const std::vector<trust::Incident>& reported);
  // Whether there is something of a kind that the server was never told of, since this was last asked.
  bool TakeNews();

 private:
  mutable absl::Mutex mutex_;
  std::vector<trust::Incident> pending_ ABSL_GUARDED_BY(mutex_);
  bool news_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<std::string> told_ ABSL_GUARDED_BY(mutex_);  // kinds
};

// Whether `status` says that whoever answered at a service's address is not that service (another CA, another
// identity), and not only that nobody did.
bool IsForgedServer(const absl::Status& status);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_INCIDENTS_H_
