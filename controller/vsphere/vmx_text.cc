#include "controller/vsphere/vmx_text.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace drover::vsphere {
namespace {

// Keys a host makes anew. A trailing '*' stands for any ending, a leading one for any beginning.
constexpr absl::string_view kIdentity[] = {"uuid.*",
                                           "vc.uuid",
                                           "*.generatedaddress",
                                           "*.generatedaddressoffset",
                                           "*.address",
                                           "*.pcislotnumber",
                                           "sched.swap.derivedname",
                                           "migrate.*",
                                           "vmotion.*",
                                           "viv.*",
                                           "vmware.tools.*",
                                           "guestinfo.*",
                                           "nvram",
                                           "extendedconfigfile",
                                           "checkpoint.*",
                                           "hpet0.present",
                                           "*.redo",
                                           "drover.uid",
                                           "vmxstats.filename",
                                           "guestos.detailed.data"};

bool Matches(absl::string_view pattern, absl::string_view key) {
  if (absl::ConsumeSuffix(&pattern, "*")) return absl::StartsWith(key, pattern);
  if (absl::ConsumePrefix(&pattern, "*")) return absl::EndsWith(key, pattern);
  return pattern == key;
}

struct Line {
  // Lower case; "" for a line that sets nothing.
  std::string key;
  std::string value;
};

Line ReadLine(absl::string_view text) {
  size_t equals = text.find('=');
  text = absl::StripAsciiWhitespace(text);
  if (equals == absl::string_view::npos || absl::StartsWith(text, "#")) return {};
  std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(text, absl::MaxSplits('=', 1));
  absl::string_view value = absl::StripAsciiWhitespace(halves.second);
  absl::ConsumePrefix(&value, "\"");
  absl::ConsumeSuffix(&value, "\"");
  return {absl::AsciiStrToLower(absl::StripAsciiWhitespace(halves.first)), std::string(value)};
}

bool IsDiskDevice(absl::string_view device) {
  for (absl::string_view bus : {"scsi", "sata", "nvme", "ide"}) {
    if (absl::StartsWith(device, bus) && absl::StrContains(device, ':')) return true;
  }
  return false;
}

}  // namespace

std::string VmxValue(absl::string_view text, absl::string_view key) {
  std::string wanted = absl::AsciiStrToLower(key);
  for (absl::string_view raw : absl::StrSplit(text, '\n')) {
    Line line = ReadLine(raw);
    if (line.key == wanted) return line.value;
  }
  return "";
}

std::vector<VmxDisk> VmxDisks(absl::string_view text) {
  std::vector<VmxDisk> disks;
  for (absl::string_view raw : absl::StrSplit(text, '\n')) {
    Line line = ReadLine(raw);
    absl::string_view device = line.key;
    if (!absl::ConsumeSuffix(&device, ".filename") || !IsDiskDevice(device)) continue;
    if (!absl::EndsWithIgnoreCase(line.value, ".vmdk")) continue;
    if (absl::EqualsIgnoreCase(VmxValue(text, absl::StrCat(device, ".present")), "false")) continue;
    disks.push_back({std::string(device), line.value});
  }
  std::sort(disks.begin(), disks.end(),
            [](const VmxDisk& a, const VmxDisk& b) { return a.device < b.device; });
  return disks;
}

std::string WithVmxValues(absl::string_view text,
                          const std::map<std::string, std::string>& values) {
  std::map<std::string, std::pair<std::string, std::string>> wanted;
  for (const auto& [key, value] : values) wanted[absl::AsciiStrToLower(key)] = {key, value};
  std::string result;
  for (absl::string_view raw : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (wanted.count(ReadLine(raw).key) > 0) continue;
    absl::StrAppend(&result, raw, "\n");
  }
  for (const auto& [key, pair] : wanted) {
    if (pair.second.empty()) continue;
    absl::StrAppend(&result, pair.first, " = \"", pair.second, "\"\n");
  }
  return result;
}

std::string WithoutIdentity(absl::string_view text) {
  std::string result;
  for (absl::string_view raw : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    Line line = ReadLine(raw);
    bool drop = std::any_of(std::begin(kIdentity), std::end(kIdentity),
                            [&](absl::string_view pattern) { return Matches(pattern, line.key); });
    if (!drop) absl::StrAppend(&result, raw, "\n");
  }
  return result;
}

}  // namespace drover::vsphere
