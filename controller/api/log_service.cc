#include "controller/api/log_service.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "drover/v1/activity.pb.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::api {
namespace {

constexpr size_t kPiece = 64 << 10;

// Sends a file piece by piece, as fast as the caller takes them. The stream's session calls it from
// one thread at a time.
class FileDownload : public Subscription {
 public:
  FileDownload(int file, int64_t bytes, v1::FileChunk first, std::shared_ptr<StreamSink> sink)
      : file_(file), left_(bytes), piece_(std::move(first)), sink_(std::move(sink)) {}
  ~FileDownload() override { close(file_); }

  void OnRoom() override {
    while (true) {
      if (piece_.data().empty() && !ReadPiece()) return;
      // Not taken: it is the first to be sent when there is room.
      if (!sink_->Push(piece_)) return;
      piece_.Clear();
    }
  }

 private:
  // False when the stream is finished.
  bool ReadPiece() {
    if (left_ == 0) {
      sink_->Finish(absl::OkStatus());
      return false;
    }
    std::string& data = *piece_.mutable_data();
    data.resize(kPiece);
    ssize_t count = 0;
    do {
      count = read(file_, data.data(), data.size());
    } while (count < 0 && errno == EINTR);
    if (count <= 0) {
      sink_->Finish(MakeError(absl::StatusCode::kFailedPrecondition, "LOG_BACKUP_DAMAGED",
                              "the backup's file is shorter than it was written, or unreadable"));
      return false;
    }
    data.resize(static_cast<size_t>(std::min<int64_t>(count, left_)));
    left_ -= static_cast<int64_t>(data.size());
    return true;
  }

  const int file_;
  int64_t left_;
  v1::FileChunk piece_;
  const std::shared_ptr<StreamSink> sink_;
};

absl::StatusOr<std::unique_ptr<Subscription>> Download(core::EventLog* log,
                                                       const v1::DownloadLogBackupRequest& request,
                                                       std::shared_ptr<StreamSink> sink) {
  DROVER_ASSIGN_OR_RETURN(const v1::LogBackup backup, log->GetBackup(request.name()));
  const int file = open(backup.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "LOG_BACKUP_DAMAGED",
                     absl::StrCat(backup.path(), " cannot be opened"));
  }
  v1::FileChunk first;
  first.set_file_name(absl::StrCat("log-", IdOf(backup.name()), ".jsonl"));
  first.set_content_type("application/x-ndjson");
  auto download =
      std::make_unique<FileDownload>(file, backup.bytes(), std::move(first), std::move(sink));
  download->OnRoom();
  return download;
}

}  // namespace

void RegisterLogService(Dispatcher& dispatcher, core::EventLog* log) {
  dispatcher.OnUnary<v1::SearchLogRequest, v1::SearchLogResponse>(
      "ActivityService.SearchLog",
      [log](const Call&, const v1::SearchLogRequest& request) { return log->Search(request); });
  dispatcher.OnUnary<v1::BackUpLogRequest, v1::LogBackup>(
      "ActivityService.BackUpLog",
      [log](const Call&, const v1::BackUpLogRequest& request) { return log->BackUp(request); });
  dispatcher.OnUnary<v1::ListLogBackupsRequest, v1::ListLogBackupsResponse>(
      "ActivityService.ListLogBackups",
      [log](const Call&, const v1::ListLogBackupsRequest& request) {
        return log->ListBackups(request);
      });
  dispatcher.OnStream<v1::DownloadLogBackupRequest, v1::FileChunk>(
      "ActivityService.DownloadLogBackup",
      [log](const Call&, const v1::DownloadLogBackupRequest& request,
            std::shared_ptr<StreamSink> sink) { return Download(log, request, std::move(sink)); });
  dispatcher.OnUnary<v1::DeleteLogRequest, v1::DeleteLogResponse>(
      "ActivityService.DeleteLog", [log](const Call& call, const v1::DeleteLogRequest& request) {
        return log->Delete(request, call.caller);
      });
  dispatcher.OnUnary<v1::VerifyLogRequest, v1::VerifyLogResponse>(
      "ActivityService.VerifyLog",
      [log](const Call&, const v1::VerifyLogRequest&) { return log->Verify(); });
}

}  // namespace drover::api
