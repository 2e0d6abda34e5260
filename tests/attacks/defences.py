"""What stops the attacks on the store and its clients: where each defence stands, what its absence would look like, and the test that
notices. `tests/attacks/mutate` switches the defences off, one after the other."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Defence:
    attack: str  # as the table in README.md names it
    file: str
    line: str  # of the defence, without indentation; once in the file
    instead: str  # what stands there when it is switched off
    target: str  # of the tests
    tests: tuple[str, ...]  # that must fail then


CLIENT = "//common/trust:client_test"
UPDATE = "//common/trust:update_test"
VERIFY = "//common/trust:verify_test"
STORE = "//services/package_store:app_test"
PARTIES = "//common/trust:parties_test"
IMAGE_FILE = "//tools/gateway:image_file_test"
DEVICE = "//tools/device:device_test"
DOWNLOADER = "//tools/gateway:downloader_test"
OFFLINE = "//tools/gateway:offline_test"
PACKAGE = "//common/offline:package_test"
REPORTER = "//tools/gateway:reporter_test"

PROPOSALS = "services/package_store/domain/proposal_rules.cc"
REPOSITORY = "services/package_store/domain/repository_rules.cc"
PUBLICATIONS = "services/package_store/storage/publications.cc"

DEFENCES = (
    Defence(
        "arbitrary software", "common/trust/verify.cc",
        "if (role.threshold >= 1 && count.valid >= role.threshold) return absl::OkStatus();",
        "if (role.threshold >= 1) return absl::OkStatus();",
        CLIENT, ("ClientTest.AManufacturersRoleWithoutTheAuthorityIsNotBelieved", "ClientTest.AnAlteredRoleIsNotBelieved"),
    ),
    Defence(
        "arbitrary software", "common/trust/update.cc",
        "if (digest_.FinishHex() != sha256_) {", "if (false) {",
        UPDATE, ("ImageCheckTest.TheImageMustBeThePromisedBytes",),
    ),
    Defence(
        "arbitrary software", PROPOSALS,
        "if (!envelope.VerifyBy(signature.key_id, key->second).ok()) {", "if (false) {",
        STORE, ("AppTest.AProposalWithAWrongSignatureIsRefused",),
    ),
    Defence(
        "arbitrary software", PROPOSALS,
        "if (image->second != target.length) {", "if (false) {",
        STORE, ("AppTest.AProposalMustBeWithinTheManufacturersPathsAndRules",),
    ),
    Defence(
        "arbitrary software", "services/package_store/storage/file_blob_store.cc",
        "if (found == part_->sha256) {", "if (true) {",
        STORE, ("UploadTest.BytesThatAreNotTheAnnouncedOnesAreNotStored",),
    ),
    Defence(
        "stolen manufacturer key", PROPOSALS,
        "if (signature.key_id == review.manufacturer_key_id) {", "if (false) {",
        STORE, ("AppTest.AnApprovalIsBoundToExactlyTheProposal",),
    ),
    Defence(
        "stolen manufacturer key", PROPOSALS,
        "if (result != trust::ApprovalResult::kApproved) {", "if (false) {",
        STORE, ("AppTest.AnApprovalIsBoundToExactlyTheProposal",),
    ),
    Defence(
        "stolen manufacturer key", "common/trust/verify.cc",
        "} else if (counted.insert(key->second.Der()).second) {", "} else {",
        VERIFY, ("VerifyTest.AThresholdCountsKeysAndNotIds",),
    ),
    Defence(
        "stolen manufacturer key", "common/trust/parties.cc",
        "if (role.keys.threshold != 2 || ids.size() != 2 || ids[0] == ids[1]) {", "if (false) {",
        PARTIES, ("DelegationsTest.WhateverOnePartyCouldSignAloneIsRefused",),
    ),
    Defence(
        "stolen manufacturer key", "common/trust/parties.cc",
        "if (owners != std::set<std::string>{role.name, kAuthorityParty}) {", "if (false) {",
        PARTIES, ("DelegationsTest.AKeyWhoseOwnerNobodyNamesIsRefused",),
    ),
    Defence(
        "stolen manufacturer key", PUBLICATIONS,
        "if (StillVouchedFor(delegations, manufacturer, LoadRole(tx, manufacturer))) continue;", "if (true) continue;",
        STORE, ("AppTest.PackagesOfARevokedKeyAreWithdrawnUntilBothPartiesSignThemAgain",),
    ),
    Defence(
        "stolen timestamp or snapshot key", "common/trust/verify.cc",
        "if (std::find(role.key_ids.begin(), role.key_ids.end(), signature.key_id) == role.key_ids.end()) continue;", "",
        VERIFY, ("VerifyTest.AKeyOfAnotherRoleDoesNotCount",),
    ),
    Defence(
        "stolen timestamp or snapshot key", "common/trust/client.cc",
        "if (KeysRotated(*root_, next, kTimestamp) || KeysRotated(*root_, next, kSnapshot)) {", "if (false) {",
        CLIENT, ("ClientTest.ARotatedSnapshotKeyUndoesAFastForward",),
    ),
    Defence(
        "stolen Director key", "common/trust/update.cc",
        'if (director.sha256 != image.sha256) return Mismatch(path, "SHA-256");', "",
        UPDATE, ("UpdateTest.AnyDifferenceBetweenTheRepositoriesIsRefused",),
    ),
    Defence(
        "metadata rollback", "common/trust/client.cc",
        "if (timestamp_->version < trusted->version || timestamp_->snapshot.version < trusted->snapshot.version) {",
        "if (false) {",
        CLIENT, ("ClientTest.AnOlderTimestampIsRefused", "ClientTest.ANewTimestampForAnOlderSnapshotIsRefused"),
    ),
    Defence(
        "metadata rollback", "common/trust/client.cc",
        "if (after->second.version < before.version) {", "if (false) {",
        CLIENT, ("ClientTest.ANewSnapshotWithAnOlderRoleIsRefused",),
    ),
    Defence(
        "metadata rollback", "common/trust/client.cc",
        "if (after == snapshot_->roles.end()) {", "if (after == snapshot_->roles.end()) continue;\n      if (false) {",
        CLIENT, ("ClientTest.ASnapshotThatLosesARoleIsRefused",),
    ),
    Defence(
        "metadata rollback", REPOSITORY,
        "if (version == current + 1) return absl::OkStatus();", "if (version >= 0) return absl::OkStatus();",
        STORE, ("AppTest.AProposalMustBeWithinTheManufacturersPathsAndRules",),
    ),
    Defence(
        "metadata rollback", "services/package_store/storage/repository_sql.cc",
        'constexpr char kLockExclusive[] = "SELECT 1 FROM repository FOR UPDATE";',
        'constexpr char kLockExclusive[] = "SELECT 1 FROM repository";',
        STORE, ("AppTest.TwoReplicasThatPublishAtOnceGiveNoVersionTwice",),
    ),
    Defence(
        "image rollback", PROPOSALS,
        "if (component == highest.end() || target.release_counter >= component->second) return absl::OkStatus();",
        "if (true) return absl::OkStatus();",
        STORE, ("AppTest.AReleaseCounterNeverFallsAndAPublishedPathKeepsItsBytes",),
    ),
    Defence(
        "image rollback", "common/trust/verify.cc",
        "if (same->second.sha256 != target.sha256 || same->second.length != target.length) {", "if (false) {",
        STORE, ("AppTest.AReleaseCounterNeverFallsAndAPublishedPathKeepsItsBytes",),
    ),
    Defence(
        "image rollback", "common/trust/update.cc",
        "if (*image.custom.release_counter < component.release_counter) {", "if (false) {",
        UPDATE, ("UpdateTest.AnOlderImageThanTheInstalledIsRefused",),
    ),
    Defence(
        "freeze", "common/trust/verify.cc",
        "if (now < expires) return absl::OkStatus();", "if (true) return absl::OkStatus();",
        CLIENT, ("ClientTest.EachDocumentExpires",),
    ),
    Defence(
        "mix-and-match", "common/trust/client.cc",
        "if (meta.sha256.has_value() && crypto::Sha256Hex(bytes) != *meta.sha256) {", "if (false) {",
        CLIENT, ("ClientTest.ASnapshotOtherThanTheTimestampPromisesIsRefused",),
    ),
    Defence(
        "mix-and-match", "common/trust/client.cc",
        "if (snapshot_->version != meta.version) {", "if (false) {",
        CLIENT, ("ClientTest.ASnapshotOfAnotherVersionIsRefusedEvenIfItsDigestIsPromised",),
    ),
    Defence(
        "mix-and-match", "common/trust/client.cc",
        "if (targets->version != meta->second.version) {", "if (false) {",
        CLIENT, ("ClientTest.ARoleOfAnotherVersionThanTheSnapshotPromisesIsRefused",),
    ),
    Defence(
        "endless data", "common/trust/client.cc",
        "if (static_cast<int64_t>(bytes->size()) > max_length) {", "if (false) {",
        CLIENT, ("ClientTest.MoreThanTheAllowedBytesIsRefused",),
    ),
    Defence(
        "endless data", "common/trust/update.cc",
        "if (received_ > length_) {", "if (false) {",
        IMAGE_FILE, ("ImageFileTest.EndlessDataIsCutOff",),
    ),
    Defence(
        "endless data", "common/offline/package.cc",
        "if (size > limits.max_file_bytes || total > limits.max_files_bytes) {", "if (false) {",
        PACKAGE, ("PackageTest.BombsAreRefusedBeforeTheyGoOff",),
    ),
    Defence(
        "slow retrieval", "tools/gateway/downloader.cc",
        "return options_.slice_grace + absl::Seconds(bytes / options_.minimum_bytes_per_second);",
        "return absl::InfiniteDuration();",
        DOWNLOADER, ("DownloaderTest.AStoreThatTricklesIsBrokenOffAndWhatCameIsKept",),
    ),
    Defence(
        "wrong device, wrong hardware", "common/trust/update.cc",
        "if (ecu->second.hardware_id != component.hardware_id ||", "if (false &&",
        UPDATE, ("UpdateTest.AnImageForOtherHardwareIsRefused",),
    ),
    Defence(
        "partial bundle", "common/trust/update.cc",
        "ASSIGN_OR_RETURN(VerifiedUpdate update, CheckComponent(path, target, image, *component->second));",
        "absl::StatusOr<VerifiedUpdate> checked = CheckComponent(path, target, image, *component->second);\n"
        "      if (!checked.ok()) continue;\n      VerifiedUpdate update = *checked;",
        UPDATE, ("UpdateTest.OneBadEntryRefusesTheWholeBundle",),
    ),
    Defence(
        "freeze", "tools/gateway/offline.cc",
        "changes_[std::string(role)] = std::string(bytes);",
        "changes_[std::string(role)] = std::string(bytes);\n    RETURN_IF_ERROR(base_.Save(role, bytes));",
        OFFLINE, ("OfflineTest.AnotherHomesDirectorMetadataAreRefusedAndLeaveNoTrace",),
    ),
    Defence(
        "arbitrary software", "tools/gateway/installer.cc",
        "if (trust::IsPendingPath(update.path) && !answer->confirmation_required()) {", "if (false) {",
        OFFLINE, ("PendingTest.ADeviceThatDoesNotAskIsNotGivenWhatNobodyApproved",),
    ),
    Defence(
        "drop requests, flood", "tools/gateway/reporter.cc",
        "if (known.contains(socket.device_id)) {", "if (false) {",
        REPORTER, ("ReporterTest.WhoWasReportedBeforeIsAskedFirst",),
    ),
    Defence(
        "delegation abuse", "common/trust/client.cc",
        "if (delegation.terminating) {", "if (false) {",
        CLIENT, ("DelegationTest.ATerminatingRoleHasTheLastWord",),
    ),
    Defence(
        "delegation abuse", "common/trust/client.cc",
        "[path](const std::string& pattern) { return MatchesPath(pattern, path); })) {",
        "[](const std::string&) { return true; })) {",
        CLIENT, ("DelegationTest.WhatARoleSaysOutsideItsPathsIsNotHeard",),
    ),
    Defence(
        "delegation abuse", "common/trust/client.cc",
        "if (next.depth > limits_.max_delegation_depth) {", "if (false) {",
        CLIENT, ("DelegationTest.DepthAndNumberAreLimited",),
    ),
    Defence(
        "delegation abuse", "common/trust/parties.cc",
        "if (role.terminating && !role.paths.empty() &&", "if (true ||",
        PARTIES, ("DelegationsTest.WhateverOnePartyCouldSignAloneIsRefused",),
    ),
    Defence(
        "root rotation skipped", "common/trust/verify.cc",
        "if (next.version != current.version + 1) {", "if (false) {",
        CLIENT, ("ClientTest.ARootInThePlaceOfAnotherVersionIsRefused",),
    ),
    Defence(
        "root rotation skipped", "common/trust/verify.cc",
        'RETURN_IF_ERROR(Annotate(by_current, absl::StrCat("by the keys of root version ", current.version)));', "",
        VERIFY, ("RootTest.OldAndNewThresholdsMustBothSign",),
    ),
    Defence(
        "root rotation skipped", "common/trust/verify.cc",
        'RETURN_IF_ERROR(Annotate(by_next, "by the new root\'s own keys"));', "",
        VERIFY, ("RootTest.OldAndNewThresholdsMustBothSign",),
    ),
    Defence(
        "drop requests, flood", "services/package_store/storage/images.cc",
        "RETURN_IF_ERROR(CheckQuota(usage[0].as<int64_t>(), length_bytes, quota_bytes_));", "",
        STORE, ("UploadTest.AQuotaHoldsForWhatIsStoredAndWhatIsAnnounced",),
    ),
    Defence(
        "client outside its role", "services/package_store/api/package_store_api.cc",
        "if (caller.role != rpc::Role::kManufacturer || caller.id == manufacturer) return absl::OkStatus();",
        "if (true) return absl::OkStatus();",
        STORE, ("UploadTest.AnUploadIsItsManufacturersAlone",),
    ),
    Defence(
        "client outside its role", "services/package_store/api/image_handlers.cc",
        "return visibility.published;", "return true;",
        STORE, ("AppTest.AnImageThatBothPartiesSignedIsFoundAndVerifiedByAClient",),
    ),
    Defence(
        "an image without approval at a device with a card", "tools/device/device.cc",
        "if (result == trust::ApprovalResult::kApproved) return absl::OkStatus();", "return absl::OkStatus();",
        DEVICE, ("ApprovalTest.EveryFailureIsRejectedByADeviceThatRejects",),
    ),
    Defence(
        "an image without approval at a device with a card", "tools/device/device.cc",
        "if (options_.approval_policy == ApprovalPolicy::kAskUser && !trust::MustReject(result)) {",
        "if (options_.approval_policy == ApprovalPolicy::kAskUser) {",
        DEVICE, ("ApprovalTest.ADeviceThatAsksItsUserRejectsOnlyWhatIsForgedOrAboutAnotherImage",),
    ),
    Defence(
        "an image without approval at a device with a card", "tools/device/component.cc",
        "if (content->awaits_confirmation) {", "if (false) {",
        DEVICE, ("ApprovalTest.ADeviceThatAsksItsUserRejectsOnlyWhatIsForgedOrAboutAnotherImage",),
    ),
    Defence(
        "image rollback", "tools/device/component.cc",
        "return std::max(boot_.release_floor, running_.release_counter);", "return running_.release_counter;",
        DEVICE, ("RecoveryTest.ADamagedImageIsReplacedByTheOneThatRanBefore",),
    ),
    Defence(
        "freeze", "common/trust/secure_time.cc",
        "absl::Time SecureTime::Now() const { return std::max(clock_->Now(), floor_); }",
        "absl::Time SecureTime::Now() const { return clock_->Now(); }",
        DEVICE, ("TimeTest.AClockThatIsSetBackDoesNotLetExpiredMetadataIn",),
    ),
    Defence(
        "an update at the wrong moment", "tools/device/component.cc",
        "RETURN_IF_ERROR(trust::CheckPreconditions(content->preconditions, readings));", "",
        DEVICE, ("PreconditionsTest.NothingIsActivatedOnceTheyDoNotHoldAnyMore",),
    ),
    Defence(
        "an update at the wrong moment", "tools/device/component.cc",
        "return SaveBootState(Postpone(boot_));", "",
        DEVICE, ("PreconditionsTest.NothingIsBootedOnceTheyDoNotHoldAnyMore",),
    ),
    Defence(
        "unsolicited message", "tools/device/component.cc",
        "if (boot_.stage != Stage::kProvisional || running_.sha256 != sha256) {", "if (false) {",
        DEVICE, ("BundleTest.CommitAndRevertThatNobodyPreparedChangeNothing",),
    ),
    Defence(
        "unsolicited message", "tools/device/component.cc",
        "if (!content.has_value() || content->tried || content->sha256 != sha256 ||",
        "if (!content.has_value() || content->sha256 != sha256 ||",
        DEVICE, ("LinkTest.NobodyCanHaveTheOldImageRunAgain",),
    ),
)
