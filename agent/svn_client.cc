#include "agent/svn_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/svn_run.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

constexpr int kUsualLog = 100;
constexpr int kLongestLog = 1000;

bool Printable(absl::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

// Nothing that svn would take for an option, or for two lines.
absl::Status Check(const v1::SvnWorkingCopy& copy) {
  Violations violations;
  if (!absl::StartsWith(copy.path(), "/") || !Printable(copy.path()) ||
      absl::StrContains(copy.path(), "@")) {
    violations.Add("path", "must be an absolute path without \"@\"");
  }
  if (!copy.url().empty() && (!absl::StrContains(copy.url(), "://") || !Printable(copy.url()) ||
                              absl::StartsWith(copy.url(), "-"))) {
    violations.Add("url", "must be a URL");
  }
  if (!Printable(copy.user())) violations.Add("user", "must be one line");
  if (!Printable(copy.password())) violations.Add("password", "must be one line");
  if (copy.id().empty() || absl::StrContains(copy.id(), "/")) {
    violations.Add("id", "is required, without \"/\"");
  }
  return violations.ToStatus();
}

// svn knows a folder by its path without a slash at the end.
v1::SvnWorkingCopy Plain(v1::SvnWorkingCopy copy) {
  while (copy.path().size() > 1 && absl::EndsWith(copy.path(), "/")) {
    copy.mutable_path()->pop_back();
  }
  return copy;
}

class ReadWork : public OrderWork {
 public:
  ReadWork(const SvnSurroundings* surroundings, const v1::ReadWorkingCopies& order,
           OrderVoice voice)
      : surroundings_(surroundings),
        order_(order),
        voice_(std::move(voice)),
        run_(surroundings->loop) {}

  void Next() {
    if (at_ == order_.working_copies_size()) return voice_.done(absl::OkStatus(), details_);
    look_ = std::make_unique<WorkingCopyLook>(surroundings_, &run_,
                                              Plain(order_.working_copies(at_++)));
    look_->Begin({}, [this](WorkingCopyLook::Seen seen) {
      *details_.mutable_working_copies()->add_working_copies() = std::move(seen.state);
      // Not from within the look, which the next one replaces.
      surroundings_->loop->Post([this, alive = std::weak_ptr<bool>(alive_)] {
        if (!alive.expired()) Next();
      });
    });
  }
  void Abort(std::function<void(absl::Status)> ended) override {
    alive_.reset();
    run_.Abort(std::move(ended));
  }

 private:
  const SvnSurroundings* const surroundings_;
  const v1::ReadWorkingCopies order_;
  const OrderVoice voice_;
  SvnRun run_;
  std::unique_ptr<WorkingCopyLook> look_;
  v1::CommandUpdate details_;
  int at_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class RevisionsWork : public OrderWork {
 public:
  RevisionsWork(EventLoop* loop, const v1::ReadRevisions& order, OrderVoice voice)
      : order_(order), copy_(Plain(order.working_copy())), voice_(std::move(voice)), run_(loop) {
    target_ = copy_.url().empty() ? copy_.path() : copy_.url();
  }

  void Begin() {
    // A URL with "@" in it would be read as one with a revision.
    if (absl::StrContains(target_, "@")) target_ += "@";
    run_.Svn(copy_, {"info", "--revision=HEAD", target_}, true, [this](SvnRun::Result result) {
      if (!result.ok()) return Fail(result);
      details_.mutable_revisions()->set_head(ParseSvnInfo(result.output).last_changed_revision);
      if (order_.to_revision() > 0) return CheckLast();
      ReadLog(details_.revisions().head());
    });
  }
  void Abort(std::function<void(absl::Status)> ended) override { run_.Abort(std::move(ended)); }

 private:
  void Fail(const SvnRun::Result& result) {
    voice_.done(result.ToStatus(copy_.url().empty() ? copy_.path() : copy_.url()), {});
  }
  // That it is there, whatever the log says.
  void CheckLast() {
    run_.Svn(copy_, {"info", absl::StrCat("--revision=", order_.to_revision()), target_}, true,
             [this](SvnRun::Result result) {
               if (!result.ok()) return Fail(result);
               ReadLog(order_.to_revision());
             });
  }
  void ReadLog(int64_t to) {
    if (order_.from_revision() <= 0 || order_.from_revision() >= to) {
      return voice_.done(absl::OkStatus(), details_);
    }
    const int limit = order_.limit() > 0 ? std::min<int>(order_.limit(), kLongestLog) : kUsualLog;
    run_.Svn(copy_,
             {"log", absl::StrCat("--limit=", limit),
              absl::StrCat("--revision=", to, ":", order_.from_revision() + 1), target_},
             true, [this](SvnRun::Result result) {
               if (!result.ok()) return Fail(result);
               for (auto& message : ParseSvnLog(result.output)) {
                 *details_.mutable_revisions()->add_log() = std::move(message);
               }
               voice_.done(absl::OkStatus(), details_);
             });
  }

  const v1::ReadRevisions order_;
  const v1::SvnWorkingCopy copy_;
  const OrderVoice voice_;
  std::string target_;
  SvnRun run_;
  v1::CommandUpdate details_;
};

class UpdateWork : public OrderWork {
 public:
  UpdateWork(const SvnSurroundings* surroundings, const v1::UpdateWorkingCopies& order,
             OrderVoice voice)
      : surroundings_(surroundings), order_(order), voice_(std::move(voice)) {}

  void Next() {
    if (at_ == order_.targets_size()) return voice_.done(absl::OkStatus(), details_);
    v1::UpdateWorkingCopies::Target target = order_.targets(at_++);
    *target.mutable_working_copy() = Plain(target.working_copy());
    update_ = std::make_unique<WorkingCopyUpdate>(surroundings_, target, order_.local_edits(),
                                                  voice_.output);
    update_->Begin(
        [this, id = target.working_copy().id()](absl::Status status, v1::WorkingCopyState state) {
          *details_.mutable_working_copies()->add_working_copies() = std::move(state);
          if (!status.ok()) return voice_.done(Annotate(status, id), details_);
          // Not from within the update, which the next one replaces.
          surroundings_->loop->Post([this, alive = std::weak_ptr<bool>(alive_)] {
            if (!alive.expired()) Next();
          });
        });
  }
  void Abort(std::function<void(absl::Status)> ended) override {
    alive_.reset();
    if (update_ == nullptr) return ended(absl::OkStatus());
    update_->Abort(std::move(ended));
  }

 private:
  const SvnSurroundings* const surroundings_;
  const v1::UpdateWorkingCopies order_;
  const OrderVoice voice_;
  std::unique_ptr<WorkingCopyUpdate> update_;
  v1::CommandUpdate details_;
  int at_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

SvnClient::SvnClient(EventLoop* loop, const std::string& state_directory)
    : memory_(state_directory + "/working-copies.state"),
      surroundings_{loop, &memory_, state_directory + "/saved-edits"} {}

absl::StatusOr<std::unique_ptr<OrderWork>> SvnClient::Read(const v1::ReadWorkingCopies& order,
                                                           OrderVoice voice) {
  for (const auto& copy : order.working_copies()) DROVER_RETURN_IF_ERROR(Check(copy));
  auto work = std::make_unique<ReadWork>(&surroundings_, order, std::move(voice));
  work->Next();
  return work;
}

absl::StatusOr<std::unique_ptr<OrderWork>> SvnClient::ReadRevisions(const v1::ReadRevisions& order,
                                                                    OrderVoice voice) {
  DROVER_RETURN_IF_ERROR(Check(order.working_copy()));
  auto work = std::make_unique<RevisionsWork>(surroundings_.loop, order, std::move(voice));
  work->Begin();
  return work;
}

absl::StatusOr<std::unique_ptr<OrderWork>> SvnClient::Update(const v1::UpdateWorkingCopies& order,
                                                             OrderVoice voice) {
  for (const auto& target : order.targets()) {
    DROVER_RETURN_IF_ERROR(Check(target.working_copy()));
    if (target.revision() <= 0) return InvalidField("revision", "must be greater than 0");
  }
  auto work = std::make_unique<UpdateWork>(&surroundings_, order, std::move(voice));
  work->Next();
  return work;
}

}  // namespace drover::agent
