#ifndef COUNTERSIGN_COMMON_TLOG_DECIMAL_H_
#define COUNTERSIGN_COMMON_TLOG_DECIMAL_H_

#include <cstdint>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace countersign::tlog {

// A number from 0 that is written in the only way there is: without sign, space or leading zeroes. For the
// .cc files of this folder.
inline std::optional<int64_t> ParseDecimal(absl::string_view text) {
  int64_t number = 0;
  if (!absl::SimpleAtoi(text, &number) || number < 0 || absl::StrCat(number) != text) return std::nullopt;
  return number;
}

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_COMMON_TLOG_DECIMAL_H_
