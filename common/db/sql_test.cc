#include "common/db/sql.h"

#include <limits>
#include <string>
#include <vector>

#include "common/db/testing/test_cluster.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::db {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::IsEmpty;

class SqlTest : public ::testing::Test {
 protected:
  SqlTest() : database_({.conninfo = TestCluster::Shared().CreateDatabase()}) {}

  // The rows of a query with one column, as text; "NULL" for NULL.
  template <typename... Args>
  std::vector<std::string> Query(const std::string& sql, Args&&... args) {
    std::vector<std::string> values;
    const absl::Status status = database_.Read("Query", [&](Reader& reader) {
      values.clear();
      for (const pqxx::row& row : reader.exec_params(sql, args...)) {
        values.push_back(row[0].is_null() ? "NULL" : TextOf(row[0]));
      }
      return absl::OkStatus();
    });
    EXPECT_OK(status);
    return values;
  }

  // What `read` makes of the one field of a query.
  template <typename Read, typename... Args>
  auto Field(Read read, const std::string& sql, Args&&... args) {
    using Value = decltype(read(std::declval<pqxx::field>()));
    auto value = database_.Read("Field", [&](Reader& reader) -> absl::StatusOr<Value> {
      return read(reader.exec_params1(sql, args...)[0]);
    });
    EXPECT_OK(value);
    return *value;
  }

  Database database_;
};

TEST_F(SqlTest, BytesSurviveBothWays) {
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  EXPECT_EQ(Field(BytesOf, "SELECT $1::bytea", Bytes(all)), all);
  EXPECT_EQ(Field(BytesOf, "SELECT $1::bytea", Bytes("")), "");
  EXPECT_THAT(Query("SELECT length($1::bytea)", Bytes(all)), ElementsAre("256"));
  EXPECT_EQ(Field(NullableBytesOf, "SELECT $1::bytea", NullableBytes(all)), all);
  EXPECT_EQ(Field(NullableBytesOf, "SELECT $1::bytea", NullableBytes(std::nullopt)), std::nullopt);
}

TEST_F(SqlTest, TimesSurviveBothWaysToTheMicrosecond) {
  const std::vector<absl::Time> times = {
      absl::FromUnixMicros(1767225600123456),
      absl::FromUnixMicros(1767225600000000),
      absl::FromUnixMicros(-1),
      absl::FromUnixMicros(0),
      absl::InfiniteFuture(),
      absl::InfinitePast(),
      absl::FromCivil(absl::CivilSecond(9999, 12, 31, 23, 59, 59), absl::UTCTimeZone())};
  for (const absl::Time time : times) {
    EXPECT_EQ(Field(TimeOf, "SELECT $1::timestamptz", Timestamp(time)), time);
    EXPECT_EQ(Field(TimeOf, "SELECT ($1::timestamptz[])[1]", TimestampArray({time})), time);
  }
  EXPECT_EQ(Field(NullableTimeOf, "SELECT $1::timestamptz", NullableTimestamp(std::nullopt)), std::nullopt);
  EXPECT_EQ(Field(NullableTimeOf, "SELECT $1::timestamptz", NullableTimestamp(times[0])), times[0]);
}

TEST_F(SqlTest, NullIsNotAnEmptyString) {
  EXPECT_THAT(Query("SELECT $1::text", std::optional<std::string>("")), ElementsAre(""));
  EXPECT_THAT(Query("SELECT $1::text", std::optional<std::string>()), ElementsAre("NULL"));
  EXPECT_EQ(Field(NullableOf<std::string>, "SELECT NULL::text"), std::nullopt);
  EXPECT_EQ(Field(NullableOf<int64_t>, "SELECT 7"), 7);
}

TEST_F(SqlTest, ArraysHoldWhatAQuotedLiteralWouldTripOver) {
  EXPECT_THAT(
      Query("SELECT unnest($1::text[])", TextArray({"plain", "", "NULL", "with \"quotes\"", "{curly, braces}",
                                                    "back\\slash", "\xc3\xa9"})),
      ElementsAre("plain", "", "NULL", "with \"quotes\"", "{curly, braces}", "back\\slash", "\xc3\xa9"));
  EXPECT_THAT(Query("SELECT unnest($1::text[])", NullableTextArray({"a", std::nullopt, ""})),
              ElementsAre("a", "NULL", ""));
  EXPECT_THAT(Query("SELECT unnest($1::text[])", TextArray({})), IsEmpty());
  EXPECT_THAT(Query("SELECT unnest($1::bytea[])", BytesArray({std::string("\0\xff", 2), ""})),
              ElementsAre("\\x00ff", "\\x"));
  EXPECT_THAT(Query("SELECT unnest($1::bytea[])", NullableBytesArray({std::nullopt, "a"})),
              ElementsAre("NULL", "\\x61"));
  EXPECT_THAT(Query("SELECT unnest($1::bigint[])", BigintArray({0, -1, std::numeric_limits<int64_t>::max(),
                                                                std::numeric_limits<int64_t>::min()})),
              ElementsAre("0", "-1", "9223372036854775807", "-9223372036854775808"));
  EXPECT_THAT(Query("SELECT unnest($1::bigint[])", NullableBigintArray({std::nullopt, 5})),
              ElementsAre("NULL", "5"));
  EXPECT_THAT(Query("SELECT unnest($1::integer[])", IntegerArray({-7, 2147483647})),
              ElementsAre("-7", "2147483647"));
  EXPECT_THAT(Query("SELECT unnest($1::boolean[])", BooleanArray({true, false})), ElementsAre("t", "f"));
  EXPECT_THAT(Query("SELECT unnest($1::timestamptz[])",
                    NullableTimestampArray({std::nullopt, absl::FromUnixSeconds(0)})),
              ElementsAre("NULL", "1970-01-01 00:00:00+00"));
  EXPECT_THAT(Field(TextArrayOf, "SELECT $1::text[]", TextArray({"a", "{\"b\\", ""})),
              ElementsAre("a", "{\"b\\", ""));
  EXPECT_THAT(Field(TextArrayOf, "SELECT NULL::text[]"), IsEmpty());
}

TEST_F(SqlTest, TextWithANulIsRefusedInAnArray) {
  EXPECT_THAT(database_.Read("Nul",
                             [](Reader& reader) {
                               reader.exec_params("SELECT $1::text[]", TextArray({std::string("a\0b", 3)}));
                               return absl::OkStatus();
                             }),
              StatusIs(absl::StatusCode::kInvalidArgument, "INVALID_TEXT"));
}

TEST_F(SqlTest, AFieldOfAnotherTypeIsAnInternalError) {
  for (const auto& read :
       {+[](const pqxx::field& field) { BytesOf(field); }, +[](const pqxx::field& field) { TimeOf(field); },
        +[](const pqxx::field& field) { field.as<int>(); }}) {
    EXPECT_THAT(database_.Read("Wrong",
                               [&](Reader& reader) {
                                 read(reader.exec1("SELECT 'x'")[0]);
                                 return absl::OkStatus();
                               }),
                StatusIs(absl::StatusCode::kInternal));
  }
}

}  // namespace
}  // namespace countersign::db
