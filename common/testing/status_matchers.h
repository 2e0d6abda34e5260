#ifndef COUNTERSIGN_COMMON_TESTING_STATUS_MATCHERS_H_
#define COUNTERSIGN_COMMON_TESTING_STATUS_MATCHERS_H_

#include <ostream>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/status/errors.h"
#include "gmock/gmock.h"

// Matchers for absl::Status and absl::StatusOr<T>:
//   EXPECT_THAT(status, IsOk());
//   EXPECT_THAT(status_or, IsOkAndHolds(value_or_matcher));
//   EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound));
//   EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound, "REASON"));   // the ErrorInfo's reason, or a
//   matcher of it ASSERT_OK(status); EXPECT_OK(status); ASSERT_OK_AND_ASSIGN(auto value, status_or);

namespace countersign {
namespace testing_internal {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

inline void Explain(const absl::Status& status, ::testing::MatchResultListener* listener) {
  *listener << "which is " << status.ToString(absl::StatusToStringMode::kWithNoExtraData);
  if (const std::string reason = ReasonOf(status); !reason.empty()) *listener << " (reason " << reason << ")";
}

class StatusIsMatcher {
 public:
  using is_gtest_matcher = void;

  StatusIsMatcher(::testing::Matcher<absl::StatusCode> code, ::testing::Matcher<std::string> reason)
      : code_(std::move(code)), reason_(std::move(reason)) {}

  template <typename T>
  bool MatchAndExplain(const T& value, ::testing::MatchResultListener* listener) const {
    const absl::Status& status = StatusOf(value);
    Explain(status, listener);
    return code_.Matches(status.code()) && reason_.Matches(ReasonOf(status));
  }
  void DescribeTo(std::ostream* out) const {
    *out << "has a status code that ";
    code_.DescribeTo(out);
    *out << " and a reason that ";
    reason_.DescribeTo(out);
  }
  void DescribeNegationTo(std::ostream* out) const {
    *out << "not: ";
    DescribeTo(out);
  }

 private:
  ::testing::Matcher<absl::StatusCode> code_;
  ::testing::Matcher<std::string> reason_;
};

template <typename M>
class IsOkAndHoldsMatcher {
 public:
  using is_gtest_matcher = void;

  explicit IsOkAndHoldsMatcher(M matcher) : matcher_(std::move(matcher)) {}

  template <typename T>
  bool MatchAndExplain(const absl::StatusOr<T>& value, ::testing::MatchResultListener* listener) const {
    if (!value.ok()) {
      Explain(value.status(), listener);
      return false;
    }
    return ::testing::SafeMatcherCast<const T&>(matcher_).MatchAndExplain(*value, listener);
  }
  void DescribeTo(std::ostream* out) const { *out << "is OK and holds what is expected"; }
  void DescribeNegationTo(std::ostream* out) const { *out << "is not OK or holds something else"; }

 private:
  M matcher_;
};

}  // namespace testing_internal

inline testing_internal::StatusIsMatcher IsOk() { return {absl::StatusCode::kOk, ::testing::_}; }

inline testing_internal::StatusIsMatcher StatusIs(::testing::Matcher<absl::StatusCode> code,
                                                  ::testing::Matcher<std::string> reason = ::testing::_) {
  return {std::move(code), std::move(reason)};
}

template <typename M>
testing_internal::IsOkAndHoldsMatcher<std::decay_t<M>> IsOkAndHolds(M&& matcher) {
  return testing_internal::IsOkAndHoldsMatcher<std::decay_t<M>>(std::forward<M>(matcher));
}

}  // namespace countersign

#define EXPECT_OK(expr) EXPECT_THAT(expr, ::countersign::IsOk())
#define ASSERT_OK(expr) ASSERT_THAT(expr, ::countersign::IsOk())
#define ASSERT_OK_AND_ASSIGN(lhs, expr) \
  COUNTERSIGN_ASSERT_OK_AND_ASSIGN_(COUNTERSIGN_TEST_CONCAT_(countersign_status_or_, __LINE__), lhs, expr)
#define COUNTERSIGN_ASSERT_OK_AND_ASSIGN_(status_or, lhs, expr) \
  auto status_or = (expr);                                      \
  ASSERT_THAT(status_or, ::countersign::IsOk());                \
  lhs = *std::move(status_or)
#define COUNTERSIGN_TEST_CONCAT_(a, b) COUNTERSIGN_TEST_CONCAT_INNER_(a, b)
#define COUNTERSIGN_TEST_CONCAT_INNER_(a, b) a##b

#endif  // COUNTERSIGN_COMMON_TESTING_STATUS_MATCHERS_H_
