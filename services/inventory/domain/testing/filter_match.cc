#include "services/inventory/domain/testing/filter_match.h"

#include <algorithm>
#include <optional>

#include "absl/strings/match.h"
#include "common/version/version.h"

namespace countersign::inventory::domain {
namespace {

template <typename T>
bool Compare(Op op, const T& left, const T& right) {
  switch (op) {
    case Op::kEquals:
      return left == right;
    case Op::kLess:
      return left < right;
    case Op::kLessOrEqual:
      return left <= right;
    case Op::kGreater:
      return left > right;
    case Op::kGreaterOrEqual:
      return left >= right;
    default:
      return false;
  }
}

bool MatchesText(Op op, const std::string& value, const std::string& wanted) {
  if (value.empty()) return false;
  if (op == Op::kPresent) return true;
  return op == Op::kBeginsWith ? absl::StartsWith(value, wanted) : value == wanted;
}

bool MatchesVersion(Op op, const std::string& value, const std::string& wanted) {
  const std::optional<std::string> key = VersionSortKey(wanted);
  if (op == Op::kPresent || op == Op::kBeginsWith || !key.has_value()) return MatchesText(op, value, wanted);
  const std::optional<std::string> own = VersionSortKey(value);
  return own.has_value() && Compare(op, *own, *key);
}

bool MatchesTerm(const Term& term, const FilterRow& row) {
  switch (InfoOf(term.field).type) {
    case FieldType::kText:
    case FieldType::kVersion: {
      const auto text = row.texts.find(term.field);
      if (text == row.texts.end()) return false;
      return InfoOf(term.field).type == FieldType::kText ? MatchesText(term.op, text->second, term.text)
                                                         : MatchesVersion(term.op, text->second, term.text);
    }
    case FieldType::kEnum:
    case FieldType::kNumber:
    case FieldType::kFlag: {
      const auto number = row.numbers.find(term.field);
      if (number == row.numbers.end()) return false;
      return term.op == Op::kPresent || Compare(term.op, number->second, term.number);
    }
    case FieldType::kTime: {
      const auto time = row.times.find(term.field);
      if (time == row.times.end()) return false;
      return term.op == Op::kPresent || Compare(term.op, time->second, term.time);
    }
    case FieldType::kTags: {
      const auto tag = row.tags.find(term.key);
      if (tag == row.tags.end()) return false;
      if (term.op == Op::kPresent) return true;
      return term.op == Op::kBeginsWith ? absl::StartsWith(tag->second, term.text) : tag->second == term.text;
    }
  }
  return false;
}

bool MatchesExpression(Resource resource, const Expression& expression, const FilterRow& row) {
  const auto matches = [&](const Expression& child) { return MatchesExpression(resource, child, row); };
  switch (expression.kind) {
    case Expression::Kind::kAnd:
      return std::all_of(expression.children.begin(), expression.children.end(), matches);
    case Expression::Kind::kOr:
      return std::any_of(expression.children.begin(), expression.children.end(), matches);
    case Expression::Kind::kNot:
      return !matches(expression.children.front());
    case Expression::Kind::kTerm:
      return MatchesTerm(expression.term, row);
    case Expression::Kind::kSearch: {
      const std::vector<Term> terms = SearchTerms(resource, expression.term);
      return std::any_of(terms.begin(), terms.end(),
                         [&](const Term& term) { return MatchesTerm(term, row); });
    }
  }
  return false;
}

}  // namespace

bool Matches(const Filter& filter, const FilterRow& row) {
  return MatchesExpression(filter.resource, filter.expression, row);
}

}  // namespace countersign::inventory::domain
