// Deltas between two images: one zstd frame (RFC 8878) that has the old image as its prefix, as `zstd
// --patch-from=OLD NEW` makes it and `zstd -d --patch-from=OLD DELTA` reads it.
//
// Both images are mapped and not read into memory: what a process needs beside the system's page cache does
// not grow with them when it applies a delta, and is at most kMaxCreateMemory when it makes one. Whoever
// passes a file keeps others from making it shorter meanwhile.
//
// A delta proves nothing: whoever applies one compares the result's digest with what signed metadata say.
#ifndef COUNTERSIGN_COMMON_DELTA_DELTA_H_
#define COUNTERSIGN_COMMON_DELTA_DELTA_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

extern "C" {
typedef struct ZSTD_DCtx_s ZSTD_DCtx;
}

namespace countersign::delta {

// The longest image that a delta can be of or from: zstd's windows end at 2^31 bytes.
inline constexpr int64_t kMaxImageBytes = int64_t{1} << 30;

// What Create() allocates at most, whatever the images.
inline constexpr int64_t kMaxCreateMemory = int64_t{96} << 20;

// The file open at a descriptor, mapped for reading. Moves.
class Mapping {
 public:
  // INVALID_ARGUMENT (IMAGE_TOO_LARGE) beyond kMaxImageBytes. The descriptor may be closed afterwards.
  static absl::StatusOr<Mapping> OfFile(int descriptor);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) = delete;
  ~Mapping();

  absl::string_view bytes() const { return {static_cast<const char*>(address_), size_}; }

 private:
  Mapping(void* address, size_t size) : address_(address), size_(size) {}
  void* address_;
  size_t size_;
};

// Makes the delta that turns `base` into `target`, and gives it to `sink` in pieces; returns its length.
// OUT_OF_RANGE (DELTA_TOO_LONG) as soon as it would have more than `max_bytes`. `go_on` is asked after each
// MiB of `target`, and its error ends the work. The same images give the same delta with the same zstd.
absl::StatusOr<int64_t> Create(absl::string_view base, absl::string_view target, int64_t max_bytes,
                               absl::FunctionRef<absl::Status(absl::string_view)> sink,
                               absl::FunctionRef<absl::Status()> go_on);

// Applies one delta, which may come from anybody. Not thread-safe.
//
// Errors: INVALID_ARGUMENT with DELTA_MALFORMED, DELTA_TRUNCATED, WINDOW_TOO_LARGE, LENGTH_EXCEEDED or
// LENGTH_MISMATCH; a delta for another base is malformed, or gives other bytes. RESOURCE_EXHAUSTED
// (DISK_FULL). After an error the target's bytes are of no use.
class Applier {
 public:
  // What comes out is written to the file at `target_descriptor`, open for reading and writing: exactly
  // `length` bytes, for which room is made at once. INVALID_ARGUMENT (IMAGE_TOO_LARGE) when `length` is
  // beyond kMaxImageBytes. The delta's window may have at most `max_window_bytes`, rounded up to a power of
  // two. `base` outlives it.
  static absl::StatusOr<std::unique_ptr<Applier>> Open(absl::string_view base, int target_descriptor,
                                                       int64_t length, int64_t max_window_bytes);
  ~Applier();
  Applier(const Applier&) = delete;
  Applier& operator=(const Applier&) = delete;

  // The next bytes of the delta.
  absl::Status Append(absl::string_view delta);

  // That was all of it: all of the target is there, though not yet on disk.
  absl::Status Finish();

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const;
  };
  Applier(void* output, size_t length, std::unique_ptr<ZSTD_DCtx, Free> context);

  void* const output_;
  const size_t length_;
  const std::unique_ptr<ZSTD_DCtx, Free> context_;
  size_t produced_ = 0;
  bool begun_ = false;
  bool ended_ = false;  // the frame is over
};

}  // namespace countersign::delta

#endif  // COUNTERSIGN_COMMON_DELTA_DELTA_H_
