#!/bin/sh
# Times the cpu backend beside ggml's and ik_llama.cpp's best, interleaved, and beside eager fp32, and
# writes Markdown:
#
#   ci/bench-peers.sh ASSAY >reports/bench-peers.md
#
# What to measure, by environment: TYPES (all), M, THREADS, SHAPES (NxK), SAMPLES and MAX_TIME (seconds
# a case; at least three rounds), RECORDS (a folder that keeps the JSON records; what has one is not
# measured again, so that a run which was stopped goes on).
#
# Eager fp32 does the same whatever the type: it is timed once for each shape, batch and number of
# threads, before the types. Large batches get fewer rounds, because one call takes seconds there.
set -eu
assay=$1
: "${TYPES:=$("$assay" types --json - | jq -r '.results[] | select(.backends | index("cpu")) | .type')}"
: "${M:=1 2 4 8 16 32 64 128 512}" "${THREADS:=1,2}" "${SHAPES:=4096x4096 4096x14336}"
: "${SAMPLES:=7}" "${MAX_TIME:=0.35}"
if [ -z "${RECORDS:-}" ]; then
    RECORDS=$(mktemp -d)
    trap 'rm -rf "$RECORDS"' EXIT
    trap 'exit 2' HUP INT TERM
fi
mkdir -p "$RECORDS"
batches=$(printf '%s' "$M" | tr -s ' ' ',')

# Backends besides cpu that are there: an unknown one or an unknown variant is a usage error.
peers=
for b in cpu:repack ggml ggml:repack ik ik:repack; do
    if "$assay" bench --backend $b --baseline $b --type q4_0 --shape 1x64x256 --threads 1 --samples 3 \
        --no-verify >/dev/null 2>"$RECORDS/probe.log"; then
        peers=$peers,$b
    else
        sed "s/^/without $b: /" "$RECORDS/probe.log" >&2
    fi
    rm -f "$RECORDS/probe.log"
done

# measure NAME OPTIONS OF BENCH...: leaves the record $RECORDS/NAME.json.
done=0
total=$(for s in $SHAPES; do for t in eager $TYPES; do echo; done; done | wc -l)
measure() {
    record=$RECORDS/$1.json
    shift
    done=$((done + 1))
    [ ! -s "$record" ] || return 0
    [ ! -t 2 ] || printf '\r%d of %d: %-28s ' "$done" "$total" "$(basename "$record" .json)" >&2
    status=0
    "$assay" bench --m "$batches" --threads "$THREADS" --samples "$SAMPLES" --max-time "$MAX_TIME" \
        "$@" --json "$record.new" >/dev/null 2>"$record.log" || status=$?
    # 1: a peer's product was wrong; it gets no number, and the report says why.
    [ "$status" -le 1 ] || { cat "$record.log" >&2; exit "$status"; }
    mv "$record.new" "$record"
    rm "$record.log"
}

for shape in $SHAPES; do
    measure "eager-$shape" --shape "$shape" --type f32 --backend eager-f32
    for type in $TYPES; do
        # Blocks as a quantiser makes them: bytes drawn at random hold codes that none makes.
        measure "$type-$shape" --shape "$shape" --type "$type" --weights normal --baseline cpu \
            --backend "cpu$peers"
    done
done
[ ! -t 2 ] || echo >&2

# The records, those of eager fp32 first, in the order of the table of types.
for shape in $SHAPES; do
    for type in eager $TYPES; do cat "$RECORDS/$type-$shape.json"; done
done | jq -rs -f "$(dirname "$0")/bench-peers.jq"
