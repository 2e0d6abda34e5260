#ifndef COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_FILTER_H_
#define COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_FILTER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/inventory/domain/filter_fields.h"

// Filters in the syntax of AIP-160 (https://google.aip.dev/160): what they are, read from text, and written
// in one way. README.md has the grammar and what it means.
namespace countersign::inventory::domain {

// What a term asks of its field. There are no others: `!=` is the negation of `=`, and `:` is `=` or
// kPresent.
enum class Op { kEquals, kBeginsWith, kPresent, kLess, kLessOrEqual, kGreater, kGreaterOrEqual };

// One restriction of one field. Which of the values holds is said by the field's type.
struct Term {
  Field field = Field::kGateway;
  Op op = Op::kEquals;
  std::string key;     // of a tag: its name
  std::string text;    // text, version, tag
  int64_t number = 0;  // number; the stored number of an enum; 0 or 1 of a flag
  absl::Time time;     // in whole microseconds, as they are stored

  friend bool operator==(const Term&, const Term&) = default;
};

// An expression. A resource that has no value for a field satisfies no term about it, and thus every negated
// one: an expression is true or false, never unknown.
struct Expression {
  enum class Kind {
    kAnd,     // all of `children`; none of them is everything
    kOr,      // one of `children`
    kNot,     // not the one of `children`
    kTerm,    // `term`
    kSearch,  // `term.text` is, or begins, one of SearchedFields(): a bare word
  };
  Kind kind = Kind::kAnd;
  std::vector<Expression> children;
  Term term;

  friend bool operator==(const Expression&, const Expression&) = default;
};

// A filter of one kind of resource.
struct Filter {
  Resource resource = Resource::kComponent;
  Expression expression;
};

inline constexpr size_t kMaxFilterBytes = 2048;
inline constexpr int kMaxFilterTerms = 64;
inline constexpr int kMaxFilterDepth = 16;

// Reads a filter. Durations count from `now`. INVALID_ARGUMENT (FILTER_INVALID) with the character at which
// it cannot be read, and what would be right there.
absl::StatusOr<Filter> ParseFilter(Resource resource, absl::string_view text, absl::Time now);

// The filter in one way of writing, which ParseFilter reads as the same expression whenever "now" is: with
// parentheses where precedence surprises, times absolute. Empty selects everything.
std::string FormatFilter(const Filter& filter);

// What a kSearch expression stands for: one term for each searched field of the resource, joined by OR.
std::vector<Term> SearchTerms(Resource resource, const Term& search);

}  // namespace countersign::inventory::domain

#endif  // COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_FILTER_H_
