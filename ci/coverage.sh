#!/bin/sh
# Lines and branches that the tests reached, from the counts of a coverage build.
#
#   ci/coverage.sh BUILD [PATTERN]    default: what is held to the bars, ref/ and harness/
#
# Left out: tests, fuzz targets, the corpus of faulty kernels (wrong on purpose, judged by
# `make faults`), and lines that say GCOVR_EXCL with their reason. Branches that only the compiler
# sees (gcovr --exclude-unreachable-branches) don't count.
set -eu
build=$1
pattern=${2:-(ref|harness)/[^/]*\\.c}
mkdir -p "$build/html"
gcovr --root . --object-directory "$build" "$build" --filter "$pattern" \
    --exclude '.*/(tests|fuzz|faults)/.*' --exclude-unreachable-branches \
    --html-details "$build/html/index.html" --json-summary "$build/summary.json" \
    --sort-uncovered --txt "$build/lines.txt" >/dev/null
gcovr --root . --object-directory "$build" "$build" --filter "$pattern" \
    --exclude '.*/(tests|fuzz|faults)/.*' --exclude-unreachable-branches \
    --branches --txt "$build/branches.txt" >/dev/null
cat "$build/lines.txt"
jq -r '"lines \(.line_percent) %, branches \(.branch_percent) %"' "$build/summary.json"
echo "page: $build/html/index.html"
