#!/bin/sh
# Scarce resources and odd surroundings: limits.sh PATH/TO/assay. Little memory, full disks, files that
# shrink, interrupts, no /proc, other locales and terminals, names that are no text. What this
# machine can't set up is told. With ASSAY_ROBUSTNESS=FILE, appends its figures there.
set -u

[ $# -eq 1 ] || { echo "usage: $0 ASSAY" >&2; exit 2; }
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
root=$(cd "$(dirname "$0")/../.." && pwd)
plugins=$(dirname "$assay")/harness/tests/plugins
model=$root/datasets/tinylm/tinylm-Q4_0.gguf
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"; rmdir "$group" 2>/dev/null' EXIT
trap 'exit 2' HUP INT TERM
group=
cd "$dir" || exit 2
passed=0
failed=0
tried=0
lost=0
fail() {
    failed=$((failed + 1)) lost=$((lost + 1))
    echo "FAIL $1"
    shift
    for line; do echo "     $line"; done
}
pass() { passed=$((passed + 1)); }
# Ends a promise: KEY TRIED.
promise() {
    [ -z "${ASSAY_ROBUSTNESS:-}" ] || printf '%s\t%s\t%s\n' "$1" "$2" "$lost" >>"$ASSAY_ROBUSTNESS"
    lost=0
}
skip() { echo "SKIP $*"; }
is() { # NAME GOT WANTED
    if [ "$2" = "$3" ]; then pass; else fail "$1" "got '$2', expected '$3'" "$(head -n 3 err)"; fi
}
has() { # NAME FILE TEXT
    if grep -qF -e "$3" "$2"; then pass; else fail "$1" "$2 lacks: $3" "$(head -n 3 "$2")"; fi
}
valid() { # NAME FILE: JSON that was written whole
    if jq -e .finished "$2" >/dev/null 2>log; then pass; else fail "$1" "$2 is no record: $(cat log)"; fi
}
one_line() { # NAME: the error is one line of ours
    if [ "$(wc -l <err)" -eq 1 ] && grep -q '^assay' err; then pass; else
        fail "$1" 'not a one-line error:' "$(head -n 3 err)"
    fi
}
sanitized=
if nm "$assay" 2>/dev/null | grep -q '__[at]san_init'; then sanitized=1; fi
# A mount namespace of our own: as root, or in a user namespace.
contained=
for way in 'unshare -m' 'unshare -rm'; do
    if $way sh -c 'mount -t tmpfs none /mnt' 2>/dev/null; then contained=$way; break; fi
done

u32() { printf "\\$(printf %o $(($1 & 255)))\\$(printf %o $(($1 >> 8 & 255)))\\$(printf %o $(($1 >> 16 & 255)))\\$(printf %o $(($1 >> 24 & 255)))"; }
u64() { u32 $(($1 & 0xffffffff)) && u32 $(($1 >> 32)); }
str() { u64 ${#1} && printf %s "$1"; }

# ---- A file larger than memory ------------------------------------------------------------------
# 160 tensors of 257 MiB: 40 GiB that take no room on disk. The process may have a gigabyte, its page
# cache included where control groups are to be had.
rows=32768 count=160
row=$((7744 / 32 * 34))
bytes=$((rows * row))
i=0
{
    printf GGUF; u32 3; u64 $count; u64 0
    while [ $i -lt $count ]; do
        str "blk.$(printf %03d $i).w"; u32 2; u64 7744; u64 $rows; u32 8; u64 $((i * bytes))
        i=$((i + 1))
    done
} >huge.gguf
header=$((($(wc -c <huge.gguf) + 31) / 32 * 32))
truncate -s $((header + count * bytes)) huge.gguf
limit=$((1 << 30))
for parent in /sys/fs/cgroup/memory /sys/fs/cgroup; do
    for leaf in memory.limit_in_bytes memory.max; do
        [ -z "$group" ] && [ -w "$parent/$leaf" ] || [ -w "$parent" ] || continue
        mkdir "$parent/assay-test-$$" 2>/dev/null || continue
        if echo $limit 2>/dev/null >"$parent/assay-test-$$/$leaf"; then group=$parent/assay-test-$$; else
            rmdir "$parent/assay-test-$$"
        fi
    done
done
[ -n "$group" ] || skip 'control group: private memory is limited by RLIMIT_DATA instead'
limited() {
    (
        if [ -n "$group" ]; then echo 0 >"$group/cgroup.procs"; else ulimit -d $((limit / 1024)); fi
        exec "$@"
    )
}
if [ -z "$sanitized" ]; then
    limited "$assay" inspect huge.gguf >out 2>err </dev/null
    is 'inspect 40 GiB in 1 GiB' $? 0
    has 'inspect 40 GiB in 1 GiB' out blk.159.w
    for i in 000 080 159; do
        limited "$assay" verify --gguf huge.gguf --case "gemm/@blk.$i.w/m1/normal/cpu/scalar/t1" \
            --timeout 100 >out 2>err </dev/null
        is "verify tensor $i of 40 GiB in 1 GiB" $? 0
        has "verify tensor $i of 40 GiB in 1 GiB" out '1 passed, 0 failed'
    done
    limited "$assay" verify --gguf huge.gguf --tensors-only --backend cpu --budget 4s --jobs 1 \
        --threads 1 >out 2>err </dev/null
    is 'verify 40 GiB in 1 GiB on a budget' $? 0
    has 'verify 40 GiB in 1 GiB on a budget' out ' 0 failed'
    [ -z "$group" ] || [ ! -e "$group/memory.failcnt" ] ||
        echo "limits: peak of the control group $(($(cat "$group/memory.max_usage_in_bytes") >> 20)) MiB of 1024"
    # What does not fit is refused in words: 40 GiB of tensor in fp32 is 150 GiB.
    limited "$assay" mem huge.gguf --backend eager-f32 --layers 1 >out 2>err </dev/null
    if [ $? -le 2 ]; then pass; else fail 'mem of 40 GiB in 1 GiB' "$(head -n 2 err)"; fi
    promise memory 6
else
    skip 'a gigabyte of memory: sanitizers need more'
fi
rm -f huge.gguf

# ---- Disks that are full or can't be written ----------------------------------------------------
(ulimit -f 1; exec "$assay" verify -t q8_0 --quick -b scalar --json full.json) >out 2>err </dev/null
is 'file size limit' $? 2
has 'file size limit' err 'full.json: can'\''t write the record'
if ls full.json* >/dev/null 2>&1; then fail 'file size limit' "left behind: $(ls full.json*)"; else pass; fi
if [ -e /dev/full ]; then
    "$assay" types --json /dev/full >out 2>err
    is 'a record on /dev/full' $? 2
    has 'a record on /dev/full' err '/dev/full: can'\''t write the record: No space left'
    [ -c /dev/full ] && pass || fail 'a record on /dev/full' 'the device is gone'
fi
"$assay" types --json /dev/null >out 2>err
is 'a record on /dev/null' $? 0
[ -c /dev/null ] && pass || fail 'a record on /dev/null' 'the device is gone'
"$assay" types --json /proc/none.json >out 2>err
is 'a folder that takes no files' $? 2
one_line 'a folder that takes no files'
if [ -n "$contained" ]; then
    $contained sh -c 'mount -t tmpfs -o size=4k none /mnt && "$1" verify -t q8_0 --quick -b scalar \
        --json /mnt/r.json; code=$?; ls /mnt >left; exit $code' - "$assay" >out 2>err </dev/null
    is 'full disk' $? 2
    has 'full disk' err "/mnt/r.json: can't write the record: No space left"
    is 'full disk: nothing is left behind' "$(cat left)" ''
    $contained sh -c 'mount -t tmpfs none /mnt && mount -o remount,ro /mnt && "$1" types \
        --json /mnt/r.json' - "$assay" >out 2>err </dev/null
    is 'read-only disk' $? 2
    has 'read-only disk' err 'Read-only file system'
    TMPDIR=/mnt $contained sh -c 'mount -t tmpfs -o size=4k none /mnt && "$1" mem "$2" --layers 1 \
        --backend cpu' - "$assay" "$model" >out 2>err </dev/null
    is 'full disk for the logits' $? 2
    has 'full disk for the logits' out 'logits'
else
    skip 'full and read-only disks: no mount namespace to be had'
fi
ln -s target.json link.json
: >target.json
"$assay" types --json link.json >out 2>err
valid 'a record through a link' target.json
[ -L link.json ] && pass || fail 'a record through a link' 'the link is gone'
promise disk 9

# ---- Files that shrink while they are mapped ----------------------------------------------------
shrink() { # COMMAND ARGS...: once it runs, the file is cut; the error names it
    cp "$model" shrink.gguf
    rm -f shrink.json
    "$assay" "$@" --json shrink.json >out 2>err </dev/null &
    pid=$!
    sleep 0.3
    truncate -s 65536 shrink.gguf # the tensor table stays
    wait $pid
    is "truncated: $1" $? 2
    has "truncated: $1" err 'shrink.gguf: was truncated while it was being read'
    has "truncated: $1" shrink.json '"partial": "shrink.gguf: was truncated'
}
shrink verify --gguf shrink.gguf --tensors-only --explain 0
shrink bench --gguf shrink.gguf --min-time 1
shrink mem shrink.gguf --backend cpu,eager-f32 --tokens 4000
# To nothing: the parent itself may find out first, by its own read of a name.
for command in 'verify --tensors-only --explain 0 --gguf' 'bench --gguf' 'mem --tokens 4000'; do
    cp "$model" shrink.gguf
    # shellcheck disable=SC2086
    "$assay" $command shrink.gguf >out 2>err </dev/null &
    pid=$!
    sleep 0.3
    truncate -s 0 shrink.gguf
    wait $pid
    is "emptied: $command" $? 2
    has "emptied: $command" err 'shrink.gguf: '
done
# inspect, stopped by a full pipe between the metadata and the tensors.
{
    printf GGUF; u32 3; u64 1; u64 1200
    i=0
    while [ $i -lt 1200 ]; do
        str "key.$i"; u32 8
        str 'a value that is long enough to fill a pipe of sixty-four kilobytes with a thousand of it'
        i=$((i + 1))
    done
    str w; u32 2; u64 32; u64 2; u32 8; u64 0
} >long.gguf
truncate -s 200000 long.gguf
{
    "$assay" inspect long.gguf 2>err
    echo $? >code
} | {
    sleep 0.3
    truncate -s 0 long.gguf
    cat >/dev/null
}
is 'truncated: inspect' "$(cat code)" 2
has 'truncated: inspect' err 'assay: long.gguf: offset '
one_line 'truncated: inspect'
promise truncated 7

# ---- Interrupts, and two at once -----------------------------------------------------------------------
if env --default-signal=INT true 2>/dev/null; then
    interrupt() { # SIGNAL CODE COMMAND...
        signal=$1 code=$2
        shift 2
        rm -f r.json
        env --default-signal=INT "$assay" "$@" --json r.json >out 2>err </dev/null &
        pid=$!
        sleep 1
        children=$(ps -o pid= --ppid $pid)
        kill -"$signal" $pid
        wait $pid
        is "$signal: $1" $? "$code"
        has "$signal: $1" err "interrupted by SIG$signal: the results are partial"
        valid "$signal: $1" r.json
        has "$signal: $1" r.json "\"partial\": \"interrupted by SIG$signal\""
        for child in $children; do
            if kill -0 "$child" 2>/dev/null; then fail "$signal: $1" "child $child lives"; else pass; fi
        done
    }
    interrupt INT 130 verify
    interrupt TERM 143 verify
    interrupt INT 130 bench --min-time 2 --samples 5
    interrupt INT 130 mem "$model" --backend cpu,eager-f32,scalar --tokens 2000
    env --default-signal=INT "$assay" verify >out 2>err </dev/null &
    pid=$!
    sleep 0.3
    kill -INT $pid
    kill -INT $pid 2>/dev/null
    wait $pid
    is 'two interrupts' $? 130
    promise interrupt 5
else
    skip 'interrupts: env has no --default-signal'
fi

i=0
while [ $i -lt 20 ]; do
    "$assay" types --json same.json >/dev/null 2>&1 &
    "$assay" inspect "$model" --json same.json >/dev/null 2>&1 &
    wait
    valid 'two recorders' same.json
    i=$((i + 1))
done
is 'two recorders: nothing is left behind' "$(echo same.json*)" same.json
promise recorders 20

# ---- Surroundings -------------------------------------------------------------------------------
if [ -z "$sanitized" ] && [ "$(uname -s)" = Linux ]; then
    LD_PRELOAD=$plugins/clock_back.so "$assay" verify -t q8_0 --quick -b scalar --json clock.json \
        >out 2>err
    is 'clock going backwards' $? 0
    is 'clock going backwards' "$(jq '.finished >= .started' clock.json)" true
    is 'the clock did go back' "$(jq -r '.started[0:4]' clock.json)" 2033
    promise clock 1
else
    skip 'clock going backwards: the sanitizers want to be loaded first'
fi
if [ -n "$sanitized" ]; then
    skip 'no /proc: the sanitizers read it'
elif [ -n "$contained" ]; then
    for command in "verify -t q8_0 --quick -b scalar,cpu" "verify --plugin $plugins/faulty.so -t q8_0 --check none" \
        "inspect $model" 'types' 'version' "bench --type q8_0 --shape 1x32x64 --samples 5 --max-time 0 -b cpu"; do
        $contained sh -c 'mount -t tmpfs none /proc && exec "$@"' - "$assay" $command >out 2>err </dev/null
        is "no /proc: $command" $? 0
    done
    $contained sh -c 'mount -t tmpfs none /proc && exec "$@"' - "$assay" mem "$model" --layers 1 \
        --backend cpu >out 2>err </dev/null
    code=$?
    # No peak can be told without it: an error, never a figure.
    if [ $code -eq 2 ] && grep -q '/proc' out err; then pass; else
        fail 'no /proc: mem' "exit $code" "$(tail -n 2 out)" "$(head -n 2 err)"
    fi
    promise proc 7
else
    skip 'no /proc: no mount namespace to be had'
fi
mkdir locales
if localedef -i de_DE -f UTF-8 locales/de_DE.UTF-8 >log 2>&1; then
    german='env LOCPATH='$dir'/locales LC_ALL=de_DE.UTF-8'
    if [ "$($german printf %.1f 0,5 2>/dev/null)" = 0,5 ]; then pass; else fail 'locale' 'not German'; fi
    $german "$assay" verify -t q8_0 --quick -b scalar --json comma.json >out 2>err
    is 'decimal comma: verify' $? 0
    valid 'decimal comma: verify' comma.json
    is 'decimal comma: ratio' "$(jq '[.results[].ratio | numbers] | length > 0' comma.json)" true
    $german "$assay" inspect "$model" >out 2>err
    has 'decimal comma: inspect' out ' MiB'
    if grep -Eq '[0-9],[0-9]+ MiB' out; then fail 'decimal comma: inspect' 'prints one'; else pass; fi
    $german "$assay" bench --type q8_0 --shape 1x32x64 --samples 5 --max-time 0.01 -b cpu >out 2>err
    is 'decimal comma: an option is read with a point' $? 0
    promise locale 3
else
    skip 'decimal comma: localedef knows no de_DE (Debian: locales)'
fi
if script -qec true /dev/null </dev/null >/dev/null 2>&1; then
    for term in dumb xterm; do
        TERM=$term script -qec "'$assay' verify -t q8_0 --quick -b scalar --explain 0" /dev/null \
            </dev/null >out 2>err
        sequences=$(tr -d '\n' <out | grep -c "$(printf '\033')")
        if [ $term = dumb ]; then is "TERM=$term" "$sequences" 0; else
            is "TERM=$term shows progress" "$sequences" 1
        fi
    done
    promise terminal 2
else
    skip 'terminals: no script'
fi
"$assay" inspect "$model" 2>err | head -n 1 >out
has 'a reader that leaves' out tinylm
is 'a reader that leaves' "$(wc -c <err)" 0
"$assay" verify -t q8_0 --quick -b scalar -v 2>err | head -n 1 >out
is 'a reader that leaves verify' "$(grep -c . out)" 1
promise pipe 2

n=0
for file in 'with space.gguf' 'with
newline.gguf' "$(printf 'not\377utf8.gguf')" '-dash.gguf' "quote'\".gguf" '$(touch gone).gguf'; do
    cp "$model" "./$file"
    "$assay" inspect --json p.json -- "$file" >out 2>err
    is "inspect '$file'" $? 0
    valid "inspect '$file'" p.json
    "$assay" verify --tensors-only -b cpu -t q4_0 --budget 1s --json p.json "--gguf=$file" >out 2>err
    is "verify '$file'" $? 0
    valid "verify '$file'" p.json
    "$assay" mem --layers 1 --backend cpu --json p.json -- "$file" >out 2>err
    is "mem '$file'" $? 0
    valid "mem '$file'" p.json
    "$assay" types --json "$file.json" >out 2>err
    valid "types to '$file.json'" "./$file.json"
    rm "./$file"
    "$assay" inspect -- "$file" >out 2>err
    is "missing '$file'" $? 2
    one_line "missing '$file'"
    n=$((n + 5))
done
promise paths $n

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
