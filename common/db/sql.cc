#include "common/db/sql.h"

#include <limits>
#include <tuple>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace countersign::db {
namespace {

// Object ids of built-in types, which never change (pg_type.dat).
enum class Oid : uint32_t {
  kBool = 16,
  kBytea = 17,
  kInt8 = 20,
  kInt4 = 23,
  kText = 25,
  kTimestamptz = 1184,
};

// PostgreSQL's timestamps count from here, in microseconds.
constexpr absl::CivilSecond kEpoch(2000, 1, 1);

// array_send's format: big-endian header, then each element with its length before it, -1 for NULL.
class BinaryArray {
 public:
  BinaryArray(Oid element, std::size_t count) {
    Append32(1);  // dimensions
    Append32(1);  // there may be NULLs
    Append32(static_cast<uint32_t>(element));
    Append32(static_cast<uint32_t>(count));
    Append32(1);  // the first one's subscript
  }

  void Null() { Append32(0xffffffff); }
  void Element(absl::string_view bytes) {
    Append32(static_cast<uint32_t>(bytes.size()));
    buffer_.append(bytes.data(), bytes.size());
  }
  void Element(bool value) {
    Append32(1);
    buffer_.push_back(value ? 1 : 0);
  }
  void Element(int32_t value) {
    Append32(4);
    Append32(static_cast<uint32_t>(value));
  }
  void Element(int64_t value) {
    Append32(8);
    Append32(static_cast<uint32_t>(static_cast<uint64_t>(value) >> 32));
    Append32(static_cast<uint32_t>(value));
  }
  void Element(absl::Time time) {
    if (time == absl::InfiniteFuture()) return Element(std::numeric_limits<int64_t>::max());
    if (time == absl::InfinitePast()) return Element(std::numeric_limits<int64_t>::min());
    static const absl::Time epoch = absl::FromCivil(kEpoch, absl::UTCTimeZone());
    Element(absl::ToUnixMicros(time) - absl::ToUnixMicros(epoch));
  }

  pqxx::binarystring Done() const { return pqxx::binarystring(buffer_); }

 private:
  void Append32(uint32_t value) {
    const char bytes[] = {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
                          static_cast<char>(value >> 8), static_cast<char>(value)};
    buffer_.append(bytes, sizeof bytes);
  }

  std::string buffer_;
};

template <typename Values>
pqxx::binarystring Array(Oid element, const Values& values) {
  BinaryArray array(element, values.size());
  for (const auto& value : values) array.Element(value);
  return array.Done();
}

template <typename Values>
pqxx::binarystring NullableArray(Oid element, const Values& values) {
  BinaryArray array(element, values.size());
  for (const auto& value : values) {
    if (value.has_value()) {
      array.Element(*value);
    } else {
      array.Null();
    }
  }
  return array.Done();
}

}  // namespace

pqxx::binarystring Bytes(absl::string_view bytes) { return pqxx::binarystring(bytes.data(), bytes.size()); }

std::optional<std::string> NullableBytes(const std::optional<std::string>& bytes) {
  if (!bytes.has_value()) return std::nullopt;
  return absl::StrCat("\\x", absl::BytesToHexString(*bytes));
}

std::string BytesOf(const pqxx::field& field) {
  // Not pqxx::binarystring, which would need a copy more. The session has bytea_output=hex.
  const absl::string_view text(field.c_str(), field.size());
  if (field.is_null() || text.substr(0, 2) != "\\x") {
    throw pqxx::conversion_error(absl::StrCat("column ", field.name(), " is not a bytea"));
  }
  return absl::HexStringToBytes(text.substr(2));
}

std::optional<std::string> NullableBytesOf(const pqxx::field& field) {
  if (field.is_null()) return std::nullopt;
  return BytesOf(field);
}

std::string Timestamp(absl::Time time) {
  if (time == absl::InfiniteFuture()) return "infinity";
  if (time == absl::InfinitePast()) return "-infinity";
  return absl::FormatTime("%E4Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone());
}

std::optional<std::string> NullableTimestamp(std::optional<absl::Time> time) {
  if (!time.has_value()) return std::nullopt;
  return Timestamp(*time);
}

absl::Time TimeOf(const pqxx::field& field) {
  const absl::string_view text(field.c_str(), field.size());
  if (text == "infinity") return absl::InfiniteFuture();
  if (text == "-infinity") return absl::InfinitePast();
  absl::Time time;
  std::string error;
  if (field.is_null() || !absl::ParseTime("%Y-%m-%d %H:%M:%E*S%Ez", text, &time, &error)) {
    throw pqxx::conversion_error(absl::StrCat("column ", field.name(), " is not a timestamptz"));
  }
  return time;
}

std::optional<absl::Time> NullableTimeOf(const pqxx::field& field) {
  if (field.is_null()) return std::nullopt;
  return TimeOf(field);
}

std::string TextOf(const pqxx::field& field) {
  if (field.is_null()) throw pqxx::conversion_error(absl::StrCat("column ", field.name(), " is NULL"));
  return std::string(field.c_str(), field.size());
}

pqxx::binarystring TextArray(absl::Span<const std::string> values) { return Array(Oid::kText, values); }
pqxx::binarystring NullableTextArray(absl::Span<const std::optional<std::string>> values) {
  return NullableArray(Oid::kText, values);
}
pqxx::binarystring BytesArray(absl::Span<const std::string> values) { return Array(Oid::kBytea, values); }
pqxx::binarystring NullableBytesArray(absl::Span<const std::optional<std::string>> values) {
  return NullableArray(Oid::kBytea, values);
}
pqxx::binarystring BigintArray(absl::Span<const int64_t> values) { return Array(Oid::kInt8, values); }
pqxx::binarystring NullableBigintArray(absl::Span<const std::optional<int64_t>> values) {
  return NullableArray(Oid::kInt8, values);
}
pqxx::binarystring IntegerArray(absl::Span<const int32_t> values) { return Array(Oid::kInt4, values); }
pqxx::binarystring BooleanArray(const std::vector<bool>& values) {
  BinaryArray array(Oid::kBool, values.size());
  for (const bool value : values) array.Element(value);
  return array.Done();
}
pqxx::binarystring TimestampArray(absl::Span<const absl::Time> values) {
  return Array(Oid::kTimestamptz, values);
}
pqxx::binarystring NullableTimestampArray(absl::Span<const std::optional<absl::Time>> values) {
  return NullableArray(Oid::kTimestamptz, values);
}

std::vector<std::string> TextArrayOf(const pqxx::field& field) {
  std::vector<std::string> values;
  if (field.is_null()) return values;
  pqxx::array_parser parser(field.c_str());
  for (auto [kind, value] = parser.get_next(); kind != pqxx::array_parser::done;
       std::tie(kind, value) = parser.get_next()) {
    if (kind == pqxx::array_parser::string_value) values.push_back(std::move(value));
  }
  return values;
}

}  // namespace countersign::db
