#!/bin/sh
# Hostile kernels: hostile.sh PATH/TO/assay. Each deed of plugins/hostile.c is contained, named in the
# finding, and leaves no process behind; a run with all of them completes and accuses nobody else.
# Needs `make plugins` in the same build. With ASSAY_ROBUSTNESS=FILE, appends its figures there.
set -u
. "$(dirname "$0")/kit/kit.sh"

[ $# -eq 1 ] || { echo "usage: $0 ASSAY" >&2; exit 2; }
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
hostile=$(dirname "$assay")/harness/tests/plugins/hostile.so
[ -e "$hostile" ] || { echo "$0: $hostile is missing: make plugins" >&2; exit 2; }

dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir" || exit 2

export ASSAY_HOSTILE_PIDS="$dir/pids"
: >pids
# No process that a plugin started lives on.
all_gone() {
    alive=
    while read -r pid; do
        # A zombie of somebody else's keeping is dead as well.
        if kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null; then
            alive="$alive $pid"
            kill -9 "$pid"
        fi
    done <pids
    if [ -z "$alive" ]; then pass; else fail "$1" "processes are left:$alive"; fi
    : >pids
}

product='--type q8_0 --shape 2x9x64 --weights uniform --acts normal -j 1 --timeout 2 --explain 0'
hygiene='--type q8_0 --check hygiene --checks-only -j 1 --timeout 20 --explain 0'

# The sanitizers' own handlers make exits of signals, and their allocators hide leaks.
sanitized=
if "$assay" version | grep -q 'sanitize' || nm "$assay" 2>/dev/null | grep -q '__asan_init'; then
    sanitized=1
fi

# Rows: deed, options, what the finding says. "-": the deed does no harm that is to be found.
cat >deeds <<'END'
crash product crashed:
overflow product crashed:
exit product crashed: exit
exit-now product crashed: exit
abort product crashed:
longjmp product -any-
hang product hung: timeout
hide_crash product -any-
stop product hung: timeout
alarm product crashed: SIGALRM
kill_group product crashed: SIGKILL
seccomp product crashed: SIGKILL
close product crashed: exit
close_and_hang product crashed: lost its connection
noise product crashed:
fork product left a process of its own behind
daemon product left a process of its own behind
fork_and_crash product crashed:
allocate product -any-
corrupt_x product crashed:
corrupt_w product crashed:
chdir hygiene changes the working directory
umask hygiene changes the file mode mask
setenv hygiene changes the environment variables
handlers hygiene changes a signal handler
sigchld hygiene changes a signal handler
rounding hygiene changes the rounding mode
ftz hygiene changes flush-to-zero
threads hygiene products leak
leak hygiene bytes of heap
leak_fds hygiene file descriptors
rlimits product -
print product -
stdin product -
END
n_deeds=$(wc -l <deeds)
case $(uname -m) in x86_64) ;; *) grep -v '^ftz ' deeds >d && mv d deeds ;; esac
[ "$(uname -s)" = Linux ] || { grep -Ev '^(seccomp|daemon|allocate) ' deeds >d && mv d deeds; }
[ -z "$sanitized" ] || { grep -Ev '^(leak|allocate) ' deeds >d && mv d deeds; }
echo "hostile: $(wc -l <deeds) of $n_deeds deeds can be done here"

all=
while read -r deed options finding; do
    cp "$hostile" "$deed.so"
    all="$all${all:+,}./$deed.so"
    eval "options=\$$options"
    code=1
    [ "$finding" != - ] || code=0
    # At most a gigabyte, for the deed that takes all there is.
    # shellcheck disable=SC2086
    (
        [ "$deed" != allocate ] || ulimit -d 1000000
        exec "$assay" verify --plugin "./$deed.so" $options
    ) >out 2>err </dev/null
    got=$?
    if [ $got -eq $code ]; then pass; else fail "$deed" "exit $got, expected $code" "$(head -n 3 err)"; fi
    case $finding in
    -) ;;
    -any-) if grep -q "^FAIL .*/$deed/" out; then pass; else fail "$deed" 'no finding names it'; fi ;;
    *)
        if grep -A1 "^FAIL .*/$deed/" out | grep -qF -e "$finding"; then pass; else
            fail "$deed" "no finding says: $finding" "$(grep -A1 '^FAIL' out | head -n 4)"
        fi
        ;;
    esac
    all_gone "$deed"
done <deeds

# ---- All of them in one run, beside kernels that are right ---------------------------------------
# Two processes at once. No fault of one deed is laid at another's or at the built-in kernels' door.
backends=$(cut -d' ' -f1 deeds | tr '\n' ',')
(
    [ -n "$sanitized" ] || ulimit -d 1000000 # shadow memory is beyond it
    exec "$assay" verify --plugin "$all" --backend "${backends}scalar,cpu,transient-f16" --type q8_0 \
        --shape 2x9x64 --weights uniform --acts normal -j 1 --timeout 6 \
        --check hygiene --explain 0 --jobs 2 --json all.json
) >out 2>err </dev/null
got=$?
if [ $got -eq 1 ]; then pass; else fail 'all deeds' "exit $got, expected 1" "$(head -n 3 err)"; fi
if [ "$(jq '.summary.not_run' all.json)" = 0 ]; then pass; else fail 'all deeds' 'not all cases ran'; fi
accused=$(jq -r '[.results[] | select(.verdict == "fail") | .backend] | unique | .[]' all.json)
for kernel in scalar cpu transient-f16 rlimits print stdin; do
    case "
$accused
" in
    *"
$kernel
"*) fail 'all deeds' "$kernel is accused" ;;
    *) pass ;;
    esac
done
while read -r deed options finding; do
    [ "$finding" != - ] || continue
    case "
$accused
" in
    *"
$deed
"*) pass ;;
    *) fail 'all deeds' "$deed got away" ;;
    esac
done <deeds
all_gone 'all deeds'

# ---- bench and mem ------------------------------------------------------------------------------
# A contender that crashes loses its row, not the case.
for deed in crash corrupt_x corrupt_w abort; do
    check "bench: $deed" 1 bench --plugin "./$deed.so" --backend "$deed,scalar" --type q8_0 \
        --shape 2x9x64 --samples 5 --max-time 0 -j 1 --json bench.json
    if jq -e --arg deed "$deed" '.results | length == 1 and (.[0].contenders |
            (map(select(.contender == $deed))[0] | .status == "failed" and (.reason | startswith("crashed")))
            and (map(select(.contender != $deed)) | length == 2 and all(.status == "measured")))' \
        bench.json >/dev/null; then pass; else
        fail "bench: $deed" "$(jq -c '.results[].contenders[]? | [.contender, .status, .reason]' bench.json)"
    fi
done

echo "$passed passed, $failed failed"
[ -z "${ASSAY_ROBUSTNESS:-}" ] || printf 'hostile\t%s\t%s\n' "$(wc -l <deeds)" "$failed" >>"$ASSAY_ROBUSTNESS"
[ "$failed" -eq 0 ]
