// The files of pages/, as they were built in.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_WEB_ASSETS_H_
#define COUNTERSIGN_TOOLS_GATEWAY_WEB_ASSETS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace countersign::gateway {

struct Asset {
  absl::string_view name;     // "style.css"
  absl::string_view version;  // changes with the content
  absl::string_view content;
};

// nullptr if there is none of that name.
const Asset* FindAsset(absl::string_view name);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_WEB_ASSETS_H_
