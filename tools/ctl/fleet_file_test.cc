#include "tools/ctl/fleet_file.h"

#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "tools/ctl/csv.h"

namespace countersign::ctl {
namespace {

namespace v1 = inventory::v1;
using google::protobuf::util::MessageDifferencer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Records = std::vector<std::vector<std::string>>;

constexpr char kKey[] = "-----BEGIN PUBLIC KEY-----\nMCow, \"x\"\n-----END PUBLIC KEY-----\n";

absl::StatusOr<Records> ReadCsv(const std::string& text) {
  std::istringstream in(text);
  CsvReader reader(in);
  Records records;
  while (true) {
    auto record = reader.Next();
    if (!record.ok()) return record.status();
    if (!record->has_value()) return records;
    records.push_back(**std::move(record));
  }
}

// The rules of RFC 4180, 2, by number.
TEST(CsvTest, RecordsAreReadAsTheRfcHasThem) {
  const std::pair<std::string, Records> cases[] = {
      {"", {}},
      {"aaa,bbb\r\nzzz,yyy\r\n", {{"aaa", "bbb"}, {"zzz", "yyy"}}},            // 1
      {"aaa,bbb\r\nzzz,yyy", {{"aaa", "bbb"}, {"zzz", "yyy"}}},                // 2
      {"aaa,,\n", {{"aaa", "", ""}}},                                          // 4
      {" a , b \n", {{" a ", " b "}}},                                         // 4
      {"\"aaa\",\"b\r\nb\",\"c,c\"\r\nd", {{"aaa", "b\r\nb", "c,c"}, {"d"}}},  // 5, 6
      {"\"a\"\"b\",\"\"\"\"\r\n", {{"a\"b", "\""}}},                           // 7
      {"\"\"\r\n\r\n", {{""}, {""}}},
  };
  for (const auto& [text, records] : cases) EXPECT_THAT(ReadCsv(text), IsOkAndHolds(records)) << text;
}

TEST(CsvTest, WhatIsNoCsvIsRefusedWithItsLine) {
  const std::pair<std::string, std::string> cases[] = {
      {"a\nb\"c\n", "line 2: a quote within"},
      {"a\n\"b\"c\n", "line 2: text behind"},
      {"a\n\"b\nc", "line 2: a quoted field has no end"},
      {"a\rb\n", "line 1: a carriage return"},
      {absl::StrCat("a\n\"", std::string(2 << 20, 'x'), "\"\n"), "line 2: a record of more than 1 MiB"},
  };
  for (const auto& [text, words] : cases) {
    const auto records = ReadCsv(text);
    EXPECT_THAT(records, StatusIs(absl::StatusCode::kInvalidArgument, "CSV_MALFORMED"));
    EXPECT_THAT(std::string(records.status().message()), HasSubstr(words));
  }
}

TEST(CsvTest, WhatIsWrittenIsReadAgain) {
  std::mt19937 random(4180);
  for (int round = 0; round < 500; ++round) {
    Records records(1 + random() % 4);
    for (auto& record : records) {
      record.resize(1 + random() % 4);
      for (std::string& field : record) {
        for (int length = static_cast<int>(random() % 6); length > 0; --length)
          field.push_back("a,\"\r\n x"[random() % 7]);
      }
    }
    std::ostringstream out;
    for (const auto& record : records) WriteCsv(out, record);
    EXPECT_THAT(ReadCsv(out.str()), IsOkAndHolds(records));
  }
}

v1::Gateway Home(const std::string& id) {
  v1::Gateway gateway;
  gateway.set_name("gateways/" + id);
  gateway.set_kind(id == "car" ? v1::Gateway::KIND_VEHICLE : v1::Gateway::KIND_HOME);
  gateway.set_display_name("Größe, \"7\"");
  gateway.set_public_key_pem(kKey);
  (*gateway.mutable_tags())["site"] = "berlin; \"x\"";
  (*gateway.mutable_tags())["ring"] = "early";
  return gateway;
}

v1::Device Thermostat(const std::string& gateway, const std::string& id, int components) {
  v1::Device device;
  device.set_name(absl::StrCat("gateways/", gateway, "/devices/", id));
  device.set_manufacturer("acme");
  device.set_model("T 1000");
  device.set_hardware_version("1");
  device.set_app_id("Ra01.com.acme.t");
  (*device.mutable_tags())["vip"] = "";
  for (int i = 0; i < components; ++i) {
    v1::Component& component = *device.add_components();
    component.set_ecu_serial(absl::StrCat("SN-", gateway, "-", id, "-", i));
    component.set_hardware_id("hw");
    component.set_constrained(i % 2 == 1);
    if (i % 2 == 0) component.set_public_key_pem(kKey);
    component.set_factory_sha256(std::string(64, 'a'));
  }
  return device;
}

absl::StatusOr<std::vector<FleetEntry>> ReadAll(FleetFormat format, const std::string& text) {
  std::istringstream in(text);
  const auto reader = NewFleetReader(format, in);
  std::vector<FleetEntry> entries;
  while (true) {
    auto entry = reader->Next();
    if (!entry.ok()) return entry.status();
    if (!entry->has_value()) return entries;
    entries.push_back(**std::move(entry));
  }
}

std::string Fleet(FleetFormat format) {
  std::ostringstream out;
  const auto writer = NewFleetWriter(format, out);
  writer->Gateway(Home("car"));
  writer->Device(Thermostat("car", "d1", 3));
  writer->Device(Thermostat("car", "d2", 1));
  writer->Gateway(Home("empty"));
  writer->Gateway(Home("home"));
  writer->Device(Thermostat("home", "d1", 1));
  writer->Gateway(Home("last"));
  writer->End();
  return out.str();
}

class FleetFileTest : public ::testing::TestWithParam<FleetFormat> {};

TEST_P(FleetFileTest, WhatIsWrittenIsReadAgain) {
  const auto entries = ReadAll(GetParam(), Fleet(GetParam()));
  ASSERT_THAT(entries, IsOk());
  ASSERT_EQ(entries->size(), 7u);
  const std::vector<std::variant<v1::Gateway, v1::Device>> expected = {Home("car"),
                                                                       Thermostat("car", "d1", 3),
                                                                       Thermostat("car", "d2", 1),
                                                                       Home("empty"),
                                                                       Home("home"),
                                                                       Thermostat("home", "d1", 1),
                                                                       Home("last")};
  int64_t line = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ((*entries)[i].value.index(), expected[i].index()) << i;
    if (const auto* gateway = std::get_if<v1::Gateway>(&expected[i])) {
      EXPECT_TRUE(MessageDifferencer::Equals(*gateway, std::get<v1::Gateway>((*entries)[i].value))) << i;
    } else {
      EXPECT_TRUE(MessageDifferencer::Equals(std::get<v1::Device>(expected[i]),
                                             std::get<v1::Device>((*entries)[i].value)))
          << std::get<v1::Device>((*entries)[i].value).DebugString();
    }
    EXPECT_GE((*entries)[i].line, line);
    line = (*entries)[i].line;
  }
  EXPECT_GT(line, 4);
}

// Changed bytes: read or refused with a line, and nothing else.
TEST_P(FleetFileTest, MutatedFilesAreReadOrRefusedWithALine) {
  std::mt19937 random(7);
  const std::string good = Fleet(GetParam());
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string text = good;
    for (int changes = 1 + static_cast<int>(random() % 3); changes > 0; --changes) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, 1 + random() % 20);
          break;
        default:
          text.insert(at, 1, "\",\r\n{}[]:"[random() % 9]);
      }
    }
    const auto entries = ReadAll(GetParam(), text);
    if (entries.ok()) continue;
    ++refused;
    EXPECT_EQ(entries.status().code(), absl::StatusCode::kInvalidArgument) << entries.status();
    EXPECT_TRUE(absl::StartsWith(entries.status().message(), "line ")) << entries.status();
  }
  EXPECT_GT(refused, 200);
}

INSTANTIATE_TEST_SUITE_P(Formats, FleetFileTest,
                         ::testing::Values(FleetFormat::kJsonLines, FleetFormat::kCsv));

TEST(FleetFileTest, JsonLinesThatAreNothingAreRefusedAndTheNextIsRead) {
  const std::string good = "{\"gateway\":{\"name\":\"gateways/g\",\"kind\":\"KIND_HOME\"}}\n";
  for (const std::string bad : {"nonsense", "[]", "{}", "{\"gateway\":{},\"device\":{}}", "{\"gateway\":7}",
                                "{\"device\":{\"colour\":\"red\"}}", "{\"gateway\":{\"kind\":\"BOAT\"}}"}) {
    std::istringstream in(absl::StrCat(good, "\n", bad, "\n", good));
    const auto reader = NewFleetReader(FleetFormat::kJsonLines, in);
    EXPECT_THAT(reader->Next(), IsOk());
    const auto wrong = reader->Next();
    EXPECT_THAT(wrong, StatusIs(absl::StatusCode::kInvalidArgument, "FLEET_FILE_INVALID")) << bad;
    EXPECT_THAT(std::string(wrong.status().message()), HasSubstr("line 3: ")) << bad;
    EXPECT_TRUE(reader->can_go_on());
    const auto next = reader->Next();
    ASSERT_THAT(next, IsOk());
    EXPECT_EQ((*next)->line, 4);
  }
}

TEST(FleetFileTest, CsvRowsThatAreNothingAreRefusedWithTheirLine) {
  const std::string header =
      "gateway,kind,gateway_key,device,manufacturer,model,hardware_version,ecu_serial,hardware_id,component_"
      "key,constrained,device_tags\r\n";
  const std::string row = "g,HOME,k,d,acme,T,1,s,h,k,,\r\n";
  EXPECT_THAT(ReadAll(FleetFormat::kCsv, absl::StrCat("\xef\xbb\xbf", header, row, "\r\n", row)), IsOk());
  const std::pair<std::string, std::string> cases[] = {
      {"", "line 1: the first line has"},
      {"gateway,colour\r\n", "line 1: there is no column \"colour\""},
      {"gateway,kind\r\n", "line 1: the column gateway_key is missing"},
      {absl::StrCat(header, row, "g,HOME\r\n"), "line 3: it has 2 fields and not 12"},
      {absl::StrCat(header, row, "g,BOAT,k,d,acme,T,1,s,h,k,,\r\n"), "line 3: kind"},
      {absl::StrCat(header, row, "g,HOME,k,d,acme,T,1,s,h,k,yes,\r\n"), "line 3: constrained"},
      {absl::StrCat(header, row, "g,HOME,k,d,acme,T,1,s,h,k,,[1]\r\n"), "line 3: device_tags"},
      {absl::StrCat(header, row, "g,HOME,k,d,zenith,T,1,s,h,k,,\r\n"), "line 3: device d is another one"},
  };
  for (const auto& [text, words] : cases) {
    const auto entries = ReadAll(FleetFormat::kCsv, text);
    EXPECT_EQ(entries.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(entries.status().message()), HasSubstr(words)) << text;
  }
}

}  // namespace
}  // namespace countersign::ctl
