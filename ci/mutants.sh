# What the makers of faulty kernels share. Wants $jobs, how many run at once.
# shellcheck shell=sh disable=SC2154

# replace OLD NEW FILE: exactly one occurrence, or an error. \n in OLD and NEW is a line end.
replace() {
    OLD=$1 NEW=$2 awk '
        { text = text $0 "\n" }
        END {
            old = ENVIRON["OLD"]; new = ENVIRON["NEW"]
            gsub(/\\n/, "\n", old); gsub(/\\n/, "\n", new)
            at = index(text, old)
            rest = at ? substr(text, at + length(old)) : ""
            if (!at || index(rest, old))
                exit 1
            printf "%s%s%s", substr(text, 1, at - 1), new, rest
        }' "$3" >"$3.new" && mv "$3.new" "$3"
}

# shards COMMAND…: the command once a job, with the number of its part. 1 if one of them failed.
shards() {
    pids=
    i=0
    while [ "$i" -lt "$jobs" ]; do
        "$@" "$i" &
        pids="$pids $!"
        i=$((i + 1))
    done
    status=0
    for pid in $pids; do
        wait "$pid" || status=1
    done
    return "$status"
}
