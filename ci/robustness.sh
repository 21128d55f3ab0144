#!/bin/sh
# reports/robustness.md on standard output: ci/robustness.sh ASSAY, by `make robustness`. Runs the tests
# of ci/robustness.tsv that take minutes, and lays out what the longer targets have left in build/ before
# (check-alloc, check-packaging, check-aarch64-full, coverage, coverage-reader) and what campaigns of
# fuzzing have left in reports/fuzz.tsv (ci/fuzz.sh tells its format).
set -eu
[ $# -eq 1 ] || { echo "usage: $0 ASSAY" >&2; exit 2; }
assay=$1
cd "$(dirname "$0")/.."
here=$(git rev-parse --short HEAD)
: "${ASSAY_ROBUSTNESS:?names the file that tests append their figures to}"
bad=0
export ASSAY_KILLS=250
for t in hostile limits killed install; do
    echo "robustness: $t" >&2
    sh harness/tests/$t.sh "$assay" >&2 || bad=1
done
echo "robustness: allocations" >&2
ci/alloc.sh "$assay-fail-alloc" quick >&2 || bad=1
for target in harness/fuzz/target_*.c; do
    target=$(basename "$target" .c) target=${target#target_}
    echo "robustness: corpus of $target" >&2
    inputs=$(find "harness/fuzz/corpus/$target" -type f | wc -l)
    if "$(dirname "$assay")/fuzz/$target" "harness/fuzz/corpus/$target" >&2; then lost=0; else lost=1 bad=1; fi
    printf 'corpus-%s\t%s\t%s\n' "$target" "$inputs" "$lost" >>"$ASSAY_ROBUSTNESS"
done

cat <<'END'
# Robustness

Made by `make robustness`. Each promise, the test that could break it, how much was tried and how often
the promise was not kept. "not run" is a test that this machine was not put to when the table was made.

END
echo "assay $("$assay" --version | cut -d' ' -f2), $(git rev-parse --short HEAD), $(uname -sm)."
echo
echo '| promise | test | tried | lost |'
echo '|---|---|---:|---:|'
cat build/robustness/*.tsv | awk -F'\t' -v here="$here" '
    NR == FNR {
        if ($1 == "# commit") commit = $2
        else if (NF >= 3) { tried[$1] += $2; lost[$1] += $3; of[$1] = commit }
        next
    }
    /^#/ { next }
    {
        n = l = seen = 0
        at = ""
        for (k in tried) {
            prefix = substr($1, 1, length($1) - 1)
            if (k == $1 || ($1 ~ /\*$/ && index(k, prefix) == 1)) {
                n += tried[k]; l += lost[k]; seen = 1
                if (of[k] != here) at = " (at " of[k] ")"
            }
        }
        if (seen) printf "| %s | `%s` | %d %s%s | %d |\n", $2, $3, n, $4, at, l
        else printf "| %s | `%s` | not run | |\n", $2, $3
    }' - ci/robustness.tsv

cat <<'END'

## Fuzzing

The invariant of each target is in [harness/fuzz](../harness/fuzz/README.md). libFuzzer runs with the
address and undefined-behaviour sanitizers. Each find is mended and in the corpus, which `make check`
replays.

| target | corpus | libFuzzer: CPU hours | executions | AFL++: CPU hours | executions | finds | last run |
|---|---:|---:|---:|---:|---:|---:|---|
END
for target in harness/fuzz/target_*.c; do
    target=$(basename "$target" .c) target=${target#target_}
    awk -F'\t' -v target="$target" -v inputs="$(find "harness/fuzz/corpus/$target" -type f | wc -l)" '
        /^#/ || $3 != target { next }
        { cpu[$4] += $5; runs[$4] += $6; finds += $7; if ($1 > last) { last = $1; commit = $2 } }
        END {
            printf "| `%s` | %d | %.2f | %d | %.2f | %d | %d | %s |\n", target, inputs,
                cpu["libfuzzer"] / 3600, runs["libfuzzer"], cpu["afl"] / 3600, runs["afl"], finds,
                last == "" ? "never" : substr(last, 1, 10) " at " commit
        }' reports/fuzz.tsv
done

cat <<'END'

## Coverage

Counted by `make coverage` (every test) and `make coverage-reader` (the fuzz corpus alone).

| what | lines | branches | at |
|---|---:|---:|---|
END
for part in all reader; do
    [ ! -e "build/coverage/$part.tsv" ] || awk -F'\t' '{
        printf "| %s | %s %% of %s | %s %% of %s | %s |\n", $1, $2, $3, $4, $5, $6
    }' "build/coverage/$part.tsv"
done
cat <<'END'

## Bounds, and what is out of scope

- Memory: beside the program, a process that judges a tensor holds its reference (32 bytes an output
  element), the activations, and what the backend keeps itself: nothing for `cpu` and `scalar`, 2 or 4
  bytes a weight of that tensor for the eager ones. Pages of a tensor are given back once it is judged.
- A child may take nine tenths of the memory that is free when the run starts, shared among `--jobs`.
- Plugins are code that you chose to run. They are isolated so that a fault is found and named, not for
  security: one that kills or traces its parent, or writes over the user's files, is not held back.
- Allocation failure is tried on what assay's own code and the JSON library allocate. libgomp and
  OpenBLAS end the process when they get no memory, which is a finding where it happens in a child;
  libsmartcols and the C library's own allocations are not reached.
- The static program has no OpenBLAS (the eager baselines say so) and loads no plugins. A program linked
  with musl would need jansson for musl, which Debian lacks: the library alone is built and judged.
END
exit $bad
