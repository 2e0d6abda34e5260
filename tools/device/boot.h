// The boot loader's decisions: which slot to run, and when to go back. Pure: no disk, no clock.
#ifndef COUNTERSIGN_TOOLS_DEVICE_BOOT_H_
#define COUNTERSIGN_TOOLS_DEVICE_BOOT_H_

#include <cstdint>
#include <string>

namespace countersign::device {

enum class Slot { kA, kB };
constexpr Slot Other(Slot slot) { return slot == Slot::kA ? Slot::kB : Slot::kA; }

// Where the component stands between two images.
enum class Stage {
  kSettled,      // the active slot runs
  kTrial,        // the other slot is to be tried at the next boot, or is being tried
  kProvisional,  // the other slot runs, and the active one is what it goes back to (bundles)
};

// How the last trial of a new image ended.
enum class Outcome {
  kNone,        // there was none, or one is under way
  kCameUp,      // it came up and runs, provisionally or for good
  kRolledBack,  // it did not come up; the slot before runs
  kReverted,    // it came up, and was taken back with its bundle; the slot before runs
  kPostponed,   // it was not begun: its preconditions did not hold
  kFellBack,    // the running image was damaged later; the other slot runs
  kNoImage,     // neither slot has an image that could run
};

// What the boot loader keeps on disk for one component.
struct BootState {
  Slot active = Slot::kA;
  Stage stage = Stage::kSettled;
  // Boots into the other slot that did not end with a word about it.
  int tries = 0;
  Outcome outcome = Outcome::kNone;
  // SHA-256 of the image that `outcome` is about, hex.
  std::string trial_sha256;
  // Of the trial: empty, or the bundle that decides with its image.
  std::string bundle;
  // The highest release counter that ever ran for good. Never falls, whatever becomes of the images.
  int64_t release_floor = 0;
  // What was found damaged, for people, until a new image runs for good.
  std::string damage;

  friend bool operator==(const BootState&, const BootState&) = default;
};

// A trial that does not say that it is well, whatever stops it, is begun this often and then given up.
inline constexpr int kMaxTries = 3;

// The slot whose image runs.
constexpr Slot RunningSlot(const BootState& state) {
  return state.stage == Stage::kProvisional ? Other(state.active) : state.active;
}

// The other slot, which has the image `sha256`, is to be tried at the next boot; with a bundle it then runs
// provisionally. Only while kSettled.
BootState Activate(BootState state, std::string sha256, std::string bundle = "");
// The first thing at a boot: counts the try, or gives the other slot up that was begun too often. Save it
// before the boot goes on: what is not counted can stop the device for ever.
BootState BeginBoot(BootState state);
// The image in the other slot is whole and healthy, or not. Its release counter counts if it now runs for
// good. Only while kTrial or kProvisional.
BootState EndBoot(BootState state, bool healthy, int64_t release_counter);
// The trial is not begun after all. Only while kTrial.
BootState Postpone(BootState state);
// The image that runs provisionally runs for good. Only while kProvisional.
BootState Commit(BootState state, int64_t release_counter);
// The image that runs provisionally does not. Only while kProvisional.
BootState Revert(BootState state);
// The image `sha256` in the active slot turned out to be damaged; the other slot runs instead, or nothing.
BootState Damaged(BootState state, std::string sha256, std::string damage, bool other_runs);

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_BOOT_H_
