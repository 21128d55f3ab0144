#!/bin/sh
# Two commits that differ by one slowed kernel: does the gate name that kernel and no other?
#   ci/gate-commits.sh ASSAY
# Clones this repository, makes a commit there whose AVX-512 kernel for q4_k with few rows of x computes
# an eighth of its rows twice, and runs `assay gate --base` between the two. Takes as long as building
# the kernels twice. Exit 1 if the gate names any other kernel, or not that one.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 ASSAY" >&2; exit 2; }
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
if [ "$("$assay" version | sed -n 's/^isa *//p')" != avx512 ]; then
    echo 'SKIP gate-commits: the kernel that it slows is one of AVX-512'
    exit 0
fi
kernel=gemm_q4_k_q8_256__avx512_gemv
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
git clone --quiet . "$dir/clone"
cd "$dir/clone"
table=impl/cpu/avx512/kernels.c
awk -v kernel=$kernel '
    /^const struct assay_cpu_kernel assay_kernels_avx512/ {
        print "static void slowed(const struct assay_cpu_args *a) {"
        print "    struct assay_cpu_args again = *a;"
        print "    again.n = a->n / 8;"
        print "    " kernel "(a);"
        print "    " kernel "(&again);"
        print "}"
        inside = 1
    }
    inside { sub(kernel ", ", "slowed, ") }
    { print }' $table >table.new
mv table.new $table
if git diff --quiet; then echo "gate-commits: $kernel is not in $table" >&2; exit 2; fi
git -c user.name=assay -c user.email=assay@localhost commit --quiet --all --message 'Slow one kernel'

status=0
"$assay" gate --base HEAD~1 --budget 120s --json "$dir/gate.json" || status=$?
named=$(jq -r '.results[] | select(.verdict == "regressed") | "\(.case) \(.head.kernel)"' \
    "$dir/gate.json")
if [ "$status" -eq 1 ] && [ "$named" = "q4_k m=1 256x2048 $kernel" ]; then
    echo "gate-commits: the slowed kernel was named, and no other"
else
    echo "gate-commits: exit $status; named: ${named:-nothing}; slowed: $kernel" >&2
    exit 1
fi
