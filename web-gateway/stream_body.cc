#include "web-gateway/stream_body.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/synchronization/mutex.h"
#include "drover/v1/activity.pb.h"
#include "proto/support/json.h"
#include "web-gateway/transcoder.h"

namespace drover::gateway {
namespace {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

// RFC 6266: a plain name for the old, and the true one.
std::string Disposition(absl::string_view name) {
  std::string plain;
  std::string escaped;
  for (const char c : name) {
    const bool safe = absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_';
    plain.push_back(safe ? c : '_');
    if (safe) {
      escaped.push_back(c);
    } else {
      absl::StrAppendFormat(&escaped, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return absl::StrCat("attachment; filename=\"", plain, "\"; filename*=UTF-8''", escaped);
}

// Between gRPC's threads and the connection's.
class StreamState : public std::enable_shared_from_this<StreamState> {
 public:
  StreamState(StreamForm form, Respond respond,
              std::function<HttpResponse(const absl::Status&)> fail, std::string request_id)
      : form_(form),
        respond_(std::move(respond)),
        fail_(std::move(fail)),
        request_id_(std::move(request_id)) {}

  void Begin(Upstream& upstream, const MethodDescriptor& method, const Message& request,
             const CallerFacts& facts) {
    // Until the answer has begun nobody else keeps it.
    unanswered_ = shared_from_this();
    auto stream = upstream.Open(
        method, request, facts,
        [weak = weak_from_this()](std::unique_ptr<Message> message, absl::Status status) {
          if (auto self = weak.lock()) self->Got(std::move(message), std::move(status));
        });
    absl::MutexLock lock(&mutex_);
    stream_ = std::move(stream);
    stream_->Read();
  }

  void SetWake(std::function<void()> wake) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    wake_ = std::move(wake);
  }
  BodyStream::Piece Next() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    BodyStream::Piece piece;
    piece.data = std::move(ready_);
    ready_ = nullptr;
    if (piece.data != nullptr && !ended_) stream_->Read();
    piece.end = ended_ && piece.data == nullptr;
    piece.broken = piece.end && broken_;
    if (ended_ && last_ != nullptr && piece.data == nullptr) {
      piece.data = std::move(last_);
      last_ = nullptr;
    }
    return piece;
  }

 private:
  void Got(std::unique_ptr<Message> message, absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_) {
    std::shared_ptr<StreamState> first;
    std::function<void()> wake;
    HttpResponse response;
    {
      absl::MutexLock lock(&mutex_);
      first = std::move(unanswered_);
      unanswered_ = nullptr;
      if (first != nullptr) response = Answer(message.get(), status);
      if (message != nullptr) {
        ready_ = Encode(*message);
      } else {
        ended_ = true;
        End(status);
      }
      wake = wake_;
    }
    if (first != nullptr) {
      respond_(std::move(response));
    } else if (wake != nullptr) {
      wake();
    }
  }

  HttpResponse Answer(const Message* first, const absl::Status& status);

  std::shared_ptr<const std::string> Encode(const Message& message) {
    if (form_ == StreamForm::kFile) {
      return std::make_shared<const std::string>(
          static_cast<const drover::v1::FileChunk&>(message).data());
    }
    const absl::StatusOr<std::string> json = ToJson(message);
    const std::string text = json.ok() ? *json : ErrorJson(json.status(), request_id_);
    return std::make_shared<const std::string>(form_ == StreamForm::kEvents
                                                   ? EventText("", "", text)
                                                   : absl::StrCat("{\"result\":", text, "}\n"));
  }
  void End(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    broken_ = !status.ok() && form_ == StreamForm::kFile;
    std::string text;
    if (form_ == StreamForm::kEvents) {
      // A browser that comes again with this id is told that there is no more.
      text = status.ok() ? EventText("end", "end", "{}")
                         : EventText("failed", "", ErrorJson(status, request_id_));
    } else if (form_ == StreamForm::kLines && !status.ok()) {
      text = absl::StrCat("{\"error\":", ErrorJson(status, request_id_), "}\n");
    }
    if (!text.empty()) last_ = std::make_shared<const std::string>(std::move(text));
  }

  const StreamForm form_;
  const Respond respond_;
  const std::function<HttpResponse(const absl::Status&)> fail_;
  const std::string request_id_;
  absl::Mutex mutex_;
  std::unique_ptr<Upstream::Stream> stream_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<StreamState> unanswered_;
  std::shared_ptr<const std::string> ready_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const std::string> last_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<void()> wake_ ABSL_GUARDED_BY(mutex_);
};

class UpstreamBody final : public BodyStream {
 public:
  explicit UpstreamBody(std::shared_ptr<StreamState> state) : state_(std::move(state)) {}
  void Start(std::function<void()> wake) override { state_->SetWake(std::move(wake)); }
  Piece Next() override { return state_->Next(); }

 private:
  const std::shared_ptr<StreamState> state_;
};

HttpResponse StreamState::Answer(const Message* first, const absl::Status& status) {
  if (first == nullptr && !status.ok()) return fail_(status);
  HttpResponse response;
  PrepareStream(form_, &response);
  if (form_ == StreamForm::kFile && first != nullptr) {
    const auto& chunk = static_cast<const drover::v1::FileChunk&>(*first);
    response.headers.Add("Content-Type", chunk.content_type().empty() ? "application/octet-stream"
                                                                      : chunk.content_type());
    if (!chunk.file_name().empty()) {
      response.headers.Add("Content-Disposition", Disposition(chunk.file_name()));
    }
  }
  response.stream = std::make_unique<UpstreamBody>(shared_from_this());
  return response;
}

}  // namespace

StreamForm FormOf(const MethodDescriptor& method, const HttpRequest& request) {
  if (method.output_type() == drover::v1::FileChunk::descriptor()) return StreamForm::kFile;
  return ListAccepts(request.headers.Joined("accept"), "text/event-stream") ? StreamForm::kEvents
                                                                            : StreamForm::kLines;
}

std::string EventText(absl::string_view event, absl::string_view id, absl::string_view json) {
  std::string text;
  if (!event.empty()) absl::StrAppend(&text, "event: ", event, "\n");
  if (!id.empty()) absl::StrAppend(&text, "id: ", id, "\n");
  // Our JSON is one line.
  absl::StrAppend(&text, "data: ", json, "\n\n");
  return text;
}

void PrepareStream(StreamForm form, HttpResponse* response) {
  if (form != StreamForm::kFile) {
    response->headers.Add(
        "Content-Type", form == StreamForm::kEvents ? "text/event-stream" : "application/x-ndjson");
    // Proxies that collect would hold events back.
    response->headers.Add("X-Accel-Buffering", "no");
  }
  response->headers.Add("Cache-Control", "no-store");
  if (form == StreamForm::kEvents) response->ping = ": ping\n\n";
}

void OpenStream(Upstream& upstream, const MethodDescriptor& method, const Message& request,
                const CallerFacts& facts, StreamForm form, Respond respond,
                std::function<HttpResponse(const absl::Status&)> fail) {
  std::make_shared<StreamState>(form, std::move(respond), std::move(fail), facts.request_id)
      ->Begin(upstream, method, request, facts);
}

}  // namespace drover::gateway
