#!/bin/sh
# Killed while recording: killed.sh PATH/TO/assay. Wherever a recorder is killed, the record in a file
# is whole or absent, and the history has all of a transaction's runs or none, reads at once and takes
# the next. ASSAY_KILLS kills of each of three recorders (default 12), at moments that are drawn from
# the time that each takes. With ASSAY_ROBUSTNESS=FILE, appends its figures there.
set -u
. "$(dirname "$0")/kit/kit.sh"

[ $# -eq 1 ] || { echo "usage: $0 ASSAY" >&2; exit 2; }
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
root=$(cd "$(dirname "$0")/../.." && pwd)
model=$root/datasets/tinylm/tinylm-Q4_0.gguf
kills=${ASSAY_KILLS:-12}
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir" || exit 2

promise() { # KEY: what was lost since the last one
    [ -z "${ASSAY_ROBUSTNESS:-}" ] ||
        printf '%s\t%s\t%s\n' "$1" "$kills" "$((failed - before))" >>"$ASSAY_ROBUSTNESS"
    echo "killed: $1: $kills kills, $early before, $amid amid, $late after the record was made"
    # Kills that all came too early or too late would have shown nothing.
    if [ "$kills" -lt 100 ] || { [ "$early" -gt 0 ] && [ "$late" -gt 0 ]; }; then pass; else
        fail "$1" 'the kills were not spread over the run'
    fi
    early=0 amid=0 late=0 before=$failed
}
early=0 amid=0 late=0 before=0

# moments COMMAND...: writes the moments of the kills, in seconds, to ./moments.
moments() {
    start=$(date +%s%N)
    "$assay" "$@" >/dev/null 2>err </dev/null || fail "undisturbed: $1" "$(head -n 1 err)"
    awk -v t=$(($(date +%s%N) - start)) -v n="$kills" \
        'BEGIN { srand(1); while (n-- > 0) printf "%.4f\n", 1.1 * rand() * t * 1e-9 }' >moments
}
# killed_at SECONDS COMMAND...
killed_at() {
    at=$1
    shift
    "$assay" "$@" >/dev/null 2>&1 </dev/null &
    pid=$!
    sleep "$at"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
}
runs_of() { # DATABASE: runs that are there, each whole
    "$assay" history export --db "$1" -o export.jsonl >out 2>err && jq -e .finished export.jsonl >/dev/null 2>log ||
        { echo "unreadable: $(head -n 1 err) $(head -n 1 log)"; return; }
    wc -l <export.jsonl | tr -d ' '
}
sound() { # NAME DATABASE: by SQLite's own judgement
    verdict=$(sqlite3 "$2" 'PRAGMA integrity_check; PRAGMA foreign_key_check;' 2>&1)
    if [ "$verdict" = ok ]; then pass; else fail "$1" "$verdict"; fi
}

# ---- A record in a file -------------------------------------------------------------------------
moments inspect "$model" --json file.json
while read -r at; do
    rm -f file.json
    killed_at "$at" inspect "$model" --json file.json
    if [ ! -e file.json ]; then
        if ls file.json* >/dev/null 2>&1; then amid=$((amid + 1)); else early=$((early + 1)); fi
        rm -f file.json*
    elif jq -e .finished file.json >/dev/null 2>log; then
        late=$((late + 1))
    else
        fail 'killed while writing a record' "at $at s: $(cat log)"
    fi
done <moments
promise killed-file

# ---- Many runs in one transaction ---------------------------------------------------------------
verify='verify --backend scalar --type q8_0 --shape 1x3x64 --check none'
check 'a first run' 0 $verify --record --db base.db --json one.json
batch=80
jq -c --argjson n $batch '. as $r | range($n) | . as $i | $r
    | .uuid = "00000000-0000-4000-8000-\(100000000000 + $i)"
    | .results = [range(40) as $j | $r.results[0] | .id = "\(.id)/\($j)"]' one.json >batch.jsonl
cp base.db import.db
moments history import batch.jsonl --db import.db
cp base.db import.db
while read -r at; do
    killed_at "$at" history import batch.jsonl --db import.db
    [ ! -s import.db-journal ] || amid=$((amid + 1))
    case $(runs_of import.db) in
    1) early=$((early + 1)) ;;
    $((1 + batch)))
        late=$((late + 1))
        sound 'killed after an import' import.db
        cp base.db import.db
        rm -f import.db-journal
        ;;
    *) fail 'killed during an import' "at $at s: $(runs_of import.db) runs of 1 or $((1 + batch))" ;;
    esac
    sound 'killed during an import' import.db
done <moments
check 'an import after all the kills' 0 history import batch.jsonl --db import.db
grep -q "$batch runs added" out && pass || fail 'an import after all the kills' "$(cat out)"
promise killed-import

# ---- A run that records itself ------------------------------------------------------------------
moments $verify --record --db run.db --json run.json
there=1
while read -r at; do
    rm -f run.json
    killed_at "$at" $verify --record --db run.db --json run.json
    [ ! -s run.db-journal ] || amid=$((amid + 1))
    now=$(runs_of run.db)
    case $now in
    "$there") early=$((early + 1)) ;;
    $((there + 1))) late=$((late + 1)) there=$now ;;
    *) fail 'killed while recording a run' "at $at s: $now runs after $there" ;;
    esac
    if [ -e run.json ] && ! jq -e .finished run.json >/dev/null 2>log; then
        fail 'killed while recording a run' "at $at s: $(cat log)"
    fi
    sound 'killed while recording a run' run.db
done <moments
check 'a run after all the kills' 0 $verify --record --db run.db
[ "$(runs_of run.db)" = $((there + 1)) ] && pass || fail 'a run after all the kills' "$(runs_of run.db)"
promise killed-run

echo "killed.sh: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
