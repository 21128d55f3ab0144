# Records of `assay verify` (and one of bench as $speed) to reports/accuracy.md.
def percent: (sqrt * 100) as $p | if $p < 0.001 then "< 0.001" else ($p * 1000 | round / 1000 | tostring) end;
def columns: ["cpu:exact", "cpu", "cpu:repack", "ggml", "ggml:repack", "ik", "ik:repack"];

[inputs] as $records
| $records[0] as $first
| [$records[].results[] | select(.op == "gemm" and .nmse != null) | (.id | split("/")) as $id
   | {type: .types[0], m, acts: $id[4], file: ($id[1] | startswith("@")), nmse, wrong: (.verdict == "fail"),
      who: (.backend + (if .variant == "" then "" else ":" + .variant end))}
   # A tensor's case is named gemm/@NAME/mM/ACTS/…
   | if .file then .acts = $id[3] else . end] as $cases
| def table($rows):
    ($rows | group_by(.type) | map({type: .[0].type, of: (group_by(.who) | map({key: .[0].who, value: {nmse: (map(.nmse) | add / length), wrong: any(.[]; .wrong)}}) | from_entries)})) as $t
    | [columns[] as $c | select(any($t[].of; has($c))) | $c] as $there
    | "| type | \($there | join(" | ")) |", "|---\($there | map("|--:") | add)|",
      ($t | sort_by(.type)[] | . as $row | "| \(.type) | \([$there[] as $c | $row.of[$c] | if . == null then "–" else (.nmse | percent) + (if .wrong then " †" else "" end) end] | join(" | ")) |");

"# Accuracy",
"",
"Made by `make accuracy` on \($first.machine.cpu) (\($first.machine.isa)), assay \($first.assay.commit[:12]).",
"The root mean square error of the outputs in percent of their root mean square, against the product in",
"fp64 of the decoded weights and the activations as given. It is made of the rounding of activations to",
"int8, which all but `cpu:exact` do: 256 under one scale (cpu and ggml where a block holds 256 weights; ik for",
"the IQ types and Q2_K and Q3_K among these, and for all of these repacked) or 32 (the rest). ik rounds",
"the weights of larger batches to int8 as well. \"–\": not there, or does not take the type. †: some output is beyond the error",
"bound of its arithmetic.",
"",
"## Random weights, normal activations",
"",
"64 × 4096 weights N(0, 0.02²), quantised; activations N(0, 1), 8 rows.",
"", table($cases | map(select((.file | not) and .acts == "normal" and .m == 8))),
"",
"The same with 64 rows, where ik rounds weights anew:",
"", table($cases | map(select((.file | not) and .acts == "normal" and .m == 64))),
"",
"## Random weights, activations with outliers",
"",
"One activation in 64 is up to a hundred times larger, as some channels of models are; 8 rows.",
"", table($cases | map(select((.file | not) and .acts == "heavy" and .m == 8))),
"",
"## Matrices of real files",
"",
"Every matrix of `datasets/tinylm`, mean over those of a type; normal activations, one row.",
"", table($cases | map(select(.file and .acts == "normal" and .m == 1))),
"",
"The same, activations with outliers, three rows:",
"", table($cases | map(select(.file and .acts == "heavy" and .m == 3))),
"",
"## What exactness costs",
"",
"`cpu:exact` multiplies fp32 activations. One token, 4096 × 4096 (in L3), one thread:",
"",
"| type | cpu:exact GB/s | ggml GB/s | exact × ggml | cpu GB/s |", "|---|--:|--:|--:|--:|",
($speed[0].results[]
 | (reduce .contenders[] as $c ({}; .[$c.contender] = $c)) as $c
 | def gb: if . == null or .status != "measured" then "–" else (.weight_gb_s * 10 | round / 10 | tostring) end;
   "| \(.type) | \($c["cpu:exact"] | gb) | \($c.ggml | gb) | "
   + (if $c.ggml.status == "measured" and $c["cpu:exact"].status == "measured"
      then "\($c.ggml.ns.median / $c["cpu:exact"].ns.median * 100 | round / 100) ×" else "–" end)
   + " | \($c.cpu | gb) |")
