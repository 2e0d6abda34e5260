#ifndef COUNTERSIGN_COMMON_TRUST_FLAT_FIELDS_H_
#define COUNTERSIGN_COMMON_TRUST_FLAT_FIELDS_H_

#include <cstdint>
#include <limits>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/trust/flat_json.h"

namespace countersign::trust {

// JsonFields of a part of a FlatJson: accepts exactly the same, and says only whether all was well. What is
// not is read again with JsonFields, which says what was wrong. For the .cc files of this folder.
class FlatFields {
 public:
  explicit FlatFields(const FlatJson::Value& object) : object_(object), ok_(object.is_object()) {}

  bool Has(absl::string_view key) const { return object_.Find(key).has_value(); }

  std::string String(absl::string_view key, size_t max_size = 256);
  std::string NonEmptyString(absl::string_view key, size_t max_size = 256);
  int64_t Integer(absl::string_view key, int64_t min = 0, int64_t max = std::numeric_limits<int64_t>::max());
  bool Bool(absl::string_view key);
  std::string Sha256(absl::string_view key);
  absl::Time Time(absl::string_view key);
  // This very object in case of a fault, which the caller's ok() tells.
  FlatJson::Value Object(absl::string_view key);
  FlatJson::Value Array(absl::string_view key);

  void Fail() { ok_ = false; }
  bool ok() const { return ok_; }

 private:
  const FlatJson::Value object_;
  bool ok_;
};

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_FLAT_FIELDS_H_
