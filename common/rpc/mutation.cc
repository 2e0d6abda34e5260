#include "common/rpc/mutation.h"

#include "absl/strings/ascii.h"
#include "common/status/errors.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace countersign::rpc {

absl::Status CheckRequestId(absl::string_view request_id) {
  bool good = request_id.size() == 36;
  for (size_t i = 0; good && i < request_id.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    good = dash ? request_id[i] == '-' : absl::ascii_isxdigit(static_cast<unsigned char>(request_id[i]));
  }
  if (good) return absl::OkStatus();
  return Error(
      absl::StatusCode::kInvalidArgument, "REQUEST_ID_INVALID",
      "request_id: must be a UUID, made for this request and sent again with every repetition of it");
}

std::string RequestBytes(const google::protobuf::MessageLite& request) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream output(&bytes);
    google::protobuf::io::CodedOutputStream coded(&output);
    coded.SetSerializationDeterministic(true);  // maps have no order of their own
    request.SerializeToCodedStream(&coded);
  }
  return bytes;
}

}  // namespace countersign::rpc
