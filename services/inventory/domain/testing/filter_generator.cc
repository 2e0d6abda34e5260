#include "services/inventory/domain/testing/filter_generator.h"

#include "absl/strings/str_cat.h"

namespace countersign::inventory::domain {

std::string FilterGenerator::Pick(std::initializer_list<const char*> from) {
  return *(from.begin() + Below(static_cast<int>(from.size())));
}

std::string FilterGenerator::Text(Field field) {
  switch (field) {
    case Field::kGateway:
      return Pick({"home-1", "home-2", "home-20", "car-1"});
    case Field::kDevice:
      return Pick({"d1", "d2", "d20"});
    case Field::kEcuSerial:
      return Pick({"SN-1", "SN-2", "SN-20", "SN_2"});
    case Field::kManufacturer:
      return Pick({"acme", "zenith", "acme-2"});
    case Field::kModel:
      return Pick({"T1000", "T1000-X", "Größe 7", "a%b", "a_b", "*"});
    case Field::kHardwareId:
    case Field::kHardwareVersion:
      return Pick({"hw-1", "hw-2", "1"});
    case Field::kVersion:
      return Pick({"1.2.0", "1.2", "1.10.0", "2.0.0~rc1", "2.0.0", "2.0.0a", "0x0a", "10", "factory",
                   "01.2.0", "1.2.", "1.20.0", "9999999999999999999999", "0xfffffffffffffffff"});
    case Field::kSha256:
      return Pick({"aa", "ab", "bb"});
    default:
      return Pick({"", "SIGNATURE_INVALID", "IMAGE_UNKNOWN", "x"});
  }
}

int64_t FilterGenerator::Number(const FieldInfo& info) {
  if (info.type == FieldType::kEnum) return info.values[Below(static_cast<int>(info.values.size()))].number;
  return Below(info.type == FieldType::kFlag ? 2 : 4);
}

absl::Time FilterGenerator::Time() {
  constexpr int64_t kAgesSeconds[] = {
      0, 1, 3600, 6 * 3600 - 1, 6 * 3600, 6 * 3600 + 1, 24 * 3600, 48 * 3600, 30 * 24 * 3600};
  return now_ - absl::Seconds(kAgesSeconds[Below(std::size(kAgesSeconds))]);
}

std::string FilterGenerator::Value(std::string text, bool wildcard) {
  if (wildcard) {
    text.resize(static_cast<size_t>(Below(static_cast<int>(text.size()) + 1)));
    while (!text.empty() && static_cast<unsigned char>(text.back()) >= 0x80) text.pop_back();  // no half characters
  }
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '*' || c == '\\') quoted.push_back('\\');
    quoted.push_back(c);
  }
  return absl::StrCat(quoted, wildcard ? "*\"" : "\"");
}

std::string FilterGenerator::Conjunction(int depth) {
  std::string text = Factor(depth);
  for (int more = Below(3); more > 0; --more)
    absl::StrAppend(&text, Below(4) == 0 ? " " : " AND ", Factor(depth));
  return text;
}

std::string FilterGenerator::Factor(int depth) {
  std::string text = Term(depth);
  for (int more = Below(3) - 1; more > 0; --more) absl::StrAppend(&text, " OR ", Term(depth));
  return text;
}

std::string FilterGenerator::Term(int depth) {
  const std::string simple =
      depth < 4 && Below(4) == 0 ? absl::StrCat("(", Conjunction(depth + 1), ")") : Restriction();
  if (Below(4) != 0) return simple;
  return absl::StrCat(Below(2) == 0 ? "NOT " : "-", simple);
}

std::string FilterGenerator::Restriction() {
  if (Below(12) == 0) {
    const Field field = SearchedFields(resource_)[Below(static_cast<int>(SearchedFields(resource_).size()))];
    const std::string text = Text(field);
    return Below(3) == 0 ? absl::StrCat("\"", text.substr(0, 1) == "*" ? "T" : text.substr(0, 1), "*\"")
                         : Value(text, false);
  }
  const absl::Span<const Field> fields = FieldsOf(resource_);
  const FieldInfo& info = InfoOf(fields[Below(static_cast<int>(fields.size()))]);
  const std::string name(!info.alias.empty() && Below(2) == 0 ? info.alias : info.name);
  const std::string equality = Pick({" = ", "=", " != ", ":"});
  const std::string order = Pick({" < ", " <= ", " > ", ">=", " = ", "!="});
  switch (info.type) {
    case FieldType::kText: {
      if (Below(8) == 0) return absl::StrCat(name, ":*");
      return absl::StrCat(name, equality, Value(Text(info.field), Below(3) == 0));
    }
    case FieldType::kVersion: {
      if (Below(8) == 0) return absl::StrCat(name, ":*");
      if (Below(2) == 0) return absl::StrCat(name, equality, Value(Text(info.field), Below(3) == 0));
      return absl::StrCat(
          name, order,
          Pick({"1.2", "1.2.0", "1.10", "2.0.0~rc1", "2.0.0", "0x0A", "10", "99999999999999999999"}));
    }
    case FieldType::kEnum:
      return absl::StrCat(name, equality, Below(2) == 0 ? info.prefix : "", EnumName(info, Number(info)));
    case FieldType::kNumber:
      return absl::StrCat(name, order, Number(info));
    case FieldType::kTime:
      if (Below(6) == 0) return absl::StrCat(name, ":*");
      if (Below(2) == 0) return absl::StrCat(name, order, "-", Pick({"1h", "24h", "6h", "30d", "1h30m"}));
      return absl::StrCat(name, order,
                          Value(absl::FormatTime(absl::RFC3339_full, Time(), absl::UTCTimeZone()), false));
    case FieldType::kFlag:
      return absl::StrCat(name, equality, Number(info) == 0 ? "false" : "true");
    case FieldType::kTags:
      if (Below(3) == 0) return absl::StrCat("tags:", TagName());
      return absl::StrCat("tags.", TagName(), equality, Value(TagValue(), Below(3) == 0));
  }
  return "";
}

}  // namespace countersign::inventory::domain
