// Operations, events, the live watch, totals, the platform log.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "drover/v1/activity.pb.h"
#include "proto/support/json.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::cli {
namespace {

constexpr char kDeleteLogPhrase[] = "delete log entries";

absl::Status WatchOperation(Invocation& invocation) {
  v1::GetOperationRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  v1::Operation operation;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &operation));
  return FinishOperation(invocation, operation);
}

// ---- events

std::string EventLine(const Terminal& terminal, const v1::Event& event) {
  const Colour colour = event.severity() == v1::Event::SEVERITY_ERROR     ? Colour::kRed
                        : event.severity() == v1::Event::SEVERITY_WARNING ? Colour::kYellow
                                                                          : Colour::kNone;
  return absl::StrCat(
      LocalTime(FromProto(event.time())), "  ", terminal.Paint(colour, Pad(event.kind(), 18)), "  ",
      event.vm().empty() ? "" : absl::StrCat(IdOf(event.vm()), "  "), event.message(), "\n");
}

absl::Status PrintChange(Invocation& invocation, const v1::WatchResponse& change) {
  if (invocation.output.format == Format::kJson && !invocation.quiet()) {
    // One object a line: for jq and the like.
    DROVER_ASSIGN_OR_RETURN(const std::string json, ToJson(change));
    invocation.terminal.Print(json + "\n");
    return absl::OkStatus();
  }
  switch (change.change_case()) {
    case v1::WatchResponse::kEvent:
      invocation.terminal.Print(EventLine(invocation.terminal, change.event()));
      break;
    case v1::WatchResponse::kChanged:
      invocation.terminal.Print(absl::StrCat("changed  ", change.changed(), "\n"));
      break;
    case v1::WatchResponse::kDeleted:
      invocation.terminal.Print(absl::StrCat("deleted  ", change.deleted(), "\n"));
      break;
    case v1::WatchResponse::kGap:
      invocation.Tell("(some changes were too many to show)");
      break;
    default:
      break;
  }
  return absl::OkStatus();
}

// Prints what comes until Ctrl-C; a controller that goes away and comes back is waited for, and
// nothing is shown twice.
absl::Status Follow(Invocation& invocation, v1::WatchRequest request) {
  Interrupt interrupt;
  bool told = false;
  while (!interrupt.happened()) {
    DROVER_ASSIGN_OR_RETURN(auto stream,
                            invocation.client.Stream("ActivityService/Watch", request));
    interrupt.Do([&stream] { stream->Cancel(); });
    v1::WatchResponse change;
    while (stream->Read(&change)) {
      if (told) invocation.Tell("The controller is back.");
      told = false;
      if (change.has_event()) request.set_after_sequence(change.event().sequence());
      if (!request.events_only() || change.has_event() || change.has_gap()) {
        DROVER_RETURN_IF_ERROR(PrintChange(invocation, change));
      }
    }
    interrupt.Do([] {});
    const absl::Status why = stream->Finish();
    if (interrupt.happened()) break;
    if (!why.ok() && !absl::IsUnavailable(why)) return why;
    if (!told) invocation.Tell("The connection to the controller is lost; trying again.");
    told = true;
    interrupt.WaitFor(absl::Seconds(1));
  }
  return absl::CancelledError("stopped");
}

absl::Status Watch(Invocation& invocation) {
  v1::WatchRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  return Follow(invocation, request);
}

absl::Status ListEvents(Invocation& invocation) {
  if (!invocation.arguments.Has("follow")) return RunCall(invocation);
  v1::ListEventsRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  if (!request.kinds().empty() || request.has_end_time()) {
    return absl::InvalidArgumentError("--follow goes with --vm, --env and --since only");
  }
  v1::ListEventsResponse past;
  // As many as fit a screen, unless more were asked for.
  const int limit = request.has_start_time() ? 0 : 20;
  DROVER_RETURN_IF_ERROR(
      invocation.client.List("ActivityService/ListEvents", request, &past, limit));
  v1::WatchRequest watch;
  watch.set_events_only(true);
  watch.set_vm(request.vm());
  watch.set_environment(request.environment());
  for (int i = past.events_size() - 1; i >= 0; --i) {
    v1::WatchResponse change;
    *change.mutable_event() = past.events(i);
    DROVER_RETURN_IF_ERROR(PrintChange(invocation, change));
    watch.set_after_sequence(past.events(i).sequence());
  }
  return Follow(invocation, watch);
}

absl::Status ShowDashboard(Invocation& invocation) {
  v1::GetDashboardRequest request;
  v1::Dashboard dashboard;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &dashboard));
  Terminal& terminal = invocation.terminal;
  if (!invocation.shows_table()) return PrintMessage(terminal, invocation.output, dashboard);
  terminal.Print(absl::StrCat(
      dashboard.total(),
      " VMs: ", terminal.Paint(Colour::kGreen, absl::StrCat(dashboard.up(), " up")), ", ",
      terminal.Paint(dashboard.down() > 0 ? Colour::kRed : Colour::kNone,
                     absl::StrCat(dashboard.down(), " down")),
      ", ", dashboard.unknown(), " unknown; ", dashboard.agents_connected(), " agents connected; ",
      dashboard.running_operations(), " operations running\n"));
  if (dashboard.types().empty()) return absl::OkStatus();
  std::vector<const google::protobuf::Message*> rows;
  for (const auto& type : dashboard.types()) rows.push_back(&type);
  terminal.Print("\n");
  return PrintRows(terminal, invocation.output, *v1::Dashboard::TypeCount::descriptor(), rows);
}

// ---- platform log

absl::Status WriteStream(ServerStream& stream, int fd, int64_t& bytes) {
  v1::FileChunk chunk;
  while (stream.Read(&chunk)) {
    absl::string_view data = chunk.data();
    while (!data.empty()) {
      const ssize_t written = write(fd, data.data(), data.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0)
        return absl::FailedPreconditionError(absl::StrCat("cannot write: ", strerror(errno)));
      data.remove_prefix(static_cast<size_t>(written));
      bytes += written;
    }
  }
  return stream.Finish();
}

absl::Status DownloadBackup(Invocation& invocation) {
  v1::DownloadLogBackupRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  std::string path = invocation.arguments.Get("to");
  if (path.empty()) path = absl::StrCat(IdOf(request.name()), ".jsonl");
  const bool to_stdout = path == "-";
  // Never over a file that is there.
  const int fd =
      to_stdout ? STDOUT_FILENO : open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    return absl::AlreadyExistsError(absl::StrCat("cannot make ", path, ": ", strerror(errno)));
  }
  const absl::Cleanup close_file = [fd, to_stdout] {
    if (!to_stdout) close(fd);
  };
  DROVER_ASSIGN_OR_RETURN(auto stream,
                          invocation.client.Stream(invocation.command.method, request));
  int64_t bytes = 0;
  const absl::Status written = WriteStream(*stream, fd, bytes);
  if (!written.ok()) {
    if (!to_stdout) unlink(path.c_str());
    return written;
  }
  if (!to_stdout) {
    invocation.Tell(absl::StrCat(path, ": ", HumanBytes(static_cast<double>(bytes))));
  }
  return absl::OkStatus();
}

absl::Status DeleteLog(Invocation& invocation) {
  v1::DeleteLogRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  if (request.confirm().empty()) {
    if (!invocation.terminal.in_is_tty() || !invocation.terminal.err_is_tty()) {
      return MakeError(absl::StatusCode::kInvalidArgument, "NEEDS_CONFIRM",
                       absl::StrCat("without a terminal, confirm it with: --confirm \"",
                                    kDeleteLogPhrase, "\""));
    }
    invocation.terminal.Tell(absl::StrCat("This deletes the log's entries before ",
                                          LocalTime(FromProto(request.before_time())),
                                          ", those that a backup holds."));
    DROVER_ASSIGN_OR_RETURN(
        const std::string typed,
        invocation.terminal.Ask(absl::StrCat("Type \"", kDeleteLogPhrase, "\" to do it:")));
    if (typed != kDeleteLogPhrase) return absl::CancelledError("nothing was deleted");
    request.set_confirm(typed);
  }
  v1::DeleteLogResponse response;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &response));
  if (!invocation.shows_table()) {
    return PrintMessage(invocation.terminal, invocation.output, response);
  }
  invocation.terminal.Print(absl::StrCat(response.deleted(), " entries deleted\n"));
  return absl::OkStatus();
}

absl::Status VerifyLog(Invocation& invocation) {
  v1::VerifyLogRequest request;
  v1::VerifyLogResponse response;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &response));
  if (!invocation.shows_table()) {
    DROVER_RETURN_IF_ERROR(PrintMessage(invocation.terminal, invocation.output, response));
  } else if (response.intact()) {
    invocation.terminal.Print(
        absl::StrCat(response.entries(), " entries, all as they were written\n"));
  }
  if (response.intact()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kDataLoss, "LOG_CHAIN_BROKEN",
                   absl::StrCat("the log was changed: entry ", response.first_bad_id(), ": ",
                                response.problem()));
}

std::vector<Command> OperationCommands() {
  const std::vector<Flag> name = {{.name = "OPERATION",
                                   .field = "name",
                                   .help = "operation",
                                   .required = true,
                                   .collection = "operations"}};
  return {
      {.path = "operation list",
       .summary = "List operations, newest first.",
       .method = "ActivityService/ListOperations",
       .flags = {{.name = "state", .field = "states", .help = "in this state"},
                 {.name = "of",
                  .field = "resource_name",
                  .help = "that touch this resource, e.g. vms/web-01 or environments/shop",
                  .value = "NAME"},
                 {.name = "top", .field = "top_level_only", .help = "without the parts of others"}},
       .examples = {"drover operation list --top --limit 20",
                    "drover operation list --state running"},
       .empty_hint = "No operations."},
      {.path = "operation show",
       .summary = "Show an operation: steps, VMs, log, error.",
       .method = "ActivityService/GetOperation",
       .arguments = name},
      {.path = "operation watch",
       .summary = "Wait for an operation and show its progress.",
       .method = "ActivityService/GetOperation",
       .arguments = name,
       .run = WatchOperation,
       .waits = true},
      {.path = "operation cancel",
       .summary = "Ask an operation to stop; what it has done is undone where it can be.",
       .method = "ActivityService/CancelOperation",
       .arguments = name,
       .notes = "It is cancelled when its state says so; --detach does not wait for that."},
      {.path = "operation continue",
       .summary = "Do again what did not succeed, from where it failed.",
       .method = "ActivityService/ContinueOperation",
       .arguments = name},
  };
}

std::vector<Command> EventCommands() {
  return {
      {.path = "event list",
       .summary = "List events, newest first; --follow goes on with new ones.",
       .method = "ActivityService/ListEvents",
       .flags = {{.name = "follow",
                  .help = "go on with new ones, oldest first",
                  .letter = 'f',
                  .kind = Flag::Kind::kSwitch},
                 {.name = "vm", .field = "vm", .help = "of this VM", .collection = "vms"},
                 {.name = "env",
                  .field = "environment",
                  .help = "of this environment",
                  .letter = 'e',
                  .collection = "environments"},
                 {.name = "kind", .field = "kinds", .help = "of this kind, e.g. service.died"},
                 {.name = "since",
                  .field = "start_time",
                  .help = "not before: 1h, 2026-11-23, \"2026-11-23 10:00\"",
                  .value = "TIME"},
                 {.name = "until", .field = "end_time", .help = "before", .value = "TIME"}},
       .examples = {"drover event list --since 1h", "drover event list --follow --env shop"},
       .empty_hint = "No events.",
       .run = ListEvents},
      {.path = "watch",
       .summary = "Show what happens, live: events and changed resources.",
       .method = "ActivityService/Watch",
       .flags = {{.name = "events", .field = "events_only", .help = "events only"},
                 {.name = "vm", .field = "vm", .help = "of this VM", .collection = "vms"},
                 {.name = "env",
                  .field = "environment",
                  .help = "of this environment",
                  .letter = 'e',
                  .collection = "environments"}},
       .run = Watch},
      {.path = "dashboard",
       .summary = "Show totals: VMs by type and network state.",
       .method = "ActivityService/GetDashboard",
       .run = ShowDashboard},
  };
}

std::vector<Command> LogCommands() {
  return {
      {.path = "log search",
       .summary = "Search the platform log, newest first; all given criteria hold.",
       .method = "ActivityService/SearchLog",
       .flags = {{.name = "since",
                  .field = "start_time",
                  .help = "not before: 1h, 2026-11-23",
                  .value = "TIME"},
                 {.name = "until", .field = "end_time", .help = "before", .value = "TIME"},
                 {.name = "kind", .field = "kinds", .help = "of this kind"},
                 {.name = "type",
                  .field = "vm_types",
                  .help = "of VMs of this type",
                  .letter = 't',
                  .collection = "types"},
                 {.name = "vm", .field = "vm", .help = "of this VM", .collection = "vms"},
                 {.name = "env",
                  .field = "environment",
                  .help = "of this environment",
                  .letter = 'e',
                  .collection = "environments"},
                 {.name = "user", .field = "user", .help = "by this user", .letter = 'u'},
                 {.name = "from",
                  .field = "client_address",
                  .help = "from this client address",
                  .value = "IP"},
                 {.name = "text",
                  .field = "text",
                  .help = "text in action, resource, result or detail"}},
       .examples = {"drover log search --since 1d --kind login",
                    "drover log search --text delete -o csv > log.csv"},
       .empty_hint = "No entries."},
      {.path = "log backup",
       .summary = "Write the log to a file on the controller's machine.",
       .method = "ActivityService/BackUpLog",
       .flags = {{.name = "until",
                  .field = "end_time",
                  .help = "entries before this time; all without",
                  .value = "TIME"}}},
      {.path = "log backups",
       .summary = "List backups of the log.",
       .method = "ActivityService/ListLogBackups",
       .empty_hint = "No backups. Make one with: drover log backup"},
      {.path = "log download",
       .summary = "Fetch a backup of the log.",
       .method = "ActivityService/DownloadLogBackup",
       .arguments = {{.name = "BACKUP", .field = "name", .help = "backup", .required = true}},
       .flags = {{.name = "to",
                  .help = "file to write; - is standard output; BACKUP.jsonl without",
                  .value = "FILE"}},
       .run = DownloadBackup},
      {.path = "log verify",
       .summary = "Walk the log's hash chain; name the first entry that was changed.",
       .method = "ActivityService/VerifyLog",
       .run = VerifyLog},
      {.path = "log delete",
       .summary = "Delete old entries that a backup holds.",
       .method = "ActivityService/DeleteLog",
       .flags = {{.name = "before",
                  .field = "before_time",
                  .help = "entries before this time",
                  .value = "TIME",
                  .required = true},
                 {.name = "confirm",
                  .field = "confirm",
                  .help = "\"delete log entries\", instead of typing it when asked",
                  .value = "TEXT"}},
       .examples = {"drover log delete --before 2026-01-01"},
       .run = DeleteLog},
  };
}

}  // namespace

std::vector<Command> ActivityCommands() {
  std::vector<Command> commands = OperationCommands();
  for (auto make : {EventCommands, LogCommands}) {
    for (Command& command : make()) commands.push_back(std::move(command));
  }
  return commands;
}

}  // namespace drover::cli
