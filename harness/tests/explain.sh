#!/bin/sh
# End-to-end tests of explaining: explain.sh PATH/TO/assay. Prints one line a failure and a count.
set -u
. "$(dirname "$0")/kit/kit.sh"

[ $# -eq 1 ] || { echo "usage: $0 ASSAY" >&2; exit 2; }
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
[ -x "$assay" ] || { echo "$0: $1 is no program" >&2; exit 2; }
plugins=$(dirname "$assay")/harness/tests/plugins
[ -e "$plugins/faulty.so" ] || { echo "$0: $plugins/faulty.so is missing: make plugins" >&2; exit 2; }

dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir" || exit 2

out_has() { if grep -qF -e "$1" out; then pass; else fail "$name" "stdout lacks: $1"; fi; }
err_has() { if grep -qF -e "$1" err; then pass; else fail "$name" "stderr lacks: $1" "$(head -n 3 err)"; fi; }

case=gemm/q8_0/3x9x256/uniform/normal

check 'a right kernel' 0 explain $case/scalar/-/t1
out_has 'passes now'
check 'no such case' 2 explain nonsense/case
check 'no such file' 2 explain nowhere.gguf
err_has 'nowhere.gguf'

ASSAY_TEST_FAULT=drops_last_block
export ASSAY_TEST_FAULT
check 'verify keeps a failure' 1 verify --plugin "$plugins/faulty.so" --keep kept \
    --case $case/drops_last_block/-/t1
for word in 'shrunk: 1x1x32' 'guess: ' 'terms' 'wrong outputs' 'again: assay explain' 'replay: '; do
    out_has "$word"
done
kept=kept/gemm_q8_0_3x9x256_uniform_normal_drops_last_block_-_t1
[ -s $kept.h ] && pass || fail 'C data' "no $kept.h"
grep '^  guess' out >guess
if command -v gnuplot >/dev/null; then
    [ -s $kept.png ] && pass || fail 'picture' "no $kept.png"
fi

check 'verify without explanations' 1 verify --plugin "$plugins/faulty.so" --explain 0 \
    --case $case/drops_last_block/-/t1
grep -q 'guess: ' out && fail "$name" 'explained' || pass

check 'a kept case does not load its plugin' 2 explain $kept.gguf
err_has 'it came from --plugin'
check 'a kept case replays' 1 explain --plugin "$plugins/faulty.so" $kept.gguf
grep '^  guess' out | cmp -s - guess && pass || fail "$name" 'another guess'

check 'a case by its id' 1 explain --plugin "$plugins/faulty.so" $case/drops_last_block/-/t1
grep '^  guess' out | cmp -s - guess && pass || fail "$name" 'another guess'

# The plugin names itself after its fault.
ASSAY_TEST_FAULT=none
check 'a plugin of another name' 2 explain --plugin "$plugins/faulty.so" $kept.gguf
err_has "no backend 'drops_last_block' here"

echo "explain.sh: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
