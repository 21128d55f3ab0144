#!/bin/sh
# Two threads under ThreadSanitizer: no race in assay's own kernels, and the corpus's races found.
#
#   ci/tsan.sh ASSAY    an assay built with CC=clang SAN=thread
set -eu
assay=$1

# Archer tells ThreadSanitizer what OpenMP's barriers and locks order.
OMP_TOOL_LIBRARIES=$(clang -print-resource-dir)/../../libarcher.so
export OMP_TOOL_LIBRARIES
[ -e "$OMP_TOOL_LIBRARIES" ] || { echo "tsan: no libarcher.so beside clang's OpenMP" >&2; exit 1; }

"$assay" verify --backend scalar,cpu,transient-f16 --threads 2 \
    --check threads,repeat,batch,slice --checks-only

found=$("$assay" faults --only race/ 2>/dev/null) || { echo "$found"; exit 1; }
echo "$found"
races=$(echo "$found" | grep -c 'a data race: ThreadSanitizer') || true
[ "$races" = "$(echo "$found" | wc -l)" ] || { echo "tsan: a race was not seen as one" >&2; exit 1; }
