#!/bin/sh
# Unpacks Debian's arm64 development libraries into a directory, for cross builds and qemu-user:
#
#   ci/aarch64-sysroot.sh DIR
#
# Neither root nor `dpkg --add-architecture` is needed and the system stays as it is: apt resolves
# and downloads with a package state of its own. Exit 3 if the package mirror can't be reached.
set -eu

packages='libc6-dev libgomp1 libjansson-dev libsmartcols-dev libopenblas-dev libsqlite3-dev libcriterion-dev'

dir=${1:?usage: ci/aarch64-sysroot.sh DIR}
# A directory that an older list filled is filled anew.
if [ "$(cat "$dir/.complete" 2>/dev/null)" = "$packages" ]; then exit 0; fi

echo "aarch64-sysroot: fetching arm64 packages (about 25 MB) into $dir: $packages"
rm -rf "$dir"
mkdir -p "$dir/apt/lists/partial" "$dir/apt/archives/partial"
apt=$(cd "$dir/apt" && pwd)
: >"$apt/status"
cat >"$apt/apt.conf" <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Retries "3";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
EOF
export APT_CONFIG="$apt/apt.conf"
apt-get -q=2 update || exit 3
# shellcheck disable=SC2086 # a list of package names
apt-get -q=2 -y --download-only install $packages >/dev/null || exit 3
for deb in "$apt"/archives/*.deb; do dpkg -x "$deb" "$dir"; done

# Debian's alternatives system would make these links on an installed machine.
lib=$dir/usr/lib/aarch64-linux-gnu
ln -sf openblas-pthread/libopenblas.so openblas-pthread/libopenblas.so.0 "$lib/"
ln -sf ../openblas-pthread/pkgconfig/openblas.pc "$lib/pkgconfig/"
rm -rf "$dir/apt"
printf "%s\n" "$packages" >"$dir/.complete"
