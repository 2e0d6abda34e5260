#include "common/crypto/pkcs11/uri.h"

#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/crypto/hex.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::crypto::pkcs11 {
namespace {

constexpr size_t kMaxSize = 4096;

absl::Status Invalid(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, kUriInvalid, absl::StrCat("PKCS#11 URI: ", message));
}

// RFC 3986's unreserved and the characters that RFC 7512 allows in a path attribute beside them.
bool IsPlain(char c) { return absl::ascii_isalnum(c) || absl::StrContains("-._~:[]@!$'()*+,=&/", c); }

absl::StatusOr<std::string> PercentDecode(absl::string_view name, absl::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      // A query's own separator cannot come here; "?" and "|" may stand in a query's value.
      if (!IsPlain(text[i]) && text[i] != '?' && text[i] != '|') {
        return Invalid(absl::StrCat(name, " has a character that must be written as %XX"));
      }
      decoded.push_back(text[i]);
      continue;
    }
    const absl::StatusOr<std::string> byte = HexDecode(absl::AsciiStrToLower(text.substr(i + 1, 2)));
    if (!byte.ok() || byte->size() != 1)
      return Invalid(absl::StrCat(name, " has a % without two hex digits after it"));
    decoded += *byte;
    i += 2;
  }
  return decoded;
}

using Attributes = std::map<std::string, std::string>;

// `names`: what may be there.
absl::StatusOr<Attributes> ParseAttributes(absl::string_view text, char separator,
                                           const std::vector<absl::string_view>& names) {
  Attributes attributes;
  if (text.empty()) return attributes;
  for (const absl::string_view part : absl::StrSplit(text, separator)) {
    const std::vector<absl::string_view> pair = absl::StrSplit(part, absl::MaxSplits('=', 1));
    const absl::string_view name = pair[0];
    if (name == "pin-value") {
      return Invalid(
          "pin-value is refused, since others see it: write the PIN into a file and pin-source=FILE");
    }
    bool known = false;
    for (const absl::string_view candidate : names) known = known || candidate == name;
    // The name is not repeated: it may be a value whose separator was forgotten to be escaped.
    if (!known) {
      return Invalid(absl::StrCat("there is an attribute that is none of ", absl::StrJoin(names, ", ")));
    }
    if (pair.size() != 2 || pair[1].empty()) return Invalid(absl::StrCat(name, " has no value"));
    ASSIGN_OR_RETURN(std::string value, PercentDecode(name, pair[1]));
    if (name != "id" && absl::StrContains(value, '\0'))
      return Invalid(absl::StrCat(name, " has a zero byte"));
    if (!attributes.emplace(std::string(name), std::move(value)).second) {
      return Invalid(absl::StrCat(name, " stands there twice"));
    }
  }
  return attributes;
}

void AppendAttribute(std::string& text, absl::string_view name, absl::string_view value) {
  // An id is bytes, and RFC 7512 wants all of them so.
  const absl::string_view plain = name == "id" ? "" : "-._~";
  if (value.empty()) return;
  absl::StrAppend(&text, text.empty() ? "" : ";", name, "=");
  for (const char c : value) {
    if (!plain.empty() && (absl::ascii_isalnum(c) || absl::StrContains(plain, c))) {
      text.push_back(c);
    } else {
      absl::StrAppend(&text, "%", absl::AsciiStrToUpper(HexEncode(absl::string_view(&c, 1))));
    }
  }
}

}  // namespace

absl::StatusOr<Uri> ParseUri(absl::string_view text) {
  if (text.size() > kMaxSize) return Invalid("it is too long");
  if (!absl::StartsWithIgnoreCase(text, "pkcs11:")) return Invalid("it does not begin with pkcs11:");
  text.remove_prefix(7);
  const std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('?', 1));
  ASSIGN_OR_RETURN(Attributes path, ParseAttributes(parts[0], ';',
                                                    {"token", "manufacturer", "model", "serial", "slot-id",
                                                     "object", "id", "type"}));
  ASSIGN_OR_RETURN(Attributes query,
                   ParseAttributes(parts.size() == 2 ? parts[1] : "", '&', {"module-path", "pin-source"}));
  Uri uri;
  uri.token = path["token"];
  uri.manufacturer = path["manufacturer"];
  uri.model = path["model"];
  uri.serial = path["serial"];
  if (const std::string& slot = path["slot-id"]; !slot.empty()) {
    uint64_t number;
    if (!absl::SimpleAtoi(slot, &number)) return Invalid("slot-id is not a number");
    uri.slot_id = number;
  }
  uri.object = path["object"];
  uri.id = path["id"];
  uri.type = path["type"];
  for (const absl::string_view type : {"", "private", "public", "cert", "secret-key", "data"}) {
    if (uri.type == type) break;
    if (type == "data") return Invalid("type must be private, public, cert, secret-key or data");
  }
  uri.module_path = query["module-path"];
  if (!absl::StartsWith(uri.module_path, "/")) {
    return Invalid("module-path must name the PKCS#11 library, with its whole path");
  }
  if (!query["pin-source"].empty()) {
    absl::string_view file = query["pin-source"];
    if (absl::ConsumePrefix(&file, "file:")) absl::ConsumePrefix(&file, "//");
    if (!absl::StartsWith(file, "/")) return Invalid("pin-source must be a file, with its whole path");
    uri.pin_source = std::string(file);
  }
  return uri;
}

std::string Uri::ToString() const {
  std::string text;
  AppendAttribute(text, "token", token);
  AppendAttribute(text, "manufacturer", manufacturer);
  AppendAttribute(text, "model", model);
  AppendAttribute(text, "serial", serial);
  if (slot_id.has_value()) AppendAttribute(text, "slot-id", absl::StrCat(*slot_id));
  AppendAttribute(text, "object", object);
  AppendAttribute(text, "id", id);
  AppendAttribute(text, "type", type);
  return absl::StrCat("pkcs11:", text);
}

}  // namespace countersign::crypto::pkcs11
