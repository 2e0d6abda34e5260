#include "common/offline/package.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/crypto/digest.h"
#include "common/file/file.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::offline {
namespace {

const auto kIsMalformed = StatusIs(absl::StatusCode::kInvalidArgument, kMalformed);
const auto kIsTooLarge = StatusIs(absl::StatusCode::kResourceExhausted, kTooLarge);

// SC-ALT
class PackageTest : public ::testing::Test {
 protected:
  PackageTest() {
    std::string folder = testing::TempDir() + "/package-XXXXXX";
    folder_ = mkdtemp(folder.data());
    image_file_ = folder_ + "/image";
    EXPECT_OK(WriteFileAtomically(image_file_, image_));
    contents_.gateway_id = "home-1";
    contents_.director = {{"timestamp.json", "{1}"}, {"3.targets.json", "{2}"}};
    contents_.images = {{"timestamp.json", "{3}"}, {"1.acme.json", "{4}"}};
    contents_.targets = {{.path = "acme/lamp/2.bin",
                          .sha256 = Sha(),
                          .length = static_cast<int64_t>(image_.size()),
                          .approval_statement = "statement",
                          .log_proof = "proof"}};
  }
  ~PackageTest() override { std::filesystem::remove_all(folder_); }

  std::string Sha() const { return crypto::Sha256Hex(image_); }
  std::string File() const { return folder_ + "/p.bundle"; }
  void Write() { ASSERT_OK(WritePackage(File(), contents_, {{Sha(), image_file_}})); }

  std::string Manifest(absl::string_view targets) {
    return absl::StrCat(R"({"format":"countersign-package-1","gateway":"home-1","targets":[)", targets, "]}");
  }
  std::string GoodTarget() {
    return absl::StrCat(R"({"path":"acme/lamp/2.bin","sha256":")", Sha(), R"(","length":)", image_.size(),
                        "}");
  }

  struct Entry {
    std::string name, bytes;
    std::function<void(archive_entry*)> alter = nullptr;
  };
  // An archive as somebody else may write it.
  absl::Status Forge(const std::vector<Entry>& entries, bool gzip = false) {
    archive* writer = archive_write_new();
    archive_write_set_format_pax_restricted(writer);
    if (gzip) archive_write_add_filter_gzip(writer);
    archive_write_open_filename(writer, File().c_str());
    for (const Entry& one : entries) {
      archive_entry* entry = archive_entry_new();
      archive_entry_set_pathname(entry, one.name.c_str());
      archive_entry_set_size(entry, static_cast<int64_t>(one.bytes.size()));
      archive_entry_set_filetype(entry, AE_IFREG);
      archive_entry_set_perm(entry, 0644);
      if (one.alter) one.alter(entry);
      archive_write_header(writer, entry);
      archive_write_data(writer, one.bytes.data(), one.bytes.size());
      archive_entry_free(entry);
    }
    archive_write_free(writer);
    return Package::Open(File()).status();
  }

  std::string folder_, image_file_;
  const std::string image_ = std::string(300'000, 'i') + "end";
  Contents contents_;
};

TEST_F(PackageTest, WhatIsPackedIsUnpacked) {
  contents_.targets[0].ecu_serials = {"ecu-1", "ecu-2"};
  Write();
  ASSERT_OK_AND_ASSIGN(const Package package, Package::Open(File()));
  EXPECT_EQ(package.contents().gateway_id, "home-1");
  EXPECT_EQ(package.contents().director, contents_.director);
  EXPECT_EQ(package.contents().images, contents_.images);
  ASSERT_EQ(package.contents().targets.size(), 1u);
  const Target& target = package.contents().targets[0];
  EXPECT_EQ(target.path, "acme/lamp/2.bin");
  EXPECT_EQ(target.ecu_serials, contents_.targets[0].ecu_serials);
  EXPECT_EQ(target.approval_statement, "statement");
  EXPECT_EQ(target.log_proof, "proof");
  std::string read;
  ASSERT_OK(package.ReadImage(Sha(), [&](absl::string_view piece) {
    absl::StrAppend(&read, piece);
    return absl::OkStatus();
  }));
  EXPECT_EQ(read, image_);
}

TEST_F(PackageTest, WhereverItIsCutOffItIsRefused) {
  Write();
  const auto size = std::filesystem::file_size(File());
  for (size_t length = 0; length < size - 20'000; length += 9'973) {
    std::filesystem::resize_file(File(), length);
    absl::StatusOr<Package> package = Package::Open(File());
    absl::Status status = package.status();
    if (status.ok()) status = package->ReadImage(Sha(), [](absl::string_view) { return absl::OkStatus(); });
    EXPECT_THAT(status, kIsMalformed) << length;
    Write();
  }
}

TEST_F(PackageTest, NoNameInItLeadsOutOfIt) {
  for (const char* name :
       {"../evil", "/etc/passwd", "director/../../evil.json", "director//x.json", "images/.hidden.json",
        "director/sub/x.json", "targets/../x", "statements/x", "other", "images/a\nb.json"}) {
    EXPECT_THAT(Forge({{"manifest.json", Manifest(GoodTarget())}, {name, "x"}}), kIsMalformed) << name;
  }
}

TEST_F(PackageTest, OnlyPlainFilesAreRead) {
  for (const auto& alter : std::vector<std::function<void(archive_entry*)>>{
           [](archive_entry* entry) {
             archive_entry_set_filetype(entry, AE_IFLNK);
             archive_entry_set_symlink(entry, "/etc/passwd");
             archive_entry_set_size(entry, 0);
           },
           [](archive_entry* entry) {
             archive_entry_set_filetype(entry, AE_IFDIR);
             archive_entry_set_size(entry, 0);
           },
           [](archive_entry* entry) { archive_entry_set_hardlink(entry, "manifest.json"); },
           [](archive_entry* entry) {
             archive_entry_set_filetype(entry, AE_IFIFO);
             archive_entry_set_size(entry, 0);
           }}) {
    EXPECT_THAT(Forge({{"manifest.json", Manifest(GoodTarget())}, {"director/x.json", "", alter}}),
                kIsMalformed);
  }
}

TEST_F(PackageTest, BombsAreRefusedBeforeTheyGoOff) {
  // Compressed: a thousand to one.
  EXPECT_THAT(
      Forge({{"manifest.json", Manifest(GoodTarget())}, {"director/x.json", std::string(16 << 20, ' ')}},
            /*gzip=*/true),
      kIsMalformed);
  // Gigabytes that are announced and not there: the size in the header is written over.
  ASSERT_OK(Forge({{"manifest.json", Manifest(GoodTarget())},
                   {"director/x.json", "x"},
                   {absl::StrCat("targets/", Sha()), image_}}));
  std::string bytes = *ReadFile(File());
  const size_t header = bytes.find("director/x.json");
  bytes.replace(header + 124, 11, "77777777777");
  bytes.replace(header + 148, 8, std::string(8, ' '));
  int sum = 0;
  for (size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(bytes[header + i]);
  bytes.replace(header + 148, 7, absl::StrFormat("%06o", sum) + std::string(1, '\0'));
  ASSERT_OK(WriteFileAtomically(File(), bytes));
  EXPECT_THAT(Package::Open(File()).status(), kIsTooLarge);
  // A file that is a hole.
  EXPECT_THAT(Forge({{"manifest.json", Manifest(GoodTarget())},
                     {"director/x.json", std::string(1 << 20, '\0'),
                      [](archive_entry* entry) { archive_entry_sparse_add_entry(entry, 0, 512); }}}),
              kIsMalformed);
  EXPECT_THAT(Forge({{"manifest.json", Manifest(absl::StrCat(R"({"path":"a/b","length":)", int64_t{1} << 40,
                                                             R"(,"sha256":")", Sha(), "\"}"))}}),
              kIsTooLarge);
  std::vector<Entry> many = {{"manifest.json", Manifest(GoodTarget())}};
  for (int i = 0; i < 2000; ++i) many.push_back({absl::StrCat("director/", i, ".json"), "x"});
  EXPECT_THAT(Forge(many), kIsTooLarge);
  std::vector<Entry> large = {{"manifest.json", Manifest(GoodTarget())}};
  for (int i = 0; i < 20; ++i)
    large.push_back({absl::StrCat("director/", i, ".json"), std::string(4 << 20, ' ')});
  EXPECT_THAT(Forge(large), kIsTooLarge);
}

TEST_F(PackageTest, AManifestThatIsNoneIsRefused) {
  const std::string image_entry = absl::StrCat("targets/", Sha());
  EXPECT_OK(Forge({{"manifest.json", Manifest(GoodTarget())}, {image_entry, image_}}));
  for (const std::string& manifest :
       {std::string(), std::string("{"), std::string("[]"), std::string("{}"), Manifest(""), Manifest("1"),
        Manifest("{}"), Manifest(GoodTarget() + "," + GoodTarget()),
        Manifest(absl::StrCat(R"({"path":"../x","length":1,"sha256":")", Sha(), "\"}")),
        Manifest(R"({"path":"a/b","length":1,"sha256":"../../x"})"),
        Manifest(absl::StrCat(R"({"path":"a/b","length":-1,"sha256":")", Sha(), "\"}")),
        Manifest(absl::StrCat(R"({"path":"a/b","length":1,"ecuSerials":[1],"sha256":")", Sha(), "\"}"))}) {
    EXPECT_THAT(Forge({{"manifest.json", manifest}, {image_entry, image_}}), kIsMalformed) << manifest;
  }
  EXPECT_THAT(Forge({{image_entry, image_}, {"manifest.json", Manifest(GoodTarget())}}), kIsMalformed);
  EXPECT_THAT(Forge({{"manifest.json", Manifest(GoodTarget())}}), kIsMalformed) << "without the image";
  EXPECT_THAT(Forge({{"manifest.json", Manifest(GoodTarget())}, {image_entry, "short"}}), kIsMalformed);
  EXPECT_THAT(
      Forge({{"manifest.json", Manifest(GoodTarget())}, {image_entry, image_}, {image_entry, image_}}),
      kIsMalformed);
  EXPECT_THAT(Package::Open(folder_ + "/none").status(), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(WriteFileAtomically(File(), "no archive at all"));
  EXPECT_THAT(Package::Open(File()).status(), kIsMalformed);
}

}  // namespace
}  // namespace countersign::offline
