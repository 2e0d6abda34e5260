// Who may decide at this gateway: principals (pseudonyms, as consent records name them), each with a PIN.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_WEB_PRINCIPALS_H_
#define COUNTERSIGN_TOOLS_GATEWAY_WEB_PRINCIPALS_H_

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace countersign::gateway {

// The file of principals. PINs are kept as crypto::HashPassword makes them, and wrong ones are counted on
// disk, so that nobody gets more guesses by pulling the plug. Thread-safe, and several processes may use one
// file.
class Principals {
 public:
  static constexpr size_t kMinPinSize = 6;
  static constexpr size_t kMaxPinSize = 64;
  // Wrong PINs in a row that cost nothing. The next one closes the door for kFirstWait, and each one after it
  // for twice as long, up to kLongestWait.
  static constexpr int kFreeFailures = 4;
  static constexpr absl::Duration kFirstWait = absl::Seconds(30);
  static constexpr absl::Duration kLongestWait = absl::Hours(1);

  explicit Principals(std::string path) : path_(std::move(path)) {}

  // Adds `id`, or gives it another PIN and forgets its failures. INVALID_ARGUMENT (PRINCIPAL_INVALID,
  // PIN_TOO_SHORT).
  absl::Status Set(const std::string& id, absl::string_view pin);
  // NOT_FOUND (PRINCIPAL_UNKNOWN).
  absl::Status Remove(const std::string& id);
  absl::StatusOr<std::vector<std::string>> List() const;

  // OK when `pin` is that of `id`. UNAUTHENTICATED (PIN_WRONG), the same for an id that there is not;
  // RESOURCE_EXHAUSTED (PIN_LOCKED, with `seconds` in its metadata) while the door is closed, whatever the
  // PIN, or when too many ask at once.
  absl::Status Verify(const std::string& id, absl::string_view pin, absl::Time now);

 private:
  struct Principal {
    std::string hash;
    int failures = 0;
    absl::Time closed_until = absl::InfinitePast();
  };
  using Table = std::map<std::string, Principal>;

  absl::StatusOr<Table> Load() const;
  absl::Status Change(const std::function<absl::Status(Table&)>& change);

  const std::string path_;
  absl::Mutex hashing_;  // one at a time: each takes a core and 16 MiB
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_WEB_PRINCIPALS_H_
