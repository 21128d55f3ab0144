#!/bin/sh
# Lines and branches that the tests reached, from the counts of a coverage build.
#
#   ci/coverage.sh BUILD NAME WHAT PATTERN    also writes BUILD/NAME.tsv, for make robustness
#
# Left out: tests, fuzz targets, the corpus of faulty kernels (wrong on purpose, judged by
# `make faults`), and lines that say GCOVR_EXCL with their reason. Branches that only the compiler
# sees (gcovr --exclude-unreachable-branches) don't count.
set -eu
build=$1 name=$2 what=$3 pattern=$4
mkdir -p "$build/html"
gcovr --root . --object-directory "$build" "$build" --filter "$pattern" \
    --exclude '.*/(tests|fuzz|faults)/.*' --exclude-unreachable-branches \
    --html-details "$build/html/index.html" --json-summary "$build/$name.json" \
    --sort-uncovered --txt "$build/lines.txt" >/dev/null
gcovr --root . --object-directory "$build" "$build" --filter "$pattern" \
    --exclude '.*/(tests|fuzz|faults)/.*' --exclude-unreachable-branches \
    --branches --txt "$build/branches.txt" >/dev/null
cat "$build/lines.txt"
jq -r --arg what "$what" --arg commit "$(git rev-parse --short HEAD)" \
    '[$what, .line_percent, .line_total, .branch_percent, .branch_total, $commit] | @tsv' \
    "$build/$name.json" >"$build/$name.tsv"
jq -r '"lines \(.line_percent) %, branches \(.branch_percent) %"' "$build/$name.json"
echo "page: $build/html/index.html"
