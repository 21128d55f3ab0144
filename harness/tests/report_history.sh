#!/bin/sh
# A history of 40 commits in the report: report_history.sh PATH/TO/assay. Every commit, the change of
# level that was put in and no other, and a page that stays small.
set -u
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 2
failed=0
fail() { failed=1; echo "FAIL report_history: $1"; }
count() { grep -o "$1" page.html | wc -l; }

# Eight types, two batch sizes, 25 samples; q4_k at m = 1 is half as fast again from commit 20 on. The
# noise is a fixed scramble of the indices.
jq -nc '
    def noise($a; $b): (($a * 7919 + $b * 104729) % 1009) / 1009 - 0.5;
    range(40) as $c | ("\($c + 100)" + "0" * 37) as $hash |
    {schema: 1, command: "bench", uuid: "00000000-0000-4000-8000-0000000000\($c + 10)",
     arguments: [], machine: {cpu: "a CPU", cores: 2}, threads: 1, seed: 1,
     started: "2026-01-01T00:00:00Z", finished: "2026-01-01T00:01:00Z",
     assay: {version: "0", commit: $hash, commit_date: (1767225600 + 86400 * $c | todate),
             branch: "", dirty: false},
     results: [range(16) as $s | {matrix: "", m: (if $s < 8 then 1 else 32 end), n: 2048, k: 4096, threads: 1,
         type: (["q4_k", "q4_0", "q8_0", "q3_k", "q6_k", "iq2_xxs", "iq4_xs", "tq1_0"][$s % 8]),
         weight_bytes: 1, baseline: "eager-f32",
         contenders: [1, 0 | . as $own | (if $own == 1 then 5 + $s / 4 + (if $s == 0 and $c >= 20 then 2.5 else 0 end)
                                             + noise($c; $s) / 5 else 1 end) as $speedup |
             {contender: (if $own == 1 then "cpu" else "eager-f32" end), backend: "cpu", variant: "", isa: "",
              status: "measured", kernel: "k", resident_bytes: 1, copies: 1, from: "L3",
              ns: {median: (1e6 / $speedup), mad: 1e3, q1: 1e5, q3: 1e6, calls_per_sample: 1,
                   samples: [range(25) as $i | (1e6 / $speedup * (1 + noise($i; $c) / 50) | round)]},
              weight_gb_s: 1, gflop_s: 1,
              speedup: {median: $speedup, low95: ($speedup * 0.98), high95: ($speedup * 1.02)}}]}]}' >history.jsonl
"$assay" history import history.jsonl --db h.db >out 2>err || { cat out err; exit 1; }
tail -n 1 history.jsonl >last.json
plots=
if command -v gnuplot >/dev/null; then plots='--plots plots'; fi
# shellcheck disable=SC2086 # two words, or none
"$assay" report last.json --db h.db --commit-url https://example.org/commit/ -o page.html $plots >out 2>err ||
    { cat out err; exit 1; }

bytes=$(wc -c <page.html)
[ "$bytes" -lt 2000000 ] || fail "the page has $bytes bytes"
[ "$(count 'id="commit-[0-9]*"')" -eq 40 ] || fail "$(count 'id="commit-[0-9]*"') commits in the table"
[ "$(count 'href="https://example.org/commit/1[0-9]\{39\}"')" -eq 40 ] || fail 'commits without a link'
[ "$(count 'href="#commit-20"')" -eq 1 ] || fail 'the change of level at commit 20 was not found'
[ "$(count 'href="#commit-')" -eq 1 ] || fail 'changes of level that are none'
if command -v gnuplot >/dev/null; then
    [ "$(count 'per commit</figcaption>')" -eq 8 ] || fail 'plots are missing'
    for kind in svg png; do
        n=0
        for file in plots/history_*.$kind; do
            case $kind:$(head -c 8 "$file" | tr -d '\211\r\n\032') in svg:'<?xml ve' | png:PNG) n=$((n + 1)) ;; esac
        done
        [ $n -eq 8 ] || fail "$n of 8 plots written as $kind"
    done
    "$assay" report last.json -o x.html --plots page.html/x >out 2>err
    [ $? -eq 2 ] && grep -q '^assay report: --plots: page.html/x: ' err || fail "a bad folder for plots: $(cat err)"
    "$assay" report last.json -o x.html --plots plots --format csv >out 2>err
    [ $? -eq 2 ] && grep -q 'only with --format html' err || fail "plots of a table: $(cat err)"
else
    echo 'SKIP report_history: plots, no gnuplot'
fi
[ $failed = 0 ] && echo "report_history: passed ($bytes bytes)"
exit $failed
