// HTML in which nothing can be forgotten to be escaped: markup is a literal of ours, and whatever is put into
// it is text, unless it is Html already. What manufacturers write is hostile until proved otherwise.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_WEB_HTML_H_
#define COUNTERSIGN_TOOLS_GATEWAY_WEB_HTML_H_

#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace countersign::gateway {

// A piece of markup that is well-formed and safe to send.
class Html {
 public:
  Html() = default;

  // `text` (CleanText) with everything escaped that means something in an element or in a quoted attribute.
  static Html Text(absl::string_view text);

  Html& operator+=(const Html& other) {
    markup_ += other.markup_;
    return *this;
  }

  bool empty() const { return markup_.empty(); }
  const std::string& markup() const { return markup_; }

 private:
  friend class Markup;
  std::string markup_;
};

// What stands in a `{}` of Markup.
class Piece {
 public:
  Piece(const Html& html) : html_(html) {}
  Piece(absl::string_view text) : html_(Html::Text(text)) {}
  Piece(const std::string& text) : html_(Html::Text(text)) {}
  Piece(const char* text) : html_(Html::Text(text)) {}

  const Html& html() const { return html_; }

 private:
  Html html_;
};

// A literal that the compiler knows: nothing that was made at run time is one.
class Markup {
 public:
  consteval Markup(const char* literal) : literal_(literal) {}

  // The literal, its `{}` replaced by `pieces` in their order.
  Html Fill(std::initializer_list<Piece> pieces) const;

 private:
  const char* literal_;
};

// Make("<p title=\"{}\">{}</p>", {title, text}). Attributes are always quoted.
inline Html Make(Markup markup, std::initializer_list<Piece> pieces = {}) { return markup.Fill(pieces); }

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_WEB_HTML_H_
