// libFuzzer: what is read is written in one way, and read again as the same.
#include <cstdint>
#include <cstdlib>

#include "services/inventory/domain/filter.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace countersign::inventory::domain;
  if (size == 0) return 0;
  const auto resource = static_cast<Resource>(data[0] % 3);
  const absl::Time now = absl::FromUnixSeconds(1767225600);
  const auto filter =
      ParseFilter(resource, absl::string_view(reinterpret_cast<const char*>(data) + 1, size - 1), now);
  if (!filter.ok()) return 0;
  const std::string written = FormatFilter(*filter);
  if (written.size() > kMaxFilterBytes) return 0;
  const auto again = ParseFilter(resource, written, now);
  if (!again.ok() || !(again->expression == filter->expression)) std::abort();
  return 0;
}
