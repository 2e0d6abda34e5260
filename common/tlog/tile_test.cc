#include "common/tlog/tile.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/status_matchers.h"
#include "common/tlog/memory_log.h"
#include "common/tlog/reasons.h"
#include "common/tlog/tile_reader.h"

// PLUS-3
namespace countersign::tlog {
namespace {

TEST(TileTest, PathsAreThoseOfTheSpecification) {
  EXPECT_EQ(TilePath({0, 1234067}), "tile/0/x001/x234/067");
  EXPECT_EQ(TilePath({1, 0, 17}), "tile/1/000.p/17");
  EXPECT_EQ(TilePath({Tile::kEntries, 999}), "tile/entries/999");
  EXPECT_EQ(TilePath({Tile::kEntries, 1000, 1}), "tile/entries/x001/000.p/1");
  for (const Tile& tile : {Tile{0, 0}, Tile{63, 5, 1}, Tile{2, 999999, 255},
                           Tile{0, kMaxTreeSize / kTileWidth}, Tile{Tile::kEntries, 123456789, 100}}) {
    EXPECT_THAT(ParseTilePath(TilePath(tile)), IsOkAndHolds(tile));
  }
}

TEST(TileTest, OtherPathsAreRefused) {
  for (const char* path : {"",
                           "tile",
                           "tile/",
                           "tile/0",
                           "tile/0/",
                           "tile/0/0",
                           "tile/0/00",
                           "tile/0/0000",
                           "tile/64/000",
                           "tile/00/000",
                           "tile/-1/000",
                           "tile/x/000",
                           "tile/0/x000/001",
                           "tile/0/x001",
                           "tile/0/x001/",
                           "tile/0/001/002",
                           "tile/0/000.p",
                           "tile/0/000.p/",
                           "tile/0/000.p/0",
                           "tile/0/000.p/256",
                           "tile/0/000.p/01",
                           "tile/0/000.p/1/",
                           "tile/0/000/",
                           "tile/0/000 ",
                           "/tile/0/000",
                           "tile/entries",
                           "tile/entries/0",
                           "tile/data/000",
                           "tile/0/../000",
                           "tile/0/+01",
                           "tile/8/0/000",
                           "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/999"}) {
    EXPECT_THAT(ParseTilePath(path), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed)) << path;
  }
}

TEST(TileTest, ATreeHasTheTilesThatTheSpecificationCounts) {
  // The specification's example.
  EXPECT_EQ(EdgeTiles(70000), (std::vector<Tile>{{0, 273, 112}, {1, 1, 17}, {2, 0, 1}}));
  EXPECT_EQ(WidthInTree(0, 272, 70000), 256);
  EXPECT_EQ(WidthInTree(0, 273, 70000), 112);
  EXPECT_EQ(WidthInTree(0, 274, 70000), 0);
  EXPECT_EQ(WidthInTree(1, 0, 70000), 256);
  EXPECT_EQ(WidthInTree(2, 0, 70000), 1);
  EXPECT_EQ(WidthInTree(3, 0, 70000), 0);
  EXPECT_EQ(WidthInTree(63, 0, kMaxTreeSize), 0);
  EXPECT_EQ(WidthInTree(Tile::kEntries, 273, 70000), 112);
  EXPECT_EQ(EdgeTiles(256), (std::vector<Tile>{{1, 0, 1}}));
  EXPECT_TRUE(EdgeTiles(0).empty());
}

TEST(TileTest, BundlesAreReadAsTheyAreWritten) {
  std::string bundle;
  AppendToBundle("", bundle);
  AppendToBundle("abc", bundle);
  AppendToBundle(std::string(kMaxEntryBytes, 'x'), bundle);
  EXPECT_EQ(bundle.substr(0, 7), std::string("\0\0\0\3abc", 7));
  EXPECT_THAT(ParseBundle(bundle, 3),
              IsOkAndHolds(std::vector<std::string>{"", "abc", std::string(kMaxEntryBytes, 'x')}));
  EXPECT_THAT(ParseBundle(bundle, 2), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
  for (size_t cut : {1, 3, 5, 8}) {
    EXPECT_THAT(ParseBundle(bundle.substr(0, cut), 3),
                StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
  }
}

class TileReaderTest : public ::testing::Test {
 protected:
  void Grow(int64_t size) {
    for (int64_t i = log_.size(); i < size; ++i) log_.Append(absl::StrCat("entry ", i));
  }

  absl::StatusOr<std::string> Fetch(const std::string& path) {
    ++fetched_[path];
    absl::StatusOr<std::string> bytes = log_.File(path);
    if (bytes.ok() && path == altered_) bytes->back() ^= 1;
    if (no_partial_tiles_ && absl::StrContains(path, ".p/")) return absl::NotFoundError(path);
    return bytes;
  }

  absl::StatusOr<TileReader> Open(int64_t size) {
    return TileReader::Open([this](const std::string& path) { return Fetch(path); }, log_.Head(size));
  }

  MemoryLog log_;
  std::map<std::string, int> fetched_;
  std::string altered_;
  bool no_partial_tiles_ = false;
};

TEST_F(TileReaderTest, ReadsEveryEntryAndProofOfEverySize) {
  Grow(700);
  for (int64_t size : {0, 1, 2, 255, 256, 257, 511, 512, 600, 700}) {
    ASSERT_OK_AND_ASSIGN(TileReader reader, Open(size));
    int64_t next = 0;
    for (int64_t bundle = 0; bundle * kTileWidth < size; ++bundle) {
      ASSERT_OK_AND_ASSIGN(const std::vector<std::string> entries, reader.Entries(bundle));
      for (const std::string& entry : entries) EXPECT_EQ(entry, absl::StrCat("entry ", next++));
    }
    EXPECT_EQ(next, size);
    for (int64_t index : {int64_t{0}, size / 2, size - 1}) {
      if (size == 0) continue;
      ASSERT_OK_AND_ASSIGN(const std::vector<Hash> proof, reader.ProveInclusion(index));
      EXPECT_OK(
          VerifyInclusion(LeafHash(absl::StrCat("entry ", index)), index, size, proof, reader.head().root));
    }
    for (int64_t old : {int64_t{0}, int64_t{1}, size / 2, size}) {
      if (old <= size) {
        EXPECT_OK(reader.CheckExtends(log_.Head(old)));
      }
    }
    EXPECT_FALSE(reader.Entries(size / kTileWidth + 1).ok());
    EXPECT_FALSE(reader.Entries(-1).ok());
  }
}

TEST_F(TileReaderTest, ALogOfThreeLevelsIsReadWithFewTiles) {
  Grow(66000);
  ASSERT_OK_AND_ASSIGN(TileReader reader, Open(66000));
  ASSERT_OK_AND_ASSIGN(const std::vector<Hash> proof, reader.ProveInclusion(12345));
  EXPECT_OK(VerifyInclusion(LeafHash("entry 12345"), 12345, 66000, proof, reader.head().root));
  EXPECT_LE(fetched_.size(), 6u);
}

TEST_F(TileReaderTest, AnAlteredFileIsNoticed) {
  Grow(600);
  for (const char* path :
       {"tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/000", "tile/entries/002.p/88"}) {
    altered_ = path;
    absl::Status seen;
    absl::StatusOr<TileReader> reader = Open(600);
    seen = reader.status();
    for (int64_t bundle = 0; seen.ok() && bundle < 3; ++bundle) seen = reader->Entries(bundle).status();
    EXPECT_THAT(seen, StatusIs(absl::StatusCode::kInvalidArgument, kInconsistent)) << path;
  }
}

TEST_F(TileReaderTest, AHeadOfAnotherHistoryIsNoticed) {
  Grow(600);
  MemoryLog forged;
  for (int i = 0; i < 600; ++i) forged.Append(i == 300 ? "forged" : absl::StrCat("entry ", i));
  EXPECT_THAT(TileReader::Open([this](const std::string& path) { return Fetch(path); }, forged.Head(600)),
              StatusIs(absl::StatusCode::kInvalidArgument, kInconsistent));
  ASSERT_OK_AND_ASSIGN(TileReader reader, Open(600));
  EXPECT_OK(reader.CheckExtends(forged.Head(300)));
  EXPECT_THAT(reader.CheckExtends(forged.Head(301)),
              StatusIs(absl::StatusCode::kInvalidArgument, kInconsistent));
  EXPECT_THAT(reader.CheckExtends(forged.Head(600)),
              StatusIs(absl::StatusCode::kInvalidArgument, kInconsistent));
  EXPECT_THAT(reader.CheckExtends(log_.Head(300, "another.example/log")),
              StatusIs(absl::StatusCode::kInvalidArgument, kInconsistent));
  // A log that has become shorter.
  ASSERT_OK_AND_ASSIGN(TileReader shorter, Open(299));
  EXPECT_THAT(shorter.CheckExtends(log_.Head(300)),
              StatusIs(absl::StatusCode::kInvalidArgument, kInconsistent));
}

TEST_F(TileReaderTest, FullTilesStandInForPartialOnesThatAreGone) {
  Grow(512);
  const Checkpoint old = log_.Head(300);
  no_partial_tiles_ = true;
  Grow(65536 * 1);  // so that every tile that the old head needs is full
  ASSERT_OK_AND_ASSIGN(TileReader reader,
                       TileReader::Open([this](const std::string& path) { return Fetch(path); }, old));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> entries, reader.Entries(1));
  EXPECT_EQ(entries.size(), 44u);
  EXPECT_EQ(entries.back(), "entry 299");
}

TEST_F(TileReaderTest, FilesOfTheWrongLengthAreRefused) {
  Grow(300);
  for (const char* path : {"tile/0/000", "tile/0/001.p/44", "tile/entries/000"}) {
    const auto fetch = [&](const std::string& wanted) {
      absl::StatusOr<std::string> bytes = log_.File(wanted);
      if (wanted == path) bytes->push_back('x');
      return bytes;
    };
    absl::StatusOr<TileReader> reader = TileReader::Open(fetch, log_.Head(300));
    const absl::Status seen = reader.ok() ? reader->Entries(0).status() : reader.status();
    EXPECT_THAT(seen, StatusIs(absl::StatusCode::kInvalidArgument, kMalformed)) << path;
  }
}

}  // namespace
}  // namespace countersign::tlog
