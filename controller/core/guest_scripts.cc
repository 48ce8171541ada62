#include "controller/core/guest_scripts.h"

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace drover::core {
namespace {

// Stops at the first command that fails. Each way writes what lasts first, then applies it; what
// was there before is kept beside it.
constexpr char kNetworkScript[] = R"sh(set -eu

find_device() {
  for with in device type; do
    for path in /sys/class/net/*; do
      device=${path##*/}
      [ "$device" != lo ] || continue
      [ -e "$path/$with" ] || continue
      [ "$(cat "$path/type")" = 1 ] || continue
      echo "$device"
      return 0
    done
  done
  echo "the guest has no network card" >&2
  return 1
}

keep() {
  if [ -e "$1" ] && [ ! -e "$1.before-drover" ]; then cp -p "$1" "$1.before-drover"; fi
}

set_name() {
  echo "$name" >/etc/hostname
  hostname "$name" 2>/dev/null || hostnamectl set-hostname "$name" 2>/dev/null || true
  touch /etc/hosts
  grep -v '^127\.0\.1\.1[[:space:]]' /etc/hosts >/etc/hosts.drover || true
  echo "127.0.1.1 $name" >>/etc/hosts.drover
  cat /etc/hosts.drover >/etc/hosts
  rm -f /etc/hosts.drover
}

write_resolv_conf() {
  [ -n "$dns" ] || return 0
  if [ -L /etc/resolv.conf ] && [ -e /etc/resolv.conf ]; then return 0; fi
  rm -f /etc/resolv.conf
  for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
}

# A boot that is under way may have read the file before it was written, and bring up what it said.
await_other_ifup() {
  tries=0
  while [ $tries -lt 100 ]; do
    busy=
    for comm in /proc/[0-9]*/comm; do
      { read -r word <"$comm"; } 2>/dev/null || continue
      case $word in ifup | ifdown) busy=yes ;; esac
    done
    [ -n "$busy" ] || return 0
    tries=$((tries + 1))
    sleep 0.2 2>/dev/null || sleep 1
  done
}

await_address() {
  command -v ip >/dev/null || return 0
  tries=0
  until ip -4 -o addr show dev "$device" | grep -qF " $ip/"; do
    tries=$((tries + 1))
    if [ $tries -gt 15 ]; then
      echo "$device did not take on $ip:" >&2
      ip addr show dev "$device" >&2
      exit 4
    fi
    sleep 1
  done
}

by_netplan() {
  for file in /etc/netplan/*.yaml; do
    if [ -e "$file" ] && [ "$file" != /etc/netplan/01-drover.yaml ]; then
      mv "$file" "$file.before-drover"
    fi
  done
  umask 077
  {
    echo "network:"
    echo "  version: 2"
    echo "  ethernets:"
    echo "    $device:"
    echo "      dhcp4: false"
    echo "      addresses: [$ip/$prefix]"
    [ -z "$gateway" ] || echo "      routes: [{to: 0.0.0.0/0, via: $gateway}]"
    [ -z "$dns" ] || echo "      nameservers: {addresses: [$(echo $dns | sed 's/ /, /g')]}"
  } >/etc/netplan/01-drover.yaml
  netplan apply
}

by_network_manager() {
  connection=$(nmcli -g GENERAL.CONNECTION device show "$device" 2>/dev/null || true)
  if [ -z "$connection" ] || [ "$connection" = -- ]; then
    connection=drover
    nmcli connection show drover >/dev/null 2>&1 ||
      nmcli connection add type ethernet ifname "$device" con-name drover
  fi
  nmcli connection modify "$connection" ipv4.method manual ipv4.addresses "$ip/$prefix" \
    ipv4.gateway "$gateway" ipv4.dns "$dns" connection.autoconnect yes
  nmcli connection up "$connection"
}

by_ifcfg() {
  file=/etc/sysconfig/network-scripts/ifcfg-$device
  keep "$file"
  {
    echo "DEVICE=$device"
    echo "TYPE=Ethernet"
    echo "ONBOOT=yes"
    echo "BOOTPROTO=none"
    echo "IPADDR=$ip"
    echo "NETMASK=$netmask"
    [ -z "$gateway" ] || echo "GATEWAY=$gateway"
    number=1
    for server in $dns; do
      echo "DNS$number=$server"
      number=$((number + 1))
    done
  } >"$file"
  write_resolv_conf
  await_other_ifup
  ifdown "$device" >/dev/null 2>&1 || true
  ifup "$device"
}

# Not asked for a card that is known to be down: it runs many a hook.
take_down() {
  if command -v ifquery >/dev/null && ! ifquery --state "$device" >/dev/null 2>&1; then return 0; fi
  ifdown --force "$device" >/dev/null 2>&1 || true
}

by_ifupdown() {
  # By the file that brought it up, which knows what to end.
  take_down
  for file in /etc/network/interfaces.d/*; do
    [ -f "$file" ] || continue
    if grep -qE "^[[:space:]]*(iface|auto|allow-hotplug)[[:space:]]+$device([[:space:]]|\$)" "$file"; then
      mkdir -p /etc/network/before-drover
      mv "$file" /etc/network/before-drover/
    fi
  done
  keep /etc/network/interfaces
  {
    echo "auto lo"
    echo "iface lo inet loopback"
    echo "source /etc/network/interfaces.d/*"
    echo "auto $device"
    echo "iface $device inet static"
    echo "  address $ip"
    echo "  netmask $netmask"
    [ -z "$gateway" ] || echo "  gateway $gateway"
    [ -z "$dns" ] || echo "  dns-nameservers $dns"
  } >/etc/network/interfaces
  write_resolv_conf
  await_other_ifup
  take_down
  ip addr flush dev "$device" 2>/dev/null || true
  mkdir -p /run/network
  ifup "$device"
}

by_networkd() {
  for file in /etc/systemd/network/*.network; do
    [ -f "$file" ] || continue
    if grep -qE "^Name=($device|e\*|en\*|eth\*|\*)\$" "$file"; then mv "$file" "$file.before-drover"; fi
  done
  {
    echo "[Match]"
    echo "Name=$device"
    echo "[Network]"
    echo "Address=$ip/$prefix"
    [ -z "$gateway" ] || echo "Gateway=$gateway"
    for server in $dns; do echo "DNS=$server"; done
  } >/etc/systemd/network/10-drover.network
  write_resolv_conf
  systemctl restart systemd-networkd
}

# A change that an agent left open ends with this one.
rm -f /var/lib/drover-agent/network.state
device=$(find_device)
set_name
if command -v netplan >/dev/null && [ -d /etc/netplan ]; then
  by_netplan
elif command -v nmcli >/dev/null && nmcli -g RUNNING general 2>/dev/null | grep -q '^running'; then
  by_network_manager
elif [ -d /etc/sysconfig/network-scripts ] && command -v ifup >/dev/null; then
  by_ifcfg
elif [ -d /etc/network ] && command -v ifup >/dev/null; then
  by_ifupdown
elif command -v networkctl >/dev/null && [ -d /etc/systemd/network ]; then
  by_networkd
else
  echo "the guest has none of netplan, NetworkManager, ifcfg files, ifupdown, systemd-networkd" >&2
  exit 3
fi
await_address
)sh";

constexpr char kLookScript[] = R"sh(
agent=/usr/local/sbin/drover-agent
if [ -x $agent ] && [ -e /etc/drover/agent.toml ]; then echo program=yes; else echo program=no; fi
running=no
for exe in /proc/[0-9]*/exe; do
  case $(readlink "$exe" 2>/dev/null) in $agent | "$agent (deleted)") running=yes ;; esac
done
echo running=$running
if command -v ip >/dev/null; then
  ip -4 -o addr show up scope global |
    while read -r _ _ _ address _; do echo "address=${address%%/*}"; done
  ip addr
  ip route
else
  ifconfig | sed -n 's/.*inet \(addr:\)\{0,1\}\([0-9.]*\).*/address=/p' | grep -v '=127\.'
  ifconfig
fi
cat /etc/resolv.conf
if [ -e /var/lib/drover-agent/agent.log ]; then
  tail -n 20 /var/lib/drover-agent/agent.log
elif command -v journalctl >/dev/null; then
  journalctl -q -n 20 --no-pager -u drover-agent
fi
exit 0
)sh";

}  // namespace

std::string LookScript() { return kLookScript; }

std::string ShellQuoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string ShellArguments(absl::string_view script, absl::string_view output) {
  return absl::StrCat("-c ", ShellQuoted(absl::StrCat("( ", script, " ) >", output, " 2>&1")));
}

int PrefixLength(absl::string_view netmask) {
  int bits = 0;
  for (const absl::string_view part : absl::StrSplit(netmask, '.')) {
    uint32_t value = 0;
    if (!absl::SimpleAtoi(part, &value)) return 0;
    for (; value != 0; value &= value - 1) ++bits;
  }
  return bits;
}

std::string NetworkScript(absl::string_view host_name, const drover::v1::NetworkSettings& network) {
  std::string dns = network.dns1();
  if (!network.dns2().empty()) absl::StrAppend(&dns, dns.empty() ? "" : " ", network.dns2());
  return absl::StrCat("name=", ShellQuoted(host_name), "\nip=", ShellQuoted(network.ip()),
                      "\nnetmask=", ShellQuoted(network.netmask()),
                      "\nprefix=", PrefixLength(network.netmask()),
                      "\ngateway=", ShellQuoted(network.gateway()), "\ndns=", ShellQuoted(dns),
                      "\n", kNetworkScript);
}

std::string AgentConfig(const EnrolmentKit& kit, absl::string_view bios_uuid) {
  const auto quoted = [](absl::string_view text) {
    return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
  };
  return absl::StrCat("controller = ", quoted(kit.controller_address()),
                      "\nauthority = \"/etc/drover/authority.pem\"\n",
                      "token_file = \"/etc/drover/enrolment-token\"\n",
                      "bios_uuid = ", quoted(bios_uuid), "\n");
}

}  // namespace drover::core
