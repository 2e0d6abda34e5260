#include "common/tlog/tile.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/tlog/reasons.h"

namespace countersign::tlog {
namespace {

constexpr int64_t kIndexPerElement = 1000;

absl::Status NotATile(absl::string_view path) {
  return Refuse(kMalformed, absl::StrCat("no file of a log has the path \"", path.substr(0, 64), "\""));
}

// Takes digits from the front of `text`; false if there is none or the number has more than 18.
bool TakeNumber(absl::string_view& text, int64_t& number) {
  const size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  if (end == 0 || end > 18 || !absl::SimpleAtoi(text.substr(0, end), &number)) return false;
  text.remove_prefix(end);
  return true;
}

}  // namespace

std::string TilePath(const Tile& tile) {
  int64_t rest = tile.index;
  std::string path = absl::StrFormat("%03d", rest % kIndexPerElement);
  while ((rest /= kIndexPerElement) > 0) path = absl::StrFormat("x%03d/%s", rest % kIndexPerElement, path);
  return absl::StrCat("tile/", tile.level == Tile::kEntries ? "entries" : absl::StrCat(tile.level), "/", path,
                      tile.width == kTileWidth ? "" : absl::StrCat(".p/", tile.width));
}

// Reads what might be a path, then compares with how it would be written.
absl::StatusOr<Tile> ParseTilePath(absl::string_view path) {
  absl::string_view rest = path;
  Tile tile;
  int64_t number = 0;
  if (!absl::ConsumePrefix(&rest, "tile/")) return NotATile(path);
  if (absl::ConsumePrefix(&rest, "entries/")) {
    tile.level = Tile::kEntries;
  } else {
    if (!TakeNumber(rest, number) || number > kMaxTileLevel || !absl::ConsumePrefix(&rest, "/")) {
      return NotATile(path);
    }
    tile.level = static_cast<int>(number);
  }
  for (bool more = true; more;) {
    more = absl::ConsumePrefix(&rest, "x");
    if (!TakeNumber(rest, number) || number >= kIndexPerElement ||
        tile.index > kMaxTreeSize / kIndexPerElement / kTileWidth) {
      return NotATile(path);
    }
    tile.index = tile.index * kIndexPerElement + number;
    if (more && !absl::ConsumePrefix(&rest, "/")) return NotATile(path);
  }
  if (absl::ConsumePrefix(&rest, ".p/")) {
    if (!TakeNumber(rest, number) || number < 1 || number >= kTileWidth) return NotATile(path);
    tile.width = static_cast<int>(number);
  }
  if (TilePath(tile) != path) return NotATile(path);
  return tile;
}

int WidthInTree(int level, int64_t index, int64_t size) {
  const int shift = std::max(level, 0) * kTileHeight;
  if (shift >= 63) return 0;
  const int64_t hashes = size >> shift;
  if (index < 0 || index > hashes / kTileWidth) return 0;
  return static_cast<int>(std::min<int64_t>(kTileWidth, hashes - index * kTileWidth));
}

std::vector<Tile> EdgeTiles(int64_t size) {
  std::vector<Tile> tiles;
  for (int level = 0; size > 0; ++level, size >>= kTileHeight) {
    const int width = static_cast<int>(size % kTileWidth);
    if (width > 0) tiles.push_back({level, size / kTileWidth, width});
  }
  return tiles;
}

Tile TileOf(const Node& node) {
  const int height = node.height % kTileHeight;
  const int64_t first = node.index << height;
  return {node.height / kTileHeight, first / kTileWidth,
          static_cast<int>(first % kTileWidth) + (1 << height)};
}

absl::StatusOr<Hash> NodeInTile(const Node& node, absl::string_view hashes) {
  const int height = node.height % kTileHeight;
  const size_t count = size_t{1} << height;
  const size_t first = static_cast<size_t>(node.index << height) % kTileWidth;
  if (hashes.size() < (first + count) * kHashSize) {
    return Refuse(kMalformed, "a tile of the log has too few hashes");
  }
  return SubtreeHash(hashes.substr(first * kHashSize, count * kHashSize));
}

Hash SubtreeHash(absl::string_view hashes) {
  std::vector<Hash> row;
  for (; !hashes.empty(); hashes.remove_prefix(kHashSize)) row.emplace_back(hashes.substr(0, kHashSize));
  for (size_t width = row.size(); width > 1; width /= 2) {
    for (size_t i = 0; i < width / 2; ++i) row[i] = NodeHash(row[2 * i], row[2 * i + 1]);
  }
  return row[0];
}

void AppendToBundle(absl::string_view entry, std::string& bundle) {
  bundle.push_back(static_cast<char>(entry.size() >> 8));
  bundle.push_back(static_cast<char>(entry.size()));
  bundle.append(entry.data(), entry.size());
}

absl::StatusOr<std::vector<std::string>> ParseBundle(absl::string_view bundle, int width) {
  std::vector<std::string> entries;
  while (!bundle.empty()) {
    const size_t size = bundle.size() < 2 ? bundle.size()
                                          : static_cast<unsigned char>(bundle[0]) << 8 |
                                                static_cast<unsigned char>(bundle[1]);
    if (bundle.size() < 2 + size) return Refuse(kMalformed, "a bundle of the log's entries is cut off");
    entries.emplace_back(bundle.substr(2, size));
    bundle.remove_prefix(2 + size);
  }
  if (entries.size() != static_cast<size_t>(width)) {
    return Refuse(kMalformed,
                  absl::StrCat("a bundle has ", entries.size(), " of the log's entries, and not ", width));
  }
  return entries;
}

}  // namespace countersign::tlog
