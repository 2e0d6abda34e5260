#include "common/trust/flat_json.h"

#include <utility>

#include "absl/strings/numbers.h"

namespace countersign::trust {
namespace {

// Numbers of so many digits fit in 64 bits; longer ones are for the other parser.
constexpr size_t kMaxDigits = 18;

bool IsPrintable(char c) { return c >= 0x20 && c < 0x7f; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

class FlatJson::Scanner {
 public:
  Scanner(absl::string_view text, const JsonLimits& limits, std::vector<Node>& nodes)
      : next_(text.data()), end_(text.data() + text.size()), limits_(limits), nodes_(nodes) {}

  bool Document() { return Value({}, 0) && next_ == end_; }

 private:
  bool Take(char wanted) {
    if (next_ == end_ || *next_ != wanted) return false;
    ++next_;
    return true;
  }

  // `depth`: containers that are open around it.
  bool Value(absl::string_view key, int depth) {
    if (next_ == end_ || nodes_.size() >= limits_.max_values) return false;
    const size_t index = nodes_.size();
    const char* const begin = next_;
    const char type = IsDigit(*begin) || *begin == '-' ? '0' : *begin;
    nodes_.push_back({.type = type, .escaped = false, .end = 0, .key = key, .raw = {}});
    bool escaped = false;
    bool good = false;
    switch (type) {
      case '{':
        good = depth < limits_.max_depth && Object(depth + 1);
        break;
      case '[':
        good = depth < limits_.max_depth && Array(depth + 1);
        break;
      case '"':
        good = String(escaped);
        break;
      case '0':
        good = Number();
        break;
      case 't':
        good = Word("true");
        break;
      case 'f':
        good = Word("false");
        break;
      default:
        break;
    }
    if (!good) return false;
    nodes_[index].escaped = escaped;
    nodes_[index].end = static_cast<uint32_t>(nodes_.size());
    nodes_[index].raw = absl::string_view(begin, static_cast<size_t>(next_ - begin));
    return true;
  }

  bool Object(int depth) {
    ++next_;
    if (Take('}')) return true;
    absl::string_view before;
    for (bool first = true;; first = false) {
      const char* const begin = next_;
      bool escaped = false;
      if (next_ == end_ || *next_ != '"' || !String(escaped) || escaped) return false;
      const absl::string_view key(begin + 1, static_cast<size_t>(next_ - begin - 2));
      // In order, and so none stands twice.
      if (!first && key <= before) return false;
      before = key;
      if (!Take(':') || !Value(key, depth)) return false;
      if (Take('}')) return true;
      if (!Take(',')) return false;
    }
  }

  bool Array(int depth) {
    ++next_;
    if (Take(']')) return true;
    while (true) {
      if (!Value({}, depth)) return false;
      if (Take(']')) return true;
      if (!Take(',')) return false;
    }
  }

  bool String(bool& escaped) {
    for (++next_; next_ != end_; ++next_) {
      if (*next_ == '"') {
        ++next_;
        return true;
      }
      if (!IsPrintable(*next_)) return false;
      if (*next_ != '\\') continue;
      escaped = true;
      if (++next_ == end_ || (*next_ != '"' && *next_ != '\\')) return false;
    }
    return false;
  }

  bool Number() {
    const bool negative = Take('-');
    const char* const begin = next_;
    while (next_ != end_ && IsDigit(*next_)) ++next_;
    const auto digits = static_cast<size_t>(next_ - begin);
    if (digits == 0 || digits > kMaxDigits) return false;
    return *begin != '0' || (digits == 1 && !negative);
  }

  bool Word(absl::string_view word) {
    for (const char c : word) {
      if (!Take(c)) return false;
    }
    return true;
  }

  const char* next_;
  const char* const end_;
  const JsonLimits& limits_;
  std::vector<Node>& nodes_;
};

std::shared_ptr<const FlatJson> FlatJson::Read(absl::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) return nullptr;
  const std::shared_ptr<FlatJson> document(new FlatJson(text));
  // About what a report has: one value in 25 bytes.
  document->nodes_.reserve(text.size() / 25 + 8);
  if (!Scanner(document->text_, limits, document->nodes_).Document()) return nullptr;
  return document;
}

std::optional<FlatJson::Value> FlatJson::Value::Find(absl::string_view key) const {
  if (!is_object()) return std::nullopt;
  const std::vector<Node>& nodes = document_->nodes_;
  for (uint32_t child = index_ + 1; child < node().end; child = nodes[child].end) {
    if (nodes[child].key == key) return Value(document_, child);
  }
  return std::nullopt;
}

std::vector<FlatJson::Value> FlatJson::Value::children() const {
  std::vector<Value> children;
  for (uint32_t child = index_ + 1; child < node().end; child = document_->nodes_[child].end) {
    children.push_back(Value(document_, child));
  }
  return children;
}

std::optional<std::string> FlatJson::Value::Text() const {
  if (node().type != '"') return std::nullopt;
  const absl::string_view inside = raw().substr(1, raw().size() - 2);
  if (!node().escaped) return std::string(inside);
  std::string text;
  for (size_t i = 0; i < inside.size(); ++i) {
    if (inside[i] == '\\') ++i;
    text.push_back(inside[i]);
  }
  return text;
}

std::optional<int64_t> FlatJson::Value::Integer() const {
  int64_t number = 0;
  if (node().type != '0' || !absl::SimpleAtoi(raw(), &number)) return std::nullopt;
  return number;
}

std::optional<bool> FlatJson::Value::Bool() const {
  if (node().type != 't' && node().type != 'f') return std::nullopt;
  return node().type == 't';
}

}  // namespace countersign::trust
