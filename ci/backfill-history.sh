#!/bin/sh
# Records commits of the past: ci/backfill-history.sh OUT.jsonl [COUNT [REV]]
#
# Builds the last COUNT (36) commits up to REV (HEAD) that change the program, each in a work tree
# of its own under build/, runs a quick verify and bench of the cpu backend with it, and appends the
# records to OUT.jsonl, one a line, as `assay history import` reads them. Commits that OUT.jsonl has
# are left out, so an interrupted run goes on where it stopped. One that does not build or lacks an
# option is named and passed over. The records differ from what the program wrote: older
# programs did not know uuid and commit_date, which are added, samples are rounded to a nanosecond,
# --json is left out of the arguments, and cases that passed keep only what reports read.
set -eu
[ $# -ge 1 ] || { echo "usage: $0 OUT.jsonl [COUNT [REV]]" >&2; exit 2; }
case $1 in /*) out=$1 ;; *) out=$PWD/$1 ;; esac
count=${2:-36}
rev=${3:-HEAD}
cd "$(dirname "$0")/.."
top=$PWD
tree=$top/build/backfill/tree
obj=$top/build/backfill/obj
jobs=$(getconf _NPROCESSORS_ONLN)

commits=$(git rev-list --reverse -n "$count" "$rev" -- Makefile ref impl harness datasets)
mkdir -p build/backfill
[ -e "$tree/.git" ] || git worktree add -q --detach "$tree" "$rev"
[ ! -d node_modules ] || ln -sfn "$top/node_modules" "$tree/node_modules"
touch "$out"

# record NAME ARGS...: runs the commit's program, appends its record. Exit 1 is a finding and is kept.
record() {
    name=$1
    shift
    code=0
    "$obj/assay" "$@" --json "$obj/$name.json" >"$obj/$name.log" 2>&1 || code=$?
    if [ $code -gt 1 ] || [ ! -s "$obj/$name.json" ]; then
        echo "  $name passed over (exit $code): $(tail -n 1 "$obj/$name.log")"
        return 1
    fi
    jq -c --arg uuid "$(cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen)" --arg date "$date" '
        .arguments |= .[:index("--json")] | .uuid //= $uuid | .assay.commit_date //= $date | .assay.branch //= ""
        | (.results[].contenders[]?.ns.samples) |= map(round)
        | if .command == "verify" then .results |= map(if .verdict == "pass" then
              del(.worst, .cpu_s, .kernel, .wrong, .unwritten, .unbounded, .m, .n, .k, .threads)
              else . end) else . end' "$obj/$name.json" >>"$obj/new.jsonl"
    rm -f "$obj/$name.json"
}

for commit in $commits; do
    if grep -q "\"commit\":\"$commit\"" "$out"; then continue; fi
    echo "$(date -u +%H:%M:%S) $(git log -1 --format='%h %s' "$commit")"
    git -C "$tree" checkout -q --detach "$commit"
    date=$(TZ=UTC git show -s --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd "$commit")
    if ! make -C "$tree" -j"$jobs" BUILD="$obj" "$obj/assay" >build/backfill/make.log 2>&1; then
        echo "  passed over, does not build: $(grep -m 1 -i error build/backfill/make.log)"
        continue
    fi
    rm -f "$obj/new.jsonl"
    cd "$tree"
    record verify verify --backend cpu --shape 4x32x512 --weights uniform --acts normal -j 1 &&
        record bench bench --backend cpu,ggml --type q4_0,q8_0,q3_k,q4_k,q6_k,iq2_xxs,iq4_xs,tq1_0 \
            --shape 1x2048x4096,32x2048x4096 -j 1 --samples 15 --max-time 1 && cat "$obj/new.jsonl" >>"$out"
    cd "$top"
done
git worktree remove --force "$tree"
echo "$(grep -c . "$out") records in $out"
