#!/bin/sh
# make install: install.sh PATH/TO/assay. Staged by DESTDIR, a consumer found by pkg-config is compiled,
# linked and run, and uninstall takes everything away again.
set -u
. "$(dirname "$0")/kit/kit.sh"

[ $# -eq 1 ] || { echo "usage: $0 ASSAY" >&2; exit 2; }
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
build=$(dirname "$assay")
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir" || exit 2
ok() { if [ "$2" -eq 0 ]; then pass; else fail "$1" "$(head -n 5 log)"; fi; }

target() { # TARGET: without building anew
    MAKEFLAGS='' make -s -C "$root" -o "$assay" -o "$build/libassay.a" "$1" BUILD="$build" \
        DESTDIR="$dir/stage" PREFIX=/opt/assay >log 2>&1
}
target install
ok 'install' $?
stage=$dir/stage/opt/assay
for file in bin/assay lib/libassay.a lib/pkgconfig/assay.pc share/man/man1/assay.1 \
    include/assay/impl/plugin.h include/assay/impl/gemm_quant.h; do
    [ -s "$stage/$file" ]
    ok "installed: $file" $?
done
"$stage/bin/assay" --version >log 2>&1
ok 'the installed program runs' $?
grep -qF "$dir" "$stage/lib/pkgconfig/assay.pc" && fail 'assay.pc' 'names the staging folder'

cat >consumer.c <<'END'
#include <impl/gemm_quant.h>
#include <stdio.h>

int main(void) {
    struct assay_ctx_params params = {assay_backend_by_name("cpu"), ASSAY_ISA_AUTO, 1, ""};
    struct assay_ctx *ctx;
    struct assay_error err;

    if (assay_ctx_create(&params, &ctx, &err) != ASSAY_OK)
        return 1;
    puts(assay_isa_name(assay_ctx_isa(ctx)));
    assay_ctx_free(ctx);
    return 0;
}
END
export PKG_CONFIG_PATH="$stage/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR=
flags=$(pkg-config --define-variable=prefix="$stage" --static --cflags --libs assay 2>log)
ok 'pkg-config' $?
if nm "$assay" 2>/dev/null | grep -q '__[at]san_init'; then
    echo 'SKIP consumer of the library: it needs the sanitizers of this build'
else
    # shellcheck disable=SC2086
    ${CC:-cc} -std=c11 -Wall -Wextra -Werror -o consumer consumer.c $flags >log 2>&1
    ok 'a consumer compiles and links' $?
    ./consumer >out 2>log
    ok 'a consumer runs' $?
fi
target uninstall
ok 'uninstall' $?
[ -z "$(find stage -type f)" ]
ok 'uninstall leaves no file' $?

echo "$passed passed, $failed failed"
[ -z "${ASSAY_ROBUSTNESS:-}" ] || printf 'install\t%s\t%s\n' $((passed + failed)) "$failed" >>"$ASSAY_ROBUSTNESS"
[ "$failed" -eq 0 ]
