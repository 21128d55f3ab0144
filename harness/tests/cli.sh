#!/bin/sh
# End-to-end tests of the program: cli.sh PATH/TO/assay. Prints one line a failure and a count.
set -u
. "$(dirname "$0")/kit/kit.sh"

[ $# -eq 1 ] || { echo "usage: $0 ASSAY" >&2; exit 2; }
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
[ -x "$assay" ] || { echo "$0: $1 is no program" >&2; exit 2; }

dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir" || exit 2

# The latest output holds a text (fixed string).
out_has() { if grep -qF -e "$1" out; then pass; else fail "$name" "stdout lacks: $1"; fi; }
err_has() { if grep -qF -e "$1" err; then pass; else fail "$name" "stderr lacks: $1" "$(head -n 3 err)"; fi; }
# The latest error is one line, starting with the program's name.
err_is_one_line() {
    if [ "$(wc -l <err)" -eq 1 ] && grep -q '^assay' err; then pass; else
        fail "$name" "not a one-line error:" "$(head -n 3 err)"
    fi
}
out_is_empty() { if [ ! -s out ]; then pass; else fail "$name" "unexpected output: $(head -n 1 out)"; fi; }

# ---- The program --------------------------------------------------------------------------------
check 'no command' 2
err_has 'Usage: assay COMMAND'
check '--help' 0 --help
for command in inspect verify bench mem gate compare history report types version; do
    grep -q "^  $command " out && pass || fail '--help' "does not list $command"
done
check '--version' 0 --version
out_has 'assay '
check 'unknown command' 2 verfy
err_has "did you mean 'verify'?"
err_is_one_line
check 'nothing like a command' 2 xyzzy
err_has "see 'assay --help'"
for command in inspect verify bench mem gate compare history report types version; do
    check "$command --help" 0 $command --help
    out_has "Usage: assay $command"
    out_has 'Options:'
    out_has 'Examples:'
    check "help $command" 0 help $command
    check "$command --nonsense" 2 $command --nonsense
    err_is_one_line
    out_is_empty
done
check 'hidden workers are not listed' 0 --help
grep -q 'mem-child' out && fail 'hidden workers are not listed' || pass
check 'man page' 0 help-man
out_has '.TH ASSAY 1'
out_has '\fB\-\-gguf\fR'

check 'version' 0 version
for word in commit compiler flags machine isa; do out_has "$word"; done

# ---- types --------------------------------------------------------------------------------------
check 'types' 0 types
for type in F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K Q8_K IQ1_S IQ1_M \
    IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S IQ4_NL IQ4_XS TQ1_0 TQ2_0 MXFP4 NVFP4 Q1_0; do
    grep -q "^$type " out && pass || fail 'types' "lacks $type"
done
check 'types to a record' 0 types --json -
out_has '"command": "types"'
out_has '"type": "q6_k"'

# ---- A GGUF file by hand ------------------------------------------------------------------------
# Little-endian numbers as octal escapes; all below 256 here.
u32() { printf "\\$(printf %03o "$1")\\000\\000\\000"; }
u64() { u32 "$1"; printf '\000\000\000\000'; }
str() { u64 ${#1}; printf %s "$1"; }
zeros() { head -c "$1" /dev/zero; }
header() { printf GGUF; u32 3; u64 "$1"; u64 "$2"; } # tensors, keys
# One Q8_0 matrix of 2 rows by 32, named w; one string key with a control character.
good() {
    header 1 1
    str general.name; u32 8; u64 8; printf 'a\033[31mbc'
    str w; u32 2; u64 32; u64 2; u32 8; u64 0
}
{ good; } >head.bin
size=$(wc -c <head.bin)
{ cat head.bin; zeros $(((32 - size % 32) % 32)); zeros 32; zeros 32; zeros 4; } >good.gguf

check 'inspect' 0 inspect good.gguf
out_has 'GGUF v3'
out_has 'Q8_0'
out_has '2 x 32'
out_has 'eager fp32'
if grep -q "$(printf '\033')" out; then
    fail 'inspect' 'prints a control character of the file'
else pass; fi
check 'inspect to a record' 0 inspect good.gguf --json -
out_has '"on_disk_bytes": 68'
check 'inspect to a file' 0 inspect good.gguf --json r.json
grep -q '"finished"' r.json && pass || fail 'inspect to a file' 'no record'

malformed() { # NAME FILE
    for command in 'inspect' 'verify --tensors-only --gguf'; do
        # shellcheck disable=SC2086
        check "$1 ($command)" 2 $command "$2"
        err_has "$2"
        err_has 'offset'
        err_is_one_line
        out_is_empty
    done
}
: >empty.gguf
malformed 'empty file' empty.gguf
head -c 3 good.gguf >short.gguf
malformed 'cut in the magic' short.gguf
head -c 20 good.gguf >header.gguf
malformed 'cut in the header' header.gguf
head -c 60 good.gguf >keys.gguf
malformed 'cut in the keys' keys.gguf
head -c $((size - 4)) good.gguf >tensors.gguf
malformed 'cut in the tensor table' tensors.gguf
head -c $((size + 40)) good.gguf >data.gguf
malformed 'cut in the data' data.gguf
{ printf GGML; u32 3; zeros 16; } >magic.gguf
malformed 'no GGUF' magic.gguf
{ printf GGUF; u32 9; zeros 16; } >version.gguf
malformed 'unknown version' version.gguf
{ printf GGUF; u32 3; printf '\377\377\377\377\377\377\377\377'; u64 0; zeros 64; } >count.gguf
malformed 'tensor count that overflows' count.gguf
{ header 2 0
  str a; u32 2; u64 32; u64 2; u32 8; u64 0
  str b; u32 2; u64 32; u64 2; u32 8; u64 32; zeros 256; } >overlap.gguf
malformed 'overlapping tensors' overlap.gguf
{ header 1 0; str w; u32 2; u64 32; u64 2; u32 8; u64 1; zeros 256; } >misaligned.gguf
malformed 'misaligned tensor' misaligned.gguf
check 'no such file' 2 inspect missing.gguf
err_has 'missing.gguf'
err_is_one_line
check 'a directory' 2 inspect .
err_is_one_line

# ---- verify -------------------------------------------------------------------------------------
check 'verify one type' 0 verify --backend scalar --type Q4_k --quick
out_has 'failed'
out_has 'Q4_K'
check 'verify -v' 0 verify -b scalar -t q8_0 --shape 2x3x64 --weights uniform --acts normal -j 1 -v
out_has 'pass'
out_has 'gemm/q8_0/2x3x64/uniform/normal/scalar/-/t1'
check 'verify --case' 0 verify --case gemm/q8_0/2x3x64/uniform/normal/scalar/-/t1
out_has '1 case: 1 passed'
check 'verify --list' 0 verify --list -b scalar -t q8_0 --shape 2x3x64 --weights uniform -j 1
if [ "$(wc -l <out)" -eq 1 ]; then pass; else fail 'verify --list' "$(wc -l <out) cases, not 1"; fi
check 'every listed id is a case' 0 verify --list -t q6_k --quick
sed -n '1p;7p;$p' out >ids
while read -r id; do
    check "case $id" 0 verify --case "$id"
done <ids
check 'verify checks only' 0 verify -b scalar -t q8_0 --check decode,exact --checks-only
out_has 'decode '
out_has '2 cases: 2 passed'
check 'no check' 0 verify --list -b scalar -t q8_0 --check none
grep -q '^check/' out && fail 'no check' 'lists one' || pass
check 'a check by its id' 0 verify --case check/exact/q8_0/cpu/scalar/t1
check 'list of checks' 0 verify --list-checks
out_has 'decode  '
check 'verify on a budget' 0 verify -b scalar -t q8_0 --budget 60s
out_has 'coverage: '
check 'verify a file' 0 verify --gguf good.gguf --tensors-only -b scalar -v
out_has 'gemm/@w/m1/normal/scalar/-/t1'
out_has 'rows/@w/m3/scalar/-/t1'
check 'verify a tensor' 0 verify --gguf good.gguf --case gemm/@w/m1/normal/scalar/-/t1
check 'verify to a record' 0 verify -b scalar -t q8_0 --quick --json r.json
grep -q '"verdict": "pass"' r.json && pass || fail 'verify to a record' 'no result'
check 'record on standard output' 0 verify -b scalar -t q8_0 --quick --json -
out_has '"summary"'
grep -q '^BACKEND' out && fail 'record on standard output' 'mixed with the tables' || pass

refused() { # TEXT ARGS...: a usage error of verify that says TEXT
    text=$1
    shift
    check "verify $*" 2 verify "$@"
    err_has "$text"
    err_is_one_line
    out_is_empty
}
refused "did you mean 'q4_k'" --type q4_kk
refused 'q4_0, q4_1' --type zzz
refused "does not decode 'q8_1'" --type q8_1
refused 'there are: scalar' --backend nobody
refused 'there are: scalar, avx2' --isa sse9
refused 'is not MxNxK' --shape 1x2
refused 'is not MxNxK' --shape 1x2x0
refused 'is not MxNxK' --shape 1x2x64x3
refused 'is not MxNxK' --shape=-1x2x64
refused 'too large' --shape 999999999x999999999x256
refused 'empty item' --type q4_k,,q5_k
refused 'there are: uniform' --weights zzz
refused 'there are: normal' --acts zzz
refused 'is not from 1 to 1024' --threads 0
refused 'is not from 1 to 1024' --threads 1,many
refused 'is not a whole number' --seed minus
refused 'is not between 1 and' --timeout 0
refused 'needs an argument' --type
refused "no selected backend has 'zzz'" --variant zzz
refused "needs '--gguf'" --tensors-only
refused 'unknown operation' --case zzz
refused "'--type' can't change it" --case x --type q4_k
refused 'unexpected argument' file.gguf
refused "did you mean 'decode'" --check decod
refused 'is no duration' --budget 30
refused 'is no duration' --budget=-1s
refused 'is no duration' --budget 1d
refused 'exclude each other' --quick --full
refused 'missing.gguf' --gguf missing.gguf
check 'no case selected' 2 verify -b scalar -t q4_k --shape 1x1x100
err_has 'select no case'
check 'record that can not be written' 2 verify -b scalar -t q8_0 --quick --json /nonexistent/r.json
err_has '/nonexistent/r.json'

# ---- bench --------------------------------------------------------------------------------------
brief='--backend scalar --baseline scalar --type q4_0 --samples 3 --max-time 0 -j 1'
# shellcheck disable=SC2086 # words
check 'bench a shape with each batch size' 0 bench $brief --shape 32x64 --m 2,3 --weights normal --json b.json
if [ "$(jq -c '[.results[].m]' b.json)" = '[2,3]' ]; then pass; else fail "$name" 'not with m = 2 and 3'; fi
if [ "$(jq '.results[0].contenders[0].verified.nmse < 1e-10' b.json)" = true ]; then pass; else
    fail "$name" 'no small mean square error'
fi
for shape in 32 32x x32x64 4x32x64x 4x32x64x1 32x0; do
    # shellcheck disable=SC2086
    check "bench --shape $shape" 2 bench $brief --shape $shape
    err_has "not MxNxK or NxK: '$shape'"
    err_is_one_line
done
# shellcheck disable=SC2086
check 'bench with weights of no generator' 2 bench $brief --weights odd
err_has "unknown generator 'odd'"
ASSAY_IK_LIB=/nonexistent.so
export ASSAY_IK_LIB
check 'a peer that is not there' 2 verify --backend ik --quick
err_has 'skipped: ik: ik_llama.cpp library: /nonexistent.so'
unset ASSAY_IK_LIB

# ---- Output that can't be written ---------------------------------------------------------------
for command in --help --version types version 'inspect good.gguf' 'types --json -'; do
    name="closed stdout: $command"
    # shellcheck disable=SC2086
    "$assay" $command >&- 2>err
    if [ $? -eq 2 ] && grep -q '^assay' err; then pass; else fail "$name" "$(head -n 2 err)"; fi
    if [ -e /dev/full ]; then
        # shellcheck disable=SC2086
        "$assay" $command >/dev/full 2>err
        if [ $? -eq 2 ]; then pass; else fail "full disk: $command" "$(head -n 2 err)"; fi
    fi
done
name='closed stdout and a record in a file'
"$assay" types --json closed.json >&- 2>/dev/null
if grep -q '"finished"' closed.json && ! grep -q '^TYPE' closed.json; then pass; else
    fail "$name" 'the table went into the record'
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
