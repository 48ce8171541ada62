# shellcheck shell=bash
# Shared by packaging/quickstart and tests/run. Sourced, not run.

# The checkout.
drover_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

need_root() {
  [ "$(id -u)" = 0 ] || fail "$1 needs root (it installs packages and makes network namespaces): run it with sudo"
}

# package_names FILE...: the packages of these lists, comments left out.
package_names() {
  sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$@"
}

# is_installed NAME: the package is there, or another one that provides it (nodejs of other vendors has npm in it and refuses Debian's).
is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ||
    dpkg-query -W -f '${db:Status-Status}, ${Provides}\n' | sed -n 's/^installed, //p' | grep -qE "(^|, )$1( |,|\$)"
}

# install_packages FILE...: installs what is missing of these lists. Asks nothing and recommends nothing.
install_packages() {
  local missing=() name
  for name in $(package_names "$@"); do
    is_installed "$name" || missing+=("$name")
  done
  [ ${#missing[@]} = 0 ] && return 0
  say "Installing ${#missing[@]} packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update || fail "apt-get update failed: see above"
  # A service that a package brings must not start on this machine.
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 0755 "$policy" && made=1
  fi
  local status=0
  apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null || status=$?
  [ -n "$made" ] && rm -f "$policy"
  [ $status = 0 ] || fail "apt-get install failed: see above"
}

# build PRESET [TARGET...] with the cmake flags in $cmake_flags.
build() {
  local preset=$1
  shift
  (
    cd "$drover_root" || exit 1
    # shellcheck disable=SC2086 # flags are words
    cmake --preset "$preset" ${cmake_flags:-} >"build-$preset.log" 2>&1 ||
      { cat "build-$preset.log" >&2; rm -f "build-$preset.log"; exit 1; }
    rm -f "build-$preset.log"
    cmake --build "build/$preset" ${1:+--target "$@"}
  ) || fail "the build ($preset) failed: see above"
}
