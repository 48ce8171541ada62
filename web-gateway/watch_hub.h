// One watch of the controller for all browsers that watch the same: events are written once and
// shared. A browser that is slow misses what it has not taken in time and is told of a gap; it
// holds up nobody. A browser that comes back with the id of the last event it saw gets what it
// missed.
//
// What a browser gets, as server-sent events: `live` and `degraded` (is the controller being
// watched, and since when), changes as WatchResponse without a name of their own, `failed` when its
// session ended. After the controller was away there is always a gap: what changed meanwhile was
// not seen.
//
// The upstream call is made in the name of one of the browsers; when that one's session ends,
// another's takes over. Each session is asked about when it comes and every 30 s after that, so
// that nobody watches longer than they may.
//
// Thread promise: all methods from any thread. Owns a thread, the upstream calls and the rings.
// Survives a restart: nothing; a browser that comes back after one gets a gap.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "drover/v1/activity.pb.h"
#include "drover/v1/people.pb.h"
#include "web-gateway/http.h"
#include "web-gateway/upstream.h"

namespace drover::gateway {

struct WatchOptions {
  // Events kept for browsers that come back or are slow.
  size_t ring = 4096;
  // Between attempts to reach a controller that is away.
  absl::Duration retry = absl::Seconds(1);
  // The controller says something every 15 s; silent for longer than this, it is gone.
  absl::Duration silence = absl::Seconds(40);
  absl::Duration recheck = absl::Seconds(30);
  // A watch that nobody shares any more ends after this, so that a page that is loaded again finds
  // it.
  absl::Duration linger = absl::Seconds(20);
  // How often Tick is called by the hub's own thread.
  absl::Duration tick = absl::Milliseconds(500);
  std::function<absl::Time()> now = [] { return absl::Now(); };
};

class WatchHub {
 public:
  WatchHub(Upstream* upstream, WatchOptions options = {});
  ~WatchHub();

  // Begins to look after the watches.
  void Start();
  // Ends all watches. Bodies that are being sent stay valid and get nothing more.
  void Stop();

  // Whether a request can share: from now on, not from an event of the caller's choice.
  static bool MayShare(const google::protobuf::MethodDescriptor& method,
                       const google::protobuf::Message& request);

  // Asks whether this session may; then a body, or the error. `answer` is called on one of gRPC's
  // threads. `last_event_id` is the browser's, "" without one.
  void Subscribe(const google::protobuf::MethodDescriptor& method,
                 const drover::v1::WatchRequest& request, const CallerFacts& facts,
                 absl::string_view last_event_id,
                 std::function<void(absl::StatusOr<std::unique_ptr<BodyStream>>)> answer)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // What is due: attempts, silence, sessions to ask about, watches that nobody shares.
  void Tick(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  struct Counts {
    int watches = 0;
    int subscribers = 0;
    int64_t gaps = 0;
    int64_t reconnects = 0;
  };
  Counts counts() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class Scope;
  class Subscriber;
  class Body;

  std::unique_ptr<BodyStream> Attach(const google::protobuf::MethodDescriptor& method,
                                     const drover::v1::WatchRequest& request,
                                     const CallerFacts& facts, absl::string_view last_event_id)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Browsers of one session that come together, as after a restart, are one question.
  using SelfAnswer = std::function<void(const absl::StatusOr<drover::v1::User>&)>;
  void AskSelf(const CallerFacts& facts, SelfAnswer answer) ABSL_LOCKS_EXCLUDED(mutex_);
  void Recheck(const std::shared_ptr<Scope>& scope, absl::Time now);

  Upstream* const upstream_;
  const WatchOptions options_;
  mutable absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // Whoever waits for what the controller says of a session, by token and address.
  std::map<std::string, std::vector<SelfAnswer>> asking_ ABSL_GUARDED_BY(mutex_);
  // By method and request.
  std::map<std::string, std::shared_ptr<Scope>> scopes_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace drover::gateway
