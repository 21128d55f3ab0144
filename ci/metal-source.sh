#!/bin/sh
# One self-contained .metal source on standard output: a template of impl/metal/kernels/ for one type,
# with our own headers in place of their #include lines. Metal compiles strings at run time, and a
# string has no folder to include from.
#   ci/metal-source.sh FILE.metal.in [TYPE [FOLDER]]
# FOLDER: another impl/metal/kernels/. "grids.h" is made here, from the reference's own tables.
set -eu
file=$1 type=${2:-} folder=${3:-impl/metal/kernels}
root=$(cd "$(dirname "$0")/.." && pwd)

grids() {
    awk '/^const uint16_t assay_iq[0-9a-z_]*grid\[/ {
             sub(/^const uint16_t assay_/, "constant ushort ")
             inside = 1
         }
         inside { print }
         /^};/ { inside = 0 }' "$root/ref/iq_grids.c"
}

inline() {
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        '#include "grids.h"') grids ;;
        '#include "'*)
            name=${line#*\"}
            inline <"$folder/${name%\"*}"
            ;;
        *) printf '%s\n' "$line" ;;
        esac
    done
}

inline <"$folder/$file" | sed "s/@type@/$type/g"
