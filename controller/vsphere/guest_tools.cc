#include "controller/vsphere/guest_tools.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "controller/vsphere/faults.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

// Tools that say they run may refuse for a while longer during boot.
constexpr absl::Duration kStartingPatience = absl::Seconds(60);
constexpr absl::Duration kTransferTimeout = absl::Minutes(10);
constexpr int kTransferAttempts = 3;
constexpr absl::Duration kTransferPause = absl::Seconds(1);
// A guest starts its tools in seconds and programs in tenths of one: asking at once costs more than
// it finds.
constexpr absl::Duration kGuestPause = absl::Milliseconds(60);

std::string Auth(const core::GuestLogin& login) {
  return XmlTyped("auth", "NamePasswordAuthentication",
                  absl::StrCat(Xml("interactiveSession", false), Xml("username", login.user()),
                               Xml("password", login.password())));
}

// VM and login: what every guest operation begins with.
std::string Who(const MoRef& vm, const core::GuestLogin& login) {
  return absl::StrCat(XmlRef("vm", vm), Auth(login));
}

absl::string_view ParentOf(absl::string_view path) {
  size_t slash = path.rfind('/');
  return slash == absl::string_view::npos || slash == 0 ? "" : path.substr(0, slash);
}

// A byte[] property: one number per element, or one base64 text.
std::string BytesOf(pugi::xml_node value) {
  std::string bytes;
  for (pugi::xml_node byte : value.children("byte")) {
    bytes.push_back(static_cast<char>(IntAt(byte, "")));
  }
  if (bytes.empty()) absl::Base64Unescape(Text(value), &bytes);
  return bytes;
}

absl::Status ToolsMissing(absl::string_view host, absl::Duration patience) {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "TOOLS_NOT_RUNNING",
                   absl::StrCat("VMware Tools of the VM on ", host, " did not come up within ",
                                absl::FormatDuration(patience),
                                "; are open-vm-tools installed and started in the template?"));
}

}  // namespace

std::string FingerprintOfCertificate(absl::string_view text) {
  BIO* source = BIO_new_mem_buf(text.data(), static_cast<int>(text.size()));
  X509* certificate = absl::StrContains(text, "-----BEGIN")
                          ? PEM_read_bio_X509(source, nullptr, nullptr, nullptr)
                          : d2i_X509_bio(source, nullptr);
  BIO_free(source);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  bool ok = certificate != nullptr && X509_digest(certificate, EVP_sha256(), digest, &length) == 1;
  X509_free(certificate);
  if (!ok) return "";
  return absl::StrJoin(digest, digest + length, ":", [](std::string* out, unsigned char byte) {
    absl::StrAppend(out, absl::AsciiStrToUpper(absl::StrCat(absl::Hex(byte, absl::kZeroPad2))));
  });
}

absl::StatusOr<GuestTools::Managers> GuestTools::ReadManagers(std::stop_token stop) {
  {
    absl::MutexLock lock(&mutex_);
    if (managers_) return *managers_;
  }
  DROVER_ASSIGN_OR_RETURN(ServiceContent content, client_.Content(stop));
  DROVER_ASSIGN_OR_RETURN(
      Objects objects, client_.RetrieveOne(content.Manager("guestOperationsManager"),
                                           {"authManager", "fileManager", "processManager"}, stop));
  ObjectView found = objects.First();
  Managers managers{ReadRef(found.Property("authManager")), ReadRef(found.Property("fileManager")),
                    ReadRef(found.Property("processManager"))};
  absl::MutexLock lock(&mutex_);
  managers_ = managers;
  return managers;
}

absl::StatusOr<SoapReply> GuestTools::Patiently(absl::FunctionRef<absl::StatusOr<SoapReply>()> call,
                                                std::stop_token stop) {
  absl::Time give_up = client_.clock()->Now() + kStartingPatience;
  Backoff pause;
  while (true) {
    auto reply = call();
    bool starting = IsFault(reply.status(), "GuestOperationsUnavailable") ||
                    IsFault(reply.status(), "TooManyGuestLogons");
    if (!starting || client_.clock()->Now() >= give_up) return reply;
    DROVER_RETURN_IF_ERROR(client_.clock()->Sleep(pause.Next(), stop));
  }
}

absl::Status GuestTools::WaitForTools(const MoRef& vm, absl::Duration patience,
                                      core::StepContext& context) {
  absl::Time deadline = client_.clock()->Now() + patience;
  Backoff pause(absl::Seconds(1), kGuestPause);
  while (true) {
    auto objects = client_.RetrieveOne(
        vm, {"guest.toolsRunningStatus", "guest.guestOperationsReady", "runtime.powerState"},
        context.stop());
    if (!objects.ok()) return Interpret(objects.status(), client_.host(), "the VM");
    ObjectView state = objects->First();
    pugi::xml_node ready = state.Property("guest.guestOperationsReady");
    if (state.TextOf("guest.toolsRunningStatus") == "guestToolsRunning" &&
        (!ready || IsTrue(ready))) {
      return absl::OkStatus();
    }
    if (state.TextOf("runtime.powerState") == "poweredOff") {
      return MakeError(absl::StatusCode::kFailedPrecondition, "WRONG_POWER_STATE",
                       absl::StrCat("the VM on ", client_.host(),
                                    " is powered off, so its VMware Tools do not run"));
    }
    absl::Duration left = deadline - client_.clock()->Now();
    if (left <= absl::ZeroDuration()) return ToolsMissing(client_.host(), patience);
    context.Report(0, "waiting for VMware Tools in the guest");
    DROVER_RETURN_IF_ERROR(client_.clock()->Sleep(std::min(pause.Next(), left), context.stop()));
  }
}

absl::Status GuestTools::CheckLogin(const MoRef& vm, const core::GuestLogin& login) {
  DROVER_ASSIGN_OR_RETURN(Managers managers, ReadManagers({}));
  auto reply = Patiently(
      [&] {
        return client_.Read(managers.login, "ValidateCredentialsInGuest", Who(vm, login), {});
      },
      {});
  return InterpretGuest(reply.status(), client_.host(), absl::StrCat("guest user ", login.user()));
}

absl::StatusOr<std::string> GuestTools::UploadUrl(const Managers& managers, const std::string& who,
                                                  absl::string_view path, size_t size, int mode,
                                                  std::stop_token stop) {
  std::string attributes =
      XmlTyped("fileAttributes", "GuestPosixFileAttributes", Xml("permissions", int64_t{mode}));
  std::string parameters =
      absl::StrCat(who, Xml("guestFilePath", path), attributes,
                   Xml("fileSize", static_cast<int64_t>(size)), Xml("overwrite", true));
  auto initiate = [&] {
    return client_.Change(managers.file, "InitiateFileTransferToGuest", parameters, stop);
  };
  auto reply = Patiently(initiate, stop);
  if (IsFault(reply.status(), "FileNotFound") && !ParentOf(path).empty()) {
    absl::Status made = client_
                            .Change(managers.file, "MakeDirectoryInGuest",
                                    absl::StrCat(who, Xml("directoryPath", ParentOf(path)),
                                                 Xml("createParentDirectories", true)),
                                    stop)
                            .status();
    if (!made.ok() && !IsFault(made, "FileAlreadyExists")) return made;
    reply = Patiently(initiate, stop);
  }
  if (!reply.ok()) return reply.status();
  return std::string(Text(reply->value()));
}

absl::Status GuestTools::WriteFile(const MoRef& vm, const core::GuestLogin& login,
                                   absl::string_view path, absl::string_view contents, int mode,
                                   core::StepContext& context) {
  DROVER_ASSIGN_OR_RETURN(Managers managers, ReadManagers(context.stop()));
  std::string what = absl::StrCat("writing ", path, " in the guest");
  std::string who = Who(vm, login);
  absl::Status status;
  // The URL serves once: a transfer that broke begins again from the start.
  for (int attempt = 0; attempt < kTransferAttempts; ++attempt) {
    auto url = UploadUrl(managers, who, path, contents.size(), mode, context.stop());
    if (!url.ok()) return InterpretGuest(url.status(), client_.host(), what);
    status = Transfer(vm, *url, true, contents, context.stop()).status();
    if (!absl::IsUnavailable(status)) break;
    DROVER_RETURN_IF_ERROR(client_.clock()->Sleep(kTransferPause, context.stop()));
  }
  return status.ok() ? status : Annotate(status, what);
}

absl::StatusOr<std::string> GuestTools::ReadFile(const MoRef& vm, const core::GuestLogin& login,
                                                 absl::string_view path,
                                                 core::StepContext& context) {
  DROVER_ASSIGN_OR_RETURN(Managers managers, ReadManagers(context.stop()));
  std::string what = absl::StrCat("reading ", path, " in the guest");
  absl::StatusOr<std::string> contents;
  for (int attempt = 0; attempt < kTransferAttempts; ++attempt) {
    auto reply = Patiently(
        [&] {
          return client_.Change(managers.file, "InitiateFileTransferFromGuest",
                                absl::StrCat(Who(vm, login), Xml("guestFilePath", path)),
                                context.stop());
        },
        context.stop());
    if (!reply.ok()) return InterpretGuest(reply.status(), client_.host(), what);
    contents = Transfer(vm, TextAt(reply->value(), "url"), false, "", context.stop());
    if (!absl::IsUnavailable(contents.status())) break;
    DROVER_RETURN_IF_ERROR(client_.clock()->Sleep(kTransferPause, context.stop()));
  }
  if (!contents.ok()) return Annotate(contents.status(), what);
  return contents;
}

absl::StatusOr<std::string> GuestTools::Transfer(const MoRef& vm, absl::string_view url, bool send,
                                                 absl::string_view contents, std::stop_token stop) {
  const Account& account = client_.session().account();
  std::string own = HostNameOfUrl(account.url);
  HttpRequest request;
  // A host that does not know its name writes "*" for "where you found me".
  request.url = absl::StrReplaceAll(url, {{"://*", absl::StrCat("://", own)}});
  request.method = send ? HttpRequest::Method::kPut : HttpRequest::Method::kGet;
  request.body = contents;
  request.timeout = kTransferTimeout;
  request.stop = stop;
  request.repeatable = false;
  absl::StatusOr<HttpResponse> response;
  if (HostNameOfUrl(request.url) == own) {
    response = client_.session().transport().Send(request);
  } else {
    DROVER_ASSIGN_OR_RETURN(std::string pin, HostPin(vm, stop));
    response = HttpTransport(pin, 1).Send(request);
  }
  if (!response.ok()) return response.status();
  if (response->status / 100 == 2) return std::move(response->body);
  return MakeError(response->status >= 500 ? absl::StatusCode::kUnavailable
                                           : absl::StatusCode::kFailedPrecondition,
                   "GUEST_TRANSFER_FAILED",
                   absl::StrCat(HostOfUrl(request.url), " answers the transfer with HTTP status ",
                                response->status));
}

absl::StatusOr<std::string> GuestTools::HostPin(const MoRef& vm, std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(Objects vms, client_.RetrieveOne(vm, {"runtime.host"}, stop));
  MoRef host = ReadRef(vms.First().Property("runtime.host"));
  DROVER_ASSIGN_OR_RETURN(
      Objects hosts,
      client_.RetrieveOne(host, {"config.certificate", "summary.config.sslThumbprint"}, stop));
  std::string pin = FingerprintOfCertificate(BytesOf(hosts.First().Property("config.certificate")));
  if (pin.empty()) {
    pin = absl::AsciiStrToUpper(hosts.First().TextOf("summary.config.sslThumbprint"));
  }
  if (!pin.empty()) return pin;
  return MakeError(absl::StatusCode::kFailedPrecondition, "CERTIFICATE_NOT_CONFIRMED",
                   absl::StrCat(client_.host(),
                                " does not tell the certificate of the host that runs the VM, so "
                                "nothing is sent there"));
}

absl::StatusOr<int> GuestTools::Run(const MoRef& vm, const core::GuestLogin& login,
                                    absl::string_view program, absl::string_view arguments,
                                    absl::Duration patience, core::StepContext& context) {
  DROVER_ASSIGN_OR_RETURN(Managers managers, ReadManagers(context.stop()));
  std::string what = absl::StrCat("running ", program, " in the guest");
  std::string who = Who(vm, login);
  std::string spec =
      XmlOf("spec", absl::StrCat(Xml("programPath", program), Xml("arguments", arguments)));
  auto started = Patiently(
      [&] {
        return client_.Change(managers.process, "StartProgramInGuest", who + spec, context.stop());
      },
      context.stop());
  if (!started.ok()) return InterpretGuest(started.status(), client_.host(), what);
  int64_t pid = IntAt(started->value(), "");
  auto code = AwaitExit(managers, who, pid, what, patience, context);
  if (absl::IsCancelled(code.status()) || absl::IsDeadlineExceeded(code.status())) {
    CallOptions options;
    options.timeout = absl::Seconds(10);
    client_.session()
        .Call(managers.process, "TerminateProcessInGuest", who + Xml("pid", pid), options)
        .IgnoreError();
  }
  return code;
}

absl::StatusOr<int> GuestTools::AwaitExit(const Managers& managers, const std::string& who,
                                          int64_t pid, absl::string_view what,
                                          absl::Duration patience, core::StepContext& context) {
  absl::Time deadline = client_.clock()->Now() + patience;
  Backoff pause(absl::Seconds(2), kGuestPause);
  while (true) {
    auto listed = Patiently(
        [&] {
          return client_.Read(managers.process, "ListProcessesInGuest", who + Xml("pids", pid),
                              context.stop());
        },
        context.stop());
    if (!listed.ok()) return InterpretGuest(listed.status(), client_.host(), what);
    pugi::xml_node process = listed->value();
    if (!process) {
      return MakeError(absl::StatusCode::kNotFound, "GUEST_PROCESS_NOT_FOUND",
                       absl::StrCat(what, ": the guest forgot the process; was it restarted?"));
    }
    // Some servers leave out an exit code of 0: the end time tells that it ended.
    if (process.child("endTime")) return static_cast<int>(IntAt(process, "exitCode"));
    absl::Duration left = deadline - client_.clock()->Now();
    if (left <= absl::ZeroDuration()) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "GUEST_PROGRAM_TOO_SLOW",
                       absl::StrCat(what, " on ", client_.host(), ": no end within ",
                                    absl::FormatDuration(patience)));
    }
    DROVER_RETURN_IF_ERROR(client_.clock()->Sleep(std::min(pause.Next(), left), context.stop()));
  }
}

}  // namespace drover::vsphere
