// The boot loader's decisions: which slot to run, and when to go back. Pure: no disk, no clock.
#ifndef COUNTERSIGN_TOOLS_DEVICE_BOOT_H_
#define COUNTERSIGN_TOOLS_DEVICE_BOOT_H_

#include <string>

namespace countersign::device {

enum class Slot { kA, kB };

constexpr Slot Other(Slot slot) { return slot == Slot::kA ? Slot::kB : Slot::kA; }

// How the last trial of a new image ended.
enum class Outcome {
  kNone,        // there was none, or one is under way
  kConfirmed,   // it came up and runs
  kRolledBack,  // it did not come up; the slot before runs
};

// What the boot loader keeps on disk for one component.
struct BootState {
  Slot active = Slot::kA;
  // The other slot is to be tried at the next boot, or is being tried.
  bool trial = false;
  // Boots into the trial that did not end in a confirmation.
  int tries = 0;
  Outcome outcome = Outcome::kNone;
  // SHA-256 of the image of the last trial, hex.
  std::string trial_sha256;

  friend bool operator==(const BootState&, const BootState&) = default;
};

// A trial that does not say that it is well, whatever stops it, is begun this often and then given up.
inline constexpr int kMaxTries = 3;

// The other slot, which has the image `sha256`, is to be tried at the next boot.
BootState Activate(BootState state, std::string sha256);

// The first thing at a boot: counts the try, or gives a trial up that was begun too often. Save it before the
// trial goes on: what is not counted can stop the device for ever.
BootState BeginBoot(BootState state);

// The trial's image is whole and healthy, or not. Only while `trial`.
BootState EndTrial(BootState state, bool healthy);

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_BOOT_H_
