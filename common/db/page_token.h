#ifndef COUNTERSIGN_COMMON_DB_PAGE_TOKEN_H_
#define COUNTERSIGN_COMMON_DB_PAGE_TOKEN_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace countersign::db {

// Opaque tokens for keyset paging: the sort key of a page's last row, which the next page's query continues
// after.
//
// `scope` is everything that must stay the same from page to page: method, parent, filter, order, and whose
// list it is. The token only holds a fingerprint of it. A token gives no right by itself: its keys are bound
// as parameters of a query that has the caller's own restrictions.
std::string EncodePageToken(absl::string_view scope, absl::Span<const std::string> keys);

// The keys of `token`, as many as `key_count`; none for "", the first page. INVALID_ARGUMENT /
// PAGE_TOKEN_INVALID when it is not a token of this scope.
absl::StatusOr<std::vector<std::string>> DecodePageToken(absl::string_view scope, absl::string_view token,
                                                         std::size_t key_count);

// The rows to return for a request's page_size: `fallback` for 0, at most `limit`. INVALID_ARGUMENT /
// PAGE_SIZE_INVALID when it is negative.
absl::StatusOr<int> PageSize(int requested, int fallback, int limit);

}  // namespace countersign::db

#endif  // COUNTERSIGN_COMMON_DB_PAGE_TOKEN_H_
