// The gateway's answers: which of its parts a request is for, who asks, and what every answer
// carries. No call of the contract is named here but those that begin and end a session.
//
// Thread promise: Handle from any thread, and Reload beside it. Owns nothing that lasts; the parts
// it is given outlive it.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "web-gateway/client_address.h"
#include "web-gateway/config.h"
#include "web-gateway/http.h"
#include "web-gateway/login_limiter.h"
#include "web-gateway/route_table.h"
#include "web-gateway/static_files.h"
#include "web-gateway/upstream.h"
#include "web-gateway/watch_hub.h"

namespace drover::gateway {

class Gateway final : public HttpHandler {
 public:
  Gateway(const Config& config, RouteTable routes, Upstream* upstream, WatchHub* hub);

  // Reads the page's files again.
  absl::Status Reload();
  void Handle(HttpRequest request, Respond respond) override;

 private:
  struct Exchange;
  using ExchangePtr = std::shared_ptr<Exchange>;

  bool AnswerOwn(const ExchangePtr& exchange);
  void AnswerReady(const ExchangePtr& exchange);
  void AnswerCall(const ExchangePtr& exchange);
  absl::Status Admit(const Exchange& exchange) const;
  absl::Status AdmitLogin(const Exchange& exchange);
  void Call(const ExchangePtr& exchange, const google::protobuf::Message& request);
  void Stream(const ExchangePtr& exchange, const google::protobuf::Message& request);
  HttpResponse Answered(const ExchangePtr& exchange, google::protobuf::Message& answer) const;
  HttpResponse Failed(const Exchange& exchange, const absl::Status& status) const;
  absl::Duration TimeoutOf(const HttpRequest& request) const;

  const Config config_;
  const RouteTable routes_;
  Upstream* const upstream_;
  WatchHub* const hub_;
  const std::shared_ptr<const std::string> openapi_;
  LoginLimiter logins_;
  StaticFiles files_;
};

}  // namespace drover::gateway
