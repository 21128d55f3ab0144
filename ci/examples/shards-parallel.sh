#!/bin/sh
# verify in N parts with GNU parallel, merged to one record:
#   ci/examples/shards-parallel.sh N verify.json [OPTIONS OF verify]
# ASSAY names the program (default: assay), SSH_HOSTS hosts for parallel's --sshlogin, which have the
# program and this folder under the same path.
set -eu
[ $# -ge 2 ] || { echo "usage: $0 N RECORD.json [OPTIONS]" >&2; exit 2; }
n=$1 record=$2
shift 2
parts=$(mktemp -d "$PWD/shards-XXXXXX")
trap 'rm -rf "$parts"' EXIT

# A part with a failing case exits with 1 and has its record all the same.
status=0
seq "$n" | parallel ${SSH_HOSTS:+--sshlogin "$SSH_HOSTS" --workdir "$PWD"} --quote \
    "${ASSAY:-assay}" verify "$@" --jobs 1 --shard "{}/$n" --json "$parts/{}.json" || status=$?
"${ASSAY:-assay}" history merge "$parts"/*.json --output "$record"
exit "$status"
