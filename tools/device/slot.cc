#include "tools/device/slot.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "tools/device/state_file.h"

namespace countersign::device {
namespace {

using nlohmann::json;

std::string SlotFile(const std::string& folder) { return absl::StrCat(folder, "/slot.json"); }

absl::Status SystemError(absl::string_view what, const std::string& path) {
  const bool full = errno == ENOSPC || errno == EDQUOT;
  return Error(full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal,
               full ? "NO_FLASH" : "WRITE_FAILED",
               absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(errno)));
}

}  // namespace

absl::StatusOr<SlotContent> ReadSlot(const std::string& folder) {
  ASSIGN_OR_RETURN(const json slot, ReadState(SlotFile(folder)));
  SlotContent content;
  content.target_path = slot.value("target_path", "");
  content.length = slot.value("length", int64_t{0});
  content.sha256 = slot.value("sha256", "");
  content.version = slot.value("version", "");
  content.release_counter = slot.value("release_counter", int64_t{0});
  content.bundle = slot.value("bundle", "");
  content.preconditions = {.parked = slot.value("parked", false),
                           .external_power = slot.value("external_power", false),
                           .min_battery_percent = slot.value("min_battery_percent", 0),
                           .recovery_battery_percent = slot.value("recovery_battery_percent", 0),
                           .unknown = slot.value("unknown_precondition", false)};
  content.approval_result = slot.value("approval_result", "");
  content.awaits_confirmation = slot.value("awaits_confirmation", false);
  content.approval_override = slot.value("approval_override", false);
  content.tried = slot.value("tried", true);
  content.proven = slot.value("proven", false);
  return content;
}

absl::Status WriteSlot(const std::string& folder, const SlotContent& content) {
  const trust::Preconditions& required = content.preconditions;
  const json slot = {{"target_path", content.target_path},
                     {"length", content.length},
                     {"sha256", content.sha256},
                     {"version", content.version},
                     {"release_counter", content.release_counter},
                     {"bundle", content.bundle},
                     {"parked", required.parked},
                     {"external_power", required.external_power},
                     {"min_battery_percent", required.min_battery_percent},
                     {"recovery_battery_percent", required.recovery_battery_percent},
                     {"unknown_precondition", required.unknown},
                     {"approval_result", content.approval_result},
                     {"awaits_confirmation", content.awaits_confirmation},
                     {"approval_override", content.approval_override},
                     {"tried", content.tried},
                     {"proven", content.proven}};
  return WriteFileAtomically(SlotFile(folder), slot.dump());
}

absl::StatusOr<SlotContent> MeasureImage(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in)
    return Error(absl::StatusCode::kNotFound, "IMAGE_MISSING", absl::StrCat("there is no image at ", path));
  SlotContent content;
  crypto::Sha256Stream digest;
  std::string buffer(256 << 10, '\0');
  while (in.read(buffer.data(), buffer.size()), in.gcount() > 0) {
    digest.Update(absl::string_view(buffer.data(), in.gcount()));
    content.length += in.gcount();
  }
  content.sha256 = digest.FinishHex();
  return content;
}

std::string ImagePath(const std::string& folder) { return absl::StrCat(folder, "/image"); }

bool IsWhole(const std::string& folder, const SlotContent& content) {
  const absl::StatusOr<SlotContent> measured = MeasureImage(ImagePath(folder));
  return measured.ok() && measured->length == content.length && measured->sha256 == content.sha256;
}

absl::StatusOr<std::unique_ptr<Installation>> Installation::Begin(const std::string& folder) {
  RETURN_IF_ERROR(RemoveFile(SlotFile(folder)));
  const std::string path = absl::StrCat(folder, "/image.partial");
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) return SystemError("write", path);
  return std::unique_ptr<Installation>(new Installation(folder, descriptor));
}

Installation::~Installation() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(absl::StrCat(folder_, "/image.partial").c_str());
}

absl::Status Installation::Write(absl::string_view data) {
  while (!data.empty()) {
    const ssize_t written = write(descriptor_, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("write", folder_);
    data.remove_prefix(written);
  }
  return absl::OkStatus();
}

absl::Status Installation::Finish(const SlotContent& content) {
  if (fsync(descriptor_) != 0) return SystemError("sync", folder_);
  const std::string partial = absl::StrCat(folder_, "/image.partial");
  if (std::rename(partial.c_str(), ImagePath(folder_).c_str()) != 0) return SystemError("rename", partial);
  close(descriptor_);
  descriptor_ = -1;
  RETURN_IF_ERROR(SyncDirectory(folder_));
  return WriteSlot(folder_, content);
}

}  // namespace countersign::device
