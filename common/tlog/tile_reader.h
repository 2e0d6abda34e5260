#ifndef COUNTERSIGN_COMMON_TLOG_TILE_READER_H_
#define COUNTERSIGN_COMMON_TLOG_TILE_READER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/tlog/checkpoint.h"
#include "common/tlog/merkle.h"
#include "common/tlog/tile.h"

namespace countersign::tlog {

// Reads a log's files, from wherever they come, and gives out only what belongs to one head. Not thread-safe;
// keeps the tiles that it has read.
class TileReader {
 public:
  // The bytes of the file at a path such as "tile/0/000.p/5"; NOT_FOUND if there is none. Never trusted.
  using Fetch = std::function<absl::StatusOr<std::string>(const std::string& path)>;

  // Reads the tiles on the right edge and compares with `head`, which has been verified. Errors, here and
  // below: those of `fetch`; INVALID_ARGUMENT (LOG_MALFORMED, LOG_INCONSISTENT).
  static absl::StatusOr<TileReader> Open(Fetch fetch, Checkpoint head);

  const Checkpoint& head() const { return head_; }

  // The hash of a complete subtree below the head.
  absl::StatusOr<Hash> Read(const Node& node);

  // The entries of bundle number `index`: those from 256 * `index` on.
  absl::StatusOr<std::vector<std::string>> Entries(int64_t index);

  absl::StatusOr<std::vector<Hash>> ProveInclusion(int64_t index);

  // OK if the log of this head begins with the tree of `old`.
  absl::Status CheckExtends(const Checkpoint& old);

 private:
  TileReader(Fetch fetch, Checkpoint head) : fetch_(std::move(fetch)), head_(std::move(head)) {}

  absl::StatusOr<std::string> FetchTile(Tile tile);
  // The tile with all hashes that it has below the head, verified.
  absl::StatusOr<std::string> Verified(int level, int64_t index);

  Fetch fetch_;
  Checkpoint head_;
  std::map<std::pair<int, int64_t>, std::string> tiles_;  // verified, by level and index
};

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_COMMON_TLOG_TILE_READER_H_
