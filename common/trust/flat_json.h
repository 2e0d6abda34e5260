#ifndef COUNTERSIGN_COMMON_TRUST_FLAT_JSON_H_
#define COUNTERSIGN_COMMON_TRUST_FLAT_JSON_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/trust/canonical_json.h"

namespace countersign::trust {

// A document that is written exactly as it is signed: keys in order, no white space, nothing escaped but '"'
// and
// '\', integers in their shortest form. It is read in one pass, without building a value for anything in it,
// and the bytes of each part are the canonical ones. This is what who signs also sends; whoever reads much
// reads this first, and what is not of this form, or wrong, with ParseStrictJson(). Immutable, thread-safe.
class FlatJson {
  struct Node {
    char type;  // first character of the value; '0' for all integers
    bool escaped;
    uint32_t end;  // index after the last node within it
    absl::string_view key;
    absl::string_view raw;
  };

 public:
  // A part of the document, valid as long as the document is.
  class Value {
   public:
    bool is_object() const { return node().type == '{'; }
    bool is_array() const { return node().type == '['; }
    // As it is written, and as it is signed.
    absl::string_view raw() const { return node().raw; }
    // Its name in the object that it is a member of.
    absl::string_view key() const { return node().key; }

    // The member of an object; nullopt if it has none of that name.
    std::optional<Value> Find(absl::string_view key) const;
    // Members of an object, elements of an array.
    std::vector<Value> children() const;

    // nullopt if it is something else.
    std::optional<std::string> Text() const;
    std::optional<int64_t> Integer() const;
    std::optional<bool> Bool() const;

   private:
    friend class FlatJson;
    Value(const FlatJson* document, uint32_t index) : document_(document), index_(index) {}
    const Node& node() const { return document_->nodes_[index_]; }

    const FlatJson* document_;
    uint32_t index_;
  };

  // nullptr when `text` is not of this form or beyond `limits`: then ParseStrictJson() has the word. What is
  // read is what ParseStrictJson() reads.
  static std::shared_ptr<const FlatJson> Read(absl::string_view text, const JsonLimits& limits = {});

  Value root() const { return Value(this, 0); }

 private:
  class Scanner;

  explicit FlatJson(absl::string_view text) : text_(text) {}

  const std::string text_;
  std::vector<Node> nodes_;
};

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_FLAT_JSON_H_
