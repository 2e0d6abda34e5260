#ifndef COUNTERSIGN_COMMON_TLOG_TILE_H_
#define COUNTERSIGN_COMMON_TLOG_TILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/tlog/merkle.h"

// Tiles and entry bundles (https://c2sp.org/tlog-tiles): how a log is stored and served.
namespace countersign::tlog {

inline constexpr int kTileHeight = 8;
inline constexpr int kTileWidth = 1 << kTileHeight;
inline constexpr int kMaxTileLevel = 63;
inline constexpr size_t kMaxEntryBytes = 0xffff;

// Where the signed head is served.
inline constexpr char kCheckpointPath[] = "checkpoint";

// A tile of hashes, or with kEntries a bundle of the entries that the tile of level 0 has the hashes of.
struct Tile {
  static constexpr int kEntries = -1;

  int level = 0;
  int64_t index = 0;
  int width = kTileWidth;  // 1 to 256; below 256 it is partial

  friend bool operator==(const Tile&, const Tile&) = default;
};

// "tile/0/x001/234", "tile/entries/000.p/7".
std::string TilePath(const Tile& tile);
// INVALID_ARGUMENT (LOG_MALFORMED) unless TilePath() would write exactly this.
absl::StatusOr<Tile> ParseTilePath(absl::string_view path);

// How many hashes, or entries, that tile has in the tree of `size` leaves: 0 to 256.
int WidthInTree(int level, int64_t index, int64_t size);

// The partial tiles of the tree of `size` leaves, lowest first: all that its root is computed from.
std::vector<Tile> EdgeTiles(int64_t size);

// The tile whose hashes give the hash of `node`, with the width that it needs at least.
Tile TileOf(const Node& node);
// The hash of `node` from `hashes`, the bytes of TileOf(node) or of a wider one. INVALID_ARGUMENT
// (LOG_MALFORMED) if they are too few.
absl::StatusOr<Hash> NodeInTile(const Node& node, absl::string_view hashes);

// The root of the complete subtree whose 2^n leaves, or nodes of one height, have `hashes`: that of a full
// tile is its hash in the tile above.
Hash SubtreeHash(absl::string_view hashes);

// Adds `entry`, of at most kMaxEntryBytes, to a bundle: length in two bytes, big-endian, then its bytes.
void AppendToBundle(absl::string_view entry, std::string& bundle);
// The entries of a bundle. INVALID_ARGUMENT (LOG_MALFORMED) unless there are exactly `width`.
absl::StatusOr<std::vector<std::string>> ParseBundle(absl::string_view bundle, int width);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_COMMON_TLOG_TILE_H_
