// SOAP text of the vim25 dialect: writes requests, reads answers, keeps faults typed.
//
// Writing is by functions that return XML text; the caller puts elements in schema order, which
// real servers insist on. Reading parses an answer in place, without copies; unknown elements are
// passed over, an absent one is a null node.
//
// Thread promise: pure functions and values.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <pugixml.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace drover::vsphere {

// A managed object reference. Both parts are opaque.
struct MoRef {
  std::string type;
  std::string value;
  bool empty() const { return value.empty(); }
  friend bool operator==(const MoRef& a, const MoRef& b) = default;
};

// ---- writing

std::string Escape(absl::string_view text);
// <tag>escaped text</tag>
std::string Xml(absl::string_view tag, absl::string_view text);
std::string Xml(absl::string_view tag, const char* text);
std::string Xml(absl::string_view tag, int64_t value);
std::string Xml(absl::string_view tag, bool value);
// <tag>inner</tag>, `inner` being XML.
std::string XmlOf(absl::string_view tag, absl::string_view inner);
// The same with xsi:type.
std::string XmlTyped(absl::string_view tag, absl::string_view type, absl::string_view inner);
std::string XmlRef(absl::string_view tag, const MoRef& ref);
// A whole request. `parameters`: what follows _this.
std::string Envelope(const MoRef& self, absl::string_view method, absl::string_view parameters);

// Names carry '%', '/' and '\' as %25, %2f, %5c.
std::string EscapeName(absl::string_view name);
std::string UnescapeName(absl::string_view name);

// ---- reading

// A fault as the server sent it. Only the layer that knows what was asked can say what it means.
struct Fault {
  // Class, e.g. "InvalidPowerState"; "" when the server named none.
  std::string type;
  // The server's sentence, may be empty.
  std::string message;
  // Simple fields of the fault, e.g. existingState.
  std::map<std::string, std::string> fields;
};
// A Status that carries the fault; never shown to people as it is.
absl::Status FaultStatus(const Fault& fault);
std::optional<Fault> FaultOf(const absl::Status& status);
bool IsFault(const absl::Status& status, absl::string_view type);
// From a LocalizedMethodFault (child "fault") or a fault element itself.
Fault ReadFault(pugi::xml_node node);

// An answer and the text its nodes point into.
class SoapReply {
 public:
  SoapReply() = default;
  // FaultStatus for a fault; UNAVAILABLE, reason HYPERVISOR_UNREACHABLE, when it is no SOAP at all
  // (a proxy's page, a service that is starting).
  static absl::StatusOr<SoapReply> Parse(std::string body, long http_status);
  // The method's response element.
  pugi::xml_node response() const { return response_; }
  // First returnval; null when the server returned nothing.
  pugi::xml_node value() const { return response_.child("returnval"); }

 private:
  std::unique_ptr<std::string> text_;
  std::unique_ptr<pugi::xml_document> document_;
  pugi::xml_node response_;
};

// Value of the attribute whose name ends in ":type", "" without one.
absl::string_view XsiType(pugi::xml_node node);
absl::string_view Text(pugi::xml_node node);
// Text below a dotted path of children, "" when one is absent.
absl::string_view TextAt(pugi::xml_node node, absl::string_view path);
pugi::xml_node NodeAt(pugi::xml_node node, absl::string_view path);
// 0 when absent or not a number.
int64_t IntAt(pugi::xml_node node, absl::string_view path);
bool IsTrue(pugi::xml_node node);
MoRef ReadRef(pugi::xml_node node);

}  // namespace drover::vsphere
