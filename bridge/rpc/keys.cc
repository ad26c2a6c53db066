#include "bridge/rpc/keys.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace midlane::rpc {
namespace {

constexpr int kDaysMax = 3650;
constexpr int kHostsMax = 64;
constexpr long kSecondsADay = 86400;

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Certificate = std::unique_ptr<X509, Free>;

struct Pair {
  Key key;
  Certificate certificate;
};

absl::Status Failed(const char* what) {
  return absl::InternalError(absl::StrCat("libcrypto failed at ", what, ": update OpenSSL"));
}

bool AddExtension(X509* certificate, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Free> extension(
      X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str()));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

struct Request {
  const char* name;  // common name
  bool authority = false;
  const char* usage = nullptr;  // extended key usage
  std::string hosts;            // subjectAltName
  int days = 0;
};

// `issuer`: null for a certificate that signs itself.
absl::StatusOr<Pair> Make(const Request& request, const Pair* issuer) {
  Pair pair;
  pair.key.reset(EVP_EC_gen("P-256"));
  pair.certificate.reset(X509_new());
  X509* certificate = pair.certificate.get();
  if (pair.key == nullptr || certificate == nullptr) return Failed("making a key");
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof serial) != 1) return Failed("drawing a serial number");
  serial[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
  BN_free(number);
  X509_set_version(certificate, 2);  // means 3
  X509_gmtime_adj(X509_getm_notBefore(certificate),
                  -3600 + (request.days < 0 ? 2 * request.days * kSecondsADay : 0));
  X509_gmtime_adj(X509_getm_notAfter(certificate), request.days * kSecondsADay);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(request.name), -1, -1, 0);
  X509* signer = issuer ? issuer->certificate.get() : certificate;
  X509_set_issuer_name(certificate, X509_get_subject_name(signer));
  X509_set_pubkey(certificate, pair.key.get());
  bool added = AddExtension(certificate, signer, NID_basic_constraints,
                            request.authority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE");
  added &= AddExtension(certificate, signer, NID_key_usage,
                        request.authority ? "critical,keyCertSign" : "critical,digitalSignature");
  added &= AddExtension(certificate, signer, NID_subject_key_identifier, "hash");
  if (issuer) added &= AddExtension(certificate, signer, NID_authority_key_identifier, "keyid");
  if (request.usage) added &= AddExtension(certificate, signer, NID_ext_key_usage, request.usage);
  if (!request.hosts.empty()) {
    added &= AddExtension(certificate, signer, NID_subject_alt_name, request.hosts);
  }
  if (!added) return Failed("naming what a certificate is for");
  if (X509_sign(certificate, issuer ? issuer->key.get() : pair.key.get(), EVP_sha256()) == 0) {
    return Failed("signing a certificate");
  }
  return pair;
}

absl::Status Write(const std::string& path, mode_t mode, BIO* text) {
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(text, &data);
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (file < 0) {
    if (errno == EEXIST) {
      return absl::AlreadyExistsError(absl::StrCat(
          "'", path, "' exists, and keys are never overwritten: choose another folder"));
    }
    return absl::PermissionDeniedError(absl::StrCat("'", path, "' cannot be written (",
                                                    strerror(errno), "): choose another folder"));
  }
  const bool whole = write(file, data, bytes) == bytes && fsync(file) == 0;
  if (close(file) == 0 && whole) return absl::OkStatus();
  unlink(path.c_str());
  return absl::UnavailableError(
      absl::StrCat("'", path, "' cannot be written (", strerror(errno), "): is the disk full?"));
}

absl::Status WritePair(const std::string& folder, const char* name, const Pair& pair) {
  const std::unique_ptr<BIO, Free> key(BIO_new(BIO_s_mem()));
  const std::unique_ptr<BIO, Free> certificate(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(key.get(), pair.key.get(), nullptr, nullptr, 0, nullptr,
                                    nullptr) != 1 ||
      PEM_write_bio_X509(certificate.get(), pair.certificate.get()) != 1) {
    return Failed("writing PEM");
  }
  const absl::Status status = Write(absl::StrCat(folder, "/", name, ".key"), 0600, key.get());
  if (!status.ok()) return status;
  return Write(absl::StrCat(folder, "/", name, ".pem"), 0644, certificate.get());
}

bool IsAddress(const std::string& host) {
  unsigned char bytes[sizeof(in6_addr)];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

absl::StatusOr<std::string> AlternativeNames(const std::vector<std::string>& hosts) {
  if (hosts.empty() || hosts.size() > kHostsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(hosts.size(), " hosts: name 1..", kHostsMax, " that clients connect to"));
  }
  std::vector<std::string> names;
  for (const std::string& host : hosts) {
    if (IsAddress(host)) {
      names.push_back("IP:" + host);
      continue;
    }
    if (host.empty() ||
        host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789.-*") != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("host '", host,
                       "' is neither a DNS name nor an IP address: give what clients connect to"));
    }
    names.push_back("DNS:" + host);
  }
  return absl::StrJoin(names, ",");
}

}  // namespace

absl::Status MakeKeys(const KeyOptions& options) {
  if (options.days == 0 || options.days > kDaysMax || options.days < -kDaysMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.days, " days: keys live 1..", kDaysMax, " days"));
  }
  const absl::StatusOr<std::string> hosts = AlternativeNames(options.hosts);
  if (!hosts.ok()) return hosts.status();
  if (mkdir(options.folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::PermissionDeniedError(absl::StrCat("folder '", options.folder,
                                                    "' cannot be made (", strerror(errno),
                                                    "): choose one whose parent exists"));
  }
  Request request;
  request.name = "Midlane trial authority";
  request.authority = true;
  request.days = options.days;
  const absl::StatusOr<Pair> authority = Make(request, nullptr);
  if (!authority.ok()) return authority.status();
  request.authority = false;
  request.name = "Midlane bridge";
  request.usage = "serverAuth";
  request.hosts = *hosts;
  const absl::StatusOr<Pair> server = Make(request, &*authority);
  if (!server.ok()) return server.status();
  request.name = "Midlane client";
  request.usage = "clientAuth";
  request.hosts.clear();
  const absl::StatusOr<Pair> client = Make(request, &*authority);
  if (!client.ok()) return client.status();
  absl::Status status = WritePair(options.folder, "ca", *authority);
  if (status.ok()) status = WritePair(options.folder, "server", *server);
  if (status.ok()) status = WritePair(options.folder, "client", *client);
  return status;
}

}  // namespace midlane::rpc
