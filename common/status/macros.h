#ifndef COUNTERSIGN_COMMON_STATUS_MACROS_H_
#define COUNTERSIGN_COMMON_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the function that it stands in if `expr`, an absl::Status, is not OK.
#define RETURN_IF_ERROR(expr)                                                   \
  do {                                                                          \
    if (absl::Status countersign_status_ = (expr); !countersign_status_.ok()) { \
      return countersign_status_;                                               \
    }                                                                           \
  } while (false)

// Evaluates `expr`, an absl::StatusOr<T>: assigns its value to `lhs` (which may declare a variable), or
// returns its status from the function that it stands in. It is two statements: do not use it as the body of
// an `if`. A `lhs` with a comma wants parentheses of its own: name the type instead.
#define ASSIGN_OR_RETURN(lhs, expr) \
  COUNTERSIGN_ASSIGN_OR_RETURN_(COUNTERSIGN_CONCAT_(countersign_status_or_, __LINE__), lhs, expr)

#define COUNTERSIGN_ASSIGN_OR_RETURN_(status_or, lhs, expr)  \
  auto status_or = (expr);                                   \
  if (!status_or.ok()) return std::move(status_or).status(); \
  lhs = *std::move(status_or)

#define COUNTERSIGN_CONCAT_(a, b) COUNTERSIGN_CONCAT_INNER_(a, b)
#define COUNTERSIGN_CONCAT_INNER_(a, b) a##b

#endif  // COUNTERSIGN_COMMON_STATUS_MACROS_H_
