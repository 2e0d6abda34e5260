"""The verification code is for devices: it takes OpenSSL, the JSON library and Abseil, and nothing that a gateway has."""

import pathlib

ALLOWED = {"@debian//:absl", "@debian//:crypto", "@debian//:json", "@debian//:p11_kit"}
FOLDERS = ("//common/clock:", "//common/crypto:", "//common/crypto/pkcs11:", "//common/file:", "//common/status:", "//common/trust:")


def test_the_verification_libraries_need_openssl_json_and_abseil_only():
    labels = pathlib.Path("common/trust/verification_dependencies").read_text().split()
    assert "//common/trust:client.cc" in labels, "the query looks at something else"
    libraries = {label for label in labels if label.startswith("@debian//:")}
    # Headers of Debian's libraries are files of their own.
    libraries = {label for label in libraries if "/" not in label.removeprefix("@debian//:")}
    assert libraries <= ALLOWED, sorted(libraries - ALLOWED)
    own = {label for label in labels if label.startswith("//")}
    assert all(label.startswith(FOLDERS) for label in own), sorted(label for label in own if not label.startswith(FOLDERS))
