#!/bin/sh
# Installs what assay's build, tests and reports need and this machine lacks. Asks nothing; does
# nothing, quickly, when all is there.
#
#   ci/install-deps.sh              build, tests, plots, and the optional ggml peer
#   ci/install-deps.sh --clang      also clang with its OpenMP run time
#   ci/install-deps.sh --aarch64    also the AArch64 cross compiler and qemu-user
#   ci/install-deps.sh --metal      also what the software Metal device needs (Linux)
#   ci/install-deps.sh --no-peers   leave the optional ggml peer out
set -eu

# The lists. Each row: the package, and a command that shows it is there ("-": ask dpkg).
debian_base='
gcc               cc
make              make
pkg-config        pkg-config
libc6-dev         -
libjansson-dev    -
libsmartcols-dev  -
libopenblas-dev   -
libcriterion-dev  -
gnuplot-nox       gnuplot
jq                jq'
debian_clang='
clang             clang
libomp-dev        -'
debian_metal='
clang-16             clang-16
libgnustep-base-dev  -
libobjc-12-dev       -
libblocksruntime-dev -
binutils             addr2line'
debian_aarch64='
gcc-aarch64-linux-gnu   aarch64-linux-gnu-gcc
libc6-dev-arm64-cross   -
qemu-user               qemu-aarch64'
homebrew_base='pkgconf jansson util-linux openblas criterion gnuplot libomp jq'

# The peer: ggml's own libraries as an npm package publishes them. Tests compare decoders with it,
# bench compares speed; both say so and go on where it is missing.
peer=@node-llama-cpp/linux-x64
peer_version=3.22.1

say() { printf 'install-deps: %s\n' "$*"; }

top=$(cd "$(dirname "$0")/.." && pwd)
want_clang= want_aarch64= want_metal= want_peers=1
for arg; do
    case $arg in
    --clang) want_clang=1 ;;
    --aarch64) want_aarch64=1 ;;
    --metal) want_metal=1 ;;
    --no-peers) want_peers= ;;
    *) say "unknown option $arg (--clang, --aarch64, --metal, --no-peers)" >&2; exit 2 ;;
    esac
done

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        say "not root and no sudo: run this as root: $*" >&2
        return 1
    fi
}

# Prints the packages of the rows on stdin that are not there.
debian_missing() {
    while read -r package probe; do
        case $package in '') continue ;; esac
        if [ "$probe" != - ] && command -v "$probe" >/dev/null 2>&1; then continue; fi
        case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
        *' installed') ;;
        *) printf '%s ' "$package" ;;
        esac
    done
}

apt_updated=
apt_install() {
    say "installing with apt-get: $*"
    if [ -z "$apt_updated" ]; then
        as_root apt-get -q=2 -o Acquire::Retries=3 update ||
            say "apt-get update failed: going on with the package lists at hand"
        apt_updated=1
    fi
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q=2 -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends "$@"
}

install_debian() {
    rows=$debian_base
    [ -z "$want_clang" ] || rows="$rows
$debian_clang"
    [ -z "$want_metal" ] || rows="$rows
$debian_metal"
    [ -z "$want_aarch64" ] || rows="$rows
$debian_aarch64"
    missing=$(printf '%s\n' "$rows" | debian_missing)
    # shellcheck disable=SC2086 # a list of package names
    [ -z "$missing" ] || apt_install $missing
}

install_homebrew() {
    have=$(brew list --formula -1)
    missing=
    for formula in $homebrew_base; do
        printf '%s\n' "$have" | grep -qx "$formula" || missing="$missing $formula"
    done
    [ -n "$missing" ] || return 0
    say "installing with Homebrew:$missing"
    # shellcheck disable=SC2086
    HOMEBREW_NO_AUTO_UPDATE=1 brew install -q $missing
}

# Optional throughout: every way out but success says what is missing and returns 0.
install_peer() {
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || return 0
    dir=$top/node_modules/$peer
    if grep -q "\"version\": *\"$peer_version\"" "$dir/package.json" 2>/dev/null; then return 0; fi
    if ! command -v npm >/dev/null 2>&1; then
        if ! { command -v apt-get >/dev/null 2>&1 && apt_install npm; }; then
            say "no npm: going on without the optional peer $peer"
            return 0
        fi
    fi
    say "installing with npm into node_modules/: $peer $peer_version (optional peer)"
    if ! npm install --prefix "$top" --no-save --no-package-lock --ignore-scripts --no-audit \
        --no-fund --loglevel=error "$peer@$peer_version"; then
        say "npm could not install it: going on without the optional peer $peer"
        return 0
    fi
    if ! (cd "$dir" && sha256sum --quiet -c "$top/ci/peer.sha256"); then
        rm -rf "$dir"
        say "checksums of $peer differ from ci/peer.sha256: removed; going on without it"
    fi
}

case $(uname -s) in
Darwin)
    command -v brew >/dev/null 2>&1 || { say "Homebrew is needed on macOS" >&2; exit 1; }
    install_homebrew
    ;;
*)
    if command -v apt-get >/dev/null 2>&1; then
        install_debian
    else
        # shellcheck disable=SC2046 # a list of package names
        say "no apt-get here; please see to these:" $(printf '%s\n' "$debian_base" | cut -d' ' -f1)
    fi
    ;;
esac
[ -z "$want_peers" ] || install_peer
