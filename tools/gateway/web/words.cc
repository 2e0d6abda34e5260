#include "tools/gateway/web/words.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tools/gateway/web/assets.h"

namespace countersign::gateway {
namespace {

// "FAILURE_REASON_NO_FLASH" as "no_flash".
std::string Plain(const std::string& name, absl::string_view prefix) {
  return absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
}

// The length of the character of UTF-8 that `text` begins with; 0 if it begins with none.
size_t CharacterLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t length = byte(0) < 0x80 ? 1 : byte(0) < 0xc2 ? 0 : byte(0) < 0xe0 ? 2 : byte(0) < 0xf0 ? 3 : 4;
  if (length == 0 || byte(0) > 0xf4 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

// Embeddings, overrides and isolates of direction, the marks of direction, and the separators that are line
// breaks by another name (U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069), and C1 controls (U+0080 to
// U+009F).
bool IsHarmful(absl::string_view character) {
  if (character.size() == 1) {
    const auto c = static_cast<unsigned char>(character[0]);
    return (c < 0x20 && c != '\n') || c == 0x7f;
  }
  const auto last = static_cast<unsigned char>(character.back());
  if (character.size() == 2) return character[0] == '\xc2' && last < 0xa0;
  if (character.size() != 3 || character[0] != '\xe2') return false;
  if (character[1] == '\x80') return last == 0x8e || last == 0x8f || (last >= 0xa8 && last <= 0xae);
  return character[1] == '\x81' && last >= 0xa6 && last <= 0xa9;
}

}  // namespace

const std::vector<std::string>& Languages() {
  static const auto& languages = *new std::vector<std::string>{"en", "de"};
  return languages;
}

std::string ChooseLanguage(absl::string_view accept_language) {
  std::string best = Languages().front();
  double best_quality = 0;
  for (const absl::string_view range : absl::StrSplit(accept_language, ',')) {
    const std::vector<std::string> parts = absl::StrSplit(range, ';');
    const std::string tag = absl::AsciiStrToLower(absl::StripAsciiWhitespace(parts[0]));
    const std::string primary = tag.substr(0, tag.find('-'));
    double quality = 1;
    for (size_t i = 1; i < parts.size(); ++i) {
      absl::string_view parameter = absl::StripAsciiWhitespace(parts[i]);
      if (absl::ConsumePrefix(&parameter, "q=") && !absl::SimpleAtod(parameter, &quality)) quality = 0;
    }
    if (!(quality > best_quality)) continue;  // nor when it is no number
    if (std::find(Languages().begin(), Languages().end(), primary) == Languages().end()) continue;
    best = primary;
    best_quality = quality;
  }
  return best;
}

std::string CleanText(absl::string_view text) {
  std::string clean;
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    if (length == 0) {
      clean += "\xef\xbf\xbd";  // U+FFFD
      text.remove_prefix(1);
      continue;
    }
    const absl::string_view character = text.substr(0, length);
    if (!IsHarmful(character)) absl::StrAppend(&clean, character);
    text.remove_prefix(length);
  }
  return clean;
}

Words::Words(std::string language, absl::string_view json) : language_(std::move(language)) {
  const auto parsed = nlohmann::json::parse(json.begin(), json.end());
  for (const auto& [key, value] : parsed.items()) table_[key] = value.get<std::string>();
}

const Words& Words::In(absl::string_view language) {
  static const auto& all = *[] {
    auto* made = new std::map<std::string, const Words*, std::less<>>;
    for (const std::string& name : Languages()) {
      const Asset* asset = FindAsset(absl::StrCat(name, ".json"));
      if (asset == nullptr) std::abort();
      (*made)[name] = new Words(name, asset->content);
    }
    return made;
  }();
  const auto found = all.find(std::string(language));
  return *(found == all.end() ? all.find(Languages().front()) : found)->second;
}

bool Words::Has(absl::string_view key) const { return table_.contains(std::string(key)); }

std::string Words::Say(absl::string_view key, Arguments arguments) const {
  const auto found = table_.find(std::string(key));
  if (found == table_.end()) return absl::StrCat("[[", key, "]]");
  // In one pass: what is put in is never looked at again, whoever wrote it.
  std::string said;
  absl::string_view rest = found->second;
  while (!rest.empty()) {
    const size_t open = rest.find('{');
    absl::StrAppend(&said, rest.substr(0, open));
    if (open == absl::string_view::npos) break;
    const size_t close = rest.find('}', open);
    const absl::string_view name = rest.substr(open + 1, close - open - 1);
    for (const auto& [argument, value] : arguments) {
      if (argument == name) said += value;
    }
    rest.remove_prefix(close == absl::string_view::npos ? rest.size() : close + 1);
  }
  return said;
}

std::string Words::Count(absl::string_view key, int count) const {
  return Say(absl::StrCat(key, count == 1 ? ".one" : ".many"), {{"count", absl::StrCat(count)}});
}

std::string Words::List(const std::vector<std::string>& items) const {
  std::string list;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) list += i + 1 == items.size() ? Say("list.and") : ", ";
    list += items[i];
  }
  return list;
}

std::string Words::Duration(absl::Duration duration) const {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  if (seconds < 90) return Count("time.seconds", static_cast<int>(seconds));
  const int64_t minutes = (seconds + 59) / 60;
  if (minutes < 120) return Count("time.minutes", static_cast<int>(minutes));
  return Count("time.hours", static_cast<int>((minutes + 59) / 60));
}

std::string Words::Time(absl::Time time, absl::Time now, const absl::TimeZone& zone) const {
  const absl::CivilMinute at = absl::ToCivilMinute(time, zone);
  const std::string clock = absl::FormatTime("%H:%M", time, zone);
  const absl::CivilDay day(at), today = absl::ToCivilDay(now, zone);
  if (day == today) return Say("time.today", {{"time", clock}});
  if (day == today + 1) return Say("time.tomorrow", {{"time", clock}});
  if (day == today - 1) return Say("time.yesterday", {{"time", clock}});
  return Say("time.on", {{"day", absl::StrCat(at.day())},
                         {"month", Say(absl::StrCat("month.", at.month()))},
                         {"year", absl::StrCat(at.year())},
                         {"time", clock}});
}

std::string Words::Phase(common::v1::UpdatePhase phase) const {
  return Say(absl::StrCat("phase.", Plain(common::v1::UpdatePhase_Name(phase), "UPDATE_PHASE_")));
}

std::string Words::Reason(common::v1::FailureReason reason) const {
  return Say(absl::StrCat("reason.", Plain(common::v1::FailureReason_Name(reason), "FAILURE_REASON_")));
}

std::string Words::Kind(common::v1::UpdateKind kind) const {
  return Say(absl::StrCat("kind.", Plain(common::v1::UpdateKind_Name(kind), "UPDATE_KIND_")));
}

std::string Words::Criticality(common::v1::Criticality criticality) const {
  return Say(absl::StrCat("criticality.", Plain(common::v1::Criticality_Name(criticality), "CRITICALITY_")));
}

}  // namespace countersign::gateway
