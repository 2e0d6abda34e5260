#include "services/inventory/domain/filter.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/version/version.h"

namespace countersign::inventory::domain {
namespace {

using Kind = Expression::Kind;

// As it is written: NOT(=) is made of `!=` later.
enum class Comparator { kEquals, kNotEquals, kLess, kLessOrEqual, kGreater, kGreaterOrEqual, kHas };

// What stands behind a comparator, or alone.
struct Value {
  std::string text;
  bool prefix = false;  // a * stood at its end
  bool quoted = false;
  size_t position = 0;  // where it begins
};

// `:` and `*` are looked for apart: they are only part of some words.
bool IsWordCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("._/-+~@", c);
}

bool IsKeyword(absl::string_view word) { return word == "AND" || word == "OR" || word == "NOT"; }

Expression Leaf(Term term) { return {Kind::kTerm, {}, std::move(term)}; }

// `parts` joined, those of the same kind taken in; a single one is itself.
Expression Join(Kind kind, std::vector<Expression> parts) {
  Expression joined{kind, {}, {}};
  for (Expression& part : parts) {
    if (part.kind == kind) {
      for (Expression& child : part.children) joined.children.push_back(std::move(child));
    } else {
      joined.children.push_back(std::move(part));
    }
  }
  if (joined.children.size() != 1) return joined;
  return std::move(joined.children.front());
}

Expression Negated(Expression expression) { return {Kind::kNot, {std::move(expression)}, {}}; }

// A duration as Go and AIP-160 write them, and with the units d and w.
std::optional<absl::Duration> ParseSpan(absl::string_view text) {
  absl::string_view number = text;
  absl::Duration unit = absl::ZeroDuration();
  if (absl::ConsumeSuffix(&number, "d")) unit = absl::Hours(24);
  if (absl::ConsumeSuffix(&number, "w")) unit = absl::Hours(7 * 24);
  int64_t count = 0;
  if (unit > absl::ZeroDuration() && absl::SimpleAtoi(number, &count)) return count * unit;
  absl::Duration span;
  if (absl::ParseDuration(std::string(text), &span)) return span;
  return std::nullopt;
}

// Of a resource's name: "gateways/g/devices/d" with `middle` "/devices/" is {g, d}.
std::optional<std::pair<std::string, std::string>> SplitName(absl::string_view name,
                                                             absl::string_view middle) {
  if (!absl::ConsumePrefix(&name, "gateways/")) return std::nullopt;
  const size_t at = name.find(middle);
  if (at == absl::string_view::npos) return std::nullopt;
  return std::pair(std::string(name.substr(0, at)), std::string(name.substr(at + middle.size())));
}

class Parser {
 public:
  Parser(Resource resource, absl::string_view text, absl::Time now)
      : resource_(resource), text_(text), now_(absl::FromUnixMicros(absl::ToUnixMicros(now))) {}

  absl::StatusOr<Expression> Parse() {
    if (text_.size() > kMaxFilterBytes) {
      return Invalid(0, absl::StrCat("it is longer than ", kMaxFilterBytes, " bytes"));
    }
    SkipSpace();
    if (AtEnd()) return Expression();
    ASSIGN_OR_RETURN(Expression expression, ParseConjunction(0));
    if (!AtEnd()) return Invalid("this ) closes nothing");
    return expression;
  }

 private:
  bool AtEnd() const { return position_ == text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[position_]; }

  // Whether there was any.
  bool SkipSpace() {
    const size_t start = position_;
    while (!AtEnd() && absl::ascii_isspace(static_cast<unsigned char>(text_[position_]))) ++position_;
    return position_ != start;
  }

  bool Consume(absl::string_view token) {
    if (!absl::StartsWith(text_.substr(position_), token)) return false;
    position_ += token.size();
    return true;
  }

  // The word that is next, which stays.
  absl::string_view PeekWord() const {
    size_t end = position_;
    while (end < text_.size() && IsWordCharacter(text_[end])) ++end;
    return text_.substr(position_, end - position_);
  }

  // factor {[AND] factor}: AIP-160's `expression` and `sequence`, which mean the same here.
  absl::StatusOr<Expression> ParseConjunction(int depth) {
    std::vector<Expression> factors;
    while (true) {
      ASSIGN_OR_RETURN(factors.emplace_back(), ParseFactor(depth));
      const size_t end = position_;
      const bool spaced = SkipSpace();
      if (AtEnd() || Peek() == ')') break;
      if (!spaced && text_[end - 1] != ')' && Peek() != '(') return Invalid("expected a space, or the end");
      if (PeekWord() == "OR") return Invalid("expected something before OR");
      if (PeekWord() != "AND") continue;
      position_ += 3;
      const bool apart = SkipSpace();
      if (AtEnd() || Peek() == ')') return Invalid("expected something after AND");
      if (!apart && Peek() != '(') return Invalid("expected a space after AND");
    }
    return Join(Kind::kAnd, std::move(factors));
  }

  // term {OR term}: OR binds closer than AND, as AIP-160 says.
  absl::StatusOr<Expression> ParseFactor(int depth) {
    std::vector<Expression> terms;
    while (true) {
      ASSIGN_OR_RETURN(terms.emplace_back(), ParseTerm(depth));
      const size_t end = position_;
      SkipSpace();
      if (PeekWord() != "OR" || (position_ == end && text_[end - 1] != ')')) {
        position_ = end;
        return Join(Kind::kOr, std::move(terms));
      }
      position_ += 2;
      const bool apart = SkipSpace();
      if (AtEnd() || Peek() == ')') return Invalid("expected something after OR");
      if (!apart && Peek() != '(') return Invalid("expected a space after OR");
    }
  }

  absl::StatusOr<Expression> ParseTerm(int depth) {
    if (PeekWord() == "NOT") {
      position_ += 3;
      if (!SkipSpace() && Peek() != '(') return Invalid("expected a space after NOT, and what must not hold");
    } else if (!Consume("-")) {
      return ParseSimple(depth);
    }
    ASSIGN_OR_RETURN(Expression expression, ParseSimple(depth));
    if (expression.kind == Kind::kNot) return std::move(expression.children.front());
    return Negated(std::move(expression));
  }

  // A composite in parentheses, a restriction, or a bare value.
  absl::StatusOr<Expression> ParseSimple(int depth) {
    if (Peek() == '(') {
      if (depth == kMaxFilterDepth) {
        return Invalid(absl::StrCat("more than ", kMaxFilterDepth, " parentheses are open"));
      }
      ++position_;
      SkipSpace();
      if (Peek() == ')') return Invalid("there is nothing between these parentheses");
      if (AtEnd()) return Invalid("expected something after (");
      ASSIGN_OR_RETURN(Expression expression, ParseConjunction(depth + 1));
      if (!Consume(")")) return Invalid("expected ) for each (");
      return expression;
    }
    if (++terms_ > kMaxFilterTerms) {
      return Invalid(absl::StrCat("it has more than ", kMaxFilterTerms, " terms"));
    }
    const size_t start = position_;
    const absl::string_view word = PeekWord();
    if (IsKeyword(word)) return Invalid(absl::StrCat("expected a field or a value before ", word));
    if (!word.empty() && !absl::ascii_isalnum(static_cast<unsigned char>(word[0]))) {
      return Invalid("expected a field or a value; in quotes when it begins with neither letter nor digit");
    }
    ASSIGN_OR_RETURN(const Value value, ReadValue("a field, a value, NOT or (", /*colons=*/false));
    if (Peek() == '(') return Invalid(start, "there are no functions");
    const size_t end = position_;
    SkipSpace();
    const size_t operator_position = position_;
    const std::optional<Comparator> comparator = ReadComparator();
    if (comparator.has_value()) {
      if (value.quoted || value.prefix) return Invalid(start, "a field stands without quotes and without *");
      SkipSpace();
      return ParseRestriction(start, value.text, operator_position, *comparator);
    }
    if (Peek() == '!') return Invalid("expected != (not: NOT or -)");
    position_ = end;
    if (!value.quoted && IsKeyword(absl::AsciiStrToUpper(value.text))) {
      return Invalid(start, "AND, OR and NOT are written in capitals, and the words in quotes");
    }
    if (value.text.empty()) return Invalid(start, "a word to look for is missing");
    Expression search{Kind::kSearch, {}, {}};
    search.term.text = value.text;
    search.term.op = value.prefix ? Op::kBeginsWith : Op::kEquals;
    return search;
  }

  std::optional<Comparator> ReadComparator() {
    // The longer ones first.
    constexpr std::pair<absl::string_view, Comparator> kComparators[] = {
        {"!=", Comparator::kNotEquals}, {"<=", Comparator::kLessOrEqual}, {">=", Comparator::kGreaterOrEqual},
        {"=", Comparator::kEquals},     {"<", Comparator::kLess},         {">", Comparator::kGreater},
        {":", Comparator::kHas}};
    for (const auto& [token, comparator] : kComparators) {
      if (Consume(token)) return comparator;
    }
    return std::nullopt;
  }

  // A word, or a quoted string in which a backslash takes the next character as it is; with a * at its end
  // when it is only a beginning.
  absl::StatusOr<Value> ReadValue(absl::string_view expected, bool colons) {
    Value value;
    value.position = position_;
    const char quote = Peek();
    value.quoted = quote == '"' || quote == '\'';
    if (value.quoted) ++position_;
    while (true) {
      if (AtEnd()) {
        if (value.quoted) return Invalid(value.position, "this quotation has no end");
        break;
      }
      char c = text_[position_];
      if (value.quoted && c == quote) {
        ++position_;
        break;
      }
      if (!value.quoted && !IsWordCharacter(c) && c != '*' && !(colons && c == ':')) break;
      if (value.prefix) {
        return Invalid(position_ - 1, "a * stands at the end only (\\* in quotes is the character itself)");
      }
      ++position_;
      if (c == '*') {
        value.prefix = true;
        continue;
      }
      if (value.quoted && c == '\\') {
        if (AtEnd()) return Invalid(value.position, "this quotation has no end");
        c = text_[position_++];
      }
      // The database cannot hold a NUL, and nothing that is provisioned has control characters.
      if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
        return Invalid(position_ - 1, "a value has no control characters");
      }
      value.text.push_back(c);
    }
    if (value.text.empty() && !value.prefix && !value.quoted) {
      return Invalid(absl::StrCat("expected ", expected,
                                  "; what is not made of letters, digits and ._/-+~@ stands in quotes"));
    }
    return value;
  }

  absl::StatusOr<Expression> ParseRestriction(size_t start, const std::string& name, size_t operator_position,
                                              Comparator comparator) {
    absl::string_view field_name = name;
    std::string key;
    if (absl::ConsumePrefix(&field_name, "tags.")) {
      key = std::string(field_name);
      field_name = "tags";
    }
    const FieldInfo* info = FindField(resource_, field_name);
    if (info == nullptr) {
      return Invalid(start, absl::StrCat("there is no field \"", field_name.substr(0, 64),
                                         "\"; the fields are ", FieldNames(resource_)));
    }
    const absl::string_view word = PeekWord();
    if (IsKeyword(word))
      return Invalid(absl::StrCat("expected a value; the word ", word, " stands in quotes"));
    ASSIGN_OR_RETURN(Value value, ReadValue("a value", /*colons=*/true));
    Term term;
    term.field = info->field;
    term.key = std::move(key);
    ASSIGN_OR_RETURN(term.op, OpOf(*info, comparator, operator_position, value));
    if (info->type == FieldType::kTags) {
      RETURN_IF_ERROR(FillTag(start, comparator, operator_position, value, term));
    } else if (term.op != Op::kPresent) {
      RETURN_IF_ERROR(Fill(*info, value, term));
    }
    ASSIGN_OR_RETURN(Expression expression, Named(std::move(term)));
    return comparator == Comparator::kNotEquals ? Negated(std::move(expression)) : expression;
  }

  absl::StatusOr<Op> OpOf(const FieldInfo& info, Comparator comparator, size_t position, const Value& value) {
    switch (comparator) {
      case Comparator::kEquals:
      case Comparator::kNotEquals:
      case Comparator::kHas:
        if (!value.prefix) return Op::kEquals;
        if (value.text.empty()) return Op::kPresent;
        if (info.type == FieldType::kText || info.type == FieldType::kVersion ||
            info.type == FieldType::kTags) {
          return Op::kBeginsWith;
        }
        return Invalid(value.position,
                       absl::StrCat(info.name, " is no text: expected a whole value, or * for any"));
      default:
        break;
    }
    if (info.type != FieldType::kVersion && info.type != FieldType::kNumber &&
        info.type != FieldType::kTime) {
      return Invalid(position, absl::StrCat(info.name, " has no order: expected =, != or :"));
    }
    if (value.prefix) return Invalid(value.position, "expected a whole value, without *");
    switch (comparator) {
      case Comparator::kLess:
        return Op::kLess;
      case Comparator::kLessOrEqual:
        return Op::kLessOrEqual;
      case Comparator::kGreater:
        return Op::kGreater;
      default:
        return Op::kGreaterOrEqual;
    }
  }

  absl::Status FillTag(size_t start, Comparator comparator, size_t position, Value& value, Term& term) {
    if (!term.key.empty()) {
      if (term.op != Op::kPresent) term.text = std::move(value.text);
      return absl::OkStatus();
    }
    if (comparator != Comparator::kHas || value.prefix || value.text.empty()) {
      return Invalid(comparator == Comparator::kHas ? position : start,
                     "expected tags:NAME for having a tag, or tags.NAME = VALUE");
    }
    term.op = Op::kPresent;
    term.key = std::move(value.text);
    return absl::OkStatus();
  }

  absl::Status Fill(const FieldInfo& info, Value& value, Term& term) {
    switch (info.type) {
      case FieldType::kText:
        term.text = std::move(value.text);
        return absl::OkStatus();
      case FieldType::kVersion:
        if (term.op != Op::kEquals && term.op != Op::kBeginsWith && !VersionSortKey(value.text).has_value()) {
          return Invalid(value.position, "expected a version that begins with a digit, e.g. 2.0.1");
        }
        term.text = std::move(value.text);
        return absl::OkStatus();
      case FieldType::kEnum:
        return FillEnum(info, value, term);
      case FieldType::kNumber:
        if (absl::SimpleAtoi(value.text, &term.number)) return absl::OkStatus();
        return Invalid(value.position, absl::StrCat(info.name, " is a number: expected digits"));
      case FieldType::kTime:
        return FillTime(info, value, term);
      case FieldType::kFlag:
        term.number = value.text == "true" ? 1 : 0;
        if (value.text == "true" || value.text == "false") return absl::OkStatus();
        return Invalid(value.position, absl::StrCat(info.name, " is true or false"));
      case FieldType::kTags:
        break;
    }
    return absl::OkStatus();
  }

  absl::Status FillEnum(const FieldInfo& info, const Value& value, Term& term) {
    absl::string_view name = value.text;
    absl::ConsumePrefix(&name, info.prefix);
    for (const EnumValue& one : info.values) {
      if (one.name != name) continue;
      term.number = one.number;
      return absl::OkStatus();
    }
    return Invalid(value.position,
                   absl::StrCat(info.name, " is one of ",
                                absl::StrJoin(info.values, ", ", [](std::string* out, const EnumValue& one) {
                                  absl::StrAppend(out, one.name);
                                })));
  }

  absl::Status FillTime(const FieldInfo& info, const Value& value, Term& term) {
    absl::Time time;
    std::string ignored;
    if (const std::optional<absl::Duration> span = ParseSpan(value.text); span.has_value()) {
      time = now_ + *span;
    } else if (!absl::ParseTime(absl::RFC3339_full, value.text, &time, &ignored) &&
               !absl::ParseTime("%Y-%m-%d", value.text, &time, &ignored)) {
      return Invalid(value.position,
                     absl::StrCat(info.name,
                                  " is a time: expected one such as 2026-11-21T08:00:00Z or 2026-11-21, or "
                                  "a duration from now such as -24h, -90m, -7d"));
    }
    // What the database can hold, with much to spare.
    if (time < absl::FromUnixSeconds(-62135596800) || time > absl::FromUnixSeconds(253402300799)) {
      return Invalid(value.position, "expected a time between the years 1 and 9999");
    }
    term.time = absl::FromUnixMicros(absl::ToUnixMicros(time));
    return absl::OkStatus();
  }

  // Names of resources are understood where their ids are.
  absl::StatusOr<Expression> Named(Term term) {
    if (term.op == Op::kPresent) return Leaf(std::move(term));
    absl::string_view middle;
    if (term.field == Field::kDevice) middle = "/devices/";
    if (term.field == Field::kEcuSerial) middle = "/components/";
    if (term.field == Field::kGateway) {
      absl::string_view id = term.text;
      if (absl::ConsumePrefix(&id, "gateways/")) term.text = std::string(id);
    } else if (!middle.empty()) {
      if (auto parts = SplitName(term.text, middle); parts.has_value()) {
        Term gateway;
        gateway.field = Field::kGateway;
        gateway.text = std::move(parts->first);
        term.text = std::move(parts->second);
        return Join(Kind::kAnd, {Leaf(std::move(gateway)), Leaf(std::move(term))});
      }
    }
    return Leaf(std::move(term));
  }

  absl::Status Invalid(absl::string_view what) const { return Invalid(position_, what); }
  absl::Status Invalid(size_t position, absl::string_view what) const {
    return Error(
        absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
        absl::StrCat("The filter cannot be read at character ", position + 1, ": ", what,
                     ". An example: manufacturer = \"acme\" AND version < 2.0.1 AND NOT state = RETIRED"),
        {{"position", absl::StrCat(position + 1)}});
  }

  const Resource resource_;
  const absl::string_view text_;
  const absl::Time now_;
  size_t position_ = 0;
  int terms_ = 0;
};

std::string Quoted(absl::string_view text, bool prefix) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\' || c == '*') quoted.push_back('\\');
    quoted.push_back(c);
  }
  absl::StrAppend(&quoted, prefix ? "*" : "", "\"");
  return quoted;
}

absl::string_view Sign(Op op) {
  switch (op) {
    case Op::kLess:
      return " < ";
    case Op::kLessOrEqual:
      return " <= ";
    case Op::kGreater:
      return " > ";
    case Op::kGreaterOrEqual:
      return " >= ";
    default:
      return " = ";
  }
}

std::string FormatTerm(const Term& term) {
  const FieldInfo& info = InfoOf(term.field);
  if (info.type == FieldType::kTags) {
    if (term.op == Op::kPresent) return absl::StrCat("tags:", Quoted(term.key, false));
    return absl::StrCat("tags.", term.key, Sign(term.op), Quoted(term.text, term.op == Op::kBeginsWith));
  }
  if (term.op == Op::kPresent) return absl::StrCat(info.name, ":*");
  std::string value;
  switch (info.type) {
    case FieldType::kEnum:
      value = EnumName(info, term.number);
      break;
    case FieldType::kNumber:
      value = absl::StrCat(term.number);
      break;
    case FieldType::kFlag:
      value = term.number == 0 ? "false" : "true";
      break;
    case FieldType::kTime:
      value = Quoted(absl::FormatTime("%Y-%m-%d%ET%H:%M:%E*SZ", term.time, absl::UTCTimeZone()), false);
      break;
    default:
      value = Quoted(term.text, term.op == Op::kBeginsWith);
  }
  return absl::StrCat(info.name, Sign(term.op), value);
}

std::string Format(const Expression& expression) {
  switch (expression.kind) {
    case Kind::kTerm:
      return FormatTerm(expression.term);
    case Kind::kSearch:
      return Quoted(expression.term.text, expression.term.op == Op::kBeginsWith);
    case Kind::kNot: {
      const Expression& child = expression.children.front();
      const bool leaf = child.kind == Kind::kTerm || child.kind == Kind::kSearch;
      return leaf ? absl::StrCat("NOT ", Format(child)) : absl::StrCat("NOT (", Format(child), ")");
    }
    case Kind::kAnd:
    case Kind::kOr:
      return absl::StrJoin(expression.children, expression.kind == Kind::kAnd ? " AND " : " OR ",
                           [](std::string* out, const Expression& child) {
                             const bool composite = child.kind == Kind::kAnd || child.kind == Kind::kOr;
                             absl::StrAppend(out, composite ? "(" : "", Format(child), composite ? ")" : "");
                           });
  }
  return "";
}

}  // namespace

absl::StatusOr<Filter> ParseFilter(Resource resource, absl::string_view text, absl::Time now) {
  ASSIGN_OR_RETURN(Expression expression, Parser(resource, text, now).Parse());
  return Filter{resource, std::move(expression)};
}

std::string FormatFilter(const Filter& filter) { return Format(filter.expression); }

std::vector<Term> SearchTerms(Resource resource, const Term& search) {
  std::vector<Term> terms;
  for (const Field field : SearchedFields(resource)) {
    Term& term = terms.emplace_back(search);
    term.field = field;
  }
  return terms;
}

}  // namespace countersign::inventory::domain
