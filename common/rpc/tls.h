// The files and the trust domain that every mutual-TLS endpoint of a process shares.
#ifndef COUNTERSIGN_COMMON_RPC_TLS_H_
#define COUNTERSIGN_COMMON_RPC_TLS_H_

#include <string>

namespace countersign::rpc {

// The files are read again when they change; connections that are open stay on what they were made with.
// Whoever rotates certificate and key replaces both at once (a symbolic link to their folder, as Kubernetes
// does), since a certificate with another's key fails handshakes until the next look.
struct TlsOptions {
  std::string certificate_file;  // PEM chain, leaf first
  std::string key_file;          // PEM private key
  std::string ca_file;           // PEM bundle that the peers' chains must end in
  std::string trust_domain;      // e.g. "home.example"
  unsigned refresh_seconds = 1;  // how often the files are looked at
};

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_TLS_H_
