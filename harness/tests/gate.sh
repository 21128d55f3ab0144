#!/bin/sh
# End-to-end tests of gate: gate.sh PATH/TO/assay. Needs `make plugins` in the same build.
set -u
. "$(dirname "$0")/kit/kit.sh"

[ $# -eq 1 ] || { echo "usage: $0 ASSAY" >&2; exit 2; }
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(dirname "$assay")
example=$build/impl/example/skeleton.so
slowed=$build/harness/tests/plugins/slowed.so
faulty=$build/harness/tests/plugins/faulty.so
for file in "$example" "$slowed" "$faulty"; do
    [ -e "$file" ] || { echo "$0: $file is missing: make plugins" >&2; exit 2; }
done

dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir" || exit 2
unset GITHUB_ACTIONS GITHUB_STEP_SUMMARY
# check NAME CODE ARGS...: runs assay gate with ARGS; leaves its output in ./out and ./err.
check() {
    name=$1 want=$2
    shift 2
    "$assay" gate "$@" >out 2>err </dev/null
    got=$?
    if [ "$got" -eq "$want" ]; then pass; else
        fail "$name" "exit $got, expected $want: assay gate $*" "$(head -n 5 err)" "$(tail -n 4 out)"
    fi
}
out_has() { if grep -qF -e "$1" out; then pass; else fail "$name" "stdout lacks: $1" "$(cat out)"; fi; }
# The latest error is one line with a text.
err_line() {
    if [ "$(wc -l <err)" -eq 1 ] && grep -q '^assay gate' err && grep -qF -e "$1" err; then pass; else
        fail "$name" "not a one-line error with: $1" "$(head -n 3 err)"
    fi
}
# json NAME FILTER FILE: the filter holds.
json() {
    if jq -e "$2" "$3" >/dev/null 2>&1; then pass; else fail "$1" "$2 does not hold in $3"; fi
}

cp "$example" base.so
cp "$example" head.so
cp "$slowed" slowed.so
cp "$faulty" none.so
cp "$faulty" segfaults.so
pair="--base-plugin base.so --head-plugin"
small='--shape 16x256 --type q8_0 --m 1'

# ---- Usage --------------------------------------------------------------------------------------
check 'no base' 2 --head-plugin head.so
err_line 'give --base REV or --base-plugin FILE'
check 'missing plugin' 2 --base-plugin nowhere.so --head-plugin head.so
err_line 'nowhere.so'
check 'no plugin' 2 --base-plugin "$0" --head-plugin head.so
err_line "can't be loaded"
check 'a revision outside git' 2 --base HEAD
err_line 'HEAD'
check 'unknown type' 2 $pair head.so --type q9
err_line "unknown type 'q9'"
check 'bad shape' 2 $pair head.so --shape 16
err_line "option '--shape'"
check 'shape and block length' 2 $pair head.so --type q8_0 --shape 4x33
err_line 'block length'
check 'bad metric' 2 $pair head.so --metric joy
err_line "option '--metric'"
check 'bad budget' 2 $pair head.so --budget 5
err_line 'no duration'
check 'instructions of two threads' 2 $pair head.so --metric instructions -j 2
err_line 'one thread'
check 'no common type' 2 $pair head.so --type q4_0 --m 1 --shape 4x256

# ---- Equal and slowed ---------------------------------------------------------------------------
check 'equal versions' 0 $pair head.so $small --budget 20s --junit equal.xml --json equal.json \
    --record --db h.db
out_has '0 regressed'
json 'equal versions' '.command == "gate" and (.results | length) == 1' equal.json
json 'equal versions' '.results[0] | .head.verified.elements > 0 and .head.ns.samples[23] > 0' equal.json
json 'equal versions' '.results[0].base.resident_bytes == 16 * 8 * 34' equal.json
"$assay" history list --db h.db >out 2>err
out_has ' gate '

# Twice the work and more: no noise makes that the same.
ASSAY_SLOWED_PLUGIN=$dir/base.so ASSAY_SLOWED_TYPE=8 ASSAY_SLOWED_SPIN=60000
export ASSAY_SLOWED_PLUGIN ASSAY_SLOWED_TYPE ASSAY_SLOWED_SPIN
GITHUB_ACTIONS=true GITHUB_STEP_SUMMARY=$dir/summary.md
export GITHUB_ACTIONS GITHUB_STEP_SUMMARY
check 'slowed version' 1 $pair slowed.so $small --budget 60s --junit slow.xml \
    --benchmark-json gab.json --bencher bencher.json --json slow.json
unset GITHUB_ACTIONS GITHUB_STEP_SUMMARY
out_has '1 regressed'
out_has '::error title=assay gate%3A regressed::q8_0 m=1 16x256'
json 'slowed version' '.results[0] | .verdict == "regressed" and .ratio.low > 1.03' slow.json
json 'action benchmark' '.[0] | .name == "q8_0 m=1 16x256" and .unit == "ns/product" and .value > 0' gab.json
json 'bencher' '."q8_0 m=1 16x256".latency | .lower_value <= .value and .value <= .upper_value' bencher.json
grep -q '^| q8_0 m=1 16x256 .*| regressed ' summary.md && pass || fail 'job summary' "$(cat summary.md)"
check 'the other way round' 0 --base-plugin slowed.so --head-plugin base.so $small --budget 60s
out_has '1 improved'

# ---- Counters -----------------------------------------------------------------------------------
# Few machines of CI have hardware counters: a clock of the kernel's stands in for them.
stand_in=$build/harness/tests/plugins/software_counters.so
counted() { # counted NAME ARGS...
    name=$1
    shift
    LD_PRELOAD="$stand_in" "$assay" gate $pair head.so $small --budget 1s --json counted.json "$@" >out 2>err </dev/null ||
        fail "$name" "$(head -n 3 err)"
}
if nm "$assay" 2>/dev/null | grep -q '__[at]san_init'; then
    echo 'SKIP counters: a sanitizer lets nothing be loaded before it'
else
    counted counters
    if jq -e '.results[0].head | has("cycles") | not' counted.json >/dev/null; then
        echo 'SKIP counters: perf_event_open() is not allowed here, or not of this system'
    else
        json counters '.results[0] | [.base, .head][] | .cycles > 0 and .instructions > 0' counted.json
        counted 'instructions by counters' --metric instructions --min-effect 900
        json 'instructions by counters' '.results[0] | .counter == "hardware" and .ratio.median > 0' counted.json
    fi
    export ASSAY_TEST_COUNTERS=none
    counted 'no counters'
    unset ASSAY_TEST_COUNTERS
    json 'no counters' '.results[0].head | has("cycles") | not' counted.json
fi

# ---- What is no matter of time ------------------------------------------------------------------
check 'a copy of the weights' 1 $pair none.so $small
if nm "$assay" 2>/dev/null | grep -q '__[at]san_init'; then
    echo 'SKIP bytes of the copy: the allocator of the sanitizers does not tell them'
else
    out_has 'memory q8_0 m=1 16x256: takes '
fi
check 'a copy within the slack' 0 $pair none.so $small --memory-slack 1M --min-effect 900
check 'crash of head' 1 $pair segfaults.so $small --junit crash.xml
out_has 'SIGSEGV'
check 'crash of base' 1 --base-plugin segfaults.so --head-plugin base.so $small
check 'out of time' 0 $pair head.so $small --budget 0.001s
out_has '1 undecided'
check 'out of time, strict' 3 $pair head.so $small --budget 0.001s --strict --junit late.xml

if command -v xmllint >/dev/null; then
    for file in equal slow crash late; do
        xmllint --noout --schema "$root/ci/junit.xsd" $file.xml 2>err && pass ||
            fail "$file.xml" "$(head -n 3 err)"
    done
    [ "$(xmllint --xpath 'string(//failure/@type)' slow.xml)" = regressed ] && pass ||
        fail 'slow.xml' 'has no failure "regressed"'
    [ "$(xmllint --xpath 'count(//error)' crash.xml)" = 1 ] && pass || fail 'crash.xml' 'has no error'
else
    echo 'SKIP JUnit against its schema: no xmllint'
fi
check 'unwritable file' 2 $pair head.so $small --budget 1s --junit no/where.xml
err_line 'no/where.xml'

# ---- A revision ---------------------------------------------------------------------------------
# Its kernels unoptimised, so that they are built within seconds; what is tested is that they are.
if git -C "$root" rev-parse -q --verify HEAD >/dev/null 2>&1; then
    git clone -q --shared "$root" repository
    cd repository || exit 2
    MAKEFLAGS='OPT=-O0 KERNEL_OPT=-O0'
    export MAKEFLAGS
    check 'a revision' 0 --base HEAD $small --min-effect 900 --budget 20s --json revision.json
    unset MAKEFLAGS
    json 'a revision' '(.results | length) == 1 and .results[0].base.verified.elements > 0' \
        revision.json
    cd "$dir" || exit 2
else
    echo 'SKIP the kernels of a revision: the sources are not in a git repository'
fi

echo "gate.sh: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
