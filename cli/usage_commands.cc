// What VMs use: now, and over time.
#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "drover/v1/guest.pb.h"
#include "drover/v1/inventory.pb.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

constexpr absl::Duration kRefresh = absl::Seconds(2);
constexpr int kUsualRows = 20;
// Title, headers, and the line the cursor is on.
constexpr int kOtherLines = 4;

// "[#####     ]": a share at a glance, without colours and symbols too.
std::string Bar(double percent, int width) {
  const int full = std::clamp(static_cast<int>(percent / 100 * width + 0.5), 0, width);
  return absl::StrCat("[", std::string(full, '#'), std::string(width - full, ' '), "]");
}

std::string Row(const v1::Vm& vm, Terminal& terminal) {
  const double memory = vm.memory_mb() > 0 ? 100.0 * vm.memory_used_mb() / vm.memory_mb() : 0;
  const std::string cpu = absl::StrFormat("%5.1f%%", vm.cpu_percent());
  const Colour colour = vm.cpu_percent() >= 90   ? Colour::kRed
                        : vm.cpu_percent() >= 60 ? Colour::kYellow
                                                 : Colour::kNone;
  return absl::StrCat(
      Pad(Fit(IdOf(vm.name()), 24), 24), " ", Pad(Fit(IdOf(vm.environment()), 16), 16), " ",
      Pad(Fit(IdOf(vm.type()), 16), 16), " ", terminal.Paint(colour, cpu), " ",
      Bar(vm.cpu_percent(), 10), " ",
      absl::StrFormat("%6d/%-6d MB %5.1f%%", vm.memory_used_mb(), vm.memory_mb(), memory), " ",
      absl::StrFormat("%7d MB", vm.disk_used_mb()));
}

absl::StatusOr<v1::ListVmsResponse> Busiest(Invocation& invocation, int rows) {
  v1::ListVmsRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  request.set_order_by(invocation.arguments.Has("memory") ? "memory desc" : "cpu desc");
  request.add_power(v1::POWER_STATE_ON);
  v1::ListVmsResponse response;
  DROVER_RETURN_IF_ERROR(
      invocation.client.List(invocation.command.method, request, &response, rows));
  return response;
}

std::string Screen(const v1::ListVmsResponse& response, Invocation& invocation) {
  std::string text = absl::StrCat(
      invocation.terminal.Paint(
          Colour::kBold,
          absl::StrCat(Pad("NAME", 24), " ", Pad("ENVIRONMENT", 16), " ", Pad("TYPE", 16),
                       "    CPU                      MEMORY              DISK")),
      "\n");
  for (const v1::Vm& vm : response.vms()) {
    absl::StrAppend(&text, Row(vm, invocation.terminal), "\n");
  }
  return text;
}

// Redrawn until Ctrl-C on a terminal; once elsewhere, and in other formats.
absl::Status ShowTop(Invocation& invocation) {
  int rows = 0;
  const std::string limit = invocation.arguments.Get("limit");
  if (!limit.empty() && !absl::SimpleAtoi(limit, &rows)) {
    return absl::InvalidArgumentError("--limit must be a number");
  }
  const bool live = invocation.shows_table() && invocation.terminal.CanRedraw() &&
                    !invocation.arguments.Has("once");
  if (rows == 0) {
    rows = live ? std::max(1, invocation.terminal.Height() - kOtherLines) : kUsualRows;
  }
  if (!live) {
    DROVER_ASSIGN_OR_RETURN(const v1::ListVmsResponse response, Busiest(invocation, rows));
    if (!invocation.shows_table()) {
      return PrintList(invocation.terminal, invocation.output, response);
    }
    invocation.terminal.Print(Screen(response, invocation));
    return absl::OkStatus();
  }
  Interrupt interrupt;
  while (!interrupt.happened()) {
    DROVER_ASSIGN_OR_RETURN(const v1::ListVmsResponse response, Busiest(invocation, rows));
    // Home, the screen, what is left below it.
    invocation.terminal.Print(absl::StrCat(
        "\x1b[H", absl::FormatTime("%H:%M:%S", invocation.terminal.Now(), absl::LocalTimeZone()),
        "  VMs that use most ", invocation.arguments.Has("memory") ? "memory" : "CPU",
        "; Ctrl-C ends\x1b[K\n", Screen(response, invocation), "\x1b[J"));
    interrupt.WaitFor(kRefresh);
  }
  return absl::OkStatus();
}

// The points as rows; for programs the answer as a whole.
absl::Status ShowSamples(Invocation& invocation) {
  v1::QuerySamplesRequest request;
  DROVER_RETURN_IF_ERROR(FillRequest(invocation, &request));
  v1::QuerySamplesResponse response;
  DROVER_RETURN_IF_ERROR(invocation.client.Call(invocation.command.method, request, &response));
  const bool rows = invocation.shows_table() || invocation.output.format == Format::kCsv;
  if (!rows) return PrintMessage(invocation.terminal, invocation.output, response);
  if (response.points().empty()) {
    invocation.Tell(invocation.command.empty_hint);
    return absl::OkStatus();
  }
  std::vector<const google::protobuf::Message*> points;
  for (const v1::SamplePoint& point : response.points()) points.push_back(&point);
  return PrintRows(invocation.terminal, invocation.output, *v1::SamplePoint::descriptor(), points);
}

}  // namespace

std::vector<Command> UsageCommands() {
  return {
      {.path = "vm top",
       .summary = "Show which VMs use most CPU or memory now.",
       .method = "InventoryService/ListVms",
       .flags = {{.name = "env",
                  .field = "environments",
                  .help = "of this environment",
                  .letter = 'e',
                  .value = "ENV"},
                 {.name = "type",
                  .field = "types",
                  .help = "of this type",
                  .letter = 't',
                  .value = "TYPE"},
                 {.name = "memory", .help = "by memory, not by CPU", .kind = Flag::Kind::kSwitch},
                 {.name = "once", .help = "once, not until Ctrl-C", .kind = Flag::Kind::kSwitch}},
       .examples = {"drover vm top", "drover vm top --env shop --memory", "drover vm top --once"},
       .notes = "As their agents last reported, their hypervisors where there is no agent.",
       .run = ShowTop},
      {.path = "vm samples",
       .summary = "Show what a VM used over time.",
       .method = "GuestService/QuerySamples",
       .arguments = {{.name = "VM", .field = "name", .help = "VM", .required = true}},
       .flags = {{.name = "since",
                  .field = "start_time",
                  .help = "from then on; two hours without",
                  .value = "TIME"},
                 {.name = "until", .field = "end_time", .help = "up to then", .value = "TIME"},
                 {.name = "points",
                  .field = "max_points",
                  .help = "at most so many; 600 without",
                  .value = "N"}},
       .examples = {"drover vm samples web-01 --points 24",
                    "drover vm samples web-01 --since 30d -o csv > web-01.csv"},
       .notes =
           "Samples are taken every ten seconds; after a day a point stands for a minute, after "
           "a week for ten, after 30 days they are gone.",
       .empty_hint = "No samples of that time.",
       .run = ShowSamples},
  };
}

}  // namespace drover::cli
