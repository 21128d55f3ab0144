#!/bin/sh
# Records commits of the past: ci/backfill-history.sh [--build] OUT.jsonl [COUNT [REV]]
#
# Takes COUNT (36) commits of the first-parent line up to REV (HEAD), from the first that can bench on:
# those that change impl/cpu, thinned evenly if they are too many, else the rest spread evenly between
# them. Builds each in a work tree under build/, keeps its program in build/backfill/bin/, runs a quick
# verify and bench of the cpu backend with it, and appends the records to OUT.jsonl, one a line, as
# `assay history import` reads them. With --build it stops before anything is timed: builds may be done
# while the machine is busy, the timings want it idle. What is built or in OUT.jsonl is not done again,
# so an interrupted run goes on where it stopped. A commit that does not build or lacks an option is
# named and passed over, and the next one is taken.
#
# Commits are timed in random order, so that a machine which slows down with time does not look like a
# commit that did. The records differ from what the program wrote: older programs did not know uuid and
# commit_date, which are added, samples are rounded to a nanosecond, --json is left out of the arguments,
# and cases that passed keep only what reports read.
set -eu
build_only=
if [ "${1:-}" = --build ]; then build_only=1; shift; fi
[ $# -ge 1 ] || { echo "usage: $0 [--build] OUT.jsonl [COUNT [REV]]" >&2; exit 2; }
case $1 in /*) out=$1 ;; *) out=$PWD/$1 ;; esac
count=${2:-36}
rev=${3:-HEAD}
cd "$(dirname "$0")/.."
work=$PWD/build/backfill
tree=$work/tree
bin=$work/bin
jobs=$(getconf _NPROCESSORS_ONLN)
mkdir -p "$bin"
touch "$out"
say() { echo "$(date -u +%H:%M:%S) $*"; }

# Builds a commit's program, and sees that it can do what the records need. What stopped it stays in
# $bin/COMMIT/failed.
build() {
    commit=$1
    dir=$bin/$commit
    [ ! -x "$dir/assay" ] || return 0
    [ ! -e "$dir/failed" ] || return 1
    mkdir -p "$dir"
    say "build $(git log -1 --format='%h %s' "$commit")"
    [ -e "$tree/.git" ] || git worktree add -q --detach "$tree" "$commit"
    git -C "$tree" checkout -q --detach "$commit"
    if ! make -C "$tree" -j"$jobs" BUILD="$work/obj" "$work/obj/assay" >"$work/make.log" 2>&1; then
        { grep -m 1 -E 'error:|undefined reference|\*\*\*' "$work/make.log" || tail -n 1 "$work/make.log"; } >"$dir/failed"
    elif ! "$work/obj/assay" bench --backend cpu --type q4_0 --shape 1x64x512 -j 1 --samples 5 --max-time 0.1 \
        --json "$work/probe.json" >"$work/probe.log" 2>&1; then
        tail -n 1 "$work/probe.log" >"$dir/failed"
    else
        mv "$work/obj/assay" "$dir/assay"
    fi
    if [ -e "$dir/failed" ]; then
        echo "  passed over: $(cat "$dir/failed")"
        return 1
    fi
}

# Prints COUNT lines of the list on stdin: those in FILE first, the others evenly between.
choose() {
    awk -v count="$count" -v first="$1" '
        function even(n, of, i) { return int((i + 0.5) * of / n) + 1 }
        BEGIN { while ((getline c < first) > 0) wanted[c] = 1 }
        { all[NR] = $1; if ($1 in wanted) kernel[++kernels] = $1; else other[++others] = $1 }
        END {
            n = kernels < count ? kernels : count
            for (i = 0; i < n; i++) take[kernel[even(n, kernels, i)]] = 1
            n = count - n < others ? count - n : others
            for (i = 0; i < n; i++) take[other[even(n, others, i)]] = 1
            for (i = 1; i <= NR; i++) if (all[i] in take) print all[i]
        }'
}

start=$(git rev-list --first-parent "$rev" -- harness/cmd_bench.c | tail -n 1)
[ -n "$start" ] || { echo "$0: $rev has no bench" >&2; exit 2; }
git rev-list --first-parent --reverse "$start~1..$rev" -- Makefile ref impl harness datasets \
    ':(exclude)*/tests/*' >"$work/all"
git rev-list --first-parent "$start~1..$rev" -- impl/cpu ':(exclude)*/tests/*' >"$work/kernels"
choose "$work/kernels" <"$work/all" >"$work/chosen"
: >"$work/built"
# In the place of one that does not build, the next that is not chosen.
while read -r commit; do
    until build "$commit" </dev/null; do
        commit=$(awk -v after="$commit" 'FILENAME != ARGV[3] { taken[$1]; next }
            found && !($1 in taken) { print $1; exit } $1 == after { found = 1 }' \
            "$work/chosen" "$work/built" "$work/all")
        [ -n "$commit" ] || break
    done
    [ -z "$commit" ] || echo "$commit" >>"$work/built"
done <"$work/chosen"
[ ! -e "$tree/.git" ] || git worktree remove --force "$tree"
say "$(grep -c . "$work/built") commits are built"
[ -z "$build_only" ] || exit 0

# record COMMIT NAME ARGS...: runs the commit's program, appends its record to $work/new.jsonl. Exit 1 is
# a finding and is kept.
record() {
    commit=$1
    json=$work/$2.json
    shift 2
    date=$(TZ=UTC git show -s --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd "$commit")
    code=0
    rm -f "$json"
    "$bin/$commit/assay" "$@" --json "$json" >"$work/run.log" 2>&1 || code=$?
    if [ $code -gt 1 ] || [ ! -s "$json" ]; then
        echo "  $1 passed over (exit $code): $(tail -n 1 "$work/run.log")"
        return 1
    fi
    jq -c --arg uuid "$(cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen)" --arg date "$date" '
        .arguments |= .[:index("--json")] | .uuid //= $uuid | .assay.commit_date //= $date | .assay.branch //= ""
        | (.results[].contenders[]?.ns.samples) |= map(round)
        | if .command == "verify" then .results |= map(if .verdict == "pass" then
              del(.worst, .cpu_s, .kernel, .wrong, .unwritten, .unbounded, .m, .n, .k, .threads)
              else . end) else . end' "$json" >>"$work/new.jsonl"
}

awk 'BEGIN { srand(1) } { print rand() "\t" $1 }' "$work/built" | sort -n | cut -f2 >"$work/order"
while read -r commit; do
    if grep -q "\"commit\":\"$commit\"" "$out"; then continue; fi
    say "$(git log -1 --format='%h %s' "$commit")"
    rm -f "$work/new.jsonl"
    record "$commit" verify verify --backend cpu --shape 4x32x512 --weights uniform --acts normal -j 1 &&
        record "$commit" bench bench --backend cpu --type q4_0,q8_0,q3_k,q4_k,q6_k,iq2_xxs,iq4_xs,tq1_0 \
            --shape 1x2048x4096,32x2048x4096 -j 1 --samples 25 --max-time 1 &&
        cat "$work/new.jsonl" >>"$out"
done <"$work/order"
echo "$(grep -c . "$out") records in $out"
