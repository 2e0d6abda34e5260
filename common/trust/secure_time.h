#ifndef COUNTERSIGN_COMMON_TRUST_SECURE_TIME_H_
#define COUNTERSIGN_COMMON_TRUST_SECURE_TIME_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"

namespace countersign::trust {

// The time, for who has a clock that anyone may set: it is never before what it was known to have been, so
// that a clock that was set back lets no expired metadata in. The floor lies in a file and never falls. Not
// thread-safe.
//
// Raise it with a time at which verified metadata had not expired: then nobody's clock, only who signs, can
// push it into the future, and no further than metadata is valid.
class SecureTime {
 public:
  // `path` need not be there yet. `clock` outlives this. DATA_LOSS (STATE_DAMAGED) when the file is none of
  // ours.
  static absl::StatusOr<SecureTime> Open(const std::string& path, const Clock& clock);

  // The clock's time, or the floor if that is later.
  absl::Time Now() const;
  absl::Time floor() const { return floor_; }
  // Whether the clock is before the floor, and so wrong.
  bool behind() const { return clock_->Now() < floor_; }

  // It has been `now`, to the second. Durable once it returns OK.
  absl::Status Raise(absl::Time now);

 private:
  SecureTime(std::string path, const Clock& clock) : path_(std::move(path)), clock_(&clock) {}

  std::string path_;
  const Clock* clock_;
  absl::Time floor_ = absl::InfinitePast();
};

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_SECURE_TIME_H_
