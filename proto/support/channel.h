// Calls to the controller without generated stubs: TLS with a pinned authority, methods by their
// full name.
//
// Thread promise: a channel may be used from any thread. A ServerStream is read by one thread;
// Cancel may be called from any. Ownership: the caller owns channels and streams; a stream keeps
// its channel alive.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace grpc {
class Channel;
}

namespace drover {

// Every controller certificate carries this name next to its addresses, so that a pinned authority
// is enough to recognise a controller under any address. Certificates of agents, issued by the same
// authority, do not carry it.
inline constexpr char kControllerName[] = "drover-controller";

// A channel to "host:port" that trusts `authority_pem` alone and wants `server_name` in the
// certificate. Connects with the first call, not now.
std::shared_ptr<grpc::Channel> OpenChannel(absl::string_view address,
                                           absl::string_view authority_pem,
                                           absl::string_view server_name = kControllerName);

struct CallOptions {
  // Sent as "authorization: Bearer ..." when not empty.
  std::string token;
  absl::Duration timeout = absl::InfiniteDuration();
};

// One call of `method` ("/drover.v1.InventoryService/GetVm"). Blocks. Errors carry the server's
// details; a server that cannot be reached is UNAVAILABLE, one that shows a certificate of another
// authority as well, reason CERTIFICATE_REFUSED.
absl::Status UnaryCall(const std::shared_ptr<grpc::Channel>& channel, absl::string_view method,
                       const google::protobuf::Message& request,
                       google::protobuf::Message* response, const CallOptions& options = {});

// One server-streaming call; ended by its destructor if not before.
class ServerStream {
 public:
  ServerStream(const std::shared_ptr<grpc::Channel>& channel, absl::string_view method,
               const google::protobuf::Message& request, const CallOptions& options = {});
  ~ServerStream();
  ServerStream(const ServerStream&) = delete;
  ServerStream& operator=(const ServerStream&) = delete;

  // Waits for the next message. False when there is none any more; Finish says why.
  bool Read(google::protobuf::Message* message);
  // After Read was false: OK when the server ended the stream in order.
  absl::Status Finish();
  // Ends the call; a waiting Read returns false.
  void Cancel();

 private:
  struct Call;
  std::unique_ptr<Call> call_;
};

}  // namespace drover
