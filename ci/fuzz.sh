#!/bin/sh
# Fuzzes targets one after another and tells what came of it.
#
#   ci/fuzz.sh FOLDER SECONDS TARGET…    FOLDER: the targets, built by clang for libFuzzer or by
#                                        afl-clang-fast
#
# What a target finds is in FOLDER/findings; `make replay` of a plain build takes it as an argument.
# New inputs gather in FOLDER/work/TARGET, so that the next run goes on from there. An input that
# takes 10 seconds or 1 GiB is a finding too.
#
# With ASSAY_FUZZ_LOG=FILE, appends a line a target, fields apart by tabs: when it ended (UTC), commit,
# target, engine (libfuzzer, afl), seconds of CPU, executions, findings of this run. reports/fuzz.tsv,
# which reports/robustness.md sums up, is such a file.
set -eu
dir=$1 seconds=$2
shift 2
# Seconds of CPU that this shell's children have taken.
cpu() {
    times >"$dir/times"
    awk 'NR == 2 { gsub(/[ms]/, " "); print $1 * 60 + $2 + $3 * 60 + $4 }' "$dir/times"
}
found() { find "$dir/findings" "$dir"/work/*/default/crashes "$dir"/work/*/default/hangs \( -name "$1-*" -o -path "*/$1/*" -name 'id*' \) 2>/dev/null | wc -l; }
corpus=$(dirname "$0")/../harness/fuzz
mkdir -p "$dir/findings"
# Found again below by their kind; leaks at exit of the libraries that ggml loads are not ours.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1}
status=0

libfuzzer() {
    dict=
    [ ! -e "$corpus/dict/$1.dict" ] || dict=-dict=$corpus/dict/$1.dict
    "$dir/$1" -max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=1024 -timeout=10 \
        -max_len=65536 -print_final_stats=1 -artifact_prefix="$dir/findings/$1-" $dict \
        "$dir/work/$1" "$corpus/corpus/$1" >"$dir/$1.log" 2>&1 || return 1
}

afl() {
    dict=
    [ ! -e "$corpus/dict/$1.dict" ] || dict="-x $corpus/dict/$1.dict"
    # shellcheck disable=SC2086
    AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_UI=1 AFL_NO_AFFINITY=1 \
        AFL_AUTORESUME=1 \
        afl-fuzz -V "$seconds" -m none -t 10000 -i "$corpus/corpus/$1" -o "$dir/work/$1" $dict \
        -- "$dir/$1" >"$dir/$1.log" 2>&1 || return 1
    crashes=$(find "$dir/work/$1/default/crashes" "$dir/work/$1/default/hangs" -name 'id*' | wc -l)
    sed -n 's/^execs_done *: /stat::number_of_executed_units: /p' \
        "$dir/work/$1/default/fuzzer_stats" >>"$dir/$1.log"
    [ "$crashes" = 0 ]
}

for target; do
    mkdir -p "$dir/work/$target"
    case $dir in
    *afl*) engine=afl ;;
    *) engine=libfuzzer ;;
    esac
    start=$(date +%s) cpu_before=$(cpu) found_before=$(found "$target")
    verdict='nothing found'
    if ! $engine "$target"; then
        verdict="FOUND something: $dir/$target.log"
        status=1
    fi
    execs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/$target.log" | tail -n 1)
    cover=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$dir/$target.log" | tail -n 1)
    printf '%-8s %11s executions  %6s edges  %6s s  %s\n' "$target" "${execs:-?}" "${cover:--}" \
        "$(($(date +%s) - start))" "$verdict"
    [ -z "${ASSAY_FUZZ_LOG:-}" ] || printf '%s\t%s\t%s\t%s\t%.0f\t%s\t%s\n' \
        "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(git rev-parse --short HEAD)" "$target" "$engine" \
        "$(echo "$(cpu) $cpu_before" | awk '{ print $1 - $2 }')" "${execs:-0}" \
        "$(($(found "$target") - found_before))" >>"$ASSAY_FUZZ_LOG"
done
exit $status
