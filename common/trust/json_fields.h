#ifndef COUNTERSIGN_COMMON_TRUST_JSON_FIELDS_H_
#define COUNTERSIGN_COMMON_TRUST_JSON_FIELDS_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {

// Reads the fields of a JSON object one after the other; the first fault is kept (MALFORMED_METADATA, naming
// the place), and everything read after it is empty. Ask status() before using what was read. For .cc files
// that read signed documents.
class JsonFields {
 public:
  static constexpr size_t kMaxString = 256;

  // `object` outlives this. `where` names it in messages.
  JsonFields(const nlohmann::json& object, absl::string_view where);

  bool Has(const char* key) const;

  std::string String(const char* key, size_t max_size = kMaxString);
  std::string NonEmptyString(const char* key, size_t max_size = kMaxString);
  int64_t Integer(const char* key, int64_t min = 0, int64_t max = std::numeric_limits<int64_t>::max());
  bool Bool(const char* key);
  std::string Sha256(const char* key);
  absl::Time Time(const char* key);
  std::vector<std::string> Strings(const char* key, size_t max_count);
  // An empty one in case of a fault.
  const nlohmann::json& Object(const char* key);
  const nlohmann::json& Array(const char* key);

  // Takes over another's fault, if there is none yet.
  void Merge(const absl::Status& status);
  void Fail(absl::string_view message);
  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }

 private:
  const nlohmann::json* Find(const char* key, nlohmann::json::value_t type, const char* type_name);

  const nlohmann::json& object_;
  std::string where_;
  absl::Status status_;
};

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_JSON_FIELDS_H_
