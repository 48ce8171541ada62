#include "controller/vsphere/soap.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

std::string Wrapped(const std::string& body) {
  return "<?xml version=\"1.0\"?><soapenv:Envelope xmlns:soapenv=\"x\"><soapenv:Body>" + body +
         "</soapenv:Body></soapenv:Envelope>";
}

TEST(Soap, WritesEscapedElements) {
  EXPECT_EQ(Xml("password", "a<b>&\"c"), "<password>a&lt;b&gt;&amp;&quot;c</password>");
  EXPECT_EQ(Xml("n", int64_t{-3}), "<n>-3</n>");
  EXPECT_EQ(Xml("b", true), "<b>true</b>");
  EXPECT_EQ(XmlRef("pool", {"ResourcePool", "ha-root-pool"}),
            "<pool type=\"ResourcePool\">ha-root-pool</pool>");
  EXPECT_EQ(XmlTyped("v", "xsd:string", "x"), "<v xsi:type=\"xsd:string\">x</v>");
  std::string envelope = Envelope({"Task", "t&1"}, "CancelTask", "");
  EXPECT_NE(envelope.find("<CancelTask xmlns=\"urn:vim25\"><_this type=\"Task\">t&amp;1</_this>"),
            std::string::npos)
      << envelope;
}

TEST(Soap, NamesKeepTheirPercentSigns) {
  struct Row {
    std::string name, sent;
  };
  for (const Row& row : {Row{"web-1", "web-1"}, Row{"50%/a\\b", "50%25%2fa%5cb"},
                         Row{"%2f", "%252f"}, Row{"", ""}}) {
    EXPECT_EQ(EscapeName(row.name), row.sent);
    EXPECT_EQ(UnescapeName(row.sent), row.name);
  }
}

TEST(Soap, ReadsValuesWhateverTheirPrefix) {
  auto reply = SoapReply::Parse(
      Wrapped("<R xmlns=\"urn:vim25\"><returnval><unknown/><obj type=\"VirtualMachine\">7</obj>"
              "<val XMLSchema-instance:type=\"ArrayOfX\"><a><b> 12 </b></a></val>"
              "<t>true</t></returnval></R>"),
      200);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(ReadRef(reply->value().child("obj")), (MoRef{"VirtualMachine", "7"}));
  EXPECT_EQ(XsiType(reply->value().child("val")), "ArrayOfX");
  EXPECT_EQ(IntAt(reply->value(), "val.a.b"), 12);
  EXPECT_EQ(TextAt(reply->value(), "val.no.where"), "");
  EXPECT_TRUE(IsTrue(reply->value().child("t")));
}

TEST(Soap, AVoidAnswerHasNoValue) {
  auto reply = SoapReply::Parse(Wrapped("<R xmlns=\"urn:vim25\"/>"), 200);
  ASSERT_TRUE(reply.ok());
  EXPECT_FALSE(reply->value());
}

TEST(Soap, FaultsStayTyped) {
  struct Row {
    const char* name;
    const char* detail;
    const char* type;
    const char* message;
    const char* existing;
  };
  const Row rows[] = {
      {"typed",
       "<detail><InvalidPowerStateFault xsi:type=\"InvalidPowerState\"><existingState>poweredOn"
       "</existingState></InvalidPowerStateFault></detail>",
       "InvalidPowerState", "words", "poweredOn"},
      {"by element name", "<detail><NotSupportedFault/></detail>", "NotSupported", "words", ""},
      {"without detail", "", "", "words", ""},
  };
  for (const Row& row : rows) {
    auto reply = SoapReply::Parse(
        Wrapped(std::string("<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>") +
                "words</faultstring>" + row.detail + "</soapenv:Fault>"),
        500);
    ASSERT_FALSE(reply.ok()) << row.name;
    auto fault = FaultOf(reply.status());
    ASSERT_TRUE(fault.has_value()) << row.name;
    EXPECT_EQ(fault->type, row.type) << row.name;
    EXPECT_EQ(fault->message, row.message) << row.name;
    EXPECT_EQ(fault->fields["existingState"], row.existing) << row.name;
    EXPECT_TRUE(IsFault(reply.status(), row.type)) << row.name;
  }
}

TEST(Soap, AFaultWithoutWordsSaysSomethingStill) {
  const auto reply = SoapReply::Parse(
      Wrapped("<soapenv:Fault><faultcode>ServerFaultCode</faultcode></soapenv:Fault>"), 500);
  EXPECT_THAT(std::string(reply.status().message()), ::testing::HasSubstr("without words"));
  const auto fault = FaultOf(reply.status());
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->type, "");
  EXPECT_EQ(fault->message, "");
}

TEST(Soap, BytesThatAreNoTextAreMarked) {
  const auto reply = SoapReply::Parse(Wrapped("<R><returnval>caf\xe9</returnval></R>"), 200);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(Text(reply->value()), "caf?");
}

TEST(Soap, WhatIsNoSoapIsAServiceThatIsAway) {
  for (const char* body : {"", "<html><body>503</body></html>", "not xml at all", "<a><b></a>"}) {
    auto reply = SoapReply::Parse(body, 503);
    EXPECT_TRUE(HasReason(reply.status(), "HYPERVISOR_UNREACHABLE")) << body;
    EXPECT_TRUE(absl::IsUnavailable(reply.status())) << body;
  }
}

TEST(Soap, ReadsTaskErrors) {
  pugi::xml_document document;
  document.load_string(
      "<val><fault xsi:type=\"FileAlreadyExists\"><file>[ds] a</file></fault>"
      "<localizedMessage>exists</localizedMessage></val>");
  Fault fault = ReadFault(document.child("val"));
  EXPECT_EQ(fault.type, "FileAlreadyExists");
  EXPECT_EQ(fault.message, "exists");
  EXPECT_EQ(fault.fields["file"], "[ds] a");
}

}  // namespace
}  // namespace drover::vsphere
