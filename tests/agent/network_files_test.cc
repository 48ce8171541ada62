// The editors of network settings: what comes out, and what stays.
#include "agent/network_files.h"

#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

CardSettings Before() {
  return {"eth0", "00:50:56:00:00:01", "10.0.0.5", "255.255.255.0", "10.0.0.1", {}};
}
CardSettings Wanted() {
  return {"eth0",        "00:50:56:00:00:01", "10.1.2.3",
          "255.255.0.0", "10.1.0.1",          {"9.9.9.9", "8.8.8.8"}};
}
CardSettings Bare() { return {"eth0", "00:50:56:00:00:01", "10.1.2.3", "255.255.0.0", "", {}}; }

struct Row {
  const char* name;
  const char* text;
  CardSettings wanted;
  const char* expected;
};
void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }
std::string NameOfRow(const ::testing::TestParamInfo<Row>& info) { return info.param.name; }

// ---------------------------------------------------------------- ifupdown

class Interfaces : public ::testing::TestWithParam<Row> {};
TEST_P(Interfaces, IsEdited) {
  const std::string once = EditInterfaces(GetParam().text, GetParam().wanted);
  EXPECT_EQ(once, GetParam().expected);
  EXPECT_EQ(EditInterfaces(once, GetParam().wanted), once) << "a second time changes nothing";
}
INSTANTIATE_TEST_SUITE_P(
    Table, Interfaces,
    ::testing::Values(
        Row{"Static",
            "# ours\nauto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n"
            "  address 10.0.0.5\n  netmask 255.255.255.0\n  gateway 10.0.0.1\n  mtu 9000\n"
            "  up ip route add 10.9.0.0/16 via 10.0.0.7\n\nauto eth1\niface eth1 inet static\n"
            "  address 10.5.0.5\n",
            Wanted(),
            "# ours\nauto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n"
            "  address 10.1.2.3\n  netmask 255.255.0.0\n  gateway 10.1.0.1\n"
            "  dns-nameservers 9.9.9.9 8.8.8.8\n  mtu 9000\n"
            "  up ip route add 10.9.0.0/16 via 10.0.0.7\n\nauto eth1\niface eth1 inet static\n"
            "  address 10.5.0.5\n"},
        Row{"Dhcp", "allow-hotplug eth0\niface eth0 inet dhcp\n", Wanted(),
            "allow-hotplug eth0\niface eth0 inet static\n    address 10.1.2.3\n"
            "    netmask 255.255.0.0\n    gateway 10.1.0.1\n"
            "    dns-nameservers 9.9.9.9 8.8.8.8\n"},
        Row{"PrefixFormStays",
            "iface eth0 inet static\n\taddress 10.0.0.5/24\n\tgateway 10.0.0.1\n"
            "\tbroadcast 10.0.0.255\n\tdns-nameservers 1.1.1.1\n\tdns-search lab\n",
            Wanted(),
            "iface eth0 inet static\n\taddress 10.1.2.3/16\n\tgateway 10.1.0.1\n"
            "\tdns-nameservers 9.9.9.9 8.8.8.8\n\tdns-search lab\n"},
        Row{"NoGatewayNoDns",
            "iface eth0 inet static\n  address 10.0.0.5\n  netmask 255.255.255.0\n"
            "  gateway 10.0.0.1\n  dns-nameservers 1.1.1.1\n",
            Bare(),
            "iface eth0 inet static\n  address 10.1.2.3\n  netmask 255.255.0.0\n"
            "  dns-nameservers 1.1.1.1\n"},
        Row{"SixStays",
            "iface eth0 inet6 static\n  address fd00::5\n  netmask 64\n"
            "iface eth0 inet static\n  address 10.0.0.5\n  netmask 255.255.255.0\n",
            Bare(),
            "iface eth0 inet6 static\n  address fd00::5\n  netmask 64\n"
            "iface eth0 inet static\n  address 10.1.2.3\n  netmask 255.255.0.0\n"},
        Row{"None", "source /etc/network/interfaces.d/*\n", Bare(),
            "source /etc/network/interfaces.d/*\n\nauto eth0\niface eth0 inet static\n"
            "    address 10.1.2.3\n    netmask 255.255.0.0\n"},
        Row{"Empty", "", Bare(),
            "auto eth0\niface eth0 inet static\n    address 10.1.2.3\n"
            "    netmask 255.255.0.0\n"}),
    NameOfRow);

TEST(InterfacesNameTest, TheCardItselfAndIpv4) {
  EXPECT_TRUE(InterfacesName("iface eth0 inet dhcp\n", "eth0"));
  EXPECT_FALSE(InterfacesName("iface eth0 inet6 auto\n", "eth0"));
  EXPECT_FALSE(InterfacesName("# iface eth0 inet dhcp\n", "eth0"));
  EXPECT_FALSE(InterfacesName("iface eth0:1 inet static\n", "eth0"));
}

// ---------------------------------------------------------------- ifcfg

class Ifcfg : public ::testing::TestWithParam<Row> {};
TEST_P(Ifcfg, IsEdited) {
  const std::string once = EditIfcfg(GetParam().text, GetParam().wanted);
  EXPECT_EQ(once, GetParam().expected);
  EXPECT_EQ(EditIfcfg(once, GetParam().wanted), once);
}
INSTANTIATE_TEST_SUITE_P(
    Table, Ifcfg,
    ::testing::Values(
        Row{"Static",
            "# eth0\nDEVICE=eth0\nBOOTPROTO=static\nONBOOT=yes\nIPADDR=10.0.0.5\n"
            "NETMASK=255.255.255.0\nGATEWAY=10.0.0.1\nDNS1=1.1.1.1\nDNS2=1.0.0.1\nDNS3=1.0.0.2\n"
            "UUID=\"u-1\"\nMTU=9000\n",
            Wanted(),
            "# eth0\nDEVICE=eth0\nBOOTPROTO=none\nONBOOT=yes\nIPADDR=10.1.2.3\n"
            "NETMASK=255.255.0.0\nGATEWAY=10.1.0.1\nDNS1=9.9.9.9\nDNS2=8.8.8.8\n"
            "UUID=\"u-1\"\nMTU=9000\n"},
        Row{"Prefix",
            "DEVICE=eth0\nONBOOT=yes\nBOOTPROTO=none\nIPADDR0=10.0.0.5\nPREFIX0=24\nGATEWAY0=10.0."
            "0.1\n",
            Bare(), "DEVICE=eth0\nONBOOT=yes\nBOOTPROTO=none\nIPADDR0=10.1.2.3\nPREFIX0=16\n"},
        Row{"Dhcp", "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\n", Wanted(),
            "DEVICE=eth0\nBOOTPROTO=none\nONBOOT=yes\nIPADDR=10.1.2.3\nNETMASK=255.255.0.0\n"
            "GATEWAY=10.1.0.1\nDNS1=9.9.9.9\nDNS2=8.8.8.8\n"},
        Row{"New", "", Bare(),
            "DEVICE=eth0\nTYPE=Ethernet\nONBOOT=yes\nBOOTPROTO=none\nIPADDR=10.1.2.3\n"
            "NETMASK=255.255.0.0\n"}),
    NameOfRow);

// ---------------------------------------------------------------- NetworkManager

class Keyfile : public ::testing::TestWithParam<Row> {};
TEST_P(Keyfile, IsEdited) {
  const std::string once = EditKeyfile(GetParam().text, Before(), GetParam().wanted);
  EXPECT_EQ(once, GetParam().expected);
  EXPECT_EQ(EditKeyfile(once, GetParam().wanted, GetParam().wanted), once);
}
INSTANTIATE_TEST_SUITE_P(
    Table, Keyfile,
    ::testing::Values(
        Row{"Manual",
            "[connection]\nid=eth0\nuuid=u-1\ninterface-name=eth0\n\n[ipv4]\nmethod=manual\n"
            "address1=10.0.0.5/24,10.0.0.1\ndns=1.1.1.1;\nroute1=10.9.0.0/16,10.0.0.7\n\n"
            "[ipv6]\nmethod=auto\n",
            Wanted(),
            "[connection]\nid=eth0\nuuid=u-1\ninterface-name=eth0\n\n[ipv4]\nmethod=manual\n"
            "address1=10.1.2.3/16,10.1.0.1\ndns=9.9.9.9;8.8.8.8;\nroute1=10.9.0.0/16,10.0.0.7\n\n"
            "[ipv6]\nmethod=auto\n"},
        Row{"GatewayApart",
            "[ipv4]\nmethod=manual\naddress1=10.0.0.5/24\naddress2=10.7.0.5/24\n"
            "gateway=10.0.0.1\n",
            Bare(), "[ipv4]\nmethod=manual\naddress1=10.1.2.3/16\naddress2=10.7.0.5/24\n"},
        Row{"SecondIsMeant",
            "[ipv4]\nmethod=manual\naddress1=10.7.0.5/24\naddress2=10.0.0.5/24,10.0.0.1\n", Bare(),
            "[ipv4]\nmethod=manual\naddress1=10.7.0.5/24\naddress2=10.1.2.3/16\n"},
        Row{"Auto", "[connection]\nid=x\n\n[ipv4]\nmethod=auto\n", Wanted(),
            "[connection]\nid=x\n\n[ipv4]\nmethod=manual\naddress1=10.1.2.3/16,10.1.0.1\n"
            "dns=9.9.9.9;8.8.8.8;\n"},
        Row{"NoSection", "[connection]\nid=x\n", Bare(),
            "[connection]\nid=x\n\n[ipv4]\nmethod=manual\naddress1=10.1.2.3/16\n"}),
    NameOfRow);

// ---------------------------------------------------------------- systemd-networkd

class Networkd : public ::testing::TestWithParam<Row> {};
TEST_P(Networkd, IsEdited) {
  const std::string once = EditNetworkd(GetParam().text, Before(), GetParam().wanted);
  EXPECT_EQ(once, GetParam().expected);
  EXPECT_EQ(EditNetworkd(once, GetParam().wanted, GetParam().wanted), once);
}
INSTANTIATE_TEST_SUITE_P(
    Table, Networkd,
    ::testing::Values(
        Row{"Static",
            "[Match]\nName=eth0\n\n[Network]\nAddress=fd00::5/64\nAddress=10.0.0.5/24\n"
            "Gateway=10.0.0.1\nGateway=fd00::1\nDNS=1.1.1.1\nDNS=1.0.0.1\nNTP=ntp\n",
            Wanted(),
            "[Match]\nName=eth0\n\n[Network]\nAddress=fd00::5/64\nAddress=10.1.2.3/16\n"
            "Gateway=10.1.0.1\nGateway=fd00::1\nDNS=9.9.9.9\nDNS=8.8.8.8\nNTP=ntp\n"},
        Row{"Dhcp", "[Match]\nName=e*\n\n[Network]\nDHCP=yes\n", Bare(),
            "[Match]\nName=e*\n\n[Network]\nDHCP=ipv6\nAddress=10.1.2.3/16\n"},
        Row{"Sections",
            "[Match]\nName=eth0\n[Address]\nAddress=10.0.0.5/24\nLabel=eth0:1\n[Route]\n"
            "Gateway=10.0.0.1\nMetric=5\n[Route]\nDestination=10.9.0.0/16\nGateway=10.0.0.7\n",
            Wanted(),
            "[Match]\nName=eth0\n[Address]\nAddress=10.1.2.3/16\nLabel=eth0:1\n[Route]\n"
            "Gateway=10.1.0.1\nMetric=5\n[Route]\nDestination=10.9.0.0/16\nGateway=10.0.0.7\n\n"
            "[Network]\nDNS=9.9.9.9\nDNS=8.8.8.8\n"},
        Row{"RouteGoes",
            "[Match]\nName=eth0\n[Network]\nAddress=10.0.0.5/24\n[Route]\nGateway=10.0.0.1\n",
            Bare(), "[Match]\nName=eth0\n[Network]\nAddress=10.1.2.3/16\n"}),
    NameOfRow);

// ---------------------------------------------------------------- netplan

class Netplan : public ::testing::TestWithParam<Row> {};
TEST_P(Netplan, IsEdited) {
  const auto once = EditNetplan(GetParam().text, Before(), GetParam().wanted);
  ASSERT_TRUE(once.ok()) << once.status();
  EXPECT_EQ(*once, GetParam().expected);
  EXPECT_EQ(EditNetplan(*once, GetParam().wanted, GetParam().wanted).value_or(""), *once);
}
INSTANTIATE_TEST_SUITE_P(
    Table, Netplan,
    ::testing::Values(
        Row{"FlowLists",
            "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: false\n"
            "      addresses: [10.0.0.5/24]\n      routes: [{to: 0.0.0.0/0, via: 10.0.0.1}]\n"
            "      nameservers: {addresses: [1.1.1.1]}\n",
            Wanted(),
            "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: false\n"
            "      addresses: [10.1.2.3/16]\n      routes: [{to: 0.0.0.0/0, via: 10.1.0.1}]\n"
            "      nameservers: {addresses: [9.9.9.9, 8.8.8.8]}\n"},
        Row{"BlockLists",
            "# by hand\nnetwork:\n  version: 2\n  ethernets:\n    eth0:\n      addresses:\n"
            "        - \"fd00::5/64\"\n        - 10.0.0.5/24\n      routes:\n"
            "        - to: 10.9.0.0/16\n          via: 10.0.0.7\n        - to: default\n"
            "          via: 10.0.0.1\n          metric: 5\n      nameservers:\n        search: "
            "[lab]\n"
            "        addresses:\n          - 1.1.1.1\n          - 1.0.0.1\n    eth1:\n"
            "      addresses: [10.5.0.5/24]\n",
            Wanted(),
            "# by hand\nnetwork:\n  version: 2\n  ethernets:\n    eth0:\n      addresses:\n"
            "        - \"fd00::5/64\"\n        - 10.1.2.3/16\n      routes:\n"
            "        - to: 10.9.0.0/16\n          via: 10.0.0.7\n        - to: default\n"
            "          via: 10.1.0.1\n          metric: 5\n      nameservers:\n        search: "
            "[lab]\n"
            "        addresses: [9.9.9.9, 8.8.8.8]\n    eth1:\n"
            "      addresses: [10.5.0.5/24]\n"},
        Row{"OldGateway",
            "network:\n    ethernets:\n        eth0:\n            addresses:\n"
            "            - 10.0.0.5/24\n            gateway4: 10.0.0.1\n    version: 2\n",
            Wanted(),
            "network:\n    ethernets:\n        eth0:\n            addresses:\n"
            "            - 10.1.2.3/16\n            gateway4: 10.1.0.1\n"
            "            nameservers:\n              addresses: [9.9.9.9, 8.8.8.8]\n"
            "    version: 2\n"},
        Row{"Dhcp", "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n  version: 2\n",
            Wanted(),
            "network:\n  ethernets:\n    eth0:\n      dhcp4: false\n"
            "      addresses: [10.1.2.3/16]\n"
            "      routes: [{to: 0.0.0.0/0, via: 10.1.0.1}]\n      nameservers:\n"
            "        addresses: [9.9.9.9, 8.8.8.8]\n  version: 2\n"},
        Row{"GatewayGoes",
            "network:\n  ethernets:\n    eth0:\n      addresses: [10.0.0.5/24, \"fd00::5/64\"]\n"
            "      routes:\n      - to: default\n        via: 10.0.0.1\n      - to: 10.9.0.0/16\n"
            "        via: 10.0.0.7\n",
            Bare(),
            "network:\n  ethernets:\n    eth0:\n      addresses: [10.1.2.3/16, \"fd00::5/64\"]\n"
            "      routes:\n      - to: 10.9.0.0/16\n        via: 10.0.0.7\n"},
        Row{"ByMac",
            "network:\n  ethernets:\n    nic:\n      match: {macaddress: \"00:50:56:00:00:01\"}\n"
            "      set-name: eth0\n      addresses: [10.0.0.5/24]\n",
            Bare(),
            "network:\n  ethernets:\n    nic:\n      match: {macaddress: \"00:50:56:00:00:01\"}\n"
            "      set-name: eth0\n      addresses: [10.1.2.3/16]\n"}),
    NameOfRow);

TEST(NetplanTest, WhatIsNotABlockIsRefused) {
  const auto edited =
      EditNetplan("network:\n  ethernets:\n    eth0: {dhcp4: true}\n", Before(), Wanted());
  EXPECT_TRUE(HasReason(edited.status(), "NETWORK_UNKNOWN_TOOL")) << edited.status();
  EXPECT_TRUE(absl::IsNotFound(
      EditNetplan("network:\n  ethernets:\n    eth1:\n      dhcp4: true\n", Before(), Wanted())
          .status()));
}

// ---------------------------------------------------------------- resolv.conf, and which tool

TEST(ResolvConfTest, NameserversAlone) {
  EXPECT_EQ(
      EditResolvConf("# x\nsearch lab\nnameserver 1.1.1.1\noptions rotate\nnameserver 2.2.2.2\n",
                     {"9.9.9.9"}),
      "# x\nsearch lab\nnameserver 9.9.9.9\noptions rotate\n");
  EXPECT_EQ(EditResolvConf("", {"9.9.9.9", "8.8.8.8"}), "nameserver 9.9.9.9\nnameserver 8.8.8.8\n");
}

TEST(PrefixTest, OnlyNetmasks) {
  EXPECT_EQ(PrefixOf("255.255.0.0"), 16);
  EXPECT_EQ(PrefixOf("255.255.255.255"), 32);
  EXPECT_EQ(PrefixOf("255.0.255.0"), 0);
  EXPECT_EQ(PrefixOf("x"), 0);
}

struct ToolRow {
  const char* name;
  FileTexts files;
  NetworkPrograms programs;
  NetworkTool expected;
};
class Tool : public ::testing::TestWithParam<ToolRow> {};
TEST_P(Tool, IsChosen) {
  EXPECT_EQ(ChooseTool(GetParam().files, GetParam().programs, Before()), GetParam().expected);
}
INSTANTIATE_TEST_SUITE_P(
    Table, Tool,
    ::testing::Values(ToolRow{"Netplan",
                              {{"/etc/netplan/01.yaml", "network:\n"},
                               {"/etc/network/interfaces", "iface eth0 inet dhcp\n"}},
                              {.netplan = true, .ifup = true},
                              NetworkTool::kNetplan},
                      ToolRow{"Keyfile",
                              {{"/etc/NetworkManager/system-connections/x.nmconnection",
                                "[ethernet]\nmac-address=00:50:56:00:00:01\n"}},
                              {.nmcli = true},
                              NetworkTool::kNetworkManager},
                      ToolRow{"IfcfgUnderNetworkManager",
                              {{"/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\n"}},
                              {.nmcli = true},
                              NetworkTool::kIfcfg},
                      ToolRow{"FilesOfAToolThatDoesNotRun",
                              {{"/etc/NetworkManager/system-connections/x",
                                "[connection]\ninterface-name=eth0\n"},
                               {"/etc/network/interfaces", "iface eth0 inet dhcp\n"}},
                              {.ifup = true},
                              NetworkTool::kIfupdown},
                      ToolRow{"Folder",
                              {{"/etc/network/interfaces", ""},
                               {"/etc/network/interfaces.d/eth0", "iface eth0 inet dhcp\n"}},
                              {.ifup = true, .networkctl = true},
                              NetworkTool::kIfupdown},
                      ToolRow{"Networkd",
                              {{"/etc/network/interfaces", ""},
                               {"/etc/systemd/network/10.network", "[Match]\nName=e*\n"}},
                              {.ifup = true, .networkctl = true},
                              NetworkTool::kNetworkd},
                      ToolRow{"Nothing", {}, {}, NetworkTool::kNone}),
    [](const auto& info) { return info.param.name; });

TEST(EditNetworkFilesTest, OneFileForManyCardsGivesTheCardItsOwn) {
  const FileTexts files = {
      {"/etc/systemd/network/10-all.network", "[Match]\nName=e*\n\n[Network]\nDHCP=yes\n"}};
  const auto edit = EditNetworkFiles(NetworkTool::kNetworkd, files, Before(), Bare());
  ASSERT_TRUE(edit.ok()) << edit.status();
  EXPECT_EQ(edit->files, (FileTexts{{"/etc/systemd/network/00-0-drover-eth0.network",
                                     "[Match]\nName=eth0\n\n[Network]\nDHCP=ipv6\n"
                                     "Address=10.1.2.3/16\n"}}));
}

TEST(EditNetworkFilesTest, ResolvConfWhereNobodyElseWritesIt) {
  const FileTexts files = {{"/etc/network/interfaces", "iface eth0 inet dhcp\n"},
                           {"/etc/resolv.conf", "nameserver 1.1.1.1\n"}};
  const auto edit = EditNetworkFiles(NetworkTool::kIfupdown, files, Before(), Wanted());
  ASSERT_TRUE(edit.ok()) << edit.status();
  EXPECT_EQ(edit->files.at("/etc/resolv.conf"), "nameserver 9.9.9.9\nnameserver 8.8.8.8\n");
  const auto same = EditNetworkFiles(NetworkTool::kIfupdown, edit->files, Wanted(), Wanted());
  ASSERT_TRUE(same.ok());
  EXPECT_TRUE(same->files.empty());
}

TEST(EditNetworkFilesTest, OfManyConnectionsTheOneInForce) {
  const FileTexts files = {
      {"/etc/NetworkManager/system-connections/a.nmconnection",
       "[connection]\nuuid=a\ninterface-name=eth0\n[ipv4]\naddress1=10.7.0.5/24\n"},
      {"/etc/NetworkManager/system-connections/b.nmconnection",
       "[connection]\nuuid=b\ninterface-name=eth0\n[ipv4]\naddress1=10.0.0.5/24\n"}};
  const auto edit = EditNetworkFiles(NetworkTool::kNetworkManager, files, Before(), Wanted());
  ASSERT_TRUE(edit.ok()) << edit.status();
  EXPECT_EQ(edit->connection, "b");
  EXPECT_EQ(edit->files.size(), 1u);
}

TEST(EditNetworkFilesTest, NothingKnownIsSaid) {
  EXPECT_TRUE(HasReason(EditNetworkFiles(NetworkTool::kNone, {}, Before(), Wanted()).status(),
                        "NETWORK_UNKNOWN_TOOL"));
}

}  // namespace
}  // namespace drover::agent
