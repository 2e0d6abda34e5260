#include "tools/gateway/web/html.h"

#include "tools/gateway/web/words.h"

namespace countersign::gateway {

Html Html::Text(absl::string_view text) {
  Html html;
  for (const char c : CleanText(text)) {
    switch (c) {
      case '&':
        html.markup_ += "&amp;";
        break;
      case '<':
        html.markup_ += "&lt;";
        break;
      case '>':
        html.markup_ += "&gt;";
        break;
      case '"':
        html.markup_ += "&quot;";
        break;
      case '\'':
        html.markup_ += "&#39;";
        break;
      default:
        html.markup_ += c;
    }
  }
  return html;
}

Html Markup::Fill(std::initializer_list<Piece> pieces) const {
  Html html;
  const Piece* piece = pieces.begin();
  for (const char* at = literal_; *at != '\0'; ++at) {
    if (at[0] == '{' && at[1] == '}') {
      if (piece != pieces.end()) html += (piece++)->html();
      ++at;
    } else {
      html.markup_ += *at;
    }
  }
  return html;
}

}  // namespace countersign::gateway
