#!/bin/sh
# reports/robustness.md on standard output: ci/robustness.sh ASSAY. Runs the tests of ci/robustness.tsv
# that this machine can run in half an hour or so, and lays out what they and, before, the longer targets
# (make check-alloc, check-packaging, check-aarch64-full, fuzz, coverage with ASSAY_ROBUSTNESS set to
# build/robustness/NAME.tsv) have left in build/robustness/.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 ASSAY" >&2; exit 2; }
assay=$1
cd "$(dirname "$0")/.."
mkdir -p build/robustness
figures=build/robustness/tests.tsv
: >"$figures"
export ASSAY_ROBUSTNESS="$PWD/$figures"
bad=0
export ASSAY_KILLS=250
for t in hostile limits killed install; do
    echo "robustness: $t" >&2
    sh harness/tests/$t.sh "$assay" >&2 || bad=1
done
ci/alloc.sh "$assay-fail-alloc" quick >&2 || bad=1

cat <<'END'
# Robustness

Made by `make robustness`. Each promise, the test that could break it, how much was tried and how often
the promise was not kept. "not run" is a test that this machine was not put to when the table was made.

END
echo "assay $("$assay" --version | cut -d' ' -f2), $(git rev-parse --short HEAD), $(uname -sm)."
echo
echo '| promise | test | tried | lost |'
echo '|---|---|---:|---:|'
cat build/robustness/*.tsv | awk -F'\t' '
    NR == FNR { if ($1 !~ /^#/ && NF >= 3) { tried[$1] = $2; lost[$1] = $3 } next }
    /^#/ { next }
    {
        n = l = seen = 0
        for (k in tried) {
            prefix = substr($1, 1, length($1) - 1)
            if (k == $1 || ($1 ~ /\*$/ && index(k, prefix) == 1)) { n += tried[k]; l += lost[k]; seen = 1 }
        }
        if (seen) printf "| %s | `%s` | %d %s | %d |\n", $2, $3, n, $4, l
        else printf "| %s | `%s` | not run | |\n", $2, $3
    }' - ci/robustness.tsv
for part in fuzz coverage; do
    [ ! -e build/robustness/$part.md ] || { echo; cat build/robustness/$part.md; }
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
