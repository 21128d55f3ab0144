#!/bin/sh
# The scalar path under valgrind's memcheck: the fuzz corpus of the reader, of records and of the
# decoders, and commands on a real model.
#
#   ci/valgrind.sh BUILD
set -eu
build=$1
# Reachable at exit is what OpenBLAS and OpenMP keep for their threads.
memcheck() {
    echo "  MEMCHECK $*"
    OPENBLAS_NUM_THREADS=1 OPENBLAS_CORETYPE=Haswell valgrind -q --error-exitcode=9 \
        --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
        "$@" >/dev/null
}
for target in gguf model record decode options; do
    ASSAY_GGML_DIR=/nonexistent memcheck "$build/fuzz/$target" "harness/fuzz/corpus/$target"
done
memcheck "$build/assay" inspect datasets/tinylm/tinylm-Q4_K_M.gguf
memcheck "$build/assay" verify --backend scalar --type q4_0,q4_k,iq3_s --shape 3x5x256 \
    --check none --jobs 1
