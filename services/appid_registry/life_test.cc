// The life of registrations: versions, suspension, revocation, history, issue, import, and who may do it.
#include <memory>
#include <optional>
#include <pqxx/pqxx>
#include <string>
#include <utility>
#include <vector>

#include "common/onem2m/terms.h"
#include "common/trust/envelope.h"
#include "services/appid_registry/app_fixture.h"

namespace countersign::appid_registry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::StatusCode kAborted = absl::StatusCode::kAborted;
constexpr absl::StatusCode kFailedPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr absl::StatusCode kAlreadyExists = absl::StatusCode::kAlreadyExists;

class LifeTest : public AppTest {
 protected:
  static v1::UpdateProfileRequest UpdateOf(const v1::Profile& profile) {
    v1::UpdateProfileRequest request;
    *request.mutable_profile() = profile;
    request.set_request_id(crypto::Uuid());
    return request;
  }

  absl::StatusOr<v1::ListProfileEventsResponse> Events(Stub& stub, const std::string& app_id) {
    v1::ListProfileEventsRequest request;
    request.set_name("profiles/" + app_id);
    return Call(stub, &Stub::ListProfileEvents, request);
  }

  static absl::StatusOr<v1::ImportProfilesResponse> Import(Stub& stub,
                                                           const std::vector<v1::Profile>& profiles,
                                                           bool dry_run, bool begin = true) {
    rpc::CallContext context(absl::Seconds(30));
    v1::ImportProfilesResponse response;
    const auto writer = stub.ImportProfiles(context.get(), &response);
    v1::ImportProfilesRequest request;
    if (begin) {
      request.mutable_begin()->set_dry_run(dry_run);
      writer->Write(request);
    }
    for (const v1::Profile& profile : profiles) {
      *request.mutable_profile() = profile;
      if (!writer->Write(request)) break;
    }
    writer->WritesDone();
    const absl::Status status = rpc::FromGrpc(writer->Finish());
    if (!status.ok()) return status;
    return response;
  }

  absl::StatusOr<v1::IssuedAppId> Issue(Stub& stub, const std::string& authority, const std::string& dns,
                                        const std::string& application) {
    v1::IssueAppIdRequest request;
    request.set_authority_id(authority);
    request.set_reverse_dns(dns);
    request.set_application(application);
    request.set_request_id(crypto::Uuid());
    return Call(stub, &Stub::IssueAppId, request);
  }

  static std::vector<std::string> NamesOf(const absl::StatusOr<v1::ListProfilesResponse>& page) {
    std::vector<std::string> names;
    EXPECT_OK(page.status());
    for (const v1::Profile& profile : page->profiles()) names.push_back(profile.name().substr(9));
    return names;
  }

  std::unique_ptr<Stub> other_ = StubAs({Role::kRegistrar, "other"});
};

// APPID-1
TEST_F(LifeTest, AnUpdateIsANewVersionAndTheOldOnesStay) {
  const std::string app_id = Registered();
  v1::Profile profile = Profile(app_id);
  const std::string first_etag = profile.etag();
  profile.set_application_type("heater");
  profile.clear_not_after();
  const v1::UpdateProfileRequest request = UpdateOf(profile);
  ASSERT_OK_AND_ASSIGN(const v1::Profile updated, Call(*registrar_, &Stub::UpdateProfile, request));
  EXPECT_EQ(updated.version(), 2);
  EXPECT_EQ(updated.application_type(), "heater");
  EXPECT_NE(updated.etag(), first_etag);
  EXPECT_EQ(Profile(app_id).SerializeAsString(), updated.SerializeAsString());
  // The same request again is not done again.
  EXPECT_EQ(Call(*registrar_, &Stub::UpdateProfile, request)->version(), 2);

  v1::GetProfileRequest get;
  get.set_name("profiles/" + app_id);
  get.set_version(1);
  EXPECT_EQ(Call(*registrar_, &Stub::GetProfile, get)->application_type(), "thermostat");
  get.set_version(3);
  EXPECT_THAT(Call(*registrar_, &Stub::GetProfile, get), StatusIs(kNotFound, "VERSION_UNKNOWN"));

  v1::ListProfileVersionsRequest list;
  list.set_name("profiles/" + app_id);
  list.set_page_size(1);
  ASSERT_OK_AND_ASSIGN(const v1::ListProfileVersionsResponse page,
                       Call(*registrar_, &Stub::ListProfileVersions, list));
  ASSERT_EQ(page.versions_size(), 1);
  EXPECT_EQ(page.versions(0).profile().version(), 2);
  EXPECT_EQ(page.versions(0).actor(), "registrar/ara");
  list.set_page_token(page.next_page_token());
  ASSERT_OK_AND_ASSIGN(const v1::ListProfileVersionsResponse rest,
                       Call(*registrar_, &Stub::ListProfileVersions, list));
  ASSERT_EQ(rest.versions_size(), 1);
  EXPECT_EQ(rest.versions(0).profile().application_type(), "thermostat");
  EXPECT_EQ(rest.next_page_token(), "");
}

TEST_F(LifeTest, AnUpdateOfWhatHasChangedMeanwhileIsRefused) {
  const std::string app_id = Registered();
  const v1::Profile read = Profile(app_id);
  ASSERT_OK(Change(&Stub::SuspendProfile, app_id, "somebody was quicker"));
  EXPECT_THAT(Call(*registrar_, &Stub::UpdateProfile, UpdateOf(read)), StatusIs(kAborted, "ETAG_MISMATCH"));
  v1::Profile without = read;
  without.clear_etag();
  EXPECT_THAT(Call(*registrar_, &Stub::UpdateProfile, UpdateOf(without)),
              StatusIs(kInvalidArgument, "PROFILE_INVALID"));
  without.set_etag("nonsense");
  EXPECT_THAT(Call(*registrar_, &Stub::UpdateProfile, UpdateOf(without)),
              StatusIs(kAborted, "ETAG_MISMATCH"));
  EXPECT_THAT(Change(&Stub::ReinstateProfile, app_id, "x", read.etag()), StatusIs(kAborted, "ETAG_MISMATCH"));
  EXPECT_OK(Call(*registrar_, &Stub::UpdateProfile, UpdateOf(Profile(app_id))))
      << "also while it is suspended";
  EXPECT_EQ(Profile(app_id).state(), v1::Profile::STATE_SUSPENDED);
}

TEST_F(LifeTest, WhatIsDoneIsAnsweredAtOnceAndRemembered) {
  const std::string app_id = Registered();
  EXPECT_EQ(Verify(app_id)->status(), v1::VerifyIdentityResponse::STATUS_REGISTERED);
  ASSERT_OK(Change(&Stub::SuspendProfile, app_id, "under investigation"));
  EXPECT_EQ(Profile(app_id).state_reason(), "under investigation");
  EXPECT_EQ(Verify(app_id)->status(), v1::VerifyIdentityResponse::STATUS_SUSPENDED);
  EXPECT_THAT(ReasonsOf(*Verify(app_id)), ElementsAre("SUSPENDED"));
  EXPECT_THAT(Change(&Stub::SuspendProfile, app_id, "again"),
              StatusIs(kFailedPrecondition, "STATE_NOT_ALLOWED"));
  ASSERT_OK(Change(&Stub::ReinstateProfile, app_id, "nothing found"));
  EXPECT_EQ(Profile(app_id).state_reason(), "");
  EXPECT_EQ(Verify(app_id)->status(), v1::VerifyIdentityResponse::STATUS_REGISTERED);
  ASSERT_OK(Change(&Stub::RevokeProfile, app_id, "key stolen"));
  EXPECT_EQ(Verify(app_id)->status(), v1::VerifyIdentityResponse::STATUS_REVOKED);
  EXPECT_THAT(ReasonsOf(*Verify(app_id)), ElementsAre("REVOKED"));
  EXPECT_THAT(Change(&Stub::ReinstateProfile, app_id, "sorry"),
              StatusIs(kFailedPrecondition, "PROFILE_REVOKED"));
  EXPECT_THAT(Call(*registrar_, &Stub::UpdateProfile, UpdateOf(Profile(app_id))),
              StatusIs(kFailedPrecondition, "PROFILE_REVOKED"));
  EXPECT_THAT(Call(*registrar_, &Stub::CreateProfile, GoodRequest(app_id)),
              StatusIs(kAlreadyExists, "APP_ID_TAKEN"));
  EXPECT_THAT(Change(&Stub::RevokeProfile, app_id, ""), StatusIs(kInvalidArgument, "REASON_INVALID"));
  EXPECT_THAT(Change(&Stub::RevokeProfile, NewAppId(), "x"), StatusIs(kNotFound, "APP_ID_NOT_REGISTERED"));

  ASSERT_OK_AND_ASSIGN(const v1::ListProfileEventsResponse history, Events(*registrar_, app_id));
  std::vector<std::string> told;
  for (const v1::ProfileEvent& event : history.events()) {
    told.push_back(absl::StrCat(event.kind(), " ", event.actor(), " ", event.reason()));
  }
  EXPECT_THAT(told, ElementsAre("5 registrar/ara key stolen", "4 registrar/ara nothing found",
                                "3 registrar/ara under investigation", "1 registrar/ara "));
}

TEST_F(LifeTest, HistoryIsNeverChanged) {
  const std::string app_id = Registered();
  for (const char* sql : {"UPDATE profile_events SET actor = 'nobody'", "DELETE FROM profile_events",
                          "TRUNCATE profile_events", "DELETE FROM profile_versions", "DELETE FROM app_ids",
                          "UPDATE profile_versions SET content = '{}'"}) {
    pqxx::connection connection(world_->database);
    pqxx::work work(connection);
    EXPECT_THROW(work.exec(sql), pqxx::sql_error) << sql;
  }
  EXPECT_EQ(Events(*registrar_, app_id)->events_size(), 1);
}

TEST_F(LifeTest, ARegistrationEndsByItselfAndNoAnswerOutlivesIt) {
  const std::string app_id = NewAppId();
  v1::CreateProfileRequest request = GoodRequest(app_id);
  const int64_t now = absl::ToUnixSeconds(world_->clock.Now());
  request.mutable_profile()->mutable_not_before()->set_seconds(now + 10);
  request.mutable_profile()->mutable_not_after()->set_seconds(now + 100);
  ASSERT_OK(Call(*registrar_, &Stub::CreateProfile, request));
  EXPECT_EQ(Verify(app_id)->status(), v1::VerifyIdentityResponse::STATUS_NOT_YET_VALID);
  EXPECT_EQ(Verify(app_id)->expire_time().seconds(), now + 10);
  world_->clock.Advance(absl::Seconds(11));
  EXPECT_EQ(Verify(app_id)->status(), v1::VerifyIdentityResponse::STATUS_REGISTERED);
  EXPECT_EQ(Verify(app_id)->expire_time().seconds(), now + 100);
  world_->clock.Advance(absl::Seconds(98));
  EXPECT_EQ(Verify(app_id)->status(), v1::VerifyIdentityResponse::STATUS_EXPIRED);
  EXPECT_THAT(ReasonsOf(*Verify(app_id)), ElementsAre("EXPIRED"));
}

TEST_F(LifeTest, AnAnswerIsGivenAgainUntilItChanges) {
  const std::string later = NewAppId();
  EXPECT_EQ(Verify(later)->status(), v1::VerifyIdentityResponse::STATUS_NOT_REGISTERED);
  const std::string app_id = Registered();
  const std::string signed_answer = Verify(app_id)->signed_answer();
  world_->clock.Advance(absl::Seconds(2));
  EXPECT_EQ(Verify(app_id)->signed_answer(), signed_answer);
  ASSERT_OK(Call(*registrar_, &Stub::CreateProfile, GoodRequest(later)));
  EXPECT_EQ(Verify(later)->status(), v1::VerifyIdentityResponse::STATUS_REGISTERED);
  EXPECT_EQ(Verify(app_id)->signed_answer(), signed_answer) << "another's registration changes nothing of it";
  world_->clock.Advance(absl::Hours(1));
  EXPECT_EQ(Verify(app_id)->signed_answer(), signed_answer);
  world_->clock.Advance(absl::Hours(11));
  EXPECT_NE(Verify(app_id)->signed_answer(), signed_answer) << "in its second half it is made anew";
  // Another replica's change is seen when what is kept has aged.
  pqxx::connection connection(world_->database);
  pqxx::work work(connection);
  work.exec_params("UPDATE profiles SET state = 2, revision = revision + 1 WHERE app_id = $1", app_id);
  work.commit();
  world_->clock.Advance(absl::Seconds(5));
  EXPECT_EQ(Verify(app_id)->status(), v1::VerifyIdentityResponse::STATUS_SUSPENDED);
}

// APPID-6
TEST_F(LifeTest, AnIssuedAppIdIsUniqueInTheWorldAndItsRegistrars) {
  ASSERT_OK_AND_ASSIGN(const v1::IssuedAppId issued, Issue(*registrar_, "a02", "com.issue", "meter"));
  EXPECT_EQ(issued.app_id(), "Ra02.com.issue.meter");
  EXPECT_EQ(issued.registrar(), "ara");
  EXPECT_THAT(Issue(*registrar_, "a02", "com.issue", "meter"), StatusIs(kAlreadyExists, "APP_ID_TAKEN"));
  EXPECT_THAT(Issue(*registrar_, "a02", "com.issue", "Meter"), StatusIs(kAlreadyExists, "APP_ID_TAKEN"))
      << "which people would take for the other";
  const std::string generated = Issue(*registrar_, "a02", "com.issue", "")->app_id();
  EXPECT_NE(generated, Issue(*registrar_, "a02", "com.issue", "")->app_id());
  EXPECT_THAT(generated, HasSubstr("Ra02.com.issue."));
  EXPECT_OK(Call(*registrar_, &Stub::CreateProfile, GoodRequest(issued.app_id())));
  EXPECT_THAT(Issue(*registrar_, "a02", "com.issue", "meter"), StatusIs(kAlreadyExists, "APP_ID_TAKEN"));

  EXPECT_THAT(Issue(*registrar_, "a02", "", "x"), StatusIs(kInvalidArgument, "APP_ID_MALFORMED"));
  EXPECT_THAT(Issue(*registrar_, "a02", "com..x", "x"), StatusIs(kInvalidArgument, "APP_ID_MALFORMED"));
  EXPECT_THAT(Issue(*registrar_, "a02", "com.x", "a.b"), StatusIs(kInvalidArgument, "APP_ID_MALFORMED"));
  EXPECT_THAT(Issue(*registrar_, "a02", "com.x", "a b"), StatusIs(kInvalidArgument, "APP_ID_MALFORMED"));
}

TEST_F(LifeTest, AnothersAuthorityIdIsNobodyElses) {
  const auto refused = StatusIs(kPermissionDenied, "AUTHORITY_OF_ANOTHER");
  const std::string app_id = Registered();
  EXPECT_THAT(Call(*other_, &Stub::CreateProfile, GoodRequest("Ra01.com.acme.stolen")), refused);
  EXPECT_THAT(Call(*registrar_, &Stub::CreateProfile, GoodRequest("Rb7.com.acme.x")), refused);
  EXPECT_THAT(Issue(*other_, "a01", "com.acme", "x"), refused);
  EXPECT_THAT(Call(*other_, &Stub::UpdateProfile, UpdateOf(Profile(app_id))), refused);
  registrar_.swap(other_);
  EXPECT_THAT(Change(&Stub::SuspendProfile, app_id, "x"), refused);
  EXPECT_THAT(Change(&Stub::ReinstateProfile, app_id, "x"), refused);
  EXPECT_THAT(Change(&Stub::RevokeProfile, app_id, "x"), refused);
  registrar_.swap(other_);
  ASSERT_OK_AND_ASSIGN(const v1::ImportProfilesResponse imported,
                       Import(*other_, {GoodRequest("Ra01.com.acme.stolen").profile()}, false));
  EXPECT_EQ(imported.refused(), 1);
  EXPECT_EQ(imported.refusals(0).reason(), "AUTHORITY_OF_ANOTHER");
  EXPECT_EQ(Profile(app_id).state(), v1::Profile::STATE_REGISTERED);
}

TEST_F(LifeTest, AnImportCreatesUpdatesAndTellsWhatItRefuses) {
  const std::string there = Registered();
  const std::string changed = Registered();
  const std::string fresh = NewAppId();
  std::vector<v1::Profile> profiles = {GoodRequest(there).profile(), GoodRequest(changed).profile(),
                                       GoodRequest(fresh).profile(), GoodRequest(fresh).profile(),
                                       GoodRequest("Nthermostat").profile()};
  profiles[1].set_application_type("heater");
  const auto check = [](const absl::StatusOr<v1::ImportProfilesResponse>& told) {
    ASSERT_OK(told.status());
    EXPECT_EQ(told->created(), 1);
    EXPECT_EQ(told->updated(), 1);
    EXPECT_EQ(told->unchanged(), 1);
    ASSERT_EQ(told->refused(), 2);
    EXPECT_EQ(told->refusals(0).position(), 4);
    EXPECT_EQ(told->refusals(0).reason(), "APP_ID_REPEATED");
    EXPECT_EQ(told->refusals(1).position(), 5);
    EXPECT_EQ(told->refusals(1).reason(), "APP_ID_NOT_REGISTERABLE");
  };
  check(Import(*registrar_, profiles, /*dry_run=*/true));
  EXPECT_EQ(Profile(changed).version(), 1) << "nothing was done";
  EXPECT_EQ(Verify(fresh)->status(), v1::VerifyIdentityResponse::STATUS_NOT_REGISTERED);
  check(Import(*registrar_, profiles, /*dry_run=*/false));
  EXPECT_EQ(Profile(changed).application_type(), "heater");
  EXPECT_EQ(Profile(changed).version(), 2);
  EXPECT_EQ(Profile(there).version(), 1);
  EXPECT_EQ(Profile(fresh).registrar(), "ara");
  EXPECT_EQ(Verify(fresh)->status(), v1::VerifyIdentityResponse::STATUS_REGISTERED);
  ASSERT_OK_AND_ASSIGN(const v1::ImportProfilesResponse again, Import(*registrar_, profiles, false));
  EXPECT_EQ(again.unchanged(), 3);
}

TEST_F(LifeTest, AnImportOfMoreThanABatchGoesOnAfterARefusalInIt) {
  std::vector<v1::Profile> profiles;
  for (int i = 0; i < 250; ++i) profiles.push_back(GoodRequest(NewAppId()).profile());
  // Issued to nobody but in another's spelling: refused by the database, in the middle of a batch.
  std::string spelling = Registered();
  spelling[5] = 'C';
  profiles[150].set_name("profiles/" + spelling);
  ASSERT_OK_AND_ASSIGN(const v1::ImportProfilesResponse told, Import(*registrar_, profiles, false));
  EXPECT_EQ(told.created(), 249);
  ASSERT_EQ(told.refused(), 1);
  EXPECT_EQ(told.refusals(0).position(), 151);
  EXPECT_EQ(told.refusals(0).reason(), "APP_ID_TAKEN");
}

TEST_F(LifeTest, AnImportBeginsOnce) {
  EXPECT_THAT(Import(*registrar_, {GoodRequest(NewAppId()).profile()}, false, /*begin=*/false),
              StatusIs(kInvalidArgument, "IMPORT_MALFORMED"));
  EXPECT_THAT(Import(*registrar_, {}, false, /*begin=*/false),
              StatusIs(kInvalidArgument, "IMPORT_MALFORMED"));
  EXPECT_EQ(Import(*registrar_, {}, false)->created(), 0);
}

TEST_F(LifeTest, ProfilesAreFoundByWhatTheyAre) {
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(absl::StrCat("Ra02.com.search.app", i));
    v1::CreateProfileRequest request = GoodRequest(ids.back());
    if (i == 1) request.mutable_profile()->set_application_type("search-lamp");
    if (i == 2) request.mutable_profile()->set_application_class(v1::Profile::APPLICATION_CLASS_INDUSTRIAL);
    request.mutable_profile()->set_manufacturer("searcher");
    ASSERT_OK(Call(*registrar_, &Stub::CreateProfile, request));
  }
  ASSERT_OK(Change(&Stub::SuspendProfile, ids[0], "x"));
  const auto found = [&](auto condition) {
    v1::ListProfilesRequest request;
    request.set_manufacturer("searcher");
    condition(request);
    return NamesOf(Call(*registrar_, &Stub::ListProfiles, request));
  };
  EXPECT_THAT(found([](v1::ListProfilesRequest&) {}), ElementsAre(ids[0], ids[1], ids[2]));
  EXPECT_THAT(found([](auto& r) { r.set_application_type("search-lamp"); }), ElementsAre(ids[1]));
  EXPECT_THAT(found([](auto& r) { r.set_application_class(v1::Profile::APPLICATION_CLASS_INDUSTRIAL); }),
              ElementsAre(ids[2]));
  EXPECT_THAT(found([](auto& r) { r.set_state(v1::Profile::STATE_SUSPENDED); }), ElementsAre(ids[0]));
  EXPECT_THAT(found([](auto& r) { r.set_app_id_prefix("Ra02.com.search.app1"); }), ElementsAre(ids[1]));
  EXPECT_THAT(found([](auto& r) { r.set_authority_id("b7"); }), IsEmpty());
  EXPECT_THAT(found([](auto& r) { r.set_registrant("acme"); }), IsEmpty());

  v1::ListProfilesRequest request;
  request.set_manufacturer("searcher");
  request.set_page_size(2);
  const auto page = Call(*registrar_, &Stub::ListProfiles, request);
  request.set_page_token(page->next_page_token());
  EXPECT_THAT(NamesOf(Call(*registrar_, &Stub::ListProfiles, request)), ElementsAre(ids[2]));
  request.set_manufacturer("acme");
  EXPECT_THAT(Call(*registrar_, &Stub::ListProfiles, request),
              StatusIs(kInvalidArgument, "PAGE_TOKEN_INVALID"))
      << "of another search";
  const std::unique_ptr<Stub> rival = StubAs({Role::kManufacturer, "rival"});
  request.clear_page_token();
  request.set_manufacturer("searcher");
  EXPECT_THAT(NamesOf(Call(*rival, &Stub::ListProfiles, request)), IsEmpty());
  EXPECT_THAT(Events(*rival, ids[0]), StatusIs(kNotFound, "APP_ID_NOT_REGISTERED"));
}

class SignedTermsTest : public LifeTest {
 protected:
  v1::CreateRegistrantRequest RegistrantRequest(const std::string& id) {
    v1::CreateRegistrantRequest request;
    request.mutable_registrant()->set_name("registrants/" + id);
    request.mutable_registrant()->set_display_name("Acme");
    request.mutable_registrant()->set_public_key_pem(key_.public_key().Pem());
    request.set_request_id(crypto::Uuid());
    return request;
  }

  std::string NewRegistrant() {
    const std::string id = absl::StrCat("registrant-", ++ids_);
    EXPECT_OK(Call(*registrar_, &Stub::CreateRegistrant, RegistrantRequest(id)));
    return id;
  }

  std::string Terms(const std::string& app_id, const std::string& registrant,
                    const std::optional<crypto::PemSigner>& key = std::nullopt) {
    trust::Envelope envelope =
        onem2m::Terms{app_id,   registrant,           "terms",
                      "2026-1", std::string(64, 'c'), world_->clock.Now() - absl::Hours(1)}
            .ToEnvelope();
    EXPECT_OK(envelope.Sign(key.has_value() ? *key : key_));
    return envelope.Serialise();
  }

  absl::StatusOr<v1::Profile> CreateWith(const std::string& app_id, const std::string& terms) {
    v1::CreateProfileRequest request = GoodRequest(app_id);
    request.mutable_profile()->set_signed_terms(terms);
    return Call(*registrar_, &Stub::CreateProfile, request);
  }

  const crypto::PemSigner key_ = *crypto::PemSigner::Generate(crypto::KeyType::kEd25519);
};

// APPID-6
TEST_F(SignedTermsTest, TermsAreVerifiedAndKept) {
  const std::string registrant = NewRegistrant();
  const std::string app_id = NewAppId();
  const std::string terms = Terms(app_id, registrant);
  ASSERT_OK(CreateWith(app_id, terms).status());
  const v1::Profile profile = Profile(app_id);
  EXPECT_EQ(profile.signed_terms(), terms);
  EXPECT_EQ(profile.terms().registrant(), registrant);
  EXPECT_EQ(profile.terms().terms_id(), "terms");
  EXPECT_EQ(profile.terms().version(), "2026-1");
  EXPECT_EQ(profile.terms().sha256(), std::string(64, 'c'));
  v1::ListProfilesRequest list;
  list.set_registrant(registrant);
  EXPECT_THAT(NamesOf(Call(*registrar_, &Stub::ListProfiles, list)), ElementsAre(app_id));
}

TEST_F(SignedTermsTest, ForgedAndReplayedTermsAreRefused) {
  const std::string registrant = NewRegistrant();
  const std::string app_id = NewAppId();
  const auto refused = StatusIs(kInvalidArgument, "TERMS_INVALID");
  const crypto::PemSigner stranger = *crypto::PemSigner::Generate(crypto::KeyType::kEd25519);
  EXPECT_THAT(CreateWith(app_id, Terms(app_id, registrant, stranger)), refused);
  EXPECT_THAT(CreateWith(app_id, Terms(NewAppId(), registrant)), refused) << "about another App-ID";
  EXPECT_THAT(CreateWith(app_id, Terms(app_id, "nobody")), refused);
  EXPECT_THAT(CreateWith(app_id, "terms"), refused);
  ASSERT_OK_AND_ASSIGN(const v1::ImportProfilesResponse imported, [&] {
    v1::Profile profile = GoodRequest(app_id).profile();
    profile.set_signed_terms(Terms(app_id, registrant, stranger));
    return Import(*registrar_, {profile}, false);
  }());
  EXPECT_EQ(imported.refusals(0).reason(), "TERMS_INVALID");
  EXPECT_EQ(Verify(app_id)->status(), v1::VerifyIdentityResponse::STATUS_NOT_REGISTERED);
}

TEST_F(SignedTermsTest, TermsStayAsTheyWereVerifiedWhenTheKeyChanges) {
  const std::string registrant = NewRegistrant();
  const std::string app_id = NewAppId();
  ASSERT_OK(CreateWith(app_id, Terms(app_id, registrant)).status());
  v1::GetRegistrantRequest get;
  get.set_name("registrants/" + registrant);
  v1::UpdateRegistrantRequest update;
  *update.mutable_registrant() = *Call(*registrar_, &Stub::GetRegistrant, get);
  const crypto::PemSigner next = *crypto::PemSigner::Generate(crypto::KeyType::kEd25519);
  update.mutable_registrant()->set_public_key_pem(next.public_key().Pem());
  update.set_request_id(crypto::Uuid());
  EXPECT_THAT(Call(*other_, &Stub::UpdateRegistrant, update),
              StatusIs(kPermissionDenied, "REGISTRANT_OF_ANOTHER"));
  ASSERT_OK(Call(*registrar_, &Stub::UpdateRegistrant, update).status());
  update.set_request_id(crypto::Uuid());
  EXPECT_THAT(Call(*registrar_, &Stub::UpdateRegistrant, update), StatusIs(kAborted, "ETAG_MISMATCH"));

  EXPECT_OK(Call(*registrar_, &Stub::UpdateProfile, UpdateOf(Profile(app_id))))
      << "with the terms that it has";
  v1::Profile profile = Profile(app_id);
  onem2m::Terms terms{app_id, registrant, "terms", "2026-2", std::string(64, 'd'), world_->clock.Now()};
  trust::Envelope envelope = terms.ToEnvelope();
  ASSERT_OK(envelope.Sign(key_));
  profile.set_signed_terms(envelope.Serialise());
  EXPECT_THAT(Call(*registrar_, &Stub::UpdateProfile, UpdateOf(profile)),
              StatusIs(kInvalidArgument, "TERMS_INVALID"))
      << "new ones with the old key";
  const std::string other_app_id = NewAppId();
  EXPECT_OK(CreateWith(other_app_id, Terms(other_app_id, registrant, next)));
}

TEST_F(SignedTermsTest, ARegistrantIsThereOnce) {
  const std::string id = NewRegistrant();
  EXPECT_THAT(Call(*registrar_, &Stub::CreateRegistrant, RegistrantRequest(id)),
              StatusIs(kAlreadyExists, "REGISTRANT_TAKEN"));
  EXPECT_THAT(Call(*registrar_, &Stub::CreateRegistrant, RegistrantRequest("Acme")),
              StatusIs(kInvalidArgument, "NAME_INVALID"));
  v1::GetRegistrantRequest get;
  get.set_name("registrants/nobody");
  EXPECT_THAT(Call(*registrar_, &Stub::GetRegistrant, get), StatusIs(kNotFound, "REGISTRANT_UNKNOWN"));
  v1::ListRegistrantsRequest list;
  list.set_page_size(1);
  NewRegistrant();
  const auto page = Call(*registrar_, &Stub::ListRegistrants, list);
  ASSERT_EQ(page->registrants_size(), 1);
  list.set_page_token(page->next_page_token());
  EXPECT_GT(Call(*registrar_, &Stub::ListRegistrants, list)->registrants(0).name(),
            page->registrants(0).name());
}

TEST(RequireTermsTest, WithoutTermsNothingIsRegistered) {
  rpc::testing::TestPki pki;
  metrics::Registry metrics;
  const std::string key_file = absl::StrCat(pki.folder(), "/answer.key");
  ASSERT_OK(WriteFileAtomically(key_file, crypto::PemSigner::Generate(crypto::KeyType::kEd25519)->ToPem()));
  Config config;
  config.server.tls = pki.TlsFor({Role::kService, "appid-registry"});
  config.server.registry = &metrics;
  config.database = db::TestCluster::Shared().CreateDatabase();
  config.answer_key = key_file;
  config.authorities = "ara=a01";
  config.require_terms = true;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<App> app, App::Start(config));
  rpc::Dialer dialer(pki.TlsFor({Role::kRegistrar, "ara"}));
  const auto stub = v1::AppIdRegistryService::NewStub(
      dialer.Dial(absl::StrCat("127.0.0.1:", app->grpc_port()), {Role::kService, "appid-registry"}));
  EXPECT_THAT(Call(*stub, &Stub::CreateProfile, AppTest::GoodRequest("Ra01.com.acme.x")),
              StatusIs(kFailedPrecondition, "TERMS_REQUIRED"));
}

}  // namespace
}  // namespace countersign::appid_registry
