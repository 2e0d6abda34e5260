// Comma-separated values, strictly as RFC 4180 has them, read and written one record at a time.
#ifndef COUNTERSIGN_TOOLS_CTL_CSV_H_
#define COUNTERSIGN_TOOLS_CTL_CSV_H_

#include <cstdint>
#include <istream>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace countersign::ctl {

// Writes a record: fields with a comma, a quote or the end of a line in them are quoted; lines end with CRLF.
void WriteCsv(std::ostream& out, const std::vector<std::string>& fields);

class CsvReader {
 public:
  // A record of more than this is refused, so that a quote that nobody closed does not read the whole file.
  static constexpr size_t kMaxRecordBytes = 1 << 20;

  // `in` must outlive it.
  explicit CsvReader(std::istream& in) : in_(in) {}

  // The next record, or nullopt at the end. Lines end with CRLF or LF; the last may have no end.
  // INVALID_ARGUMENT (CSV_MALFORMED) that names the line.
  absl::StatusOr<std::optional<std::vector<std::string>>> Next();

  // The line, from 1, at which the record that Next returned last begins.
  int64_t line() const { return record_line_; }

 private:
  std::istream& in_;
  int64_t next_line_ = 1;
  int64_t record_line_ = 0;
};

}  // namespace countersign::ctl

#endif  // COUNTERSIGN_TOOLS_CTL_CSV_H_
