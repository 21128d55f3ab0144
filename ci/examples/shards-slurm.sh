#!/bin/sh
# verify in N parts as a Slurm array job, and a second job that merges them when all have ended:
#   ci/examples/shards-slurm.sh N FOLDER [OPTIONS OF verify]
# FOLDER is one that all nodes see; FOLDER/verify.json is the result. ASSAY names the program
# (default: assay). Prints the id of the merging job. Further options of sbatch: SBATCH_* variables.
set -eu
[ $# -ge 2 ] || { echo "usage: $0 N FOLDER [OPTIONS]" >&2; exit 2; }
n=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
shift 2
assay=$(command -v "${ASSAY:-assay}")

# A part with a failing case exits with 1 and has its record all the same: afterany, not afterok.
array=$(sbatch --parsable --job-name assay-part --array "1-$n" --output "$folder/part%a.log" \
    "$0.job" "$assay" "$n" "$folder" "$@")
sbatch --parsable --job-name assay-merge --dependency "afterany:$array" \
    --output "$folder/merge.log" \
    --wrap "'$assay' history merge '$folder'/part*.json --output '$folder/verify.json'"
