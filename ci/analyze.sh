#!/bin/sh
# Static analysis: cppcheck, gcc -fanalyzer, clang-tidy (.clang-tidy). Kernels are left to the
# differential tests; the corpus of faults is wrong on purpose; tests may leak as they end; the
# plugin of gate is compiled in another folder, beside a copy of its header.
#
#   ci/analyze.sh BUILD CFLAGS…    BUILD: a plain build by gcc, for its stamp.h
set -eu
build=$1
shift
jobs=$(getconf _NPROCESSORS_ONLN)
files=$(git ls-files 'ref/*.c' 'datasets/*.c' 'harness/*.c' 'impl/*.c' |
    grep -v -e /tests/ -e /tools/ -e harness/faults/ -e impl/cpu/ -e impl/example/ -e harness/gate/plugin/ \
        -e _neon.c -e _i8mm.c -e _avx2.c -e _avx512.c)
flags="-std=c11 -D_GNU_SOURCE -I. -fno-math-errno -include $build/stamp.h $*"
status=0

# json_array_foreach and json_object_foreach are jansson's loops.
echo "  CHECK cppcheck"
# shellcheck disable=SC2086
cppcheck -j "$jobs" --std=c11 --enable=warning,portability,performance --quiet --inline-suppr \
    --error-exitcode=1 --suppressions-list=ci/cppcheck.supp --suppress=missingIncludeSystem \
    --template='{file}:{line}: {id}: {message}' -D__x86_64__ -D__linux__ -D__GLIBC__ \
    '-Djson_array_foreach(a,i,v)=for(i=0;(v=json_array_get(a,i));i++)' \
    '-Djson_object_foreach(o,k,v)=for(k=0;(v=json_object_get(o,k));)' -I. $files || status=1

# each COMMAND…: the command on every file, several at a time; prints what they say.
each() {
    printf '%s\n' $files | xargs -P "$jobs" -n 8 "$@" 2>&1
}

# Off: what gcc 12 loses sight of. A struct that is freed through its first member, or kept in a
# list, is no leak; a status that was set with a NULL is tested before the pointer is used.
echo "  CHECK gcc -fanalyzer"
# shellcheck disable=SC2086
each gcc -fanalyzer -Wno-analyzer-too-complex -Wno-analyzer-malloc-leak \
    -Wno-analyzer-possible-null-dereference -Wno-analyzer-possible-null-argument \
    -Wno-analyzer-null-argument -O1 -fsyntax-only $flags >"$build/fanalyzer.log" || status=1
if grep -q 'warning:' "$build/fanalyzer.log"; then
    grep 'warning:' "$build/fanalyzer.log"
    status=1
fi

echo "  CHECK clang-tidy"
# shellcheck disable=SC2086,SC2016
each sh -c 'f=$0; flags=$1; shift; clang-tidy --quiet "$@" -- $flags 2>/dev/null' tidy "$flags" \
    >"$build/tidy.log" || status=1
grep -E '(warning|error):' "$build/tidy.log" && status=1
exit $status
