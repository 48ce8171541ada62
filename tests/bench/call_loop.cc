// A gRPC client that does nothing but call: so many calls under way at any time, for so long. The
// token comes from DROVER_TOKEN. Prints "CALLS_PER_SECOND P50_MS P99_MS".
//
//   call_loop ADDRESS AUTHORITY_FILE METHOD UNDER_WAY SECONDS     METHOD as PeopleService/GetSelf;
//   with an empty request
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "proto/support/channel.h"
#include "proto/support/contract.h"
#include "proto/support/process.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Call {
  grpc::ClientContext context;
  grpc::ByteBuffer answer;
  grpc::Status status;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
  Clock::time_point start;
};

class Loop {
 public:
  Loop(std::shared_ptr<grpc::Channel> channel, std::string path)
      : stub_(std::move(channel)), path_(std::move(path)) {}

  void Run(int under_way, std::chrono::seconds time) {
    const auto end = Clock::now() + time;
    for (int i = 0; i < under_way; ++i) Begin();
    int open = under_way;
    void* tag = nullptr;
    bool ok = false;
    while (open > 0 && queue_.Next(&tag, &ok)) {
      const std::unique_ptr<Call> call(static_cast<Call*>(tag));
      if (!call->status.ok()) {
        fprintf(stderr, "call_loop: %s\n", call->status.error_message().c_str());
        exit(1);
      }
      took_.push_back(
          std::chrono::duration<double, std::milli>(Clock::now() - call->start).count());
      if (Clock::now() < end) {
        Begin();
      } else {
        --open;
      }
    }
    std::sort(took_.begin(), took_.end());
    printf("%.0f %.3f %.3f\n",
           static_cast<double>(took_.size()) / static_cast<double>(time.count()),
           took_[took_.size() / 2], took_[took_.size() * 99 / 100]);
  }

 private:
  void Begin() {
    auto* call = new Call;
    call->context.AddMetadata("authorization", std::string("Bearer ") + getenv("DROVER_TOKEN"));
    call->start = Clock::now();
    const grpc::Slice nothing("", 0);
    call->reader =
        stub_.PrepareUnaryCall(&call->context, path_, grpc::ByteBuffer(&nothing, 1), &queue_);
    call->reader->StartCall();
    call->reader->Finish(&call->answer, &call->status, call);
  }

  grpc::GenericStub stub_;
  const std::string path_;
  grpc::CompletionQueue queue_;
  std::vector<double> took_;
};

}  // namespace

int main(int argc, char** argv) {
  drover::SetUpProcess();
  if (argc != 6 || getenv("DROVER_TOKEN") == nullptr) {
    fprintf(stderr, "usage: call_loop ADDRESS AUTHORITY_FILE METHOD UNDER_WAY SECONDS\n");
    return 2;
  }
  std::ifstream file(argv[2]);
  const std::string authority((std::istreambuf_iterator<char>(file)), {});
  Loop loop(drover::OpenChannel(argv[1], authority),
            drover::MethodPath(*drover::FindMethod(argv[3])));
  loop.Run(atoi(argv[4]), std::chrono::seconds(atoi(argv[5])));
  return 0;
}
