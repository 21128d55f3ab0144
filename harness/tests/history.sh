#!/bin/sh
# End-to-end tests of history, compare and shards: history.sh PATH/TO/assay.
set -u
. "$(dirname "$0")/kit/kit.sh"

[ $# -eq 1 ] || { echo "usage: $0 ASSAY" >&2; exit 2; }
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir" || exit 2
out_has() { if grep -qF -e "$1" out; then pass; else fail "$name" "stdout lacks: $1" "$(head -n 5 out)"; fi; }
err_line() {
    if [ "$(wc -l <err)" -eq 1 ] && grep -q '^assay' err && grep -qF -e "$1" err; then pass; else
        fail "$name" "not a one-line error with: $1" "$(head -n 3 err)"
    fi
}
same() { if cmp -s "$2" "$3"; then pass; else fail "$1" "$2 and $3 differ"; fi; }

verify='verify --backend scalar --type q4_0,q8_0 --shape 1x3x64,2x5x32 --check decode'
bench='bench --backend scalar --baseline scalar --type q4_0 --shape 1x4x32,2x4x32,3x4x32 --samples 5 --max-time 0 -j 1'

# ---- Recording ----------------------------------------------------------------------------------
check '--db without --record' 2 $verify --db x.db
err_line "option '--db' goes with '--record'"
check 'a folder that is not there' 2 $verify --record --db no/x.db
err_line 'no/x.db'
check 'record verify' 0 $verify --record --db h.db --json v.json
check 'record bench' 0 $bench --record --db h.db --json b.json
check 'the default database' 0 $verify --record
[ -s reports/history.db ] && pass || fail 'the default database' 'reports/history.db is missing'
check 'list' 0 history list --db h.db
out_has ' verify '
out_has ' bench '
check 'list of one command' 0 history list --db h.db --command bench
grep -q ' verify ' out && fail 'list of one command' 'shows verify' || pass
run=$(sed -n 's/^ "uuid": "\([0-9a-f]*\)-.*/\1/p' b.json)
check 'show' 0 history show "$run" --db h.db
out_has '3 samples'
check 'show nothing' 2 history show zzz --db h.db
err_line '0 runs begin with'
check 'no database' 2 history list --db none.db
err_line 'none.db'
check 'unknown action' 2 history lst --db h.db
err_line "did you mean 'list'?"
check 'too many arguments' 2 history list more --db h.db
err_line 'list takes no more arguments'

# Four runs write to one database at once.
for i in 1 2 3 4; do
    "$assay" $verify --record --db many.db >/dev/null 2>&1 || touch concurrent-failed &
done
wait
[ ! -e concurrent-failed ] && pass || fail 'concurrent writers' 'one failed'
check 'concurrent writers' 0 history list --db many.db
[ "$(grep -c ' verify ' out)" -eq 4 ] && pass || fail 'concurrent writers' "$(cat out)"

# ---- Exchange -----------------------------------------------------------------------------------
check 'export' 0 history export --db h.db -o h.jsonl
[ "$(wc -l <h.jsonl)" -eq 2 ] && pass || fail 'export' 'not two lines'
check 'import' 0 history import h.jsonl --db copy.db
out_has '2 runs added, 0 were there'
check 'import again' 0 history import h.jsonl --db copy.db
out_has '0 runs added, 2 were there'
check 'export of the copy' 0 history export --db copy.db -o copy.jsonl
same 'a copy exports the same' h.jsonl copy.jsonl
check 'import of a --json file' 0 history import b.json --db copy.db
out_has '0 runs added, 1 were there'
{ head -n 1 h.jsonl; echo '{"schema": 1'; } >broken.jsonl
check 'import of a broken line' 2 history import h.jsonl broken.jsonl --db empty.db
err_line 'broken.jsonl:2: '
check 'nothing is half imported' 0 history export --db empty.db -o empty.jsonl
[ ! -s empty.jsonl ] && pass || fail 'nothing is half imported' "$(wc -l <empty.jsonl) runs are there"
sed 's/"uuid":"[^"]*"/"uuid":"x"/' h.jsonl >uuid.jsonl
check 'import of a bad uuid' 2 history import uuid.jsonl --db empty.db
err_line 'uuid.jsonl:1: its uuid is malformed'
check 'import of no file' 2 history import gone.jsonl --db empty.db
err_line 'gone.jsonl'

# ---- Shards -------------------------------------------------------------------------------------
for bad in 0/2 3/2 a/b 1 1/0 1/2/3; do
    check "--shard $bad" 2 $verify --shard $bad
    err_line "option '--shard'"
done
check 'list whole' 0 $verify --list
sort out >whole.ids
: >part.ids
for i in 1 2 3; do
    check "list of part $i" 0 $verify --list --shard $i/3
    cat out >>part.ids
    check "verify part $i" 0 $verify --shard $i/3 --json part$i.json
    check "bench part $i" 0 $bench --shard $i/3 --json bench$i.json
done
sort part.ids >sorted.ids
same 'the parts are the plan' whole.ids sorted.ids
check 'merge' 0 history merge part3.json part1.json part2.json -o merged.json --record --db m.db
check 'merge again' 0 history merge part1.json part2.json part3.json -o merged2.json --record --db m.db
check 'a merged run is added once' 0 history list --db m.db
[ "$(grep -c ' verify ' out)" -eq 1 ] && pass || fail 'a merged run is added once' "$(cat out)"
# Everything but what differs between any two runs: names, times, and what names files.
untimed='del(.uuid, .started, .finished, .shards, .arguments, .results[].cpu_s)'
jq -S "$untimed" v.json >v.norm
jq -S "$untimed" merged.json >merged.norm
same 'merged parts are the whole record' v.norm merged.norm
check 'merge bench' 0 history merge bench1.json bench2.json bench3.json -o benchm.json
places='[.results[] | [.type, .m, .n, .k, .threads, [.contenders[].contender]]]'
jq -c "$places" b.json >b.places
jq -c "$places" benchm.json >benchm.places
same 'merged parts of bench are in place' b.places benchm.places
check 'a missing part' 2 history merge part1.json part3.json -o x.json
err_line 'shard 2 of 3 is missing'
check 'a doubled part' 2 history merge part1.json part2.json part2.json part3.json -o x.json
err_line 'shard 2 of 3 is there twice'
check 'a part of another run' 2 history merge part1.json bench2.json part3.json -o x.json
err_line 'differs'
check 'no part' 2 history merge v.json -o x.json
err_line 'is no shard'

# ---- compare ------------------------------------------------------------------------------------
jq '.results[].contenders[].ns.samples[] *= 2 | .results[].contenders[].ns.median *= 2' b.json >slow.json
check 'compare' 0 compare b.json slow.json --json c.json
out_has '2.000 ['
jq -e '[.results[].ratio] | length == 3 and all(. == 2)' c.json >/dev/null && pass ||
    fail 'compare' "$(head -n 20 c.json)"
check 'compare the largest first' 0 compare b.json benchm.json --json c.json
jq -e '[.results[].ratio | log | fabs] | . == (sort | reverse)' c.json >/dev/null && pass ||
    fail 'compare the largest first' 'not in order'
# A record is another's word: what it has for names is shown, and is no command to the terminal.
jq -c '.machine.cpu = "\u001b[31mred\n" | .results[].id |= . + "\u001b]0;x\u0007"' v.json >escape.json
jq -c '.uuid = "00000001-0000-4000-8000-000000000000" | .results[].verdict = "\u001b[2J"' escape.json >escape2.json
esc=$(printf '\033')
check 'compare of names with control characters' 0 compare escape.json escape2.json
out_has '\x1b[2J'
grep -q "$esc" out && fail "$name" 'an escape sequence reaches the terminal' || pass
check 'import of names with control characters' 0 history import escape.json --db escape.db
for c in list "show $(sed -n 's/.*"uuid":"\([^"]*\)".*/\1/p' escape.json)"; do
    check "$c with control characters" 0 history $c --db escape.db
    out_has '\x1b[31mred\n'
    grep -q "$esc" out && fail "$name" 'an escape sequence reaches the terminal' || pass
done
printf '{}\000' >zero.jsonl
check 'import of no text' 2 history import zero.jsonl --db zero.db
err_line 'zero.jsonl:1: a zero byte'
check 'compare two kinds' 2 compare b.json v.json
err_line 'is a record of bench'
check 'compare verdicts' 0 compare v.json merged.json
out_has '0 verdicts changed'
check 'compare with nothing' 2 compare b.json gone.json
err_line 'gone.json'

echo "history.sh: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
