// Screens that follow operations: each a stream of its own on the controller's public API, as the
// command line has it. Every line of the agents says when it was written and which one it is.
//
//   output_screens ADDRESS AUTHORITY_FILE <operations, one a line
//
// When all operations have ended: "lines N told_lost N lost N p50 MS p95 MS p99 MS worst MS".
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "drover/v1/activity.pb.h"
#include "proto/support/process.h"

namespace drover {
namespace {

constexpr int kStreamsEach = 50;

struct Figures {
  absl::Mutex mutex;
  size_t open = 0;
  std::vector<double> milliseconds;
  int64_t lost = 0;
  int64_t told_lost = 0;
};

using Stub = grpc::TemplatedGenericStub<v1::WatchOperationRequest, v1::Operation>;

class Screen : public grpc::ClientBidiReactor<v1::WatchOperationRequest, v1::Operation> {
 public:
  Screen(Figures* figures, Stub* stub, const std::string& operation) : figures_(figures) {
    context_.AddMetadata("authorization", "Bearer bench");
    request_.set_name(operation);
    stub->PrepareBidiStreamingCall(&context_, "/drover.v1.ActivityService/WatchOperation", {},
                                   this);
    StartWriteLast(&request_, grpc::WriteOptions());
    StartRead(&operation_);
    StartCall();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    Read();
    StartRead(&operation_);
  }
  void OnDone(const grpc::Status& status) override {
    if (!status.ok()) fprintf(stderr, "a screen ended: %s\n", status.error_message().c_str());
    absl::MutexLock lock(&figures_->mutex);
    figures_->lost += told_ > 0 ? 0 : lost_;
    figures_->told_lost += told_ > 0 ? lost_ : 0;
    --figures_->open;
  }

 private:
  // Lines are "NUMBER MICROSECONDS words".
  void Read() {
    const double now = static_cast<double>(absl::ToUnixMicros(absl::Now()));
    std::vector<double> fresh;
    for (const auto& line : operation_.log()) {
      if (absl::StrContains(line.text(), "left out")) ++told_;
      const std::vector<absl::string_view> words = absl::StrSplit(line.text(), ' ');
      int64_t number = 0;
      int64_t written = 0;
      if (words.size() < 2 || !absl::SimpleAtoi(words[0], &number) ||
          !absl::SimpleAtoi(words[1], &written) || number <= seen_) {
        continue;
      }
      lost_ += number - seen_ - 1;
      seen_ = number;
      fresh.push_back((now - static_cast<double>(written)) / 1000);
    }
    absl::MutexLock lock(&figures_->mutex);
    figures_->milliseconds.insert(figures_->milliseconds.end(), fresh.begin(), fresh.end());
  }

  Figures* const figures_;
  grpc::ClientContext context_;
  v1::WatchOperationRequest request_;
  v1::Operation operation_;
  int64_t seen_ = 0;
  int64_t lost_ = 0;
  int told_ = 0;
};

int Main(const std::string& address, const std::string& authority_file) {
  rlimit files{65536, 65536};
  setrlimit(RLIMIT_NOFILE, &files);
  std::ostringstream authority;
  authority << std::ifstream(authority_file).rdbuf();
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = authority.str();
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride("drover-controller");
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  Figures figures;
  std::vector<std::unique_ptr<Stub>> stubs;
  std::vector<std::unique_ptr<Screen>> screens;
  std::string operation;
  while (std::getline(std::cin, operation)) {
    if (screens.size() % kStreamsEach == 0) {
      stubs.push_back(std::make_unique<Stub>(
          grpc::CreateCustomChannel(address, grpc::SslCredentials(tls), arguments)));
    }
    {
      absl::MutexLock lock(&figures.mutex);
      ++figures.open;
    }
    screens.push_back(std::make_unique<Screen>(&figures, stubs.back().get(), operation));
  }
  const auto all_ended = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return figures.open == 0; };
  absl::MutexLock lock(&figures.mutex);
  figures.mutex.Await(absl::Condition(&all_ended));
  std::vector<double>& took = figures.milliseconds;
  if (took.empty()) return 1;
  std::sort(took.begin(), took.end());
  const auto at = [&](double part) {
    return took[static_cast<size_t>(part * static_cast<double>(took.size() - 1))];
  };
  printf("lines %zu told_lost %lld lost %lld p50 %.0f p95 %.0f p99 %.0f worst %.0f\n", took.size(),
         static_cast<long long>(figures.told_lost), static_cast<long long>(figures.lost), at(0.5),
         at(0.95), at(0.99), took.back());
  return 0;
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  drover::SetUpProcess();
  if (argc != 3) {
    fprintf(stderr, "usage: output_screens ADDRESS AUTHORITY_FILE <operations\n");
    return 2;
  }
  return drover::Main(argv[1], argv[2]);
}
