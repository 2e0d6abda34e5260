#include "services/inventory/domain/filter.h"

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::inventory::domain {
namespace {

constexpr std::pair<absl::string_view, TextField> kTextFields[] = {
    {"gateway", TextField::kGateway},      {"device", TextField::kDevice},
    {"ecu_serial", TextField::kEcuSerial}, {"manufacturer", TextField::kManufacturer},
    {"model", TextField::kModel},          {"hardware_id", TextField::kHardwareId},
    {"version", TextField::kVersion},
};
constexpr absl::string_view kFieldNames =
    "gateway, device, ecu_serial, manufacturer, model, hardware_id, version, state and kind";

bool IsWordCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '/' || c == '-';
}

class Parser {
 public:
  explicit Parser(absl::string_view text) : text_(text) {}

  absl::StatusOr<Filter> Parse() {
    if (text_.size() > kMaxFilterBytes) {
      return Invalid(absl::StrCat("it is longer than ", kMaxFilterBytes, " bytes"));
    }
    Filter filter;
    SkipSpace();
    if (AtEnd()) return filter;
    while (true) {
      if (filter.restrictions.size() == kMaxRestrictions) {
        return Invalid(absl::StrCat("it has more than ", kMaxRestrictions, " restrictions"));
      }
      ASSIGN_OR_RETURN(Restriction restriction, ParseRestriction());
      filter.restrictions.push_back(std::move(restriction));
      const bool spaced = SkipSpace();
      if (AtEnd()) return filter;
      if (!spaced || ReadWord() != "AND" || !SkipSpace()) {
        return Invalid("expected AND between spaces, or the end");
      }
    }
  }

 private:
  bool AtEnd() const { return position_ == text_.size(); }

  // Whether there was any.
  bool SkipSpace() {
    const size_t start = position_;
    while (!AtEnd() && absl::ascii_isspace(static_cast<unsigned char>(text_[position_]))) ++position_;
    return position_ != start;
  }

  absl::string_view ReadWord() {
    const size_t start = position_;
    while (!AtEnd() && IsWordCharacter(text_[position_])) ++position_;
    return text_.substr(start, position_ - start);
  }

  absl::StatusOr<std::string> ReadValue() {
    if (AtEnd()) return Invalid("expected a value");
    const char quote = text_[position_];
    if (quote != '"' && quote != '\'') {
      const absl::string_view word = ReadWord();
      if (word.empty()) return Invalid("expected a value, in quotes unless it is one word");
      return std::string(word);
    }
    ++position_;
    std::string value;
    while (true) {
      if (AtEnd()) return Invalid("a quoted value has no end");
      char c = text_[position_++];
      if (c == quote) return value;
      if (c == '\\') {
        if (AtEnd()) return Invalid("a quoted value has no end");
        c = text_[position_++];
      }
      // The database cannot hold a NUL, and nothing that is provisioned has control characters.
      if (absl::ascii_iscntrl(static_cast<unsigned char>(c)))
        return Invalid("a value holds a control character");
      value.push_back(c);
    }
  }

  absl::StatusOr<Restriction> ParseRestriction() {
    const size_t start = position_;
    const absl::string_view field = ReadWord();
    if (field.empty()) return Invalid("expected a field");
    SkipSpace();
    if (AtEnd() || text_[position_] != '=') return Invalid(absl::StrCat("expected = after \"", field, "\""));
    ++position_;
    SkipSpace();
    ASSIGN_OR_RETURN(std::string value, ReadValue());
    return Typed(start, field, std::move(value));
  }

  absl::StatusOr<Restriction> Typed(size_t start, absl::string_view field, std::string value) {
    for (const auto& [name, text_field] : kTextFields) {
      if (field == name) return TextIs{text_field, std::move(value)};
    }
    if (field == "state") {
      absl::string_view name = value;
      absl::ConsumePrefix(&name, "STATE_");
      if (const std::optional<State> state = ParseState(name)) return StateIs{*state};
      return Invalid(
          "state is one of UNVERIFIED, VERIFIED, PROXIED, MODIFIED, COMPROMISED, QUARANTINED, RETIRED");
    }
    if (field == "kind") {
      absl::string_view name = value;
      absl::ConsumePrefix(&name, "KIND_");
      if (const std::optional<GatewayKind> kind = ParseGatewayKind(name)) return KindIs{*kind};
      return Invalid("kind is HOME or VEHICLE");
    }
    position_ = start;
    return Invalid(
        absl::StrCat("there is no field \"", field.substr(0, 64), "\"; the fields are ", kFieldNames));
  }

  absl::Status Invalid(absl::string_view what) const {
    return Error(absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
                 absl::StrCat("The filter cannot be read at character ", position_ + 1, ": ", what,
                              ". An example: manufacturer = \"acme\" AND state = VERIFIED"));
  }

  const absl::string_view text_;
  size_t position_ = 0;
};

}  // namespace

absl::StatusOr<Filter> ParseFilter(absl::string_view text) { return Parser(text).Parse(); }

}  // namespace countersign::inventory::domain
