#include "common/trust/json_fields.h"

#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/trust/envelope.h"
#include "common/trust/reasons.h"

namespace countersign::trust {

using nlohmann::json;

namespace {

const json& Empty(json::value_t type) {
  static const json* const object = new json(json::object());
  static const json* const array = new json(json::array());
  return type == json::value_t::array ? *array : *object;
}

}  // namespace

JsonFields::JsonFields(const json& object, absl::string_view where) : object_(object), where_(where) {
  if (!object.is_object()) Fail("is not an object");
}

bool JsonFields::Has(const char* key) const { return object_.is_object() && object_.contains(key); }

const json* JsonFields::Find(const char* key, json::value_t type, const char* type_name) {
  if (!ok()) return nullptr;
  const auto found = object_.find(key);
  if (found == object_.end()) {
    Fail(absl::StrCat("lacks \"", key, "\""));
    return nullptr;
  }
  if (found->type() != type) {
    Fail(absl::StrCat("has a \"", key, "\" that is not ", type_name));
    return nullptr;
  }
  return &*found;
}

std::string JsonFields::String(const char* key, size_t max_size) {
  const json* const value = Find(key, json::value_t::string, "a string");
  if (value == nullptr) return "";
  const std::string& text = value->get_ref<const std::string&>();
  if (text.size() > max_size) {
    Fail(absl::StrCat("has a \"", key, "\" of more than ", max_size, " characters"));
    return "";
  }
  return text;
}

std::string JsonFields::NonEmptyString(const char* key, size_t max_size) {
  std::string text = String(key, max_size);
  if (ok() && text.empty()) Fail(absl::StrCat("has an empty \"", key, "\""));
  return text;
}

int64_t JsonFields::Integer(const char* key, int64_t min, int64_t max) {
  if (!ok()) return 0;
  const auto found = object_.find(key);
  if (found == object_.end() || !found->is_number_integer()) {
    Fail(absl::StrCat("has no integer \"", key, "\""));
    return 0;
  }
  const int64_t number = found->get<int64_t>();
  if (number < min || number > max) {
    Fail(absl::StrCat("has a \"", key, "\" that is not from ", min, " to ", max));
    return 0;
  }
  return number;
}

bool JsonFields::Bool(const char* key) {
  const json* const value = Find(key, json::value_t::boolean, "true or false");
  return value != nullptr && value->get<bool>();
}

std::string JsonFields::Sha256(const char* key) {
  std::string digest = String(key);
  if (ok() && !crypto::IsSha256Hex(digest))
    Fail(absl::StrCat("has a \"", key, "\" that is not 64 lower-case hex digits"));
  return digest;
}

absl::Time JsonFields::Time(const char* key) {
  const std::string text = String(key);
  if (!ok()) return absl::InfinitePast();
  const absl::StatusOr<absl::Time> time = ParseUtc(text);
  if (!time.ok()) {
    Fail(absl::StrCat("has a \"", key, "\" that is not a time like 2026-01-01T00:00:00Z"));
    return absl::InfinitePast();
  }
  return *time;
}

std::vector<std::string> JsonFields::Strings(const char* key, size_t max_count) {
  std::vector<std::string> strings;
  const json& array = Array(key);
  if (array.size() > max_count) Fail(absl::StrCat("has more than ", max_count, " entries in \"", key, "\""));
  for (const json& element : array) {
    if (!ok()) break;
    if (!element.is_string() || element.get_ref<const std::string&>().empty() ||
        element.get_ref<const std::string&>().size() > kMaxString) {
      Fail(absl::StrCat("has an entry in \"", key, "\" that is not a string of 1 to ", kMaxString,
                        " characters"));
      break;
    }
    strings.push_back(element.get<std::string>());
  }
  return strings;
}

const json& JsonFields::Object(const char* key) {
  const json* const value = Find(key, json::value_t::object, "an object");
  return value != nullptr ? *value : Empty(json::value_t::object);
}

const json& JsonFields::Array(const char* key) {
  const json* const value = Find(key, json::value_t::array, "an array");
  return value != nullptr ? *value : Empty(json::value_t::array);
}

void JsonFields::Merge(const absl::Status& status) {
  if (status_.ok()) status_ = status;
}

void JsonFields::Fail(absl::string_view message) {
  if (status_.ok()) status_ = Refuse(kMalformed, absl::StrCat(where_, " ", message));
}

}  // namespace countersign::trust
