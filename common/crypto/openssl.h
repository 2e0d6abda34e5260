#ifndef COUNTERSIGN_COMMON_CRYPTO_OPENSSL_H_
#define COUNTERSIGN_COMMON_CRYPTO_OPENSSL_H_

#include <openssl/bio.h>
#include <openssl/evp.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

// Owners of OpenSSL's objects, for the .cc files of this folder only.

namespace countersign::crypto {

struct OpenSslFree {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};

template <typename T>
using OpenSslPtr = std::unique_ptr<T, OpenSslFree>;

// What OpenSSL's error queue of this thread says, emptied: a text for people.
std::string TakeOpenSslErrors();

// A memory BIO that reads `bytes`, which outlive it.
OpenSslPtr<BIO> ReadBio(absl::string_view bytes);

// Everything that was written to a memory BIO.
std::string BioContents(BIO* bio);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_OPENSSL_H_
