#include "common/log/log.h"

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/clock/clock.h"
#include "common/status/errors.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace countersign::log {
namespace {

// More than any message needs; what is longer is cut, so that one line cannot fill a disk.
constexpr size_t kMaxValueBytes = 4096;

thread_local std::string current_request_id;

absl::string_view LevelName(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarn:
      return "warn";
    case Level::kError:
      return "error";
  }
  return "error";
}

spdlog::level::level_enum ToSpdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

// The length of the well-formed UTF-8 sequence at the start of `text`, 0 if it is none.
size_t Utf8Length(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if ((first & 0xf0) == 0xe0) {
    if (!follows(1) || !follows(2)) return 0;
    if (first == 0xe0 && byte(1) < 0xa0) return 0;
    if (first == 0xed && byte(1) > 0x9f) return 0;
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!follows(1) || !follows(2) || !follows(3)) return 0;
    if (first == 0xf0 && byte(1) < 0x90) return 0;
    if (first == 0xf4 && byte(1) > 0x8f) return 0;
    return 4;
  }
  return 0;
}

void AppendJsonString(absl::string_view text, std::string& out) {
  const bool cut = text.size() > kMaxValueBytes;
  if (cut) text = text.substr(0, kMaxValueBytes);
  out.push_back('"');
  while (!text.empty()) {
    const unsigned char c = static_cast<unsigned char>(text[0]);
    size_t taken = 1;
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(c));
    } else if (c == '\n') {
      out.append("\\n");
    } else if (c == '\t') {
      out.append("\\t");
    } else if (c < 0x20 || c == 0x7f) {
      absl::StrAppendFormat(&out, "\\u%04x", c);
    } else if (const size_t length = Utf8Length(text); length == 0) {
      out.append("\\ufffd");
    } else {
      out.append(text.data(), length);
      taken = length;
    }
    text.remove_prefix(taken);
  }
  if (cut) out.append("...");
  out.push_back('"');
}

std::string JsonString(absl::string_view text) {
  std::string out;
  AppendJsonString(text, out);
  return out;
}

std::string JsonNumber(double value) {
  return std::isfinite(value) ? absl::StrFormat("%.9g", value) : JsonString(absl::StrCat(value));
}

std::string Rfc3339(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%E6SZ", time, absl::UTCTimeZone());
}

spdlog::logger& Logger() {
  static spdlog::logger& logger = *[] {
    auto* made = new spdlog::logger("countersign", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->flush_on(spdlog::level::debug);
    made->set_level(spdlog::level::info);
    return made;
  }();
  static const bool configured = [] {
    if (const char* name = std::getenv("COUNTERSIGN_LOG_LEVEL"); name != nullptr) {
      const std::string wanted = name;
      for (Level level : {Level::kDebug, Level::kInfo, Level::kWarn, Level::kError}) {
        if (LevelName(level) == wanted) logger.set_level(ToSpdlog(level));
      }
    }
    return true;
  }();
  static_cast<void>(configured);
  return logger;
}

void Write(Level level, absl::string_view message, std::initializer_list<Field> fields) {
  if (!Enabled(level)) return;
  const std::string line = FormatLine(level, SystemClock().Now(), message, fields);
  Logger().log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace

absl::Status SetLevel(absl::string_view name) {
  for (Level level : {Level::kDebug, Level::kInfo, Level::kWarn, Level::kError}) {
    if (LevelName(level) == name) {
      SetLevel(level);
      return absl::OkStatus();
    }
  }
  return countersign::Error(absl::StatusCode::kInvalidArgument, "BAD_LOG_LEVEL",
                            absl::StrCat("the log level is debug, info, warn or error, not \"", name, "\""));
}

void SetLevel(Level level) { Logger().set_level(ToSpdlog(level)); }

bool Enabled(Level level) { return Logger().should_log(ToSpdlog(level)); }

Field::Field(absl::string_view key, absl::string_view value)
    : json_(absl::StrCat(JsonString(key), ":", JsonString(value))) {}
Field::Field(absl::string_view key, bool value)
    : json_(absl::StrCat(JsonString(key), ":", value ? "true" : "false")) {}
Field::Field(absl::string_view key, double value)
    : json_(absl::StrCat(JsonString(key), ":", JsonNumber(value))) {}
Field::Field(absl::string_view key, int64_t value, int) : json_(absl::StrCat(JsonString(key), ":", value)) {}
Field::Field(absl::string_view key, const absl::Status& value)
    : Field(key, value.ToString(absl::StatusToStringMode::kWithNoExtraData)) {}
Field::Field(absl::string_view key, absl::Duration value) : Field(key, absl::ToDoubleSeconds(value)) {}
Field::Field(absl::string_view key, absl::Time value) : Field(key, Rfc3339(value)) {}

void Debug(absl::string_view message, std::initializer_list<Field> fields) {
  Write(Level::kDebug, message, fields);
}
void Info(absl::string_view message, std::initializer_list<Field> fields) {
  Write(Level::kInfo, message, fields);
}
void Warn(absl::string_view message, std::initializer_list<Field> fields) {
  Write(Level::kWarn, message, fields);
}
void Error(absl::string_view message, std::initializer_list<Field> fields) {
  Write(Level::kError, message, fields);
}

std::string FormatLine(Level level, absl::Time time, absl::string_view message,
                       std::initializer_list<Field> fields) {
  std::string line =
      absl::StrCat("{\"time\":\"", Rfc3339(time), "\",\"level\":\"", LevelName(level), "\",\"message\":");
  AppendJsonString(message, line);
  if (!current_request_id.empty()) {
    line.append(",\"request_id\":");
    AppendJsonString(current_request_id, line);
  }
  for (const Field& field : fields) {
    line.push_back(',');
    line.append(field.json());
  }
  line.push_back('}');
  return line;
}

ScopedRequestId::ScopedRequestId(absl::string_view request_id) : previous_(std::move(current_request_id)) {
  current_request_id = std::string(request_id);
}

ScopedRequestId::~ScopedRequestId() { current_request_id = std::move(previous_); }

const std::string& CurrentRequestId() { return current_request_id; }

}  // namespace countersign::log
