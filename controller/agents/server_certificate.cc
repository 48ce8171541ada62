#include "controller/agents/server_certificate.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/agents/x509.h"
#include "proto/support/status.h"

namespace drover::agents {
namespace {

constexpr absl::Duration kRenewBefore = absl::Hours(24 * 30);

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

absl::Status FileError(absl::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", what, " ", path));
}

// Readers see the old file or the new one, whole.
absl::Status Replace(const std::string& path, const std::string& text, mode_t mode) {
  const std::string fresh = path + ".new";
  unlink(fresh.c_str());
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) return FileError("make", fresh);
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = write(fd, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    done += static_cast<size_t>(written);
  }
  const bool ok = done == text.size() && fchmod(fd, mode) == 0 && fsync(fd) == 0;
  const absl::Status failed = ok ? absl::OkStatus() : FileError("write", fresh);
  close(fd);
  if (!failed.ok()) return failed;
  if (rename(fresh.c_str(), path.c_str()) != 0) return FileError("replace", path);
  return absl::OkStatus();
}

bool BelongTogether(const std::string& key_pem, const std::string& certificate_pem) {
  const auto key = KeyFromPem(key_pem);
  const auto certificate = CertificateFromPem(certificate_pem);
  return key.ok() && certificate.ok() &&
         EVP_PKEY_eq(X509_get0_pubkey(certificate->get()), key->get()) == 1;
}

}  // namespace

ServerCertificate::ServerCertificate(const Authority* authority, core::Clock* clock,
                                     std::string directory, std::vector<std::string> names)
    : authority_(authority),
      clock_(clock),
      directory_(std::move(directory)),
      names_(std::move(names)),
      certificate_file_(directory_ + "/server.crt"),
      key_file_(directory_ + "/server.key"),
      authority_file_(directory_ + "/authority.crt") {}

absl::Status ServerCertificate::Refresh() {
  if (mkdir(directory_.c_str(), 0755) != 0 && errno != EEXIST) {
    return FileError("make", directory_);
  }
  if (ReadAll(authority_file_) != authority_->certificate()) {
    DROVER_RETURN_IF_ERROR(Replace(authority_file_, authority_->certificate(), 0644));
  }
  const std::string chain = ReadAll(certificate_file_);
  if (authority_->IsServerCertificateGood(chain, names_, clock_->Now() + kRenewBefore) &&
      BelongTogether(ReadAll(key_file_), chain)) {
    return absl::OkStatus();
  }
  DROVER_ASSIGN_OR_RETURN(const Authority::ServerIdentity identity,
                          authority_->IssueServer(names_));
  DROVER_RETURN_IF_ERROR(Replace(key_file_, identity.key, 0600));
  return Replace(certificate_file_, identity.chain, 0644);
}

}  // namespace drover::agents
