#!/bin/sh
# make faults: judges the whole fault corpus and prints the table of reports/faults.md.
#   ci/faults.sh ASSAY DIR
# Model faults are in the program itself. Faults of harness/faults/source.tsv are made here: a source
# of impl/ is changed in one place, compiled, and linked with the rest into a program that judges its
# own kernels. Those of harness/faults/metal.tsv are run by the software Metal device (ci/faults-metal.sh).
# In the environment, from the Makefile: CC (with all flags), FLAGS_impl, FLAGS_avx2, FLAGS_avx512, LDLIBS,
# OBJECTS, METAL_LACKS (why there is no such device; empty if there is).
set -eu

assay=$1
dir=$2
list=harness/faults/source.tsv
results=$dir/results.json
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)}
tab=$(printf '\t')

. "$(dirname "$0")/mutants.sh"

mkdir -p "$dir"
rm -f "$results"

# One line of the list. The tree that it compiles in holds every header of impl/, so that one of them
# can be the file that is changed.
mutant() {
    name=$1/$2 isa=$2 types=$3 source=$4 file=$5 old=$6 new=$7 text=$8
    tree=$dir/$(printf '%s-%s-%s' "$isa" "$1" "$types" | tr ',' '-')
    rm -rf "$tree"
    find impl -name '*.h' -o -name '*.def' | while read -r header; do
        mkdir -p "$tree/${header%/*}"
        cp "$header" "$tree/$header"
    done
    mkdir -p "$tree/${source%/*}"
    cp "$source" "$tree/$source"
    replace "$old" "$new" "$tree/$file" || {
        echo "$list: $name: the text to replace is not in $file exactly once: $old" >&2
        return 1
    }
    flags=$FLAGS_impl
    case $source in
    impl/cpu/avx2/*) flags=$FLAGS_avx2 ;;
    impl/cpu/avx512/*) flags=$FLAGS_avx512 ;;
    esac
    # Words of CC, flags and objects are meant to split. -I of the tree must come first.
    # shellcheck disable=SC2086
    set -- $CC
    compiler=$1
    shift
    "$compiler" -I"$tree" "$@" $flags -O2 -w -c -o "$tree/mutant.o" "$tree/$source"
    # shellcheck disable=SC2086
    "$compiler" "$@" -o "$tree/assay" "$tree/mutant.o" $OBJECTS $LDLIBS
    "$tree/assay" faults --subject "$name/$types" --isa "$isa" --type "$types" \
        --class "source: $isa" --text "$text ($file)" --results "$results" || true
    rm -rf "$tree"
}

# Every line whose number is $1 modulo $jobs.
mutants() {
    n=0
    grep -v '^#' "$list" | while IFS=$tab read -r name isa types source file old new text; do
        n=$((n + 1))
        [ $((n % jobs)) -eq "$1" ] || continue
        case $isa in
        scalar) ;;
        *) "$assay" version | grep -q "$isa" || continue ;;
        esac
        mutant "$name" "$isa" "$types" "$source" "$file" "$old" "$new" "$text" || exit 1
    done
}

# A missed fault is in the table, which decides.
correct() { "$assay" faults --correct --results "$results" --shards "$jobs" --shard "$1" || true; }
faulty() { "$assay" faults --results "$results" --shards "$jobs" --shard "$1" || true; }

shards correct
shards faulty
shards mutants
if [ -n "${METAL_LACKS:-}" ]; then
    echo "SKIP the faults of harness/faults/metal.tsv: needs $METAL_LACKS" >&2
else
    RESULTS=$results sh ci/faults-metal.sh "$assay" "$dir/metal" || true
fi
echo
status=0
"$assay" faults --table --results "$results" >"$dir/faults.md" || status=1
cat "$dir/faults.md"
exit "$status"
