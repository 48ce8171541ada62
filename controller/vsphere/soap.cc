#include "controller/vsphere/soap.h"

#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proto/support/status.h"
#include "proto/support/utf8.h"

namespace drover::vsphere {
namespace {

// Private to this adapter: not a google.rpc detail, so it never leaves the controller.
constexpr absl::string_view kFaultUrl = "drover.vsphere/fault";
constexpr absl::string_view kNoWords = "a fault without words";

absl::string_view LocalName(pugi::xml_node node) {
  absl::string_view name = node.name();
  size_t colon = name.rfind(':');
  return colon == absl::string_view::npos ? name : name.substr(colon + 1);
}

pugi::xml_node ChildByLocalName(pugi::xml_node node, absl::string_view name) {
  for (pugi::xml_node child : node.children()) {
    if (LocalName(child) == name) return child;
  }
  return {};
}

pugi::xml_node FirstElement(pugi::xml_node node) {
  for (pugi::xml_node child : node.children()) {
    if (child.type() == pugi::node_element) return child;
  }
  return {};
}

Fault ReadSoapFault(pugi::xml_node node) {
  pugi::xml_node detail = FirstElement(ChildByLocalName(node, "detail"));
  Fault fault = ReadFault(detail);
  if (absl::string_view text = Text(ChildByLocalName(node, "faultstring")); !text.empty()) {
    fault.message = std::string(text);
  }
  return fault;
}

}  // namespace

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"\r", "&#13;"}});
}

std::string Xml(absl::string_view tag, absl::string_view text) { return XmlOf(tag, Escape(text)); }
std::string Xml(absl::string_view tag, const char* text) {
  return Xml(tag, absl::string_view(text));
}
std::string Xml(absl::string_view tag, int64_t value) { return XmlOf(tag, absl::StrCat(value)); }
std::string Xml(absl::string_view tag, bool value) { return XmlOf(tag, value ? "true" : "false"); }

std::string XmlOf(absl::string_view tag, absl::string_view inner) {
  return absl::StrCat("<", tag, ">", inner, "</", tag, ">");
}

std::string XmlTyped(absl::string_view tag, absl::string_view type, absl::string_view inner) {
  return absl::StrCat("<", tag, " xsi:type=\"", type, "\">", inner, "</", tag, ">");
}

std::string XmlRef(absl::string_view tag, const MoRef& ref) {
  return absl::StrCat("<", tag, " type=\"", Escape(ref.type), "\">", Escape(ref.value), "</", tag,
                      ">");
}

std::string Envelope(const MoRef& self, absl::string_view method, absl::string_view parameters) {
  return absl::StrCat(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
      "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\""
      " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\""
      " xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"><s:Body><",
      method, " xmlns=\"urn:vim25\">", XmlRef("_this", self), parameters, "</", method,
      "></s:Body></s:Envelope>");
}

std::string EscapeName(absl::string_view name) {
  return absl::StrReplaceAll(name, {{"%", "%25"}, {"/", "%2f"}, {"\\", "%5c"}});
}

std::string UnescapeName(absl::string_view name) {
  if (!absl::StrContains(name, '%')) return std::string(name);
  return absl::StrReplaceAll(
      name, {{"%25", "%"}, {"%2f", "/"}, {"%2F", "/"}, {"%5c", "\\"}, {"%5C", "\\"}});
}

absl::Status FaultStatus(const Fault& fault) {
  // A status without words reads as if nothing had happened.
  const absl::string_view words = fault.type.empty() ? kNoWords : fault.type;
  absl::Status status(absl::StatusCode::kUnknown, fault.message.empty() ? words : fault.message);
  std::string payload = fault.type;
  for (const auto& [name, value] : fault.fields) {
    payload.push_back('\0');
    payload.append(name);
    payload.push_back('\0');
    payload.append(value);
  }
  status.SetPayload(kFaultUrl, absl::Cord(payload));
  return status;
}

std::optional<Fault> FaultOf(const absl::Status& status) {
  auto payload = status.GetPayload(kFaultUrl);
  if (!payload) return std::nullopt;
  std::vector<std::string> parts = absl::StrSplit(std::string(*payload), '\0');
  Fault fault;
  fault.type = parts[0];
  if (status.message() != fault.type && status.message() != kNoWords) {
    fault.message = std::string(status.message());
  }
  for (size_t i = 1; i + 1 < parts.size(); i += 2) fault.fields[parts[i]] = parts[i + 1];
  return fault;
}

bool IsFault(const absl::Status& status, absl::string_view type) {
  auto fault = FaultOf(status);
  return fault && fault->type == type;
}

Fault ReadFault(pugi::xml_node node) {
  Fault fault;
  if (!node) return fault;
  pugi::xml_node body = node;
  if (pugi::xml_node inner = node.child("fault")) body = inner;
  fault.type = std::string(XsiType(body));
  if (size_t colon = fault.type.rfind(':'); colon != std::string::npos) {
    fault.type.erase(0, colon + 1);
  }
  if (fault.type.empty() && body == node) {
    fault.type = std::string(absl::StripSuffix(LocalName(body), "Fault"));
  }
  fault.message = std::string(TextAt(node, "localizedMessage"));
  if (fault.message.empty()) fault.message = std::string(TextAt(body, "faultMessage.message"));
  for (pugi::xml_node field : body.children()) {
    absl::string_view text = Text(field);
    if (!text.empty()) fault.fields[field.name()] = std::string(text);
  }
  return fault;
}

absl::StatusOr<SoapReply> SoapReply::Parse(std::string body, long http_status) {
  SoapReply reply;
  // A host's names and notes end up in messages that hold nothing else.
  if (!IsUtf8(body)) body = CleanText(body);
  reply.text_ = std::make_unique<std::string>(std::move(body));
  reply.document_ = std::make_unique<pugi::xml_document>();
  pugi::xml_parse_result parsed = reply.document_->load_buffer_inplace(
      reply.text_->data(), reply.text_->size(), pugi::parse_escapes | pugi::parse_cdata,
      pugi::encoding_utf8);
  pugi::xml_node envelope = ChildByLocalName(*reply.document_, "Envelope");
  pugi::xml_node content = FirstElement(ChildByLocalName(envelope, "Body"));
  if (!parsed || !content) {
    return MakeError(absl::StatusCode::kUnavailable, "HYPERVISOR_UNREACHABLE",
                     absl::StrCat("the answer is not SOAP (HTTP status ", http_status,
                                  "); the management service is starting, overloaded, or "
                                  "something else answers there"));
  }
  if (LocalName(content) == "Fault") return FaultStatus(ReadSoapFault(content));
  reply.response_ = content;
  return reply;
}

absl::string_view XsiType(pugi::xml_node node) {
  for (pugi::xml_attribute attribute : node.attributes()) {
    if (absl::EndsWith(attribute.name(), ":type")) return attribute.value();
  }
  return "";
}

absl::string_view Text(pugi::xml_node node) { return node.child_value(); }

pugi::xml_node NodeAt(pugi::xml_node node, absl::string_view path) {
  while (node && !path.empty()) {
    size_t dot = path.find('.');
    absl::string_view name = path.substr(0, dot);
    path = dot == absl::string_view::npos ? "" : path.substr(dot + 1);
    pugi::xml_node found;
    for (pugi::xml_node child : node.children()) {
      if (name == child.name()) {
        found = child;
        break;
      }
    }
    node = found;
  }
  return node;
}

absl::string_view TextAt(pugi::xml_node node, absl::string_view path) {
  return Text(NodeAt(node, path));
}

int64_t IntAt(pugi::xml_node node, absl::string_view path) {
  int64_t value = 0;
  return absl::SimpleAtoi(TextAt(node, path), &value) ? value : 0;
}

bool IsTrue(pugi::xml_node node) {
  absl::string_view text = Text(node);
  return text == "true" || text == "1";
}

MoRef ReadRef(pugi::xml_node node) {
  return {node.attribute("type").value(), std::string(Text(node))};
}

}  // namespace drover::vsphere
