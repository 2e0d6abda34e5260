#ifndef COUNTERSIGN_COMMON_TLOG_MEMORY_LOG_H_
#define COUNTERSIGN_COMMON_TLOG_MEMORY_LOG_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/tlog/checkpoint.h"
#include "common/tlog/merkle.h"
#include "common/tlog/tile.h"

namespace countersign::tlog {

// A log in memory, for tests: all its hashes, computed one by one, and the files that it would serve.
class MemoryLog {
 public:
  void Append(const std::string& entry) {
    entries_.push_back(entry);
    Hash hash = LeafHash(entry);
    for (size_t height = 0;; ++height) {
      if (rows_.size() == height) rows_.emplace_back();
      rows_[height].push_back(hash);
      const std::vector<Hash>& row = rows_[height];
      if (row.size() % 2 != 0) return;
      hash = NodeHash(row[row.size() - 2], row[row.size() - 1]);
    }
  }

  int64_t size() const { return static_cast<int64_t>(entries_.size()); }

  ReadNode Nodes() const {
    return [this](const Node& node) -> absl::StatusOr<Hash> {
      return rows_.at(node.height).at(static_cast<size_t>(node.index));
    };
  }

  Checkpoint Head(int64_t size, const std::string& origin = "test.example/log") const {
    return {origin, size, TreeRoot(size, Nodes()).value()};
  }

  // The bytes of a tile or bundle; NOT_FOUND beyond the log's end.
  absl::StatusOr<std::string> File(const std::string& path) const {
    const absl::StatusOr<Tile> tile = ParseTilePath(path);
    if (!tile.ok()) return tile.status();
    if (WidthInTree(tile->level, tile->index, size()) < tile->width) return absl::NotFoundError(path);
    std::string bytes;
    for (int64_t i = tile->index * kTileWidth; i < tile->index * kTileWidth + tile->width; ++i) {
      if (tile->level == Tile::kEntries) {
        AppendToBundle(entries_[i], bytes);
      } else {
        bytes += rows_[tile->level * kTileHeight][i];
      }
    }
    return bytes;
  }

 private:
  std::vector<std::string> entries_;
  std::vector<std::vector<Hash>> rows_;  // by height
};

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_COMMON_TLOG_MEMORY_LOG_H_
