#include "web-gateway/watch_hub.h"

#include <algorithm>
#include <deque>
#include <set>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "drover/v1/people.pb.h"
#include "proto/support/contract.h"
#include "proto/support/json.h"
#include "proto/support/log.h"
#include "web-gateway/access.h"
#include "web-gateway/json_text.h"
#include "web-gateway/stream_body.h"
#include "web-gateway/transcoder.h"

namespace drover::gateway {
namespace {

using drover::v1::WatchRequest;
using drover::v1::WatchResponse;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

constexpr absl::Duration kSelfTimeout = absl::Seconds(10);
// Sessions asked about in one tick.
constexpr int kMostRechecks = 100;
// EventSource waits so long before it comes again.
constexpr char kRetryLine[] = "retry: 3000\n\n";

std::string TimeJson(absl::Time time) {
  return JsonText(absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone()));
}

const MethodDescriptor& SelfMethod() {
  static const MethodDescriptor* const method = FindMethod("PeopleService/GetSelf");
  return *method;
}

bool IsRefusal(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
}

std::shared_ptr<const std::string> Shared(std::string text) {
  return std::make_shared<const std::string>(std::move(text));
}

}  // namespace

// One browser: where it is in the ring. Guarded by its scope's mutex but for what never changes.
class WatchHub::Subscriber {
 public:
  explicit Subscriber(CallerFacts facts) : facts(std::move(facts)) {}

  const CallerFacts facts;
  // Number of the next event it gets.
  int64_t next = 0;
  // Goes out before anything else.
  std::shared_ptr<const std::string> greeting;
  // Its last words.
  std::shared_ptr<const std::string> farewell;
  // Shared, so that many can be called without the lock.
  std::shared_ptr<const std::function<void()>> wake;
};

// One watch of the controller and its ring.
class WatchHub::Scope : public std::enable_shared_from_this<Scope> {
 public:
  Scope(Upstream* upstream, const WatchOptions& options, const MethodDescriptor& method,
        WatchRequest request)
      : upstream_(upstream),
        options_(options),
        method_(method),
        request_(std::move(request)),
        id_(absl::StrFormat("%016x", absl::Uniform<uint64_t>(absl::BitGen()))) {}

  const MethodDescriptor& method() const { return method_; }

  // Connect follows, without the hub's lock.
  std::shared_ptr<Subscriber> Add(const CallerFacts& facts, absl::string_view last_event_id)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    auto subscriber = std::make_shared<Subscriber>(facts);
    absl::MutexLock lock(&mutex_);
    subscriber->next = first_ + static_cast<int64_t>(ring_.size());
    std::string greeting = absl::StrCat(kRetryLine, StateText(last_id()));
    int64_t seen = 0;
    if (!last_event_id.empty() && Seen(last_event_id, &seen)) {
      // What it missed tells the state too.
      subscriber->next = seen + 1;
      greeting = kRetryLine;
    } else if (!last_event_id.empty()) {
      greeting += GapText();
      ++gaps_;
    }
    subscriber->greeting = Shared(std::move(greeting));
    subscribers_.insert(subscriber);
    checked_.emplace(facts.token, options_.now());
    empty_since_ = absl::InfiniteFuture();
    return subscriber;
  }

  void ConnectFirst() ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      if (state_ != State::kIdle) return;
      state_ = State::kAway;
    }
    Connect(options_.now());
  }

  void Remove(const std::shared_ptr<Subscriber>& subscriber) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    subscribers_.erase(subscriber);
    if (subscribers_.empty()) empty_since_ = options_.now();
  }

  void SetWake(Subscriber& subscriber, std::function<void()> wake) ABSL_LOCKS_EXCLUDED(mutex_) {
    auto shared = std::make_shared<const std::function<void()>>(std::move(wake));
    absl::MutexLock lock(&mutex_);
    subscriber.wake = std::move(shared);
  }

  BodyStream::Piece Next(Subscriber& subscriber) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    BodyStream::Piece piece;
    if (subscriber.greeting != nullptr) {
      piece.data = std::move(subscriber.greeting);
      subscriber.greeting = nullptr;
      return piece;
    }
    if (subscriber.farewell != nullptr) {
      piece.data = subscriber.farewell;
      piece.end = true;
      return piece;
    }
    if (subscriber.next < first_) {
      // It was too slow; the newest state is what it wants.
      subscriber.next = first_ + static_cast<int64_t>(ring_.size());
      piece.data = Shared(absl::StrCat(StateText(last_id()), GapText()));
      ++gaps_;
      return piece;
    }
    const auto index = static_cast<size_t>(subscriber.next - first_);
    if (index < ring_.size()) {
      piece.data = ring_[index];
      ++subscriber.next;
    }
    return piece;
  }

  void Connect(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_) {
    CallerFacts facts;
    WatchRequest request = request_;
    int attempt = 0;
    std::unique_ptr<Upstream::Stream> old;
    {
      absl::MutexLock lock(&mutex_);
      const auto voice =
          std::find_if(subscribers_.begin(), subscribers_.end(),
                       [](const auto& subscriber) { return subscriber->farewell == nullptr; });
      if (voice == subscribers_.end() || ended_) return;
      facts = (*voice)->facts;
      request.set_after_sequence(last_sequence_);
      attempt = ++attempt_;
      state_ = State::kConnecting;
      heard_ = now;
      old = std::move(stream_);
    }
    old.reset();
    auto stream =
        upstream_->Open(method_, request, facts,
                        [weak = weak_from_this(), attempt, token = facts.token](
                            std::unique_ptr<Message> message, const absl::Status& status) {
                          if (auto self = weak.lock()) {
                            self->Got(attempt, token, std::move(message), status);
                          }
                        });
    absl::MutexLock lock(&mutex_);
    // It may have ended already.
    if (attempt != attempt_ || state_ != State::kConnecting) return;
    stream_ = std::move(stream);
    stream_->Read();
  }

  // Whether nobody shared it for long enough.
  bool IsOver(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return subscribers_.empty() && now - empty_since_ > options_.linger;
  }

  void Tick(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_) {
    bool connect = false;
    bool lost = false;
    {
      absl::MutexLock lock(&mutex_);
      connect = state_ == State::kAway && now >= retry_at_ && !subscribers_.empty();
      const bool open = state_ == State::kLive || state_ == State::kConnecting;
      lost = open && now - heard_ > options_.silence;
    }
    if (lost) Lose(absl::UnavailableError("the controller is silent"), now);
    if (connect) Connect(now);
  }

  // Sessions that are due, each with the facts of one of its browsers.
  std::vector<CallerFacts> DueSessions(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_) {
    std::vector<CallerFacts> due;
    std::map<std::string, absl::Time> still;
    absl::MutexLock lock(&mutex_);
    for (const auto& subscriber : subscribers_) {
      const std::string& token = subscriber->facts.token;
      const auto [found, fresh] = still.emplace(token, now);
      if (!fresh) continue;
      if (auto checked = checked_.find(token); checked != checked_.end()) {
        found->second = checked->second;
      }
      if (now - found->second < options_.recheck || due.size() >= kMostRechecks) continue;
      found->second = now;
      due.push_back(subscriber->facts);
    }
    checked_ = std::move(still);
    return due;
  }

  // Ends what goes on in the name of a session.
  void Expel(const std::string& token, const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_) {
    Wakes wakes;
    {
      absl::MutexLock lock(&mutex_);
      for (const auto& subscriber : subscribers_) {
        if (subscriber->facts.token != token || subscriber->farewell != nullptr) continue;
        subscriber->farewell = Shared(EventText("failed", "", ErrorJson(why, "")));
        if (subscriber->wake != nullptr) wakes.push_back(subscriber->wake);
      }
    }
    for (const auto& wake : wakes) (*wake)();
  }

  void End() ABSL_LOCKS_EXCLUDED(mutex_) {
    // Goes after the lock.
    std::unique_ptr<Upstream::Stream> stream;
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    ++attempt_;
    state_ = State::kIdle;
    stream = std::move(stream_);
  }

  void Count(Counts* counts) const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    counts->watches += state_ == State::kLive ? 1 : 0;
    counts->subscribers += static_cast<int>(subscribers_.size());
    counts->gaps += gaps_;
    counts->reconnects += reconnects_;
  }

 private:
  enum class State { kIdle, kConnecting, kLive, kAway };
  using Wakes = std::vector<std::shared_ptr<const std::function<void()>>>;

  std::string IdOf(int64_t number) const { return absl::StrCat(id_, "-", number); }
  std::string last_id() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return IdOf(first_ + static_cast<int64_t>(ring_.size()) - 1);
  }
  // The number within an id of ours whose successors are all still here.
  bool Seen(absl::string_view id, int64_t* number) const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(id, absl::MaxSplits('-', 1));
    return parts.first == id_ && absl::SimpleAtoi(parts.second, number) && *number + 1 >= first_ &&
           *number < first_ + static_cast<int64_t>(ring_.size());
  }
  // Nothing before the first attempt has ended.
  std::string StateText(absl::string_view id) const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    if (state_ != State::kLive && !degraded_) return "";
    return EventText(degraded_ ? "degraded" : "live", id,
                     absl::StrCat("{\"since\":", TimeJson(since_), "}"));
  }
  static std::string GapText() { return EventText("", "", "{\"gap\":{\"afterSequence\":\"0\"}}"); }

  // Writes an event for everybody; the caller wakes them without the lock.
  void Append(absl::string_view event, absl::string_view json)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const int64_t number = first_ + static_cast<int64_t>(ring_.size());
    ring_.push_back(Shared(EventText(event, IdOf(number), json)));
    if (ring_.size() > options_.ring) {
      ring_.pop_front();
      ++first_;
    }
  }
  void WakeAll() ABSL_LOCKS_EXCLUDED(mutex_) {
    Wakes wakes;
    {
      absl::MutexLock lock(&mutex_);
      wakes.reserve(subscribers_.size());
      for (const auto& subscriber : subscribers_) {
        if (subscriber->wake != nullptr) wakes.push_back(subscriber->wake);
      }
    }
    for (const auto& wake : wakes) (*wake)();
  }

  void Got(int attempt, const std::string& token, std::unique_ptr<Message> message,
           const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::Time now = options_.now();
    if (message == nullptr) return Ended(attempt, token, status, now);
    const auto& response = static_cast<const WatchResponse&>(*message);
    const absl::StatusOr<std::string> json = ToJson(response);
    {
      absl::MutexLock lock(&mutex_);
      if (attempt != attempt_) return;
      heard_ = now;
      if (state_ != State::kLive) BecomeLive(now);
      if (response.has_event()) last_sequence_ = response.event().sequence();
      if (json.ok()) Append("", *json);
      if (stream_ != nullptr) stream_->Read();
    }
    WakeAll();
  }

  void Ended(int attempt, const std::string& token, const absl::Status& status, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    const bool refused = IsRefusal(status);
    std::unique_ptr<Upstream::Stream> stream;
    {
      absl::MutexLock lock(&mutex_);
      if (attempt != attempt_ || ended_) return;
      if (refused) {
        state_ = State::kAway;
        ++attempt_;
        stream = std::move(stream_);
      }
    }
    if (!refused) return Lose(status, now);
    // That one's session is over; somebody else asks for all.
    Expel(token, status);
    Connect(now);
  }

  void BecomeLive(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    state_ = State::kLive;
    degraded_ = false;
    since_ = now;
    Append("live", absl::StrCat("{\"since\":", TimeJson(now), "}"));
    // Names of what changed while nobody watched were told to nobody.
    if (was_live_) {
      Append("", "{\"gap\":{\"afterSequence\":\"0\"}}");
      ++reconnects_;
    }
    was_live_ = true;
  }

  void Lose(const absl::Status& why, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_) {
    std::unique_ptr<Upstream::Stream> stream;
    bool tell = false;
    {
      absl::MutexLock lock(&mutex_);
      if (ended_) return;
      tell = !degraded_;
      degraded_ = true;
      state_ = State::kAway;
      ++attempt_;
      retry_at_ = now + options_.retry;
      stream = std::move(stream_);
      if (tell) {
        since_ = now;
        Append("degraded", absl::StrCat("{\"since\":", TimeJson(now),
                                        ",\"message\":", JsonText(why.message()), "}"));
      }
    }
    if (!tell) return;
    LogWarning("the watch of the controller is lost: ", why.message());
    WakeAll();
  }

  Upstream* const upstream_;
  const WatchOptions options_;
  const MethodDescriptor& method_;
  const WatchRequest request_;
  const std::string id_;
  mutable absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kIdle;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool was_live_ ABSL_GUARDED_BY(mutex_) = false;
  // Everybody was told that it is away.
  bool degraded_ ABSL_GUARDED_BY(mutex_) = false;
  // Which upstream call is the one that counts.
  int attempt_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<Upstream::Stream> stream_ ABSL_GUARDED_BY(mutex_);
  absl::Time since_ ABSL_GUARDED_BY(mutex_);
  absl::Time heard_ ABSL_GUARDED_BY(mutex_);
  absl::Time retry_at_ ABSL_GUARDED_BY(mutex_);
  absl::Time empty_since_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  int64_t last_sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  // ring_[0] has the number first_.
  int64_t first_ ABSL_GUARDED_BY(mutex_) = 1;
  std::deque<std::shared_ptr<const std::string>> ring_ ABSL_GUARDED_BY(mutex_);
  std::set<std::shared_ptr<Subscriber>> subscribers_ ABSL_GUARDED_BY(mutex_);
  // When each session was last asked about.
  std::map<std::string, absl::Time> checked_ ABSL_GUARDED_BY(mutex_);
  int64_t gaps_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t reconnects_ ABSL_GUARDED_BY(mutex_) = 0;
};

class WatchHub::Body final : public BodyStream {
 public:
  Body(std::shared_ptr<Scope> scope, std::shared_ptr<Subscriber> subscriber)
      : scope_(std::move(scope)), subscriber_(std::move(subscriber)) {}
  ~Body() override { scope_->Remove(subscriber_); }
  void Start(std::function<void()> wake) override {
    scope_->SetWake(*subscriber_, std::move(wake));
  }
  Piece Next() override { return scope_->Next(*subscriber_); }

 private:
  const std::shared_ptr<Scope> scope_;
  const std::shared_ptr<Subscriber> subscriber_;
};

WatchHub::WatchHub(Upstream* upstream, WatchOptions options)
    : upstream_(upstream), options_(options) {}
WatchHub::~WatchHub() { Stop(); }

void WatchHub::Start() {
  thread_ = std::thread([this] {
    const auto stopping = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_; };
    for (;;) {
      {
        absl::MutexLock lock(&mutex_);
        if (mutex_.AwaitWithTimeout(absl::Condition(&stopping), options_.tick)) return;
      }
      Tick(options_.now());
    }
  });
}

void WatchHub::Stop() {
  std::map<std::string, std::shared_ptr<Scope>> scopes;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    scopes = std::move(scopes_);
    scopes_.clear();
  }
  if (thread_.joinable()) thread_.join();
  for (const auto& [key, scope] : scopes) scope->End();
}

bool WatchHub::MayShare(const MethodDescriptor& method, const Message& request) {
  return method.output_type() == WatchResponse::descriptor() &&
         method.input_type() == WatchRequest::descriptor() &&
         static_cast<const WatchRequest&>(request).after_sequence() == 0;
}

void WatchHub::Subscribe(const MethodDescriptor& method, const WatchRequest& request,
                         const CallerFacts& facts, absl::string_view last_event_id,
                         std::function<void(absl::StatusOr<std::unique_ptr<BodyStream>>)> answer) {
  AskSelf(facts, [this, &method, request, facts, id = std::string(last_event_id),
                  answer = std::move(answer)](const absl::StatusOr<drover::v1::User>& self) {
    if (!self.ok()) return answer(self.status());
    if (absl::Status may = MayCall(*self, method); !may.ok()) return answer(may);
    std::unique_ptr<BodyStream> body = Attach(method, request, facts, id);
    if (body == nullptr) return answer(absl::UnavailableError("the gateway is stopping"));
    answer(std::move(body));
  });
}

void WatchHub::AskSelf(const CallerFacts& facts, SelfAnswer answer) {
  const std::string who = absl::StrCat(facts.token, " ", facts.client_address);
  {
    absl::MutexLock lock(&mutex_);
    std::vector<SelfAnswer>& waiting = asking_[who];
    waiting.push_back(std::move(answer));
    if (waiting.size() > 1) return;
  }
  upstream_->Unary(SelfMethod(), drover::v1::GetSelfRequest(), facts, kSelfTimeout,
                   [this, who](absl::StatusOr<std::unique_ptr<Message>> got) {
                     const auto self = got.ok() ? absl::StatusOr<drover::v1::User>(
                                                      static_cast<const drover::v1::User&>(**got))
                                                : absl::StatusOr<drover::v1::User>(got.status());
                     std::vector<SelfAnswer> waiting;
                     {
                       absl::MutexLock lock(&mutex_);
                       waiting = std::move(asking_[who]);
                       asking_.erase(who);
                     }
                     for (const SelfAnswer& one : waiting) one(self);
                   });
}

std::unique_ptr<BodyStream> WatchHub::Attach(const MethodDescriptor& method,
                                             const WatchRequest& request, const CallerFacts& facts,
                                             absl::string_view last_event_id) {
  const std::string key = absl::StrCat(method.full_name(), " ", request.SerializeAsString());
  std::shared_ptr<Scope> scope;
  std::shared_ptr<Subscriber> subscriber;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return nullptr;
    std::shared_ptr<Scope>& known = scopes_[key];
    if (known == nullptr) {
      known = std::make_shared<Scope>(upstream_, options_, method, request);
    }
    scope = known;
    // Under this lock, so that it is not taken for abandoned.
    subscriber = scope->Add(facts, last_event_id);
  }
  scope->ConnectFirst();
  return std::make_unique<Body>(std::move(scope), std::move(subscriber));
}

void WatchHub::Recheck(const std::shared_ptr<Scope>& scope, absl::Time now) {
  for (const CallerFacts& facts : scope->DueSessions(now)) {
    upstream_->Unary(SelfMethod(), drover::v1::GetSelfRequest(), facts, kSelfTimeout,
                     [weak = std::weak_ptr<Scope>(scope),
                      token = facts.token](absl::StatusOr<std::unique_ptr<Message>> self) {
                       const std::shared_ptr<Scope> scope = weak.lock();
                       if (scope == nullptr) return;
                       absl::Status may = self.status();
                       if (self.ok()) {
                         may =
                             MayCall(static_cast<const drover::v1::User&>(**self), scope->method());
                       }
                       // A controller that cannot be asked is no reason to end anything.
                       if (IsRefusal(may)) scope->Expel(token, may);
                     });
  }
}

void WatchHub::Tick(absl::Time now) {
  std::vector<std::shared_ptr<Scope>> scopes;
  std::vector<std::shared_ptr<Scope>> over;
  {
    absl::MutexLock lock(&mutex_);
    for (auto it = scopes_.begin(); it != scopes_.end();) {
      if (it->second->IsOver(now)) {
        over.push_back(it->second);
        it = scopes_.erase(it);
      } else {
        scopes.push_back((it++)->second);
      }
    }
  }
  for (const auto& scope : over) scope->End();
  for (const auto& scope : scopes) {
    scope->Tick(now);
    Recheck(scope, now);
  }
}

WatchHub::Counts WatchHub::counts() const {
  Counts counts;
  absl::MutexLock lock(&mutex_);
  for (const auto& [key, scope] : scopes_) scope->Count(&counts);
  return counts;
}

}  // namespace drover::gateway
