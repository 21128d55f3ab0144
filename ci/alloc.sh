#!/bin/sh
# Allocation failure: ci/alloc.sh ASSAY_WITH_FAILING_ALLOCATIONS fast|quick|full
# Runs each scenario once for each allocation site (quick: the first allocation of each; fast: that of a few scenarios; full: every
# allocation, or 2,000 evenly chosen ones of a scenario with more), that one failing. Lost is a run that
# ends by a signal, leaks, hangs, lets a judged kernel's process crash, or claims success without having
# said that memory ran out. With ASSAY_ROBUSTNESS=FILE, appends its figures there.
set -u

[ $# -eq 2 ] || { echo "usage: $0 ASSAY fast|quick|full" >&2; exit 2; }
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
how=$2
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(dirname "$assay")
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir" || exit 2
# Frames of whoever calls the same line twice in a row must not hide each other; and verify would run
# itself anew to set this.
export OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 LSAN_OPTIONS=exitcode=23:print_suppressions=0
model=$root/datasets/tinylm/tinylm-Q4_0.gguf
skeleton=$build/impl/example/skeleton.so

# Small operands: the sites are the same.
timing='-b cpu --baseline cpu --type q8_0 --shape 1x8x32 --samples 5 --max-time 0 -j 1'
product='--shape 2x9x64 --weights uniform --acts normal -j 1 --jobs 1 --explain 0'
# What the scenarios read.
"$assay" verify -b scalar -t q8_0 $product --record --db base.db --json verify.json >/dev/null &&
    "$assay" bench $timing --record --db base.db --json bench.json >/dev/null || exit 2
for i in 1 2; do
    "$assay" verify -b scalar -t q8_0,q4_0 --shape 2x9x64 -j 1 --jobs 1 --shard $i/2 --json part$i.json >/dev/null ||
        exit 2
done
run=$(jq -r .uuid bench.json)
cat >scenarios <<END
inspect $model --json out.json
verify -b scalar,cpu,eager-f32,eager-f16,transient-f16 -t q8_0 $product --json out.json
verify -b cpu -t q4_k --shape 9x5x256 --weights uniform --acts normal -j 1 --jobs 1 --explain 0
verify -b cpu -t q8_0 --check decode,exact,slice --checks-only -j 1 --jobs 1 --explain 0
verify --gguf $model --case rows/@blk.0.attn_q.weight/m513/scalar/-/t1
verify --plugin $skeleton $product
bench -b cpu,scalar --type q8_0 --shape 1x8x32 --samples 5 --max-time 0 -j 1 --json out.json
mem-child --backend cpu --layers 1 --tokens 1 $model
mem $model --backend cpu --layers 1 --tokens 1 --json out.json
report verify.json bench.json -o out.html --db base.db
report verify.json bench.json -f markdown -o out.html
report verify.json bench.json -f csv -o out.html
history import bench.json --db out.db
history list --db base.db
history show $run --db base.db
history export --db base.db -o out.json
history merge part1.json part2.json -o out.json
compare verify.json verify.json
compare bench.json bench.json --json out.json
verify -b scalar -t q8_0 $product --record --db out.db
explain gemm/q8_0/2x9x64/uniform/normal/scalar/-/t1
load-run $model --backend cpu --tokens 1
types --plugin $skeleton
version
END
if [ "$how" = fast ]; then
    grep -E '^(inspect|verify -b cpu -t q4_k|report .*--db|history import|version)' scenarios >few
    mv few scenarios
    how=quick
fi

# Sites whose failure is made up for: what they would have brought is an extra, and is left out in words
# ("unknown"), or is computed again; and what a build that counts lines allocates for the counts.
tolerated='cpuinfo_value|read_governor|own_cgroup|read_size|read_caches|read_fields|number_in|memory_bytes|look_up|entries|mapped_bytes|prefer_to_be_killed|parent_of|kill_strangers|write_by_rename|warm_page_cache|assay_memuse_reset_peak|gcov'

total=0 lost=0 sites=0 forgiven=0
while read -r scenario; do
    rm -f out.json out.html
    cp base.db out.db
    # shellcheck disable=SC2086
    ASSAY_ALLOC_LOG=log "$assay" $scenario >out 2>err </dev/null
    code=$?
    [ $code -eq 0 ] || { echo "FAIL undisturbed, exit $code: $scenario"; head -n 3 err; exit 1; }
    n=$(wc -l <log)
    n_sites=$(cut -d' ' -f2- log | sort -u | wc -l)
    if [ "$how" = quick ]; then
        awk '!seen[$2 " " $3]++ { print $1, $2, $3 }' log >chosen
    else
        awk -v n="$n" '!seen[$2 " " $3]++ || n <= 2000 || NR % int(n / 2000 + 1) == 0' log >chosen
    fi
    tried=0 bad=0
    while read -r k _; do
        rm -f out.json out.html out.db-journal
        cp base.db out.db
        : >hit
        # shellcheck disable=SC2086
        ASSAY_ALLOC_FAIL=$k ASSAY_ALLOC_LOG=$PWD/hit timeout -k 1 60 "$assay" $scenario >out 2>err </dev/null
        code=$?
        read -r _ site caller <hit || site=
        why=
        if [ $code -ge 124 ]; then why="ended with $code"
        elif [ $code -eq 23 ]; then why="leaks: $(grep -m1 'SUMMARY' err)"
        elif grep -qE 'crashed: SIG|"crash": ?"SIG' out err 2>/dev/null; then why='a child crashed'
        elif [ $code -ne 0 ] && ! grep -qE '^assay|FAIL|CRASH|crashed|out of memory|failed|error' err out; then
            why="exit $code without a word"
        elif [ -z "$site" ]; then tried=$((tried - 1)) # fewer allocations this time: none failed
        elif [ $code -eq 0 ] && ! grep -q '^{"error":' out; then # of mem-child: its answer
            where=$(addr2line -sfe "$assay" "$site" "$caller" 2>/dev/null | tr '\n' ' ')
            if echo "$where" | grep -qE "$tolerated"; then forgiven=$((forgiven + 1)); else
                why='claims success'
            fi
        fi
        if [ -n "$why" ]; then
            bad=$((bad + 1))
            echo "LOST allocation $k: $why: $scenario"
            echo "     at $(addr2line -sfe "$assay" "$site" "$caller" | tr '\n' ' ')"
        fi
        tried=$((tried + 1))
    done <chosen
    echo "alloc: $tried of $n allocations failed one by one, $n_sites sites, $bad lost: ${scenario%% /*}" | cut -c1-150
    total=$((total + tried)) lost=$((lost + bad)) sites=$((sites + n_sites))
done <scenarios
echo "alloc: $total failures at $sites sites, $lost lost; $forgiven made up for"
[ -z "${ASSAY_ROBUSTNESS:-}" ] || printf 'alloc-%s\t%s\t%s\n' "$how" "$total" "$lost" >>"$ASSAY_ROBUSTNESS"
[ "$lost" -eq 0 ]
