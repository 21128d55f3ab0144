#!/bin/sh
# End-to-end tests of plugins: plugin.sh PATH/TO/assay. Needs `make plugins` in the same build.
set -u
. "$(dirname "$0")/kit/kit.sh"

[ $# -eq 1 ] || { echo "usage: $0 ASSAY" >&2; exit 2; }
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
build=$(dirname "$assay")
root=$(cd "$(dirname "$0")/../.." && pwd)
skeleton=$build/impl/example/skeleton.so
faulty=$build/harness/tests/plugins/faulty.so
for file in "$assay" "$skeleton" "$faulty"; do
    [ -e "$file" ] || { echo "$0: $file is missing: make plugins" >&2; exit 2; }
done

dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir" || exit 2
out_has() { if grep -qF -e "$1" out; then pass; else fail "$name" "stdout lacks: $1"; fi; }
out_lacks() { if grep -qF -e "$1" out; then fail "$name" "stdout has: $1"; else pass; fi; }
err_has() { if grep -qF -e "$1" err; then pass; else fail "$name" "stderr lacks: $1" "$(head -n 3 err)"; fi; }
# with_fault NAME: a plugin that has it.
with_fault() { cp "$faulty" "$1.so"; }

one='--type q8_0 --shape 2x9x64 --weights uniform --acts normal -j 1 --timeout 2'

# ---- A plugin of a user: built from nothing but the installed header ------------------------------
name='install'
if MAKEFLAGS='' make -s -C "$root" -o "$assay" -o "$build/libassay.a" install BUILD="$build" \
    DESTDIR="$dir/staged" PREFIX=/usr >log 2>&1; then pass; else fail "$name" "$(tail -n 3 log)"; fi
include=$dir/staged/usr/include/assay
mkdir away
cp "$root/impl/example/skeleton.c" away/mine.c
(cd away && ${CC:-cc} -std=c11 -O2 -Wall -Wextra -Wpedantic -Werror -fPIC -shared \
    -I "$include" -o mine.so mine.c -lm) 2>log && pass || fail 'out of tree' "$(head -n 3 log)"
check 'out-of-tree plugin' 0 verify --plugin away/mine.so
out_has 'skeleton'
out_has ' 0 failed'
out_lacks 'scalar'
if [ "$(wc -l <"$root/impl/example/skeleton.c")" -lt 60 ]; then pass; else
    fail 'skeleton' 'has 60 lines or more'
fi

for standard in c11 c17; do
    echo '#include "impl/plugin.h"' >alone.c
    ${CC:-cc} -std=$standard -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I "$include" alone.c \
        2>log && pass || fail "header alone, $standard" "$(head -n 3 log)"
done
if command -v c++ >/dev/null; then
    for standard in c++11 c++17; do
        c++ -x c++ -std=$standard -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I "$include" \
            alone.c 2>log && pass || fail "header alone, $standard" "$(head -n 3 log)"
    done
else
    echo "SKIP header alone, C++: no C++ compiler"
fi

# ---- Every command ------------------------------------------------------------------------------
with_fault none
# shellcheck disable=SC2086
check 'everything of the interface' 0 verify --plugin ./none.so
out_has 'none'
check 'name without a slash' 0 verify --plugin none.so $one
check 'beside a built-in backend' 0 verify --plugin none.so --backend none,scalar $one
out_has 'scalar'
check 'record' 0 verify --plugin none.so $one --json r.json
grep -q '"description": "for tests"' r.json && pass || fail 'record' 'no plugin in it'
check 'types' 0 types --plugin none.so
out_has 'none'
check 'bench' 0 bench --plugin none.so --type q8_0 --shape 1x32x64 --samples 5 --max-time 0 -j 1
out_has 'none'
out_has 'eager-f32'
check 'mem' 0 mem "$root/datasets/tinylm/tinylm-Q4_0.gguf" --plugin none.so --layers 1 --tokens 1 \
    --backend none,eager-f32
out_has 'none'
check 'mem with types that the plugin lacks' 2 mem "$root/datasets/tinylm/tinylm-Q4_0.gguf" --plugin "$skeleton"
out_has 'skeleton: error: tensor'
check 'reproduction' 0 verify --plugin none.so --case gemm/q8_0/2x9x64/uniform/normal/none/-/t1
out_has '1 passed, 0 failed'

# ---- Kernels that fail: each is a finding of its own, and the other plugin's run is complete -----
finding() { # FAULT TEXT: verify finds it beside a good plugin
    with_fault "$1"
    # shellcheck disable=SC2086
    check "$1" 1 verify --plugin "$1.so,$skeleton" $one
    out_has "$2"
    out_has "reproduce: assay verify --plugin $1.so --seed 1 --case "
    if grep -Eq '^skeleton +1 +1 +0' out; then pass; else fail "$1" 'the run is not complete'; fi
}
finding segfaults 'crashed: SIGSEGV'
finding aborts 'crashed: SIGABRT'
finding exits 'crashed: exit'
finding closes_descriptors 'crashed: exit'
finding hangs 'hung: timeout 2 s'
finding drops_last_block 'wrong value'
finding writes_past_n 'outside'
finding wrong_second_call 'in the second call'
finding refuses 'creation failed: refuses: no?such ? matrix, 1 threads'
finding overlong_error 'the product failed: overlong_error: xxx'
finding fails_silently 'create returned -7'

# A command that reproduces a finding does so when it is pasted.
sed -n 's/^  reproduce: assay //p' out >repro
# shellcheck disable=SC2046
check 'pasted reproduction' 1 $(cat repro)
out_has 'create returned -7'

with_fault prints
# shellcheck disable=SC2086
check 'output of a plugin stays out of a record' 0 verify --plugin prints.so $one --json -
out_lacks 'noise'
err_has 'noise'
check 'and out of what measures memory' 0 mem "$root/datasets/tinylm/tinylm-Q4_0.gguf" \
    --plugin prints.so --layers 1 --tokens 1 --backend prints

# ---- Plugins that can't be used: told once, the rest goes on, the run is no success --------------
unusable() { # PLUGIN CODE TEXT
    # shellcheck disable=SC2086
    check "$1 and a good one" "$2" verify --plugin "$1" --plugin "$skeleton" $one
    err_has "$3"
    if [ "$(grep -c '^assay verify: plugin' err)" -eq 1 ]; then pass; else fail "$1" 'not told once'; fi
    out_has '1 passed, 0 failed'
    # shellcheck disable=SC2086
    check "$1 alone" "$2" verify --plugin "$1" $one
    err_has "$3"
    if [ -s out ]; then fail "$1" 'something was verified'; else pass; fi
}
for fault in wrong_abi wrong_magic twice aborts_on_load exits_on_load hangs_on_load; do
    with_fault $fault
done
echo 'no library' >text.so
unusable wrong_abi.so 2 'wrong_abi.so: has plugin ABI version 7, this assay has 1'
unusable wrong_magic.so 2 'ASSAY_PLUGIN_MAGIC'
unusable twice.so 2 'class 1 (type 8): the type is there twice'
unusable "$build/harness/tests/plugins/unresolved.so" 2 'assay_test_nowhere_defined'
unusable text.so 2 "text.so: can't be loaded"
unusable missing.so 2 "missing.so: can't be loaded"
unusable aborts_on_load.so 1 'the process that loaded it ended with SIGABRT'
unusable exits_on_load.so 1 'the process that loaded it ended with exit 0'
unusable hangs_on_load.so 1 'the process that loaded it ended with timeout 2 s'
for command in bench 'mem x.gguf' types; do
    # shellcheck disable=SC2086
    check "$command with an unusable one" 2 $command --plugin wrong_abi.so
    err_has 'has plugin ABI version 7'
done
check 'no such folder of ggml' 2 verify --ggml nowhere
err_has "option '--ggml': nowhere/libggml-base.so: No such file"

# ---- Who is judged ------------------------------------------------------------------------------
# shellcheck disable=SC2086
check 'peers are not judged unasked' 0 verify $one --list
out_has '/cpu/'
out_lacks '/ggml'

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
