#!/bin/sh
# Measures the error rates of `assay gate`, beside a load generator:
#
#   ci/gate-selftest.sh ASSAY SLOWED.so [A/A-RUNS [5%-RUNS [10%-RUNS]]]
#
# A/A runs compare two copies of the same kernels: a run that accuses any case is a false alarm. Then
# one kernel of one copy (q4_k, one row of x) is slowed by a calibrated 5 % and 10 %: a run that does
# not accuse it is a miss, one that accuses another a false alarm too. Prints a Markdown report; exit 1
# if a bar is missed: false alarms <= 1 %, 5 % found in >= 95 % of the runs, 10 % in >= 99 %.
set -eu

[ $# -ge 2 ] || { echo "usage: $0 ASSAY SLOWED.so [RUNS [RUNS [RUNS]]]" >&2; exit 2; }
assay=$1 slowed=$2 equal_runs=${3:-200} five_runs=${4:-200} ten_runs=${5:-300}
types=${TYPES:-q4_0,q8_0,q4_k,q5_k,q6_k,iq2_xs,iq3_s,iq4_nl} # q4_k must be among them
target='q4_k m=1 256x2048' target_type=12 # GGUF's number of q4_k
cases=$(echo "$types" | tr , '\n' | grep -c .)

dir=$(mktemp -d)
load_pids=
stop() {
    # shellcheck disable=SC2086 # a list of process ids
    [ -z "$load_pids" ] || kill $load_pids 2>/dev/null || :
    rm -rf "$dir"
}
trap stop EXIT
trap 'exit 2' HUP INT TERM
say() { echo "gate-selftest: $*" >&2; }

# The kernels of HEAD, twice: files of their own, so that nothing of one is shared with the other.
"$assay" gate --base HEAD --type q4_k --m 1 --budget 1s >/dev/null
commit=$(git rev-parse HEAD)
# shellcheck disable=SC2012 # the newest of paths that this program made
built=$(ls -t build/gate/"$commit"-*/kernels.so | head -n 1)
cp "$built" "$dir/a.so"
cp "$built" "$dir/b.so"
cp "$slowed" "$dir/slowed.so"
export ASSAY_SLOWED_PLUGIN="$dir/b.so" ASSAY_SLOWED_TYPE=$target_type

gate() { # gate HEAD.so SEED [OPTIONS]
    head=$1 seed=$2
    shift 2
    "$assay" gate --base-plugin "$dir/a.so" --head-plugin "$head" --m 1 --seed "$seed" \
        --json "$dir/gate.json" "$@" >/dev/null 2>"$dir/err" || {
        code=$?
        [ "$code" -eq 1 ] || { cat "$dir/err" >&2; exit 2; }
    }
}

# Multiplications that slow the target by 1 %: all 1536 pairs, on the machine as it is.
say 'calibrating the slowdown'
reference_spin=600
ASSAY_SLOWED_SPIN=$reference_spin
export ASSAY_SLOWED_SPIN
gate "$dir/slowed.so" 1 --type q4_k --min-effect 0.01 --budget 120s
reference=$(jq '.results[0].ratio.median' "$dir/gate.json")
spin_of() { # spin_of PERCENT
    awk -v r="$reference" -v s=$reference_spin -v p="$1" \
        'BEGIN { printf "%d", p / 100 * s / (r - 1) + 0.5 }'
}

# The load: on each core a process that computes or moves memory in bursts of up to a quarter of a
# second, with pauses as long.
cores=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) # of those that this process may use
burst() {
    exec awk -v seed="$1" 'BEGIN {
        srand(seed)
        for (;;) {
            if (rand() < 0.5)
                system("dd if=/dev/zero of=/dev/null bs=1M count=" int(rand() * 2000) " 2>/dev/null")
            else {
                n = int(rand() * 2e6)
                for (i = 0; i < n; i++) x = x * 3 + 1
            }
            system("sleep " rand() / 4)
        }
    }'
}
i=0
while [ "$i" -lt "$cores" ]; do
    i=$((i + 1))
    burst $i &
    load_pids="$load_pids $!"
done

# series NAME HEAD.so RUNS SEED: adds a line "hits others undecided seconds" a run to $dir/NAME.
series() {
    : >"$dir/$1"
    n=0
    while [ "$n" -lt "$3" ]; do
        n=$((n + 1))
        gate "$2" $(($4 + n)) --type $types
        jq -r --arg t "$target" '[.results[] | {c: .case, v: .verdict}] |
            [(map(select(.c == $t and .v == "regressed")) | length),
             (map(select(.c != $t and .v == "regressed")) | length),
             (map(select(.v == "undecided")) | length),
             (map(select(.v | IN("regressed", "improved", "same", "undecided") | not)) | length)
            ] | @tsv' "$dir/gate.json" >>"$dir/$1"
        [ $((n % 25)) -ne 0 ] || say "$1: $n of $3"
    done
}

start=$(date +%s)
series equal "$dir/b.so" "$equal_runs" 1000
ASSAY_SLOWED_SPIN=$(spin_of 5)
series five "$dir/slowed.so" "$five_runs" 2000
ASSAY_SLOWED_SPIN=$(spin_of 10)
series ten "$dir/slowed.so" "$ten_runs" 3000
seconds=$(($(date +%s) - start))

# An event count as a rate with its exact 95 % interval (Clopper and Pearson, Biometrika 26(4), 1934),
# by bisection on the binomial distribution.
report() { # report COUNT RUNS
    awk -v c="$1" -v n="$2" '
        function below(c, p,   i, t, s) { # P(Bin(n, p) <= c)
            if (p <= 0) return 1
            if (p >= 1) return c >= n
            t = n * log(1 - p); s = exp(t)
            for (i = 1; i <= c; i++) { t += log((n - i + 1) / i * p / (1 - p)); s += exp(t) }
            return s
        }
        function solve(upper,   lo, hi, mid, i) {
            lo = 0; hi = 1
            for (i = 0; i < 60; i++) {
                mid = (lo + hi) / 2
                if (upper ? below(c, mid) > 0.025 : 1 - below(c - 1, mid) < 0.025) lo = mid
                else hi = mid
            }
            return lo
        }
        BEGIN {
            low = c > 0 ? solve(0) : 0; high = c < n ? solve(1) : 1
            printf "%d of %d | %.2f %% | %.2f … %.2f %%", c, n, 100 * c / n, 100 * low, 100 * high
        }'
}
alarms_equal=$(awk '$1 + $2 > 0 { n++ } END { print n + 0 }' "$dir/equal")
alarms_other=$(cat "$dir/five" "$dir/ten" | awk '$2 > 0 { n++ } END { print n + 0 }')
found_five=$(awk '$1 > 0 { n++ } END { print n + 0 }' "$dir/five")
found_ten=$(awk '$1 > 0 { n++ } END { print n + 0 }' "$dir/ten")
undecided=$(cat "$dir/equal" "$dir/five" "$dir/ten" | awk '{ n += $3 } END { print n + 0 }')
broken=$(cat "$dir/equal" "$dir/five" "$dir/ten" | awk '{ n += $4 } END { print n + 0 }')
all=$((equal_runs + five_runs + ten_runs))
slow=$((five_runs + ten_runs))

cat <<EOF
# Error rates of the gate

\`make gate-selftest\`, commit $(echo "$commit" | cut -c 1-12), $("$assay" version | sed -n 's/^machine *//p').

Each run judges $cases cases ($types, one row of x, 256 × 2048) with the
default options: least effect 3 %, α 1 % for all cases of a run together. On each of $cores core(s) a load generator
computes and moves memory in bursts. "Equal" compares two copies of one plugin. "Slowed" has one more
chain of multiplications in one kernel of one copy ($target), calibrated to the percentage (600 multiplications made it
$(awk -v r="$reference" 'BEGIN { printf "%.2f", 100 * (r - 1) }') % slower, over 1536 pairs).

| what | runs | rate | 95 % interval | bar |
|---|--:|--:|--:|--:|
| equal: any case accused | $(report "$alarms_equal" "$equal_runs") | ≤ 1 % |
| slowed: another case accused | $(report "$alarms_other" "$slow") | ≤ 1 % |
| both: a false alarm | $(report $((alarms_equal + alarms_other)) "$all") | ≤ 1 % |
| 5 % slower: found | $(report "$found_five" "$five_runs") | ≥ 95 % |
| 10 % slower: found | $(report "$found_ten" "$ten_runs") | ≥ 99 % |

Undecided: $undecided of $((all * cases)) cases; not judged: $broken. $(awk -v s="$seconds" -v n="$all" 'BEGIN { printf "%.1f", s / n }') seconds a run, load included.
EOF
awk -v a="$alarms_equal" -v an="$equal_runs" -v o="$alarms_other" -v on="$slow" -v f="$found_five" \
    -v fn="$five_runs" -v t="$found_ten" -v tn="$ten_runs" -v b="$broken" \
    'BEGIN { exit !(a <= 0.01 * an && o <= 0.01 * on && f >= 0.95 * fn && t >= 0.99 * tn && !b) }'
