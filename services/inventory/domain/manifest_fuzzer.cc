// libFuzzer: nothing is believed that was not signed, whatever a gateway sends.
#include <cstddef>
#include <cstdint>

#include "services/inventory/domain/testing/manifest_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto& target = *new countersign::inventory::domain::testing::ManifestTarget();
  target.Take({reinterpret_cast<const char*>(data), size});
  return 0;
}
