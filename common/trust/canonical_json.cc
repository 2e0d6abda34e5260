#include "common/trust/canonical_json.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/trust/reasons.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {
namespace {

using nlohmann::json;

bool IsPrintable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= 0x20 && c < 0x7f) || c == '\n'; });
}

// Builds a json from the parser's events. Own events, because the library's own builder takes the last of two
// equal keys and knows no limits.
class StrictBuilder : public nlohmann::json_sax<json> {
 public:
  explicit StrictBuilder(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return Add(nullptr) != nullptr; }
  bool boolean(bool value) override { return Add(value) != nullptr; }
  bool number_integer(int64_t value) override { return Add(value) != nullptr; }
  bool number_unsigned(uint64_t value) override {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return Malformed("a number is too large");
    return Add(static_cast<int64_t>(value)) != nullptr;
  }
  bool number_float(double, const std::string& text) override {
    return Malformed(
        absl::StrCat("the number ", absl::string_view(text).substr(0, 32), " is not an integer of 64 bits"));
  }
  bool string(std::string& value) override {
    if (!IsPrintable(value)) return Malformed("a string is not printable ASCII");
    return Add(std::move(value)) != nullptr;
  }
  bool binary(json::binary_t&) override { return Malformed("binary data"); }

  bool start_object(std::size_t) override { return Open(json::object()); }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t) override { return Open(json::array()); }
  bool end_array() override { return Close(); }

  bool key(std::string& key) override {
    if (!IsPrintable(key)) return Malformed("a key is not printable ASCII");
    if (open_.back()->contains(key))
      return Malformed(absl::StrCat("the key \"", key, "\" stands twice in an object"));
    key_ = std::move(key);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const json::exception&) override {
    return Malformed(absl::StrCat("not JSON at byte ", position));
  }

  // The value, or why there is none.
  absl::StatusOr<json> Finish(bool parsed) {
    if (!parsed) return error_;
    return std::move(root_);
  }

 private:
  bool Malformed(absl::string_view message) {
    error_ = Refuse(kMalformed, message);
    return false;
  }

  json* Add(json value) {
    if (++values_ > limits_.max_values) {
      error_ = Refuse(kLimitExceeded, absl::StrCat("more than ", limits_.max_values, " values"));
      return nullptr;
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    json& member = parent[key_];
    member = std::move(value);
    return &member;
  }

  bool Open(json container) {
    if (open_.size() >= static_cast<size_t>(limits_.max_depth)) {
      error_ = Refuse(kLimitExceeded, absl::StrCat("deeper than ", limits_.max_depth, " levels"));
      return false;
    }
    json* const added = Add(std::move(container));
    if (added == nullptr) return false;
    open_.push_back(added);
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  const JsonLimits& limits_;
  json root_;
  std::vector<json*>
      open_;  // containers that are not closed; a container moves only when all within it are closed
  std::string key_;
  size_t values_ = 0;
  absl::Status error_;
};

void AppendCanonicalString(const std::string& text, std::string& out) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back('"');
}

void AppendCanonical(const json& value, std::string& out) {
  switch (value.type()) {
    case json::value_t::object: {
      // nlohmann's objects are std::maps, sorted by the bytes of the keys, as canonical JSON wants.
      char separator = '{';
      for (const auto& [key, member] : value.items()) {
        out.push_back(std::exchange(separator, ','));
        AppendCanonicalString(key, out);
        out.push_back(':');
        AppendCanonical(member, out);
      }
      if (separator == '{') out.push_back('{');
      out.push_back('}');
      return;
    }
    case json::value_t::array: {
      char separator = '[';
      for (const json& element : value) {
        out.push_back(std::exchange(separator, ','));
        AppendCanonical(element, out);
      }
      if (separator == '[') out.push_back('[');
      out.push_back(']');
      return;
    }
    case json::value_t::string:
      AppendCanonicalString(value.get_ref<const std::string&>(), out);
      return;
    default:
      out.append(value.dump());
  }
}

}  // namespace

absl::StatusOr<json> ParseStrictJson(absl::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return Refuse(kLengthExceeded, absl::StrCat("more than ", limits.max_bytes, " bytes of JSON"));
  }
  StrictBuilder builder(limits);
  const bool parsed = json::sax_parse(text.data(), text.data() + text.size(), &builder);
  return builder.Finish(parsed);
}

absl::Status CheckStrict(const json& value) {
  switch (value.type()) {
    case json::value_t::object:
      for (const auto& [key, member] : value.items()) {
        if (!IsPrintable(key)) return Refuse(kMalformed, "a key is not printable ASCII");
        if (absl::Status status = CheckStrict(member); !status.ok()) return status;
      }
      return absl::OkStatus();
    case json::value_t::array:
      for (const json& element : value) {
        if (absl::Status status = CheckStrict(element); !status.ok()) return status;
      }
      return absl::OkStatus();
    case json::value_t::string:
      if (IsPrintable(value.get_ref<const std::string&>())) return absl::OkStatus();
      return Refuse(kMalformed, "a string is not printable ASCII");
    case json::value_t::boolean:
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
      return absl::OkStatus();
    default:
      return Refuse(kMalformed,
                    absl::StrCat("a value is ", value.type_name(), ": signed documents hold none"));
  }
}

std::string CanonicalJson(const json& value) {
  std::string out;
  AppendCanonical(value, out);
  return out;
}

std::string CompactJson(const json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

}  // namespace countersign::trust
