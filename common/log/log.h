// Structured logs: one JSON object a line on standard error.
//
//   {"time":"2026-01-31T12:00:00.123456Z","level":"info","message":"created","request_id":"5f0c","rollout":"r-17"}
//
// `time`, `level`, `message` always stand first; `request_id` is there when the thread works on a call
// (ScopedRequestId). A line never contains a raw line break or control character: keys and values are
// escaped. Thread-safe. Log identifiers and counts, never a whole request, a secret or a user's data.
#ifndef COUNTERSIGN_COMMON_LOG_LOG_H_
#define COUNTERSIGN_COMMON_LOG_LOG_H_

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::log {

enum class Level { kDebug, kInfo, kWarn, kError };

// "debug", "info", "warn", "error"; INVALID_ARGUMENT for anything else. The level of a process starts as what
// the environment variable COUNTERSIGN_LOG_LEVEL says, and as "info" without it.
absl::Status SetLevel(absl::string_view name);
void SetLevel(Level level);
bool Enabled(Level level);

// One key and its value; numbers and booleans stay what they are in JSON, a duration becomes seconds, a
// Status its text.
class Field {
 public:
  Field(absl::string_view key, absl::string_view value);
  Field(absl::string_view key, const char* value) : Field(key, absl::string_view(value)) {}
  Field(absl::string_view key, const std::string& value) : Field(key, absl::string_view(value)) {}
  Field(absl::string_view key, bool value);
  Field(absl::string_view key, double value);
  template <std::integral Number>
  requires(!std::same_as<Number, bool>) Field(absl::string_view key, Number value)
      : Field(key, static_cast<int64_t>(value), 0) {}
  Field(absl::string_view key, const absl::Status& value);
  Field(absl::string_view key, absl::Duration value);
  Field(absl::string_view key, absl::Time value);

  const std::string& json() const { return json_; }  // `"key":value`

 private:
  Field(absl::string_view key, int64_t value, int);
  std::string json_;
};

void Debug(absl::string_view message, std::initializer_list<Field> fields = {});
void Info(absl::string_view message, std::initializer_list<Field> fields = {});
void Warn(absl::string_view message, std::initializer_list<Field> fields = {});
void Error(absl::string_view message, std::initializer_list<Field> fields = {});

// The line (without its line break) that the above write; the time is the system clock's.
std::string FormatLine(Level level, absl::Time time, absl::string_view message,
                       std::initializer_list<Field> fields);

// While it lives, lines of this thread carry `request_id`; scopes nest. common/rpc opens one around each
// handler, and workers may open one around each round of their work.
class ScopedRequestId {
 public:
  explicit ScopedRequestId(absl::string_view request_id);
  ~ScopedRequestId();
  ScopedRequestId(const ScopedRequestId&) = delete;
  ScopedRequestId& operator=(const ScopedRequestId&) = delete;

 private:
  std::string previous_;
};

// This thread's request id, or "" outside every scope.
const std::string& CurrentRequestId();

}  // namespace countersign::log

#endif  // COUNTERSIGN_COMMON_LOG_LOG_H_
