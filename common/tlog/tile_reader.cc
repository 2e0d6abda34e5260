#include "common/tlog/tile_reader.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "common/status/macros.h"
#include "common/tlog/reasons.h"

namespace countersign::tlog {
namespace {

// A log of a million entries has four thousand tiles; who reads through a larger one needs few at a time.
constexpr size_t kMaxKeptTiles = 4096;

absl::Status NotOfHead(absl::string_view path) {
  return Refuse(kInconsistent, absl::StrCat(path, " does not belong to the log's head"));
}

}  // namespace

absl::StatusOr<TileReader> TileReader::Open(Fetch fetch, Checkpoint head) {
  TileReader reader(std::move(fetch), std::move(head));
  for (const Tile& tile : EdgeTiles(reader.head_.size)) {
    ASSIGN_OR_RETURN(reader.tiles_[std::make_pair(tile.level, tile.index)], reader.FetchTile(tile));
  }
  // The root is made of nothing but the tiles that have just been read.
  ASSIGN_OR_RETURN(const Hash root, TreeRoot(reader.head_.size, [&](const Node& node) {
                     const Tile tile = TileOf(node);
                     return NodeInTile(node, reader.tiles_[std::make_pair(tile.level, tile.index)]);
                   }));
  if (root != reader.head_.root) return NotOfHead("the right edge of the tree");
  return reader;
}

// A partial tile may be gone once the full one is there.
absl::StatusOr<std::string> TileReader::FetchTile(Tile tile) {
  absl::StatusOr<std::string> bytes = fetch_(TilePath(tile));
  if (absl::IsNotFound(bytes.status()) && tile.width < kTileWidth) {
    bytes = fetch_(TilePath({tile.level, tile.index}));
    if (bytes.ok() && bytes->size() == kTileWidth * kHashSize) bytes->resize(tile.width * kHashSize);
  }
  if (bytes.ok() && bytes->size() != tile.width * kHashSize) {
    return Refuse(kMalformed, absl::StrCat(TilePath(tile), " has ", bytes->size(), " bytes"));
  }
  return bytes;
}

absl::StatusOr<std::string> TileReader::Verified(int level, int64_t index) {
  const std::pair<int, int64_t> key(level, index);
  if (const auto found = tiles_.find(key); found != tiles_.end()) return found->second;
  const Tile tile{level, index, WidthInTree(level, index, head_.size)};
  // The partial tiles have all been read.
  if (tile.width < kTileWidth) {
    return Refuse(kMalformed, absl::StrCat("a tree of ", head_.size, " entries has no ", TilePath(tile)));
  }
  ASSIGN_OR_RETURN(const std::string above, Verified(level + 1, index / kTileWidth));
  ASSIGN_OR_RETURN(const Hash expected, NodeInTile({(level + 1) * kTileHeight, index}, above));
  ASSIGN_OR_RETURN(std::string bytes, FetchTile(tile));
  if (SubtreeHash(bytes) != expected) return NotOfHead(TilePath(tile));
  if (tiles_.size() < kMaxKeptTiles) tiles_[key] = bytes;
  return bytes;
}

absl::StatusOr<Hash> TileReader::Read(const Node& node) {
  const Tile tile = TileOf(node);
  ASSIGN_OR_RETURN(const std::string bytes, Verified(tile.level, tile.index));
  return NodeInTile(node, bytes);
}

absl::StatusOr<std::vector<std::string>> TileReader::Entries(int64_t index) {
  const Tile tile{Tile::kEntries, index, WidthInTree(Tile::kEntries, index, head_.size)};
  ASSIGN_OR_RETURN(const std::string hashes, Verified(0, index));
  absl::StatusOr<std::string> bundle = fetch_(TilePath(tile));
  bool whole = tile.width == kTileWidth;
  if (absl::IsNotFound(bundle.status()) && !whole) {
    bundle = fetch_(TilePath({Tile::kEntries, index}));
    whole = true;
  }
  RETURN_IF_ERROR(bundle.status());
  ASSIGN_OR_RETURN(std::vector<std::string> entries, ParseBundle(*bundle, whole ? kTileWidth : tile.width));
  entries.resize(tile.width);
  for (int i = 0; i < tile.width; ++i) {
    if (LeafHash(entries[i]) != hashes.substr(i * kHashSize, kHashSize)) return NotOfHead(TilePath(tile));
  }
  return entries;
}

absl::StatusOr<std::vector<Hash>> TileReader::ProveInclusion(int64_t index) {
  return InclusionProof(index, head_.size, [this](const Node& node) { return Read(node); });
}

absl::Status TileReader::CheckExtends(const Checkpoint& old) {
  if (old.origin != head_.origin || old.size > head_.size) {
    return Refuse(kInconsistent,
                  absl::StrCat("the log of ", head_.origin, " with ", head_.size,
                               " entries does not continue that of ", old.origin, " with ", old.size));
  }
  ASSIGN_OR_RETURN(const Hash root, TreeRoot(old.size, [this](const Node& node) { return Read(node); }));
  if (root == old.root) return absl::OkStatus();
  return Refuse(kInconsistent,
                absl::StrCat("the first ", old.size, " entries of the log are not those that it had: ",
                             "two heads were signed that contradict each other"));
}

}  // namespace countersign::tlog
