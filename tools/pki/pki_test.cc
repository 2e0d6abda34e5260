#include "tools/pki/pki.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <string>

#include "absl/time/time.h"
#include "common/file/file.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::pki {
namespace {

using ::testing::ElementsAre;

const absl::Time kNow = absl::FromUnixSeconds(1767268800);

class PkiTest : public ::testing::Test {
 protected:
  PkiTest() {
    std::string name = ::testing::TempDir() + "/pki-XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  static mode_t ModeOf(const std::string& path) {
    struct stat found {};
    EXPECT_EQ(stat(path.c_str(), &found), 0) << path;
    return found.st_mode & 0777;
  }
  std::string folder_;
};

TEST_F(PkiTest, ASavedAuthorityIssuesAfterLoading) {
  ASSERT_OK_AND_ASSIGN(const Authority made, Authority::Create("home.example", kNow, absl::Hours(24)));
  ASSERT_OK(made.Save(folder_ + "/ca"));
  ASSERT_OK_AND_ASSIGN(const Authority loaded, Authority::Load(folder_ + "/ca"));
  EXPECT_EQ(loaded.trust_domain(), "home.example");
  ASSERT_OK_AND_ASSIGN(const crypto::CertificateAndKey leaf,
                       loaded.Issue({rpc::Role::kGateway, "gw-1"}, LoopbackNames(), kNow, absl::Hours(2)));
  ASSERT_OK_AND_ASSIGN(const crypto::CertificateInfo info, crypto::ParseCertificate(leaf.certificate_pem));
  EXPECT_THAT(info.uris, ElementsAre("spiffe://home.example/gateway/gw-1"));
  EXPECT_THAT(info.dns_names, ElementsAre("localhost"));
  EXPECT_EQ(info.not_after, kNow + absl::Hours(2));
}

TEST_F(PkiTest, PrivateKeysAreReadableByTheirOwnerOnly) {
  ASSERT_OK_AND_ASSIGN(const Authority authority, Authority::Create("home.example", kNow, absl::Hours(24)));
  ASSERT_OK(authority.Save(folder_));
  ASSERT_OK_AND_ASSIGN(const crypto::CertificateAndKey leaf,
                       authority.Issue({rpc::Role::kGateway, "gw-1"}, {}, kNow, absl::Hours(2)));
  ASSERT_OK(WriteLeaf(folder_ + "/out", "gateway-gw-1", leaf, authority.certificate().certificate_pem));
  EXPECT_EQ(ModeOf(folder_ + "/ca.key"), 0600u);
  EXPECT_EQ(ModeOf(folder_ + "/out/gateway-gw-1.key"), 0600u);
  EXPECT_THAT(ReadFile(folder_ + "/out/ca.crt"), IsOkAndHolds(authority.certificate().certificate_pem));
}

TEST_F(PkiTest, NothingIsOverwritten) {
  ASSERT_OK_AND_ASSIGN(const Authority authority, Authority::Create("home.example", kNow, absl::Hours(24)));
  ASSERT_OK_AND_ASSIGN(const Authority other, Authority::Create("home.example", kNow, absl::Hours(24)));
  ASSERT_OK(authority.Save(folder_));
  EXPECT_THAT(other.Save(folder_), StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_OK_AND_ASSIGN(const crypto::CertificateAndKey leaf,
                       authority.Issue({rpc::Role::kGateway, "gw-1"}, {}, kNow, absl::Hours(2)));
  const std::string& ca = authority.certificate().certificate_pem;
  ASSERT_OK(WriteLeaf(folder_ + "/out", "a", leaf, ca));
  EXPECT_THAT(WriteLeaf(folder_ + "/out", "a", leaf, ca), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(WriteLeaf(folder_ + "/out", "b", leaf, other.certificate().certificate_pem),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_OK(WriteLeaf(folder_ + "/out", "b", leaf, ca));
}

TEST_F(PkiTest, RefusesATrustDomainThatIsNone) {
  EXPECT_THAT(Authority::Create("Home Example", kNow, absl::Hours(1)),
              StatusIs(absl::StatusCode::kInvalidArgument, "BAD_TRUST_DOMAIN"));
  EXPECT_THAT(Authority::Load(folder_), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace countersign::pki
