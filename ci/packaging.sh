#!/bin/sh
# How assay is built and handed on: ci/packaging.sh all|static|musl|reproducible|dist|deb|formula ...
# Each part builds from the committed sources in folders of its own under build/packaging, and runs what
# came of it. With ASSAY_ROBUSTNESS=FILE, appends its figures there.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { echo "usage: $0 all|static|musl|reproducible|dist|deb|formula ..." >&2; exit 2; }
jobs=$(getconf _NPROCESSORS_ONLN)
work=$PWD/build/packaging
mkdir -p "$work"

# sources DIR: the committed sources, as make dist packs them.
sources() {
    rm -rf "$1"
    mkdir -p "$1"
    tarball=$(make -s dist)
    tar -xzf "$tarball" -C "$1" --strip-components=1
}
done_with() { # KEY TRIED
    echo "packaging: $1: ok"
    [ -z "${ASSAY_ROBUSTNESS:-}" ] || printf '%s\t%s\t0\n' "$1" "$2" >>"$ASSAY_ROBUSTNESS"
}

# Runs in a folder with nothing else in it, not even /proc or /dev.
static() {
    make -s -j"$jobs" STATIC=1 BUILD="$work/static" all 2>"$work/static.log" ||
        { cat "$work/static.log"; return 1; }
    # Not the dynamic loader's word: a static program may still ask for one.
    ! readelf -l "$work/static/assay" | grep -q INTERP
    rm -rf "$work/empty"
    mkdir "$work/empty"
    cp "$work/static/assay" datasets/tinylm/tinylm-Q4_0.gguf "$work/empty"
    run=chroot
    [ "$(id -u)" = 0 ] || run='unshare -r chroot'
    # shellcheck disable=SC2086
    for command in version types 'inspect /tinylm-Q4_0.gguf' 'verify -b scalar,cpu -t q4_k,q8_0 --quick' \
        'verify --gguf /tinylm-Q4_0.gguf --tensors-only -b cpu --budget 5s --json /r.json'; do
        $run "$work/empty" /assay $command >"$work/out" 2>&1 || { cat "$work/out"; return 1; }
    done
    jq -e .summary.passed "$work/empty/r.json" >/dev/null
    done_with static 5
}

musl() {
    make -s -j"$jobs" LIBC=musl BUILD="$work/musl" "$work/musl/musl-check"
    ! readelf -l "$work/musl/musl-check" | grep -q INTERP
    "$work/musl/musl-check" >"$work/out" || { cat "$work/out"; return 1; }
    tail -n 1 "$work/out"
    done_with musl "$(sed -n 's/ passed.*//p' "$work/out")"
}

# The same bytes from two folders, whose names differ in length, built with different numbers of jobs.
reproducible() {
    sources "$work/one"
    sources "$work/another-folder"
    CCACHE_DISABLE=1 make -s -C "$work/one" -j"$jobs" BUILD=build/r all plugins
    CCACHE_DISABLE=1 make -s -C "$work/another-folder" -j1 BUILD=build/r all plugins
    for file in assay libassay.a impl/example/skeleton.so; do
        cmp "$work/one/build/r/$file" "$work/another-folder/build/r/$file"
    done
    done_with reproducible 3
}

dist() {
    sources "$work/dist"
    [ ! -e "$work/dist/.git" ]
    make -s -C "$work/dist" -j"$jobs" all plugins
    [ "$("$work/dist/build/gcc/assay" version | grep -c "$(cat "$work/dist/COMMIT" | cut -c1-7)")" -ge 1 ]
    for t in cli plugin explain install; do
        sh "$work/dist/harness/tests/$t.sh" "$work/dist/build/gcc/assay" >"$work/out" 2>&1 ||
            { cat "$work/out"; return 1; }
    done
    done_with dist 4
}

deb() {
    rm -rf "$work"/*.deb "$work/root"
    sources "$work/deb/assay"
    (cd "$work/deb/assay" && dpkg-buildpackage -us -uc -b -j"$jobs") >"$work/deb.log" 2>&1 ||
        { tail -n 20 "$work/deb.log"; return 1; }
    for package in "$work"/deb/*.deb; do
        case $package in *dbgsym*) ;; *) dpkg -x "$package" "$work/root" ;; esac
    done
    "$work/root/usr/bin/assay" verify -b scalar -t q8_0 --quick >"$work/out"
    [ -e "$work/root/usr/share/man/man1/assay.1.gz" ]
    [ -e "$work/root/usr/include/assay/impl/plugin.h" ]
    done_with deb 1
}

formula() {
    ruby -c ci/homebrew/assay.rb >"$work/out"
    done_with formula 1
}

[ "$1" != all ] || set -- static musl reproducible dist deb formula
for part; do
    "$part"
done
