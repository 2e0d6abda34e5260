"""The home, the vehicle, the manufacturers and the real firmware that the demo moves about."""

import dataclasses

FX2 = "/usr/share/sigrok-firmware/fx2lafw-"
U_BOOT = "/usr/lib/u-boot/"
OPENSBI = "/usr/lib/riscv64-linux-gnu/opensbi/generic/"


@dataclasses.dataclass(frozen=True)
class Device:
    """A device with one component, as it leaves the factory."""

    id: str
    gateway: str
    manufacturer: str
    model: str
    hardware_id: str
    factory_image: str
    factory_version: str
    constrained: bool = False
    # The inventory was given another key than the device holds: it cannot prove itself.
    impostor: bool = False
    app_id: str = ""

    @property
    def ecu_serial(self) -> str:
        return f"{self.id}-0001"


@dataclasses.dataclass(frozen=True)
class Release:
    """A release of a manufacturer, and the file with its image."""

    id: str
    manufacturer: str
    component: str
    model: str
    hardware_id: str
    version: str
    release_counter: int
    image: str
    kind: str = "SECURITY"
    criticality: str = "HIGH"
    purpose: str = "Closes a weakness that lets strangers in the neighbourhood control the device."
    purpose_in_german: str = "Schließt eine Schwachstelle, durch die Fremde in der Nachbarschaft das Gerät steuern können."

    @property
    def name(self) -> str:
        return f"manufacturers/{self.manufacturer}/releases/{self.id}"

    @property
    def target_path(self) -> str:
        return f"{self.manufacturer}/{self.component}/{self.component}-{self.version}.bin"

    def json(self) -> dict:
        """countersign.liaison.v1.Release, without the length and digest of the image."""
        info = {
            "version": self.version,
            "version_format": "VERSION_FORMAT_TRIPLET",
            "release_counter": self.release_counter,
            "models": [self.model],
            "hardware_ids": [self.hardware_id],
            "image": {"target_path": self.target_path},
            "criticality": f"CRITICALITY_{self.criticality}",
            "kind": f"UPDATE_KIND_{self.kind}",
            "notices": [
                {
                    "language": "en",
                    "purpose": self.purpose,
                    "changes": "Nothing else changes.",
                    "install_duration": "60s",
                    "unavailable_functions": "The device does not answer while it restarts.",
                    "instructions": "Leave the device connected to power.",
                },
                {
                    "language": "de",
                    "purpose": self.purpose_in_german,
                    "changes": "Sonst ändert sich nichts.",
                    "install_duration": "60s",
                    "unavailable_functions": "Das Gerät antwortet nicht, während es neu startet.",
                    "instructions": "Lassen Sie das Gerät am Strom.",
                },
            ],
        }
        if self.kind == "SECURITY":
            info["advisory"] = {
                "ids": [f"CVE-2026-{1000 + self.release_counter}"],
                "risk": "Somebody within radio range can run code on the device.",
                "action": "Install the update.",
            }
        return {"name": self.name, "info": info}


DEVICES = (
    Device("thermostat", "home-1", "acme", "TH-1", "fx2-thermostat", FX2 + "sigrok-fx2-8ch.fw", "1.0.0",
           constrained=True, app_id="Ra01.com.acme.thermostat"),
    Device("wifi", "home-1", "acme", "WL-9", "ar9271", "/lib/firmware/ath9k_htc/htc_7010-1.4.0.fw", "1.3.0"),
    Device("settop", "home-1", "zenith", "TV-4", "x86-settop", "/usr/share/seabios/bios.bin", "1.16.0"),
    Device("camera", "home-1", "zenith", "CAM-2", "riscv-camera", OPENSBI + "fw_dynamic.bin", "1.0.0", impostor=True),
    Device("telematics", "car-1", "zenith", "TCU-7", "arm64-telematics", U_BOOT + "qemu_arm/u-boot.bin", "2022.10.0",
           app_id="Ra01.com.zenith.telematics"),
    Device("infotainment", "car-1", "acme", "IVI-3", "x86-infotainment", "/usr/share/OVMF/OVMF_CODE.fd", "2022.8.0"),
    Device("door", "car-1", "zenith", "DR-1", "fx2-door", FX2 + "saleae-logic.fw", "1.0.0", constrained=True),
)

# acme pushes what it has; zenith waits to be asked.
RELEASES = (
    Release("thermostat-1.1.0", "acme", "thermostat", "TH-1", "fx2-thermostat", "1.1.0", 11, FX2 + "sigrok-fx2-16ch.fw"),
    Release("wifi-1.4.0", "acme", "wifi", "WL-9", "ar9271", "1.4.0", 14, "/lib/firmware/ath9k_htc/htc_9271-1.4.0.fw"),
    Release("infotainment-2022.11.0", "acme", "infotainment", "IVI-3", "x86-infotainment", "2022.11.0", 2211,
            "/usr/share/OVMF/OVMF_CODE_4M.fd"),
    Release("settop-1.16.2", "zenith", "settop", "TV-4", "x86-settop", "1.16.2", 1162, "/usr/share/seabios/bios-256k.bin"),
    Release("camera-1.1.0", "zenith", "camera", "CAM-2", "riscv-camera", "1.1.0", 11, OPENSBI + "fw_jump.bin"),
    Release("telematics-2023.1.0", "zenith", "telematics", "TCU-7", "arm64-telematics", "2023.1.0", 2301,
            U_BOOT + "qemu_arm64/u-boot.bin"),
    Release("door-2.0.0", "zenith", "door", "DR-1", "fx2-door", "2.0.0", 20, FX2 + "hantek-6022be.fw"),
)

# What must not happen.
ALTERED = Release("wifi-1.4.1", "acme", "wifi", "WL-9", "ar9271", "1.4.1", 15, U_BOOT + "maltael/u-boot.bin")
WITHOUT_CONSENT = Release("thermostat-2.0.0", "acme", "thermostat", "TH-1", "fx2-thermostat", "2.0.0", 20,
                          FX2 + "cypress-fx2.fw", kind="FUNCTIONALITY", criticality="LOW",
                          purpose="Adds a weekly schedule.", purpose_in_german="Bringt einen Wochenplan.")
UNAPPROVED = Release("infotainment-2023.5.0", "acme", "infotainment", "IVI-3", "x86-infotainment", "2023.5.0", 2305,
                     "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd")

APP_PROFILES = tuple(
    {
        "name": f"profiles/Ra01.com.{manufacturer}.{application}",
        "application_type": application,
        "application_class": "APPLICATION_CLASS_CONSUMER",
        "security_capability": "SECURITY_CAPABILITY_SOFTWARE",
        "authentication_type": "AUTHENTICATION_TYPE_PRE_SHARED_KEY",
        "communications_class": "COMMUNICATIONS_CLASS_PERIODIC_BURST",
        "data_model": {"name": "SDT 4.0"},
        "data_privacy": {"category": "PRIVACY_CATEGORY_NON_PERSONAL", "protection_level": 2},
        "manufacturer": manufacturer,
    }
    for manufacturer, application in (("acme", "thermostat"), ("zenith", "telematics"))
)
