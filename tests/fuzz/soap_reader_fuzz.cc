// An answer of a hypervisor, or of whatever stands where one should: read whole, or refused as a
// Status. And the names and texts that are written into requests.
#include "controller/vsphere/soap.h"
#include "tests/fuzz/fuzz.h"

namespace drover::vsphere {
namespace {

// Everything a reader may ask of a node.
void Look(pugi::xml_node node, int depth) {
  if (depth > 40) return;
  XsiType(node);
  Text(node);
  IsTrue(node);
  ReadRef(node);
  ReadFault(node);
  TextAt(node, "a.b");
  IntAt(node, "val");
  for (const pugi::xml_node child : node.children()) Look(child, depth + 1);
}

void Read(absl::string_view text) {
  for (const long status : {200L, 500L}) {
    const auto reply = SoapReply::Parse(std::string(text), status);
    if (!reply.ok()) {
      FUZZ_MUST(!reply.status().message().empty(), "an error that says nothing");
      FaultOf(reply.status());
      continue;
    }
    Look(reply->response(), 0);
    Look(reply->value(), 0);
    for (pugi::xml_node value = reply->value(); value; value = value.next_sibling("returnval")) {
      Text(value);
    }
  }
}

// A text that XML can hold comes back from a request as it was.
void Write(absl::string_view text) {
  FUZZ_MUST(UnescapeName(EscapeName(text)) == text, "a name has changed");
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) > '~') return;
  }
  pugi::xml_document document;
  const std::string xml =
      Envelope({"VirtualMachine", std::string(text)}, "PowerOnVM_Task", Xml("host", text));
  const auto parsed = document.load_buffer(xml.data(), xml.size(), pugi::parse_full);
  FUZZ_MUST(parsed, parsed.description());
  const auto call = document.document_element().first_child().first_child();
  FUZZ_MUST(absl::string_view(call.child_value("_this")) == text ||
                text.find_first_not_of(' ') == absl::string_view::npos,
            xml);
}

}  // namespace
}  // namespace drover::vsphere

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text = drover::testing::TextOf(data, size);
  drover::vsphere::Read(text);
  drover::vsphere::Write(text);
  return 0;
}
