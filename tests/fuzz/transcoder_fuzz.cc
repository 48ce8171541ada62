// A request as the gateway gets it - "METHOD path?query", a line "--", the body - into the message
// that goes to the controller, and what is answered when it cannot be one.
#include <google/protobuf/stubs/logging.h>

#include "absl/strings/string_view.h"
#include "proto/support/contract.h"
#include "proto/support/json.h"
#include "tests/fuzz/fuzz.h"
#include "web-gateway/json_check.h"
#include "web-gateway/route_table.h"
#include "web-gateway/transcoder.h"

namespace drover::gateway {
namespace {

const RouteTable& Routes() {
  static const auto* const routes = [] {
    auto built = RouteTable::Build(RulesOf(PublicServices()));
    FUZZ_MUST(built.ok(), built.status().ToString());
    return new RouteTable(*std::move(built));
  }();
  return *routes;
}

// An error is JSON whatever somebody sent.
void CheckError(const absl::Status& status) {
  const std::string json = ErrorJson(status, "request-1");
  const auto checked = CheckJson(json, nullptr);
  FUZZ_MUST(checked.ok(), checked.status().ToString() + ": " + json);
}

// The library tells its log of texts that are none; strangers must not fill ours.
void NothingIsLogged(google::protobuf::LogLevel level, const char*, int, const std::string& what) {
  FUZZ_MUST(level < google::protobuf::LOGLEVEL_ERROR, what);
}

void Transcode(absl::string_view line, absl::string_view body) {
  const size_t blank = line.find(' ');
  if (blank == absl::string_view::npos) return;
  const absl::string_view target = line.substr(blank + 1);
  const size_t mark = target.find('?');
  const auto match = Routes().Find(line.substr(0, blank), target.substr(0, mark));
  Routes().MethodsOf(target.substr(0, mark));
  if (!match.ok()) return CheckError(match.status());
  const absl::string_view query =
      mark == absl::string_view::npos ? absl::string_view() : target.substr(mark + 1);
  const auto request = MakeRequest(*match, query, body);
  if (!request.ok()) return CheckError(request.status());
  // What was understood goes over the wire, and says the same there.
  std::string wire;
  FUZZ_MUST((*request)->SerializeToString(&wire), "not serialized");
  const auto there = NewMessage(*(*request)->GetDescriptor());
  FUZZ_MUST(there->ParseFromString(wire), "not parsed again");
  // It can be written as JSON, and strict reading takes that.
  const auto json = ToJson(**request);
  if (!json.ok()) return;
  const auto checked = CheckJson(*json, (*request)->GetDescriptor());
  FUZZ_MUST(checked.ok(), checked.status().ToString() + ": " + *json);
}

}  // namespace
}  // namespace drover::gateway

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool set = (google::protobuf::SetLogHandler(drover::gateway::NothingIsLogged), true);
  (void)set;
  const auto parts = drover::testing::PartsOf(drover::testing::TextOf(data, size), 2);
  drover::gateway::Transcode(parts[0], parts[1]);
  return 0;
}
