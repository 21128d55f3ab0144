#!/bin/sh
# Judges the kernels of the installed ggml libraries and writes what holds and what does not, as
# Markdown: ci/ggml-verdict.sh ASSAY [OPTIONS OF VERIFY...] >reports/ggml-verdict.md
# The library that fits this machine best comes first, then its AVX2 build ($CPUS chooses others).
set -eu
assay=$1
shift
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM

library() { "$assay" types | sed -n 's/^ggml: version \(.*\), libggml-cpu-*\(.*\)\.so$/\2 \1/p'; }

best=$(library)
[ -n "$best" ] || { echo "$0: no ggml libraries: ci/install-deps.sh installs them" >&2; exit 2; }
version=${best#* }
best=${best%% *}
: "${CPUS:=$best haswell}"

cat <<END
# What holds of ggml $version, and what does not

Made by \`ci/ggml-verdict.sh\`: every kernel of ggml's CPU library through \`assay verify --backend ggml\`,
plain and repacked buffers, all types, held to the error bound of the arithmetic that ggml's source
shows: activations quantised to Q8_0, Q8_1 or Q8_K blocks by ggml's own rule (which the reference
emulates, so that no kernel is charged for it), integer dot products summed exactly within a block,
fp32 accumulation in any order. "Worst" is the largest error that passed, in units of its bound.

F16 and BF16 are not judged: ggml rounds their activations to 16-bit floats, which is no arithmetic
class of assay.

END
"$assay" version | sed -n 's/^machine  */Machine: /p; s/^isa  */ISA: /p' | sed 's/$/  /'

# judge OPTIONS...: adds the cases to the log; to find something is no error.
judge() {
    code=0
    ASSAY_GGML_CPU=$cpu "$assay" verify --backend ggml -v --max-failures 0 "$@" \
        >>"$dir/log" 2>"$dir/err" || code=$?
    if [ $code -gt 1 ]; then
        cat "$dir/err" >&2
        exit 2
    fi
}

# The repacked layouts want rows in multiples of 8 to 64, which few of the built-in shapes have.
repackable=1x64x512,3x128x768,8x192x512,17x64x1024,33x64x256

for cpu in $CPUS; do
    : >"$dir/log"
    judge "$@"
    judge --variant repack --shape $repackable "$@"
    printf '\n## libggml-cpu-%s.so\n' "$cpu"
    prefix=
    if [ "$cpu" != "$best" ]; then prefix="ASSAY_GGML_CPU=$cpu "; fi
    awk -v prefix="$prefix" -v seed=1 '
    # What a case is about, for people; the cases of one text are counted together.
    function about(part, n) {
        if (part[1] == "check")
            return "check: " part[2]
        if (part[1] == "rows")
            return "row lookup, " part[4] " weights"
        return (part[1] == "fused" ? "fused product" : "product") ", " part[5] " activations"
    }
    $1 == "pass" || $1 == "fail" || $1 == "skip" {
        id = $3
        n = split(id, part, "/")
        type = part[1] == "check" ? part[3] : part[2]
        sub(/\+.*/, "", type)
        backend = part[n - 2]
        key = type " " (backend ~ /\+repack$/ ? "repacked" : "plain")
        if (!(key in seen)) {
            seen[key] = 1
            order[++keys] = key
        }
        count[key, $1]++
        if ($1 == "pass" && $2 + 0 > worst[key])
            worst[key] = $2 + 0
        if ($1 != "fail")
            next
        problem = $0
        sub(/^[^ ]+ +[^ ]+ +[^ ]+ */, "", problem)
        what = key SUBSEP about(part, n)
        failures[what]++
        if (failures[what] == 1) {
            finding[++findings] = what
            example[what] = id
            text[what] = problem
        }
        if ($2 == "inf" || $2 + 0 > excess[what] + 0)
            excess[what] = $2
        next
    }
    /the backend does not support the type/ && !($2 in lacks) {
        lacks[$2] = 1
        lacking = lacking (lacking == "" ? "" : ", ") $2
    }
    function of(what) { return count[key, what] + 0 }
    END {
        print "\n| type | buffers | passed | failed | skipped | worst | verdict |"
        print "|---|---|---:|---:|---:|---:|---|"
        for (i = 1; i <= keys; i++) {
            key = order[i]
            split(key, k, " ")
            if (of("pass") + of("fail") == 0) {
                none[k[2]] = none[k[2]] (none[k[2]] == "" ? "" : ", ") k[1]
                continue
            }
            printf "| %s | %s | %d | %d | %d | %.3f | %s |\n", k[1], k[2], of("pass"), of("fail"),
                of("skip"), worst[key], of("fail") ? "**does not hold**" : "holds"
        }
        for (buffers in none)
            print "\nNothing to judge with " buffers " buffers: " none[buffers] "."
        if (lacking != "")
            print "\nNot taken by the adapter: " lacking "."
        if (findings == 0)
            exit
        print "\n### Findings\n"
        for (i = 1; i <= findings; i++) {
            what = finding[i]
            split(what, w, SUBSEP)
            printf "- **%s** (%s): %d case%s%s: %s\n", w[1], w[2],
                failures[what], failures[what] == 1 ? "" : "s",
                excess[what] == "" ? "" : ", the worst at " excess[what] " times its bound",
                text[what]
            printf "  `%sassay verify --seed %d --case %s`\n", prefix, seed, example[what]
            offset = offset || what ~ /^(q6_k|tq1_0|tq2_0) plain.*product/
        }
        if (offset)
            print "\nThe codes of Q6_K, TQ1_0 and TQ2_0 carry an offset (32 or 1). The kernels multiply the\n" \
                "bare codes and take offset times the sum of the activations off in other lanes of the\n" \
                "fp32 accumulators, so that what cancels in the format is rounded before it cancels: where\n" \
                "a large activation meets a weight of 0, the size of offset times that activation sets the\n" \
                "error, not the size of any product."
    }' "$dir/log"
done
