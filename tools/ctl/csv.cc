#include "tools/ctl/csv.h"

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"

namespace countersign::ctl {
namespace {

absl::Status Malformed(int64_t line, absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "CSV_MALFORMED", absl::StrCat("line ", line, ": ", what));
}

}  // namespace

void WriteCsv(std::ostream& out, const std::vector<std::string>& fields) {
  bool first = true;
  for (const std::string& field : fields) {
    if (!first) out << ',';
    first = false;
    if (field.find_first_of(",\"\r\n") == std::string::npos) {
      out << field;
      continue;
    }
    out << '"';
    for (const char c : field) {
      if (c == '"') out << '"';
      out << c;
    }
    out << '"';
  }
  out << "\r\n";
}

absl::StatusOr<std::optional<std::vector<std::string>>> CsvReader::Next() {
  constexpr int kEnd = std::char_traits<char>::eof();
  record_line_ = next_line_;
  if (in_.peek() == kEnd) return std::nullopt;
  std::vector<std::string> fields(1);
  enum { kStart, kPlain, kQuoted, kQuoteEnded } state = kStart;
  size_t bytes = 0;
  while (true) {
    const int c = in_.get();
    if (++bytes > kMaxRecordBytes)
      return Malformed(record_line_, "a record of more than 1 MiB; is a quote not closed?");
    if (c == kEnd) {
      if (state == kQuoted) return Malformed(record_line_, "a quoted field has no end");
      return fields;
    }
    if (c == '\n') ++next_line_;
    if (state == kQuoted) {
      if (c == '"') {
        state = kQuoteEnded;
      } else {
        fields.back().push_back(static_cast<char>(c));
      }
      continue;
    }
    if (c == '"') {
      if (state == kPlain) return Malformed(next_line_, "a quote within a field that is not quoted");
      if (state == kQuoteEnded) fields.back().push_back('"');  // a doubled one
      state = kQuoted;
    } else if (c == ',') {
      fields.emplace_back();
      state = kStart;
    } else if (c == '\n') {
      return fields;
    } else if (c == '\r') {
      if (in_.peek() != '\n') return Malformed(next_line_, "a carriage return that does not end the line");
    } else if (state == kQuoteEnded) {
      return Malformed(next_line_, "text behind a quoted field");
    } else {
      fields.back().push_back(static_cast<char>(c));
      state = kPlain;
    }
  }
}

}  // namespace countersign::ctl
