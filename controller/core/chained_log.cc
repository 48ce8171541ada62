#include "controller/core/chained_log.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "controller/core/log_chain.h"
#include "proto/support/log.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::core {
namespace {

constexpr char kHeadKey[] = "log_head";
constexpr int kPage = 1000;
// No hash looks like it, so that the link it makes fits nowhere.
constexpr char kBrokenLink[] = "the head of the log was tampered with";

}  // namespace

std::string ChainedLog::MacOf(const LogHead& head) {
  return vault_->Mac(absl::StrCat(head.id(), ":", head.hash()), "log head");
}

absl::StatusOr<LogHead> ChainedLog::ReadHead(StoreReader& reader, bool* valid) {
  LogHead head;
  absl::StatusOr<Document> document = reader.Get(Table::kSettings, kHeadKey);
  *valid = true;
  if (absl::IsNotFound(document.status())) return head;
  if (!document.ok()) return document.status();
  *valid = head.ParseFromString(document->body) && head.mac() == MacOf(head);
  return head;
}

absl::StatusOr<ChainedLog::Link> ChainedLog::NextLink(StoreWriter& writer) {
  bool valid = false;
  DROVER_ASSIGN_OR_RETURN(const LogHead head, ReadHead(writer, &valid));
  DROVER_ASSIGN_OR_RETURN(const int64_t last_id, writer.LastLogId());
  if (valid && head.id() >= last_id) return Link{head.id() + 1, head.hash()};
  LogError(
      "the platform log was changed behind the controller's back; `drover log verify` says where");
  return Link{last_id + 1, kBrokenLink};
}

absl::Status ChainedLog::Append(StoreWriter& writer, drover::v1::LogEntry entry) {
  DROVER_ASSIGN_OR_RETURN(const Link link, NextLink(writer));
  // The store keeps microseconds; the hash must not cover more.
  *entry.mutable_time() = ToProto(absl::FromUnixMicros(absl::ToUnixMicros(clock_->Now())));
  entry.set_id(link.next_id);
  entry.set_hash(ChainHash(*vault_, link.previous_hash, entry));
  DROVER_RETURN_IF_ERROR(writer.AppendLog(entry));
  LogHead head;
  head.set_id(entry.id());
  head.set_hash(entry.hash());
  head.set_mac(MacOf(head));
  return writer.Put(Table::kSettings, {kHeadKey, "", head.SerializeAsString()});
}

absl::StatusOr<drover::v1::VerifyLogResponse> ChainedLog::Verify() {
  ChainWalk walk(vault_);
  LogHead head;
  while (true) {
    DROVER_ASSIGN_OR_RETURN(const std::vector<drover::v1::LogEntry> entries,
                            store_->ReadLog(walk.last_id(), kPage));
    for (const drover::v1::LogEntry& entry : entries) walk.Add(entry);
    if (!entries.empty()) continue;
    // Entries may have come since; the head is that of the entries when there are none after it.
    const int64_t seen = walk.last_id();
    bool valid = false;
    bool more = false;
    DROVER_RETURN_IF_ERROR(store_->Read([&](StoreReader& reader) -> absl::Status {
      DROVER_ASSIGN_OR_RETURN(head, ReadHead(reader, &valid));
      DROVER_ASSIGN_OR_RETURN(const int64_t last_id, reader.LastLogId());
      more = last_id > seen;
      return absl::OkStatus();
    }));
    if (more) continue;
    return walk.Finish(valid ? head.id() : 0, valid ? head.hash() : "");
  }
}

}  // namespace drover::core
