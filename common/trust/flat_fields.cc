#include "common/trust/flat_fields.h"

#include "common/crypto/hex.h"
#include "common/trust/envelope.h"

namespace countersign::trust {

std::string FlatFields::String(absl::string_view key, size_t max_size) {
  const std::optional<FlatJson::Value> value = object_.Find(key);
  std::optional<std::string> text = value.has_value() ? value->Text() : std::nullopt;
  if (text.has_value() && text->size() <= max_size) return *std::move(text);
  Fail();
  return "";
}

std::string FlatFields::NonEmptyString(absl::string_view key, size_t max_size) {
  std::string text = String(key, max_size);
  if (text.empty()) Fail();
  return text;
}

int64_t FlatFields::Integer(absl::string_view key, int64_t min, int64_t max) {
  const std::optional<FlatJson::Value> value = object_.Find(key);
  const std::optional<int64_t> number = value.has_value() ? value->Integer() : std::nullopt;
  if (number.has_value() && *number >= min && *number <= max) return *number;
  Fail();
  return 0;
}

bool FlatFields::Bool(absl::string_view key) {
  const std::optional<FlatJson::Value> value = object_.Find(key);
  const std::optional<bool> flag = value.has_value() ? value->Bool() : std::nullopt;
  if (!flag.has_value()) Fail();
  return flag.value_or(false);
}

std::string FlatFields::Sha256(absl::string_view key) {
  std::string digest = String(key);
  if (!crypto::IsSha256Hex(digest)) Fail();
  return digest;
}

absl::Time FlatFields::Time(absl::string_view key) {
  const absl::StatusOr<absl::Time> time = ParseUtc(String(key));
  if (!time.ok()) Fail();
  return time.value_or(absl::InfinitePast());
}

FlatJson::Value FlatFields::Object(absl::string_view key) {
  const std::optional<FlatJson::Value> value = object_.Find(key);
  if (value.has_value() && value->is_object()) return *value;
  Fail();
  return object_;
}

FlatJson::Value FlatFields::Array(absl::string_view key) {
  const std::optional<FlatJson::Value> value = object_.Find(key);
  if (value.has_value() && value->is_array()) return *value;
  Fail();
  return object_;
}

}  // namespace countersign::trust
