#ifndef COUNTERSIGN_COMMON_DB_SQL_H_
#define COUNTERSIGN_COMMON_DB_SQL_H_

// For files that write SQL: pqxx itself and conversions of parameters and fields. Functions that read a field
// throw pqxx's exceptions, which RunInTransaction and Read turn into a status.
//
// As parameters pqxx 6.4 takes std::string, std::optional<std::string>, numbers, bool and what the functions
// below return; no string views (their data() may have no end) and no vectors. A std::string goes as text and
// ENDS AT ITS FIRST NUL: a string from outside is checked for NULs before it comes here (protobuf does not),
// bytes go through Bytes().

#include <cstdint>
#include <optional>
#include <pqxx/pqxx>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/db/database.h"

namespace countersign::db {

// Runs `sql` as a prepared statement, which is planned once for each connection: for the hot queries. `name`
// names the statement within the process, for ever with the same `sql`.
template <typename... Args>
pqxx::result ExecPrepared(Session& session, const std::string& name, const std::string& sql, Args&&... args) {
  session.conn().prepare(name, sql);  // does nothing when it is there
  return session.exec_prepared(name, std::forward<Args>(args)...);
}

// bytea.
pqxx::binarystring Bytes(absl::string_view bytes);
std::optional<std::string> NullableBytes(const std::optional<std::string>& bytes);
std::string BytesOf(const pqxx::field& field);
std::optional<std::string> NullableBytesOf(const pqxx::field& field);

// timestamptz, in microseconds (finer is cut off); InfiniteFuture and InfinitePast are 'infinity' and
// '-infinity'.
std::string Timestamp(absl::Time time);
std::optional<std::string> NullableTimestamp(std::optional<absl::Time> time);
absl::Time TimeOf(const pqxx::field& field);
std::optional<absl::Time> NullableTimeOf(const pqxx::field& field);

// The field as T, nullopt for NULL: NullableOf<std::string>(row["note"]).
template <typename T>
std::optional<T> NullableOf(const pqxx::field& field) {
  if (field.is_null()) return std::nullopt;
  return field.as<T>();
}

// text as a string of its full length.
std::string TextOf(const pqxx::field& field);

// Arrays as one parameter, in PostgreSQL's binary format, for `unnest($1::text[], $2::bigint[])` and `=
// ANY($1::text[])`. The cast in the SQL must be the one named here. Elements may hold anything: the server
// refuses text with a NUL.
pqxx::binarystring TextArray(absl::Span<const std::string> values);                          // text[]
pqxx::binarystring NullableTextArray(absl::Span<const std::optional<std::string>> values);   // text[]
pqxx::binarystring BytesArray(absl::Span<const std::string> values);                         // bytea[]
pqxx::binarystring NullableBytesArray(absl::Span<const std::optional<std::string>> values);  // bytea[]
pqxx::binarystring BigintArray(absl::Span<const int64_t> values);                            // bigint[]
pqxx::binarystring NullableBigintArray(absl::Span<const std::optional<int64_t>> values);     // bigint[]
pqxx::binarystring IntegerArray(absl::Span<const int32_t> values);                           // integer[]
pqxx::binarystring BooleanArray(const std::vector<bool>& values);                            // boolean[]
pqxx::binarystring TimestampArray(absl::Span<const absl::Time> values);                      // timestamptz[]
pqxx::binarystring NullableTimestampArray(
    absl::Span<const std::optional<absl::Time>> values);  // timestamptz[]

// The elements of a text[] field; NULL elements are left out, and a NULL field is empty.
std::vector<std::string> TextArrayOf(const pqxx::field& field);

}  // namespace countersign::db

#endif  // COUNTERSIGN_COMMON_DB_SQL_H_
