#include "controller/vsphere/usage.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proto/support/status.h"
#include "proto/support/time.h"

namespace drover::vsphere {
namespace {

constexpr int kInterval = 20;
// What hosts keep, and what one call may ask for.
constexpr int kMostSamples = 180;
constexpr size_t kVmsPerCall = 50;

constexpr char kCpu[] = "cpu.usage.average";
constexpr char kMemory[] = "mem.consumed.average";
constexpr char kNetworkIn[] = "net.received.average";
constexpr char kNetworkOut[] = "net.transmitted.average";
constexpr const char* kNames[] = {kCpu, kMemory, kNetworkIn, kNetworkOut};

using drover::agent::v1::Sample;

// Hosts write a percentage in hundredths, memory in KB, traffic in KB/s; -1 = no value.
void SetValue(absl::string_view name, int64_t value, Sample& sample) {
  if (name == kCpu) sample.set_cpu_percent(value / 100.0);
  if (name == kMemory) sample.set_memory_used_mb(static_cast<int32_t>(value / 1024));
  if (name == kNetworkIn) sample.set_network_receive_kbps(value * 8.192);
  if (name == kNetworkOut) sample.set_network_send_kbps(value * 8.192);
}

}  // namespace

std::map<std::string, int64_t> ReadCounters(pugi::xml_node perf_counters) {
  std::map<std::string, int64_t> counters;
  for (pugi::xml_node info : perf_counters.children()) {
    const std::string name =
        absl::StrCat(TextAt(info, "groupInfo.key"), ".", TextAt(info, "nameInfo.key"), ".",
                     TextAt(info, "rollupType"));
    if (std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames)) {
      counters[name] = IntAt(info, "key");
    }
  }
  return counters;
}

std::string UsageQuery(absl::string_view object, const std::map<std::string, int64_t>& counters,
                       int max_samples) {
  std::string spec = absl::StrCat(XmlRef("entity", {"VirtualMachine", std::string(object)}),
                                  Xml("maxSample", int64_t{max_samples}));
  for (const auto& [name, id] : counters) {
    absl::StrAppend(&spec, XmlOf("metricId", absl::StrCat(Xml("counterId", id),
                                                          Xml("instance", absl::string_view()))));
  }
  absl::StrAppend(&spec, Xml("intervalId", int64_t{kInterval}), Xml("format", "csv"));
  return XmlOf("querySpec", spec);
}

core::VmUsage ReadUsage(pugi::xml_node entity, const std::map<std::string, int64_t>& counters,
                        absl::Time since) {
  core::VmUsage usage;
  usage.object = ReadRef(entity.child("entity")).value;
  // "20,2026-01-01T00:00:20Z,20,...": an interval and a time for each sample.
  const std::vector<absl::string_view> info =
      absl::StrSplit(TextAt(entity, "sampleInfoCSV"), ',', absl::SkipEmpty());
  std::vector<absl::Time> times;
  for (size_t i = 1; i < info.size(); i += 2) {
    absl::Time time;
    std::string problem;
    if (!absl::ParseTime(absl::RFC3339_full, info[i], &time, &problem)) time = absl::InfinitePast();
    times.push_back(time);
  }
  std::vector<Sample> samples(times.size());
  std::vector<bool> valued(times.size(), false);
  for (pugi::xml_node series : entity.children("value")) {
    const int64_t id = IntAt(series, "id.counterId");
    const auto name = std::find_if(counters.begin(), counters.end(),
                                   [id](const auto& counter) { return counter.second == id; });
    if (name == counters.end()) continue;
    const std::vector<absl::string_view> values =
        absl::StrSplit(TextAt(series, "value"), ',', absl::SkipEmpty());
    for (size_t i = 0; i < values.size() && i < samples.size(); ++i) {
      int64_t value = -1;
      if (!absl::SimpleAtoi(values[i], &value) || value < 0) continue;
      SetValue(name->first, value, samples[i]);
      valued[i] = valued[i] || name->first == kCpu;
    }
  }
  for (size_t i = 0; i < samples.size(); ++i) {
    if (!valued[i] || times[i] <= since) continue;
    *samples[i].mutable_time() = ToProto(times[i]);
    usage.samples.push_back(std::move(samples[i]));
  }
  std::sort(usage.samples.begin(), usage.samples.end(), [](const Sample& a, const Sample& b) {
    return FromProto(a.time()) < FromProto(b.time());
  });
  return usage;
}

absl::StatusOr<std::map<std::string, int64_t>> UsageReader::Counters(const MoRef& manager,
                                                                     std::stop_token stop) {
  {
    absl::MutexLock lock(&mutex_);
    if (!counters_.empty()) return counters_;
  }
  DROVER_ASSIGN_OR_RETURN(const Objects objects,
                          client_.RetrieveOne(manager, {"perfCounter"}, stop));
  std::map<std::string, int64_t> counters = ReadCounters(objects.First().Property("perfCounter"));
  if (counters.count(kCpu) == 0) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "USAGE_NOT_MEASURED",
                     absl::StrCat(client_.host(), " has no counter for the CPU use of VMs"));
  }
  absl::MutexLock lock(&mutex_);
  counters_ = counters;
  return counters;
}

absl::StatusOr<std::vector<core::VmUsage>> UsageReader::Read(
    const std::vector<std::string>& objects, absl::Time since, std::stop_token stop) {
  std::vector<core::VmUsage> all;
  DROVER_ASSIGN_OR_RETURN(const ServiceContent content, client_.Content(stop));
  const MoRef manager = content.Manager("perfManager");
  if (manager.empty()) return all;
  DROVER_ASSIGN_OR_RETURN(const auto counters, Counters(manager, stop));
  // One more than the time between them needs, since the host's clock is another.
  const absl::Duration back = client_.clock()->Now() - since;
  const int most =
      static_cast<int>(std::clamp<int64_t>(back / absl::Seconds(kInterval) + 2, 1, kMostSamples));
  for (size_t begin = 0; begin < objects.size(); begin += kVmsPerCall) {
    std::string query;
    for (size_t i = begin; i < std::min(begin + kVmsPerCall, objects.size()); ++i) {
      absl::StrAppend(&query, UsageQuery(objects[i], counters, most));
    }
    const auto reply = client_.Read(manager, "QueryPerf", query, stop);
    // One that was deleted a moment ago fails the call for all; it is left out next time.
    if (!reply.ok()) return reply.status();
    for (pugi::xml_node entity : reply->response().children("returnval")) {
      all.push_back(ReadUsage(entity, counters, since));
    }
  }
  return all;
}

}  // namespace drover::vsphere
