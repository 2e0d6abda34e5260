#include "common/delta/delta.h"

// For buffers that stay in place: without them zstd copies a whole window, which is as large as the image.
#define ZSTD_STATIC_LINKING_ONLY
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::delta {
namespace {

constexpr size_t kStepBytes = 1 << 20;
// Finding matches well costs time that grows with the images: these take about as long, a minute or two at
// most, and levels beyond 19 want more memory.
constexpr int64_t kBestLevelBytes = 32 << 20;
constexpr int64_t kGoodLevelBytes = 128 << 20;
constexpr int kBestLevel = 19;
constexpr int kGoodLevel = 12;
constexpr int kFastLevel = 3;

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

absl::Status SystemError(absl::string_view what) {
  const int error = errno;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return Error(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                 absl::StrCat("cannot ", what, ": ", strerror(error)));
  }
  return absl::InternalError(absl::StrCat("cannot ", what, ": ", strerror(error)));
}

absl::Status CheckLength(int64_t length) {
  if (length <= kMaxImageBytes) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "IMAGE_TOO_LARGE",
               absl::StrCat("An image of ", length, " bytes is beyond the ", kMaxImageBytes,
                            " that a delta can have."));
}

absl::Status Refuse(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message);
}

// What zstd says of a call that only lack of memory or this file can make fail.
absl::Status OwnError(size_t code) {
  if (!ZSTD_isError(code)) return absl::OkStatus();
  if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation) {
    return Error(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY", "there is no memory for the delta");
  }
  return absl::InternalError(absl::StrCat("zstd: ", ZSTD_getErrorName(code)));
}

absl::Status DecodingError(size_t code) {
  switch (ZSTD_getErrorCode(code)) {
    case ZSTD_error_memory_allocation:
      return OwnError(code);
    case ZSTD_error_frameParameter_windowTooLarge:
      return Refuse("WINDOW_TOO_LARGE", "The delta wants a larger window than it may have.");
    case ZSTD_error_dstSize_tooSmall:
    case ZSTD_error_noForwardProgress_destFull:
      return Refuse("LENGTH_EXCEEDED", "The delta gives more bytes than the image has.");
    default:
      return Refuse(
          "DELTA_MALFORMED",
          absl::StrCat("The delta is damaged, or of another image: ", ZSTD_getErrorName(code), "."));
  }
}

int Level(int64_t larger) {
  if (larger <= kBestLevelBytes) return kBestLevel;
  return larger <= kGoodLevelBytes ? kGoodLevel : kFastLevel;
}

}  // namespace

absl::StatusOr<Mapping> Mapping::OfFile(int descriptor) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) return SystemError("look at an image");
  RETURN_IF_ERROR(CheckLength(status.st_size));
  const size_t size = status.st_size;
  if (size == 0) return Mapping(nullptr, 0);
  void* const address = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
  if (address == MAP_FAILED) return SystemError("map an image");
  return Mapping(address, size);
}

Mapping::Mapping(Mapping&& other) noexcept
    : address_(std::exchange(other.address_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping::~Mapping() {
  if (address_ != nullptr) munmap(address_, size_);
}

absl::StatusOr<int64_t> Create(absl::string_view base, absl::string_view target, int64_t max_bytes,
                               absl::FunctionRef<absl::Status(absl::string_view)> sink,
                               absl::FunctionRef<absl::Status()> go_on) {
  const int64_t larger = std::max(base.size(), target.size());
  RETURN_IF_ERROR(CheckLength(larger));
  const std::unique_ptr<ZSTD_CCtx, FreeCompressor> context(ZSTD_createCCtx());
  if (context == nullptr) return absl::ResourceExhaustedError("there is no memory for a delta");
  // As `zstd --patch-from` chooses it: all of the old image stays within reach.
  const int window_log = std::max<int>(std::bit_width(static_cast<uint64_t>(larger)), ZSTD_WINDOWLOG_MIN);
  for (const auto& [parameter, value] :
       {std::pair(ZSTD_c_compressionLevel, Level(larger)), std::pair(ZSTD_c_windowLog, window_log),
        std::pair(ZSTD_c_enableLongDistanceMatching, 1), std::pair(ZSTD_c_checksumFlag, 1),
        std::pair(ZSTD_c_stableInBuffer, 1)}) {
    RETURN_IF_ERROR(OwnError(ZSTD_CCtx_setParameter(context.get(), parameter, value)));
  }
  RETURN_IF_ERROR(OwnError(ZSTD_CCtx_setPledgedSrcSize(context.get(), target.size())));
  RETURN_IF_ERROR(OwnError(ZSTD_CCtx_refPrefix(context.get(), base.data(), base.size())));

  std::string buffer(ZSTD_CStreamOutSize(), '\0');
  ZSTD_inBuffer in = {target.data(), 0, 0};
  int64_t length = 0;
  bool done = false;
  while (!done) {
    in.size = std::min(in.size + kStepBytes, target.size());
    const ZSTD_EndDirective mode = in.size == target.size() ? ZSTD_e_end : ZSTD_e_continue;
    for (bool stepped = false; !stepped;) {
      ZSTD_outBuffer out = {buffer.data(), buffer.size(), 0};
      const size_t left = ZSTD_compressStream2(context.get(), &out, &in, mode);
      RETURN_IF_ERROR(OwnError(left));
      length += out.pos;
      if (length > max_bytes) {
        return Error(absl::StatusCode::kOutOfRange, "DELTA_TOO_LONG",
                     absl::StrCat("The delta has more than ", max_bytes, " bytes."));
      }
      if (out.pos > 0) RETURN_IF_ERROR(sink(absl::string_view(buffer.data(), out.pos)));
      done = mode == ZSTD_e_end && left == 0;
      // What is not a whole block yet is left for the next step.
      stepped = done || (mode == ZSTD_e_continue && out.pos < out.size);
    }
    RETURN_IF_ERROR(go_on());
  }
  return length;
}

void Applier::Free::operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }

Applier::Applier(void* output, size_t length, std::unique_ptr<ZSTD_DCtx, Free> context)
    : output_(output), length_(length), context_(std::move(context)) {}

Applier::~Applier() {
  if (output_ != nullptr) munmap(output_, length_);
}

absl::StatusOr<std::unique_ptr<Applier>> Applier::Open(absl::string_view base, int target_descriptor,
                                                       int64_t length, int64_t max_window_bytes) {
  RETURN_IF_ERROR(CheckLength(length));
  if (length < 1) return absl::InvalidArgumentError("an image has bytes");
  std::unique_ptr<ZSTD_DCtx, Free> context(ZSTD_createDCtx());
  if (context == nullptr) return absl::ResourceExhaustedError("there is no memory for a delta");
  const int window_log = std::clamp<int>(std::bit_width(static_cast<uint64_t>(max_window_bytes) - 1),
                                         ZSTD_WINDOWLOG_MIN, ZSTD_WINDOWLOG_MAX);
  for (const auto& [parameter, value] :
       {std::pair(ZSTD_d_windowLogMax, window_log), std::pair(ZSTD_d_stableOutBuffer, 1)}) {
    RETURN_IF_ERROR(OwnError(ZSTD_DCtx_setParameter(context.get(), parameter, value)));
  }
  RETURN_IF_ERROR(OwnError(ZSTD_DCtx_refPrefix(context.get(), base.data(), base.size())));
  // A mapped file for which the disk has no room would end the process when it is written.
  if (ftruncate(target_descriptor, length) != 0) return SystemError("size an image");
  if (const int error = posix_fallocate(target_descriptor, 0, length); error != 0) {
    errno = error;
    return SystemError("make room for an image");
  }
  void* const output = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, target_descriptor, 0);
  if (output == MAP_FAILED) return SystemError("map an image");
  return std::unique_ptr<Applier>(new Applier(output, length, std::move(context)));
}

absl::Status Applier::Append(absl::string_view delta) {
  // Given a whole frame at once, zstd would not look at its window: the first byte goes alone.
  ZSTD_inBuffer in = {delta.data(), begun_ ? delta.size() : std::min<size_t>(delta.size(), 1), 0};
  begun_ = true;
  ZSTD_outBuffer out = {output_, length_, produced_};
  while (in.pos < in.size) {
    if (ended_) return Refuse("DELTA_MALFORMED", "Something follows the delta's end.");
    const size_t before_in = in.pos, before_out = out.pos;
    const size_t left = ZSTD_decompressStream(context_.get(), &out, &in);
    if (ZSTD_isError(left)) return DecodingError(left);
    produced_ = out.pos;
    ended_ = left == 0;
    if (!ended_ && in.pos == before_in && out.pos == before_out) {
      return Refuse("LENGTH_EXCEEDED", "The delta gives more bytes than the image has.");
    }
    in.size = delta.size();
  }
  return absl::OkStatus();
}

absl::Status Applier::Finish() {
  if (!ended_) return Refuse("DELTA_TRUNCATED", "The delta ends too early.");
  if (produced_ != length_) {
    return Refuse("LENGTH_MISMATCH",
                  absl::StrCat("The delta gives ", produced_, " bytes, not the ", length_, " of the image."));
  }
  return absl::OkStatus();
}

}  // namespace countersign::delta
