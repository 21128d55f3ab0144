# Records of `assay bench` (slurped), those of eager fp32 among them, to reports/bench-peers.md.
def median: sort | length as $n
  | if $n % 2 == 1 then .[($n - 1) / 2] else (.[$n / 2 - 1] + .[$n / 2]) / 2 end;
# Three figures are what the spread allows.
def figure: if . >= 100 then round elif . >= 10 then (. * 10 | round / 10)
            else (. * 100 | round / 100) end | tostring;
def contender: .backend + (if .variant == "" then "" else ":" + .variant end);
def measured($name): .contenders | map(select(contender == $name and .status == "measured")) | first;
def best($names): [measured($names[])] | map(select(. != null)) | sort_by(.ns.median) | first;
# Median over rounds of the other's time over ours: sample i of all contenders is of one round.
def times($ours): if . == null then null else [.ns.samples, $ours.ns.samples] | transpose
                  | map(select(.[0] != null and .[1] != null) | .[0] / .[1]) | median end;
def ratio: if . == null then "–" else figure + " ×" end;
def rate($m): if . == null then "–" elif $m == 1 then (.weight_gb_s | figure) + " GB/s"
              else (.gflop_s | figure) + " GFLOP/s" end;
def attained: if . == null then "–" else "\(.roofline.attained * 100 | round) %" end;

def name_of_case: "\(.n) \(.k) \(.m) \(.threads)";
([.[].results[] | select(measured("eager-f32") != null) | {key: name_of_case, value: measured("eager-f32")}]
 | from_entries) as $eager
| [.[].results[] | select(measured("eager-f32") == null)] as $cases
| .[-1] as $record
# What a case comes to.
| [$cases[] | . as $case | measured("cpu") as $plain | measured("cpu:repack") as $repack
   | {type, m, n, k, threads, plain: $plain, repack: $repack, ours: best(["cpu", "cpu:repack"]),
      ggml: best(["ggml", "ggml:repack"]), ik: best(["ik", "ik:repack"]), eager: $eager[name_of_case]}
   | . + (if .ours == null then {}
          else {ours: .ours} as $o
             | {x_ggml: (.ours as $o | .ggml | times($o)), x_ik: (.ours as $o | .ik | times($o)),
                x_eager: (if .eager == null then null else .eager.ns.median / .ours.ns.median end),
                roof: .ours.roofline.attained} end)] as $rows

| def row:
    if .ours == null then "| \(.type) | \(.m) | \(.threads) | not measured | | | | | | | | |" else
    "| \(.type) | \(.m) | \(.threads) | \(.m as $m | .plain | rate($m)) | \(.m as $m | .repack | rate($m)) | "
    + "\(.ours.ns.mad / .ours.ns.median * 1000 | round / 10) % | \(.ours.from) | \(.ours | attained) | "
    + "\(.m as $m | .ggml | rate($m)) | \(.x_ggml | ratio) | \(.m as $m | .ik | rate($m)) | \(.x_ik | ratio) | \(.x_eager | ratio) | \(.ours.kernel) |" end;
  def least_and_median: map(select(. != null)) | if length > 0 then "\(min | ratio) | \(median | ratio)" else "– | –" end;
  def summary:
    $rows | map(select(.ours != null)) | group_by([.threads, .m])[]
    | "| \(.[0].m) | \(.[0].threads) | \(map(.x_ggml) | least_and_median) | \(map(.x_ik) | least_and_median) | "
      + "\(map(.x_eager) | least_and_median) | \(map(.roof) | median * 100 | round) % |";

"# The cpu backend beside its peers",
"",
"Made by `make bench-peers` on \($record.machine.cpu) (\($record.machine.isa), \($record.machine.cores) cores, L3 \($record.machine.l3_bytes / 1048576 | round) MiB), assay \($record.assay.commit[:12]), \($record.assay.compiler); load before: \(map(.load_before) | max | figure).",
"Contenders take turns within one process; a ratio is the median over rounds of the other's time over",
"ours, so more than 1 is in our favour. Ours is the faster of `cpu` (blocks as the file has them) and",
"`cpu:repack`; \"ggml\" and \"ik\" (ik_llama.cpp) are each the faster of their plain and their repacked",
"form. Eager fp32 (OpenBLAS) does the same for every type: it was timed once for each shape, batch and",
"number of threads, and its ratio is of medians. The roof is the measured bandwidth for as many bytes,",
"or the measured peak of the arithmetic used, whichever takes longer. Every product was judged before it",
"was timed; \"–\": not there, or wrong.",
"",
"## By batch",
"",
"| m | threads | least × ggml | median × ggml | least × ik | median × ik | least × eager fp32 | median × eager fp32 | median of roof |",
"|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
summary,
([$cases[] | {type, m, threads, n, k} + (.contenders[] | select(.status == "wrong" or .status == "failed")
              | {who: contender, reason: (.reason | sub(":.*"; ""))})] as $bad
 | if $bad == [] then empty else
   "", "## Without a number", "", "| contender | type | why | cases |", "|---|---|---|---|",
   ($bad | group_by([.who, .type, .reason])[]
    | "| \(.[0].who) | \(.[0].type) | \(.[0].reason) | \(length): m = \(map(.m) | unique | map(tostring) | join(", ")) |") end),
([$cases[] | {n, k}] | unique[] | . as $s
 | "", "## \($s.n)×\($s.k)", "",
   "| type | m | threads | cpu | cpu:repack | ± MAD | from | of roof | ggml | × ggml | ik | × ik | × eager fp32 | kernel |",
   "|---|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|---|",
   ($rows[] | select(.n == $s.n and .k == $s.k) | row),
   "", "Eager fp32: \([$eager | to_entries[] | select(.key | startswith("\($s.n) \($s.k) ")) | (.key | split(" ")) as $c
     | "\(.value | rate($c[2] | tonumber)) at m = \($c[2]), \($c[3]) threads"] | join("; ")).")
