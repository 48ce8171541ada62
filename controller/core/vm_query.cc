#include "controller/core/vm_query.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "controller/core/ipv4.h"
#include "controller/core/paging.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::core {
namespace {

using drover::v1::Vm;

// What rows are ordered by: the number, then the text, then the name.
struct SortKey {
  uint64_t number = 0;
  absl::string_view text;
  absl::string_view name;
};

using KeyOf = SortKey (*)(const VmRow&);

// Doubles of any sign in an order that integers keep.
uint64_t OrderedBits(double value) {
  if (std::isnan(value)) return 0;
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits >> 63 ? ~bits : bits | 1ULL << 63;
}

uint64_t OrderedTime(const google::protobuf::Timestamp& time) {
  return (static_cast<uint64_t>(time.seconds()) + (1ULL << 40)) * 1000000000ULL +
         static_cast<uint64_t>(time.nanos());
}

const std::map<absl::string_view, KeyOf>& Orders() {
  static const auto* orders = new std::map<absl::string_view, KeyOf>{
      {"name",
       [](const VmRow& row) {
         return SortKey{0, "", row.vm.name()};
       }},
      {"ip",
       [](const VmRow& row) {
         return SortKey{row.address, "", row.vm.name()};
       }},
      {"type",
       [](const VmRow& row) {
         return SortKey{0, row.vm.type(), row.vm.name()};
       }},
      {"environment",
       [](const VmRow& row) {
         return SortKey{0, row.vm.environment(), row.vm.name()};
       }},
      {"power",
       [](const VmRow& row) {
         return SortKey{static_cast<uint64_t>(row.vm.power()), "", row.vm.name()};
       }},
      {"reachability",
       [](const VmRow& row) {
         return SortKey{static_cast<uint64_t>(row.vm.reachability()), "", row.vm.name()};
       }},
      {"agent_state",
       [](const VmRow& row) {
         return SortKey{static_cast<uint64_t>(row.vm.agent_state()), "", row.vm.name()};
       }},
      {"cpu",
       [](const VmRow& row) {
         return SortKey{OrderedBits(row.vm.cpu_percent()), "", row.vm.name()};
       }},
      {"memory",
       [](const VmRow& row) {
         return SortKey{static_cast<uint64_t>(std::max(0, row.vm.memory_used_mb())), "",
                        row.vm.name()};
       }},
      {"create_time",
       [](const VmRow& row) {
         return SortKey{OrderedTime(row.vm.create_time()), "", row.vm.name()};
       }},
  };
  return *orders;
}

struct Order {
  KeyOf key = nullptr;
  bool descending = false;

  // Rows with the same key stand by name in either direction.
  bool Before(const SortKey& a, const SortKey& b) const {
    if (a.number != b.number) return (a.number < b.number) != descending;
    if (a.text != b.text) return (a.text < b.text) != descending;
    // By name alone, the name itself is what is reversed.
    if (a.name == b.name) return false;
    return (a.name < b.name) != (descending && by_name);
  }
  bool by_name = false;
};

absl::StatusOr<Order> ParseOrder(absl::string_view text) {
  std::vector<absl::string_view> words = absl::StrSplit(text, ' ', absl::SkipWhitespace());
  Order order;
  if (words.size() == 2 && (words[1] == "desc" || words[1] == "asc")) {
    order.descending = words[1] == "desc";
    words.pop_back();
  }
  absl::string_view field = words.empty() ? "name" : words[0];
  auto found = Orders().find(field);
  if (words.size() > 1 || found == Orders().end()) {
    std::vector<absl::string_view> known;
    for (const auto& [name, key] : Orders()) known.push_back(name);
    return InvalidField("order_by",
                        absl::StrCat("\"", text, "\" is not one of ", absl::StrJoin(known, ", "),
                                     ", with \" desc\" after it to reverse"));
  }
  order.key = found->second;
  order.by_name = field == "name";
  return order;
}

template <typename T>
bool Holds(const google::protobuf::RepeatedField<T>& wanted, T value) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), value) != wanted.end();
}

// The request's criteria, made ready to be asked of thousands of rows.
class Filter {
 public:
  explicit Filter(const drover::v1::ListVmsRequest& request)
      : request_(request),
        environments_(request.environments().begin(), request.environments().end()),
        types_(request.types().begin(), request.types().end()),
        hypervisors_(request.hypervisors().begin(), request.hypervisors().end()),
        words_(
            absl::StrSplit(absl::AsciiStrToLower(request.search()), ' ', absl::SkipWhitespace())) {}

  bool Passes(const VmRow& row) const {
    const Vm& vm = row.vm;
    return Among(environments_, vm.environment()) && Among(types_, vm.type()) &&
           Among(hypervisors_, vm.hypervisor()) &&
           Holds<int>(request_.reachability(), vm.reachability()) &&
           Holds<int>(request_.power(), vm.power()) &&
           Holds<int>(request_.agent_states(), vm.agent_state()) &&
           std::all_of(words_.begin(), words_.end(), [&row](const std::string& word) {
             return absl::StrContains(row.search_text, word);
           });
  }

 private:
  using Names = absl::flat_hash_set<std::string>;
  static bool Among(const Names& names, const std::string& name) {
    return names.empty() || names.contains(name);
  }

  const drover::v1::ListVmsRequest& request_;
  const Names environments_;
  const Names types_;
  const Names hypervisors_;
  const std::vector<std::string> words_;
};

struct KeyedRow {
  SortKey key;
  const VmRowPtr* row;
};

// What a token is bound to: everything but where and how much.
std::string ScopeOf(const drover::v1::ListVmsRequest& request) {
  drover::v1::ListVmsRequest criteria = request;
  criteria.clear_page_size();
  criteria.clear_page_token();
  criteria.clear_skip();
  return absl::StrCat("vms", criteria.SerializeAsString());
}

absl::Status LeaveOutBefore(const drover::v1::ListVmsRequest& request, const Order& order,
                            std::vector<KeyedRow>& matches) {
  DROVER_ASSIGN_OR_RETURN(std::vector<std::string> place,
                          ParsePageToken(request.page_token(), ScopeOf(request), 3));
  SortKey after{0, place[1], place[2]};
  if (!absl::SimpleAtoi(place[0], &after.number)) {
    return InvalidField("page_token", "is damaged; begin without a token");
  }
  matches.erase(
      std::remove_if(matches.begin(), matches.end(),
                     [&](const KeyedRow& match) { return !order.Before(after, match.key); }),
      matches.end());
  return absl::OkStatus();
}

bool HasTrouble(const Vm& vm) {
  if (vm.state() == Vm::STATE_MISSING) return true;
  return std::any_of(vm.services().begin(), vm.services().end(), [](const auto& service) {
    return service.state() == drover::v1::ServiceStatus::STATE_RESTARTING ||
           service.state() == drover::v1::ServiceStatus::STATE_GIVEN_UP ||
           service.state() == drover::v1::ServiceStatus::STATE_UNHEALTHY;
  });
}

void Count(const Vm& vm, bool trouble, VmCounts& counts) {
  bool off = vm.power() == drover::v1::POWER_STATE_OFF;
  bool up = vm.reachability() == drover::v1::REACHABILITY_UP;
  bool down = vm.reachability() == drover::v1::REACHABILITY_DOWN;
  ++counts.total;
  counts.up += up;
  counts.down += down;
  counts.unknown += !up && !down;
  counts.powered_off += off;
  counts.missed += down && !off;
  counts.present += up && !off;
  counts.troubled += trouble && !off;
  counts.agents_connected += vm.agent_state() == drover::v1::AGENT_STATE_CONNECTED;
}

}  // namespace

Vm DurableVm(const Vm& vm) {
  Vm durable = vm;
  durable.clear_power();
  durable.clear_reachability();
  durable.clear_agent_last_seen();
  durable.clear_services();
  durable.clear_cpu_percent();
  durable.clear_memory_used_mb();
  durable.clear_disk_used_mb();
  durable.clear_holding_operation();
  durable.clear_waiting_operations();
  durable.clear_reported_ip();
  // Whether an agent is connected is known again when it connects.
  if (durable.agent_state() == drover::v1::AGENT_STATE_CONNECTED) {
    durable.set_agent_state(drover::v1::AGENT_STATE_CONTACT_LOST);
  }
  return durable;
}

const std::string& AddressOf(const Vm& vm) {
  return vm.network().ip().empty() ? vm.reported_ip() : vm.network().ip();
}

VmRowPtr MakeVmRow(Vm vm, std::string sealed_secrets) {
  auto row = std::make_shared<VmRow>();
  row->durable = DurableVm(vm).SerializeAsString();
  row->search_text =
      absl::AsciiStrToLower(absl::StrCat(IdOf(vm.name()), "\n", AddressOf(vm), "\n", vm.remark()));
  row->address = ParseIpv4(AddressOf(vm)).value_or(0);
  row->vm = std::move(vm);
  row->sealed_secrets = std::move(sealed_secrets);
  return row;
}

absl::StatusOr<VmSelection> SelectVms(const VmList& vms,
                                      const drover::v1::ListVmsRequest& request) {
  DROVER_ASSIGN_OR_RETURN(int page_size, PageSize(request.page_size(), 10));
  DROVER_ASSIGN_OR_RETURN(Order order, ParseOrder(request.order_by()));
  if (request.skip() < 0) return InvalidField("skip", "is below 0");
  if (request.skip() > 0 && !request.page_token().empty()) {
    return InvalidField("skip", "does not go together with page_token; give one of them");
  }
  std::vector<KeyedRow> matches;
  const Filter filter(request);
  for (const VmRowPtr& row : vms) {
    if (filter.Passes(*row)) matches.push_back({order.key(*row), &row});
  }
  VmSelection selection;
  selection.total_size = static_cast<int>(matches.size());
  if (!request.page_token().empty()) {
    DROVER_RETURN_IF_ERROR(LeaveOutBefore(request, order, matches));
  }

  // Only the page itself is put in order.
  auto before = [&order](const KeyedRow& a, const KeyedRow& b) {
    return order.Before(a.key, b.key);
  };
  auto begin = matches.begin() + std::min<ptrdiff_t>(request.skip(), matches.size());
  auto end = begin + std::min<ptrdiff_t>(page_size, matches.end() - begin);
  if (begin != matches.begin() && begin != matches.end()) {
    std::nth_element(matches.begin(), begin, matches.end(), before);
  }
  std::partial_sort(begin, end, matches.end(), before);
  for (auto match = begin; match != end; ++match) selection.rows.push_back(*match->row);
  if (end != matches.end() && end != begin) {
    const SortKey& last = (end - 1)->key;
    selection.next_page_token =
        MakePageToken(ScopeOf(request),
                      {absl::StrCat(last.number), std::string(last.text), std::string(last.name)});
  }
  return selection;
}

VmTotals CountVms(const VmList& vms) {
  VmTotals totals;
  for (const VmRowPtr& row : vms) {
    const Vm& vm = row->vm;
    bool trouble = HasTrouble(vm);
    Count(vm, trouble, totals.all);
    Count(vm, trouble, totals.by_type[vm.type()]);
    Count(vm, trouble, totals.by_environment[vm.environment()]);
    Count(vm, trouble, totals.by_hypervisor[vm.hypervisor()]);
  }
  return totals;
}

drover::v1::Environment::Health HealthOf(const VmCounts& counts) {
  using drover::v1::Environment;
  if (counts.total == 0) return Environment::HEALTH_EMPTY;
  if (counts.powered_off == counts.total) return Environment::HEALTH_OFF;
  int on = counts.total - counts.powered_off;
  if (counts.missed == on) return Environment::HEALTH_DOWN;
  if (counts.missed > 0 || counts.troubled > 0) return Environment::HEALTH_DEGRADED;
  // Nothing is known yet: no sweep has ended since the start.
  if (counts.present == 0) return Environment::HEALTH_UNSPECIFIED;
  return Environment::HEALTH_OK;
}

}  // namespace drover::core
