# What the shell tests share: counts of passes and failures, and a run of the program $assay.
# shellcheck shell=sh disable=SC2034
passed=0
failed=0

fail() {
    failed=$((failed + 1))
    echo "FAIL $1"
    shift
    for line; do echo "     $line"; done
}
pass() { passed=$((passed + 1)); }

# check NAME CODE ARGS...: runs assay with ARGS; leaves its output in ./out and ./err.
check() {
    name=$1 want=$2
    shift 2
    "$assay" "$@" >out 2>err </dev/null
    got=$?
    if [ "$got" -eq "$want" ]; then pass; else
        fail "$name" "exit $got, expected $want: assay $*" "$(head -n 3 err)"
    fi
}
