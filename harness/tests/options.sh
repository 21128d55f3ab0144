#!/bin/sh
# Wrong options and arguments: options.sh PATH/TO/assay. Each is refused at once, with exit status 2 and
# one line on standard error that names what is wrong, before anything is run or written.
set -u
. "$(dirname "$0")/kit/kit.sh"

[ $# -eq 1 ] || { echo "usage: $0 ASSAY" >&2; exit 2; }
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir" || exit 2
cp "$root/datasets/tinylm/tinylm-Q4_0.gguf" m.gguf

# Rows: the command line | what its error says.
cat >rows <<'END'
bench --type q9 | '--type': unknown type 'q9'
bench --type q4_0,f64 | '--type': assay does not decode 'f64'
bench --isa sse | '--isa': unknown instruction set 'sse'
bench --isa auto | '--isa': unknown instruction set 'auto'
bench --backend nope | '--backend': unknown backend 'nope'
bench --backend cpu:nope | backend 'cpu' has no variant 'nope'
bench --baseline nope | '--baseline': unknown backend 'nope'
bench --m 0 | '--m': not from 1 to 1000000: '0'
bench --m 1000001 | '--m': not from 1 to 1000000: '1000001'
bench --m 1,2x | '--m': not from 1 to 1000000: '2x'
bench --m 12345678901 | '--m': not from 1 to 1000000: '12345678901'
bench --threads 0 | '--threads': not from 1 to 1024: '0'
bench --threads 1025 | '--threads': not from 1 to 1024: '1025'
bench --shape 12 | '--shape': not MxNxK or NxK: '12'
bench --shape 1x2x3x4 | '--shape': not MxNxK or NxK: '1x2x3x4'
bench --shape 0x2x3 | '--shape': not MxNxK or NxK: '0x2x3'
bench --shape 1x2 | K of '1x2' is no multiple of 256, q4_k's block length
bench --weights odd | '--weights': unknown generator 'odd'
bench --shape 1x2x33 | K of '1x2x33' is no multiple of 256, q4_k's block length
bench --shape 1x1000000x1000000 | '--shape': too large: '1x1000000x1000000'
bench --shape 1000000x1000000x1 | '--shape': too large
bench --shape 1000000x1x1000000 | '--shape': too large
bench --model llama-9 | '--model': unknown model 'llama-9'
bench --model llama-3-9b | did you mean 'llama-3-8b'?
bench --samples 2 | '--samples': 2 is not between 3 and 100000
bench --samples x | '--samples': 'x' is not a whole number
bench --min-time -1 | '--min-time': -1 is not between 0 and 86400
bench --max-time 100000 | '--max-time': 100000 is not between 0 and 86400
bench --seed -1 | '--seed': '-1' is not a whole number
bench --timeout 0 | '--timeout': 0 is not between 1 and 86400
bench --shard 3/2 | '--shard': '3/2' is not I/N
bench --gguf none.gguf | none.gguf: offset 0: cannot open
bench --plugin none.so | plugin none.so: can't be loaded
bench --db x.db | '--db' goes with '--record'
bench extra | unexpected argument 'extra'
mem | give either a GGUF file or --model NAME
mem m.gguf --model llama-3-8b | give either a GGUF file or --model NAME
mem m.gguf --type Q4_K_M | --type goes with --model
mem --model nope | --model: unknown model 'nope'; known are llama-3.2-1b
mem --model llama-3.2-1b --type Q9 | --type: unknown file type 'Q9'
mem --limit 1k | '--limit': 1k is not between 268435456
mem --type nope --limit 8G | --type: unknown file type 'nope'
mem m.gguf --backend nope | --backend: unknown backend 'nope'
mem m.gguf --backend cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu | more than 16 backends
mem m.gguf --isa nope | --isa: unknown instruction set 'nope'
mem m.gguf --tokens 0 | '--tokens': 0 is not between 1 and 65536
mem m.gguf --threads 0 | '--threads': 0 is not between 1 and 1024
mem m.gguf --layers 0 | '--layers': 0 is not between 1 and 100000
mem m.gguf --repeat 0 | '--repeat': 0 is not between 1 and 1000
mem m.gguf --steady -1 | '--steady': '-1' is not a whole number
mem m.gguf --memory x | '--memory': 'x' is not a whole number
mem none.gguf | none.gguf: offset 0: cannot open
mem m.gguf --plugin none.so | plugin none.so: can't be loaded
mem m.gguf --db x.db | '--db' goes with '--record'
verify --type q9 | '--type': unknown type 'q9'; there are: f32
verify --backend nope | '--backend': unknown backend 'nope'; there are: scalar
verify --variant nope | no selected backend has 'nope'
verify --isa nope | '--isa': unknown instruction set 'nope'; there are: scalar
verify --check nope | '--check': unknown check 'nope'; there are: decode
verify --shape 1x2 | '--shape': '1x2' is not MxNxK
verify --weights nope | '--weights': unknown generator 'nope'
verify --acts nope | '--acts': unknown generator 'nope'
verify --threads 0 | '--threads': '0' is not from 1 to 1024
verify --case nope | '--case': unknown operation 'nope'
verify --case gemm/q4_0/1x2x3 | K is no multiple of the block length of 'q4_0'
verify --budget 5 | '--budget': '5' is no duration
verify --budget 0s | '--budget': '0s' is no duration
verify --jobs 0 | '--jobs': 0 is not between 1 and 64
verify --timeout 0 | '--timeout': 0 is not between 1 and 86400
verify --max-failures -1 | '--max-failures': '-1' is not a whole number
verify --explain x | '--explain': 'x' is not a whole number
verify --quick --full | '--quick' and '--full' exclude each other
verify --tensors-only | '--tensors-only' needs '--gguf'
verify --gguf none.gguf | none.gguf: offset 0: cannot open
verify --plugin none.so | plugin none.so: can't be loaded
verify --ggml /nowhere --backend ggml | /nowhere/libggml-base.so
verify --checks-only --check none | the options select no case
verify --seed 99999999999999999999 | '--seed': '99999999999999999999' is not a whole number
explain | missing argument
explain nope | unknown operation 'nope'
explain none.gguf | none.gguf: offset 0: cannot open
explain m.gguf | m.gguf: no case that assay kept
explain gemm/q4_0/2x9x64/uniform/normal/scalar/-/t1 --timeout 0 | '--timeout': 0 is not between 1 and 86400
explain gemm/q4_0/2x9x64/uniform/normal/scalar/-/t1 --plugin none.so | plugin none.so: can't be loaded
explain gemm/@blk.9.x/m1/normal/cpu/scalar/t1 --gguf m.gguf | the file has no tensor 'blk.9.x'
explain gemm/@blk.0.attn_q.weight/m1/normal/cpu/scalar/t1 | --gguf is needed for the tensor 'blk.0.attn_q.weight'
faults --only nothing-has-this-name | no kernel's name contains 'nothing-has-this-name'
faults --shards 0 | '--shards': 0 is not between 1 and 64
faults --shards 2 --shard 2 | '--shard': 2 is not between 0 and 1
faults --table | '--table' needs '--results'
faults --table --results none.tsv | can't read none.tsv
faults --subject x --type q4_0 | '--subject' needs '--isa'
false-alarms --runs 0 | '--runs': 0 is not between 1 and 1000000000
false-alarms --jobs 0 | '--jobs': 0 is not between 1 and 64
load-run | missing argument
load-run none.gguf | none.gguf: offset 0: cannot open
load-run m.gguf --backend nope | --backend: unknown backend 'nope'
load-run m.gguf --tokens 0 | '--tokens': 0 is not between 1 and 65536
load-run m.gguf --threads 0 | '--threads': 0 is not between 1 and 1024
load-run m.gguf --isa nope | --isa: unknown instruction set 'nope'
inspect | missing argument
inspect m.gguf m.gguf | unexpected argument 'm.gguf'
types extra | unexpected argument 'extra'
version extra | unexpected argument 'extra'
report | missing argument
report none.json | none.json: No such file or directory
report m.gguf | m.gguf: line 1, column 4
report m.gguf --format pdf | --format: unknown format 'pdf' (html, markdown, csv, json)
report m.gguf --commit-url javascript:x | is no http or https address
report m.gguf --db none.db | none.db: unable to open database file
compare a | missing argument
compare a b | a: No such file or directory
history | missing argument
history import | import takes files
history show | show takes one run
history list extra | list takes no more arguments
history export --db none.db | none.db: unable to open database file
history merge none.json | none.json: No such file or directory
gate --base-plugin none.so | none.so: can't be loaded
gate --base x --m 0 | '--m': not from 1 to 65536: '0'
gate --base x --threads 0 | '--threads': 0 is not between 1 and 1024
gate --base x --clock sundial | '--clock': not auto or wall: 'sundial'
help nope | unknown command 'nope'
END
ls >files
while read -r row; do
    text=${row#* | }
    # shellcheck disable=SC2086
    check "assay ${row%% | *}" 2 ${row%% | *}
    if [ "$(wc -l <err)" -eq 1 ] && grep -q '^assay' err && grep -qF -e "$text" err; then pass; else
        fail "$name" "not one line with: $text" "$(head -n 3 err)"
    fi
    if [ -s out ]; then fail "$name" "printed: $(head -n 1 out)"; else pass; fi
done <rows
rm -f out err
if [ "$(ls)" = "$(cat files)" ]; then pass; else fail 'nothing is written' "$(ls)"; fi

echo "options.sh: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
