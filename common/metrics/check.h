#ifndef COUNTERSIGN_COMMON_METRICS_CHECK_H_
#define COUNTERSIGN_COMMON_METRICS_CHECK_H_

#include <cstdio>
#include <cstdlib>

#include "absl/strings/string_view.h"

namespace countersign::metrics {

// Aborts on a programmer's error, with a line that names the metric.
inline void CheckThat(bool condition, absl::string_view rule, absl::string_view metric) {
  if (condition) return;
  std::fprintf(stderr, "%.*s: %.*s\n", static_cast<int>(metric.size()), metric.data(),
               static_cast<int>(rule.size()), rule.data());
  std::abort();
}

}  // namespace countersign::metrics

#endif  // COUNTERSIGN_COMMON_METRICS_CHECK_H_
