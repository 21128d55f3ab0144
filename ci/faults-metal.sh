#!/bin/sh
# Judges the faulty Metal kernels of harness/faults/metal.tsv on the software device, for make faults and
# make faults-metal.
#   ci/faults-metal.sh ASSAY DIR [NAME]      NAME: that one only
# RESULTS=file in the environment: a result for each is added to it, as by `assay faults --results`.
# Each is first run as a GPU would run it; what no output shows there (a race that this order of threads
# does not lose) is run again under the device's checks. Prints a line for each, and how many were found.
set -u
assay=$1 dir=$2 only=${3:-}
build=$(dirname "$assay")
list=harness/faults/metal.tsv
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)}
tab=$(printf '\t')
. "$(dirname "$0")/mutants.sh"

rm -rf "$dir"
mkdir -p "$dir"

# judge TREE MODE NAME TYPES TEXT: 0 if verify found it. A kernel that does not compile counts as
# an error of the list.
judge() {
    tree=$1 mode=$2 folder=$1/$2
    mkdir -p "$folder"
    cp "$build/metal/assay-metal.so" "$folder/"
    for source in common f16 $(printf '%s' "$4" | tr ',' ' '); do
        template=jobs.metal.in
        [ "$source" != common ] || template=common.metal.in
        sh ci/metal-source.sh "$template" "$source" "$tree/kernels" >"$folder/$source.metal"
        flag=
        [ "$mode" = fast ] || flag=--checked
        # shellcheck disable=SC2086 # no word if empty
        "$build/msl-compile" $flag "$folder/$source.metal" "$folder/$source.metallib" \
            >"$folder/log" 2>&1 || { echo "ERROR $3: $(head -n 1 "$folder/log")"; return 2; }
    done
    # shellcheck disable=SC2086 # no words if empty
    ASSAY_METAL_DIR=$folder "$assay" faults --subject "metal/$3" --backend metal --type "$4" \
        --class 'source: metal' --text "$5" ${RESULTS:+--results "$folder/results"} \
        >"$folder/log" 2>&1
}

# The result of a judgement joins those of the others.
keep() { [ -z "${RESULTS:-}" ] || cat "$1/results" >>"$RESULTS"; }

# What the log of a judgement names: the case, and what was wrong.
by() { sed -n 's/^ok .* s  //p' "$1" | head -n 1; }

mutant() {
    tree=$dir/$1
    mkdir -p "$tree"
    cp -r impl/metal/kernels "$tree/kernels"
    replace "$4" "$5" "$tree/kernels/$3" || {
        echo "ERROR $1: the text to replace is not in $3 exactly once"
        return
    }
    if judge "$tree" fast "$1" "$2" "$6"; then
        echo "found $1 ($2): $6: by $(by "$tree/fast/log")"
        keep "$tree/fast"
    elif judge "$tree" checked "$1" "$2" "$6"; then
        echo "found $1 ($2): $6: with the device's checks, by $(by "$tree/checked/log")"
        keep "$tree/checked"
    else
        echo "MISSED $1 ($2): $6"
        keep "$tree/checked"
    fi
    rm -rf "$tree"
}

# Every line whose number is $1 modulo $jobs.
shard() {
    n=0
    grep -v '^#' "$list" | while IFS=$tab read -r name types file old new text; do
        n=$((n + 1))
        [ $((n % jobs)) -eq "$1" ] || continue
        [ -z "$only" ] || [ "$only" = "$name" ] || continue
        mutant "$name" "$types" "$file" "$old" "$new" "$text"
    done
}

lines() { shard "$1" >"$dir/found.$1"; }
shards lines
cat "$dir"/found.*
found=$(cat "$dir"/found.* | grep -c '^found')
all=$(cat "$dir"/found.* | grep -c .)
echo "$found of $all faulty Metal kernels found"
[ "$found" -eq "$all" ] && [ "$all" -gt 0 ]
