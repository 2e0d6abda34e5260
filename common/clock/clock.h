#ifndef COUNTERSIGN_COMMON_CLOCK_CLOCK_H_
#define COUNTERSIGN_COMMON_CLOCK_CLOCK_H_

#include "absl/time/time.h"

namespace countersign {

// What time it is. Thread-safe. Nothing but SystemClock() asks the operating system: everything else is given
// a Clock, or better a time.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
};

// The machine's wall clock. Never destroyed.
const Clock& SystemClock();

}  // namespace countersign

#endif  // COUNTERSIGN_COMMON_CLOCK_CLOCK_H_
