#!/bin/sh
# Times the cpu backend beside ggml's best and eager fp32, interleaved, and writes Markdown:
#
#   ci/bench-peers.sh ASSAY >reports/bench-peers.md
#
# What to measure, by environment: TYPES (all), M, THREADS, SHAPES (NxK), SAMPLES, MAX_TIME (seconds a
# case), RECORDS (a folder that keeps the JSON records; a case that has one is not measured again).
set -eu
assay=$1
: "${TYPES:=$("$assay" types --json - | jq -r '.results[] | select(.backends | index("cpu")) | .type')}"
: "${M:=1 2 4 8 16 32 64 128 512}" "${THREADS:=1,2}" "${SHAPES:=4096x4096 4096x14336}"
: "${SAMPLES:=11}" "${MAX_TIME:=3}"
if [ -z "${RECORDS:-}" ]; then
    RECORDS=$(mktemp -d)
    trap 'rm -rf "$RECORDS"' EXIT
    trap 'exit 2' HUP INT TERM
fi
mkdir -p "$RECORDS"

total=$(for t in $TYPES; do for s in $SHAPES; do echo; done; done | wc -l)
done=0
for shape in $SHAPES; do
    cases=$(for m in $M; do printf '%sx%s ' "$m" "$shape"; done | sed 's/ $//; s/ /,/g')
    for type in $TYPES; do
        done=$((done + 1))
        record=$RECORDS/$type-$shape.json
        [ -s "$record" ] && continue
        [ ! -t 2 ] || printf '\r%d of %d: %-10s %s ' "$done" "$total" "$type" "$shape" >&2
        status=0
        "$assay" bench --type "$type" --shape "$cases" --threads "$THREADS" \
            --backend cpu,ggml,ggml:repack --samples "$SAMPLES" --max-time "$MAX_TIME" \
            --json "$record.new" >/dev/null 2>"$record.log" || status=$?
        # 1: a peer's product was wrong; it gets no number, and the table says so.
        [ "$status" -le 1 ] || { cat "$record.log" >&2; exit "$status"; }
        mv "$record.new" "$record"
        rm "$record.log"
    done
done
[ ! -t 2 ] || echo >&2

# The records in the order of the table of types.
for shape in $SHAPES; do
    for type in $TYPES; do cat "$RECORDS/$type-$shape.json"; done
done | jq -rs -f "$(dirname "$0")/bench-peers.jq"
