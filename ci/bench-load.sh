#!/bin/sh
# Times whole processes with hyperfine: ci/bench-load.sh ASSAY MODEL.gguf OUT.json
# Each loads the model and runs one forward pass, blocks multiplied as they are and decoded at load.
# OUT.json is hyperfine's own export; `assay report` takes it beside the records.
set -eu
[ $# -eq 3 ] || { echo "usage: $0 ASSAY MODEL.gguf OUT.json" >&2; exit 2; }
quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"; }
assay=$(quoted "$1")
model=$(quoted "$2")
set -- "$3"
for backend in cpu transient-f16 eager-f16 eager-f32; do
    set -- "$@" -n "$backend" "$assay load-run --backend $backend -- $model"
done
out=$1
shift
hyperfine --shell=none --warmup 1 --runs 15 --export-json "$out" "$@"
