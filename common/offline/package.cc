#include "common/offline/package.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/crypto/hex.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/metadata.h"

namespace countersign::offline {
namespace {

using nlohmann::json;

constexpr char kFormat[] = "countersign-package-1";
constexpr char kManifest[] = "manifest.json";
constexpr size_t kChunk = 256 << 10;
constexpr size_t kMaxFileName = 128;
constexpr size_t kMaxSerials = 64;

absl::Status Malformed(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, kMalformed, absl::StrCat("the package ", what));
}
absl::Status TooLarge(absl::string_view what) {
  return Error(absl::StatusCode::kResourceExhausted, kTooLarge, absl::StrCat("the package ", what));
}

struct CloseRead {
  void operator()(archive* a) const { archive_read_free(a); }
};
struct CloseWrite {
  void operator()(archive* a) const { archive_write_free(a); }
};
struct FreeEntry {
  void operator()(archive_entry* e) const { archive_entry_free(e); }
};
using Reader = std::unique_ptr<archive, CloseRead>;
using Writer = std::unique_ptr<archive, CloseWrite>;

std::string ErrorOf(archive* a) {
  const char* text = archive_error_string(a);
  return text == nullptr ? "cannot be read" : text;
}

// Only plain tar: what is not compressed does not explode.
absl::StatusOr<Reader> OpenArchive(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) return absl::NotFoundError(absl::StrCat("there is no file ", path));
  Reader reader(archive_read_new());
  archive_read_support_format_tar(reader.get());
  archive_read_support_filter_none(reader.get());
  if (archive_read_open_filename(reader.get(), path.c_str(), kChunk) != ARCHIVE_OK) {
    return Malformed(absl::StrCat("is no tar archive: ", ErrorOf(reader.get())));
  }
  return reader;
}

// The next entry's name and size; an empty name at the end.
absl::Status NextEntry(archive* reader, std::string& name, int64_t& size) {
  archive_entry* entry = nullptr;
  name.clear();
  const int result = archive_read_next_header(reader, &entry);
  if (result == ARCHIVE_EOF) return absl::OkStatus();
  if (result != ARCHIVE_OK) return Malformed(absl::StrCat("cannot be read: ", ErrorOf(reader)));
  const char* path = archive_entry_pathname(entry);
  name = path == nullptr ? "" : path;
  if (name.empty() || archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr ||
      archive_entry_sparse_count(entry) > 0 || !archive_entry_size_is_set(entry)) {
    return Malformed("has an entry that is no plain file");
  }
  size = archive_entry_size(entry);
  return absl::OkStatus();
}

absl::Status ReadData(archive* reader, int64_t size,
                      absl::FunctionRef<absl::Status(absl::string_view)> sink) {
  std::string chunk(kChunk, '\0');
  int64_t left = size;
  while (left > 0) {
    const la_ssize_t got =
        archive_read_data(reader, chunk.data(), static_cast<size_t>(std::min<int64_t>(left, kChunk)));
    if (got < 0) return Malformed(absl::StrCat("is damaged: ", ErrorOf(reader)));
    if (got == 0) return Malformed("is cut off");
    RETURN_IF_ERROR(sink(absl::string_view(chunk.data(), static_cast<size_t>(got))));
    left -= got;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadSmall(archive* reader, int64_t size) {
  std::string bytes;
  RETURN_IF_ERROR(ReadData(reader, size, [&](absl::string_view piece) {
    bytes.append(piece.data(), piece.size());
    return absl::OkStatus();
  }));
  return bytes;
}

absl::StatusOr<Contents> ParseManifest(const std::string& bytes, const Limits& limits) {
  const json manifest = json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  if (!manifest.is_object() || manifest.value("format", json()) != json(kFormat)) {
    return Malformed(absl::StrCat("does not begin with a manifest of format ", kFormat));
  }
  const auto text = [](const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  Contents contents;
  contents.gateway_id = text(manifest, "gateway");
  const json targets = manifest.value("targets", json());
  if (contents.gateway_id.empty() || !targets.is_array() || targets.empty()) {
    return Malformed("names no gateway, or no target");
  }
  if (targets.size() > limits.max_targets) return TooLarge("has too many targets");
  std::set<std::string> digests;
  for (const json& value : targets) {
    if (!value.is_object()) return Malformed("has a target that is none");
    Target target{.path = text(value, "path"), .sha256 = text(value, "sha256")};
    const json length = value.value("length", json());
    if (!trust::IsTargetPath(target.path) || !crypto::IsSha256Hex(target.sha256) ||
        !length.is_number_integer() || length.get<int64_t>() < 1) {
      return Malformed("has a target without path, digest or length");
    }
    target.length = length.get<int64_t>();
    if (target.length > limits.max_image_bytes) return TooLarge("has an image that is too long");
    const json serials = value.value("ecuSerials", json::array());
    if (!serials.is_array() || serials.size() > kMaxSerials) return Malformed("has serials that are none");
    for (const json& serial : serials) {
      if (!serial.is_string()) return Malformed("has serials that are none");
      target.ecu_serials.push_back(serial.get<std::string>());
    }
    if (!digests.insert(target.sha256).second) return Malformed("names an image twice");
    contents.targets.push_back(std::move(target));
  }
  return contents;
}

Target* Find(Contents& contents, absl::string_view sha256) {
  for (Target& target : contents.targets) {
    if (target.sha256 == sha256) return &target;
  }
  return nullptr;
}

// As repositories name their files; so no path either.
bool IsFileName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxFileName && name[0] != '.' && absl::EndsWith(name, ".json") &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                  c == '-' || c == '_';
         });
}

absl::Status AddEntry(archive* writer, const std::string& name, int64_t size) {
  const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
  archive_entry_set_pathname(entry.get(), name.c_str());
  archive_entry_set_size(entry.get(), size);
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0644);
  if (archive_write_header(writer, entry.get()) != ARCHIVE_OK) return absl::InternalError(ErrorOf(writer));
  return absl::OkStatus();
}

absl::Status AddData(archive* writer, absl::string_view bytes) {
  if (archive_write_data(writer, bytes.data(), bytes.size()) == static_cast<la_ssize_t>(bytes.size())) {
    return absl::OkStatus();
  }
  return absl::InternalError(absl::StrCat("cannot write the package: ", ErrorOf(writer)));
}

absl::Status AddFile(archive* writer, const std::string& name, absl::string_view bytes) {
  RETURN_IF_ERROR(AddEntry(writer, name, static_cast<int64_t>(bytes.size())));
  return AddData(writer, bytes);
}

absl::Status WriteAll(archive* writer, const Contents& contents,
                      const std::map<std::string, std::string>& image_files) {
  json manifest = {{"format", kFormat}, {"gateway", contents.gateway_id}, {"targets", json::array()}};
  for (const Target& target : contents.targets) {
    json value = {{"path", target.path}, {"sha256", target.sha256}, {"length", target.length}};
    if (!target.ecu_serials.empty()) value["ecuSerials"] = target.ecu_serials;
    manifest["targets"].push_back(std::move(value));
  }
  RETURN_IF_ERROR(AddFile(writer, kManifest, manifest.dump(1)));
  for (const auto& [name, bytes] : contents.director) {
    RETURN_IF_ERROR(AddFile(writer, absl::StrCat("director/", name), bytes));
  }
  for (const auto& [name, bytes] : contents.images) {
    RETURN_IF_ERROR(AddFile(writer, absl::StrCat("images/", name), bytes));
  }
  for (const Target& target : contents.targets) {
    if (!target.approval_statement.empty()) {
      RETURN_IF_ERROR(AddFile(writer, absl::StrCat("statements/", target.sha256), target.approval_statement));
    }
    if (!target.log_proof.empty()) {
      RETURN_IF_ERROR(AddFile(writer, absl::StrCat("proofs/", target.sha256), target.log_proof));
    }
  }
  for (const Target& target : contents.targets) {
    const auto file = image_files.find(target.sha256);
    if (file == image_files.end()) {
      return absl::InvalidArgumentError(absl::StrCat("there is no file for the image ", target.sha256));
    }
    std::ifstream image(file->second, std::ios::binary);
    struct stat status;
    if (!image || stat(file->second.c_str(), &status) != 0 || status.st_size != target.length) {
      return absl::InvalidArgumentError(
          absl::StrCat(file->second, " is no image of ", target.length, " bytes"));
    }
    RETURN_IF_ERROR(AddEntry(writer, absl::StrCat("targets/", target.sha256), target.length));
    std::string chunk(kChunk, '\0');
    while (image.read(chunk.data(), kChunk), image.gcount() > 0) {
      RETURN_IF_ERROR(AddData(writer, absl::string_view(chunk.data(), static_cast<size_t>(image.gcount()))));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WritePackage(const std::string& path, const Contents& contents,
                          const std::map<std::string, std::string>& image_files) {
  const std::string partial = absl::StrCat(path, ".partial");
  const Writer writer(archive_write_new());
  archive_write_set_format_pax_restricted(writer.get());
  archive_write_add_filter_none(writer.get());
  if (archive_write_open_filename(writer.get(), partial.c_str()) != ARCHIVE_OK) {
    return absl::InternalError(absl::StrCat("cannot write ", partial, ": ", ErrorOf(writer.get())));
  }
  absl::Status status = WriteAll(writer.get(), contents, image_files);
  if (archive_write_close(writer.get()) != ARCHIVE_OK) {
    status.Update(absl::InternalError(absl::StrCat("cannot write ", partial, ": ", ErrorOf(writer.get()))));
  }
  if (status.ok() && rename(partial.c_str(), path.c_str()) != 0) {
    status = absl::InternalError(absl::StrCat("cannot write ", path));
  }
  if (!status.ok()) RemoveFile(partial).IgnoreError();
  return status;
}

absl::StatusOr<Package> Package::Open(const std::string& path, const Limits& limits) {
  ASSIGN_OR_RETURN(const Reader reader, OpenArchive(path));
  std::string name;
  int64_t size = 0;
  RETURN_IF_ERROR(NextEntry(reader.get(), name, size));
  if (name != kManifest) return Malformed("does not begin with manifest.json");
  if (size > limits.max_file_bytes) return TooLarge("has a manifest that is too long");
  ASSIGN_OR_RETURN(const std::string manifest, ReadSmall(reader.get(), size));
  ASSIGN_OR_RETURN(Contents contents, ParseManifest(manifest, limits));

  std::set<std::string> seen;
  int64_t total = size;
  RETURN_IF_ERROR(NextEntry(reader.get(), name, size));
  while (!name.empty()) {
    if (seen.size() >= limits.max_entries) return TooLarge("has too many entries");
    if (!seen.insert(name).second) return Malformed("has an entry twice");
    absl::string_view rest = name;
    if (absl::ConsumePrefix(&rest, "targets/")) {
      const Target* target = Find(contents, rest);
      if (target == nullptr) return Malformed("has an image that its manifest does not name");
      if (size != target->length) return Malformed("has an image of another length than its manifest says");
    } else {
      total += size;
      if (size > limits.max_file_bytes || total > limits.max_files_bytes) {
        return TooLarge("has files that are too long");
      }
      ASSIGN_OR_RETURN(std::string bytes, ReadSmall(reader.get(), size));
      if (absl::ConsumePrefix(&rest, "director/") && IsFileName(rest)) {
        contents.director[std::string(rest)] = std::move(bytes);
      } else if (absl::ConsumePrefix(&rest, "images/") && IsFileName(rest)) {
        contents.images[std::string(rest)] = std::move(bytes);
      } else {
        const bool statement = absl::ConsumePrefix(&rest, "statements/");
        Target* target = statement || absl::ConsumePrefix(&rest, "proofs/") ? Find(contents, rest) : nullptr;
        if (target == nullptr) return Malformed("has an entry that has no place in one");
        (statement ? target->approval_statement : target->log_proof) = std::move(bytes);
      }
    }
    RETURN_IF_ERROR(NextEntry(reader.get(), name, size));
  }
  for (const Target& target : contents.targets) {
    if (!seen.contains(absl::StrCat("targets/", target.sha256))) {
      return Malformed(absl::StrCat("lacks the image of ", target.path));
    }
  }
  return Package(path, std::move(contents));
}

absl::Status Package::ReadImage(const std::string& sha256,
                                absl::FunctionRef<absl::Status(absl::string_view)> sink) const {
  const auto target = std::find_if(contents_.targets.begin(), contents_.targets.end(),
                                   [&](const Target& one) { return one.sha256 == sha256; });
  if (target == contents_.targets.end()) {
    return absl::NotFoundError(absl::StrCat("the package has no image ", sha256));
  }
  ASSIGN_OR_RETURN(const Reader reader, OpenArchive(path_));
  const std::string wanted = absl::StrCat("targets/", sha256);
  std::string name;
  int64_t size = 0;
  do {
    RETURN_IF_ERROR(NextEntry(reader.get(), name, size));
    if (name.empty()) return Malformed("has changed");
  } while (name != wanted);
  if (size != target->length) return Malformed("has changed");
  return ReadData(reader.get(), size, sink);
}

}  // namespace countersign::offline
