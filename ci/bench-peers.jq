# Records of `assay bench` (slurped) to the tables of reports/bench-peers.md.
def median: sort | length as $n
  | if $n % 2 == 1 then .[($n - 1) / 2] else (.[$n / 2 - 1] + .[$n / 2]) / 2 end;
# Three figures are what the spread allows.
def figure: if . >= 100 then round elif . >= 10 then (. * 10 | round / 10)
            else (. * 100 | round / 100) end | tostring;
def measured($name): .contenders | map(select(.backend + (if .variant == "" then "" else ":" + .variant end) == $name
                                              and .status == "measured")) | first;
# Median over rounds of the other's time over ours: sample i of all contenders is of one round.
def times($ours): if . == null then null else [.ns.samples, $ours.ns.samples] | transpose
                  | map(select(.[0] != null and .[1] != null) | .[0] / .[1]) | median end;
def ratio: if . == null then "–" else figure + " ×" end;
def rate($m): if . == null then "–" elif $m == 1 then (.weight_gb_s | figure) + " GB/s"
              else (.gflop_s | figure) + " GFLOP/s" end;

def row:
  . as $case | measured("cpu") as $ours | measured("ggml") as $plain | measured("ggml:repack") as $repack
  | ([$plain, $repack] | map(select(. != null)) | sort_by(.ns.median) | first) as $best
  | if $ours == null then "| \(.type) | \(.m) | \(.threads) | not measured | | | | | | |" else
    "| \(.type) | \(.m) | \(.threads) | \($ours | rate($case.m)) | \($ours.ns.mad / $ours.ns.median * 1000 | round / 10) % | \($ours.from) | \($ours.roofline.attained * 100 | round) % | "
    + "\($best | rate($case.m)) | \($best | times($ours) | ratio) | "
    + "\(measured("eager-f32") | times($ours) | ratio) | \($ours.kernel) |" end;

def summary:
  [.[].results[] | . as $case | measured("cpu") as $ours | select($ours != null)
   | ([measured("ggml"), measured("ggml:repack")] | map(select(. != null)) | sort_by(.ns.median) | first) as $best
   | {m: .m, threads: .threads, ggml: ($best | times($ours)), eager: (measured("eager-f32") | times($ours)),
      roof: $ours.roofline.attained}]
  | group_by([.threads, .m])[]
  | "| \(.[0].m) | \(.[0].threads) | \(map(.ggml | values) | if length > 0 then "\(min | ratio) | \(median | ratio)" else "– | –" end) | "
    + "\(map(.eager | values) | if length > 0 then "\(min | ratio) | \(median | ratio)" else "– | –" end) | "
    + "\(map(.roof) | median * 100 | round) % |";

"# The cpu backend beside its peers",
"",
"Made by `make bench-peers` on \(.[0].machine.cpu) (\(.[0].machine.isa), \(.[0].machine.cores) cores, L3 \(.[0].machine.l3_bytes / 1048576 | round) MiB), assay \(.[0].assay.commit[:12]), \(.[0].assay.compiler).",
"Contenders take turns within one process; a ratio is the median over rounds of the other's time over",
"ours, so more than 1 is in our favour. \"ggml\" is the faster of its plain and its repacked buffer.",
"The roof is the measured bandwidth for as many bytes, or the measured peak of the arithmetic used,",
"whichever takes longer. Every product was judged before it was timed; \"–\": not there, or wrong.",
"",
"## By batch",
"",
"| m | threads | least × ggml | median × ggml | least × eager fp32 | median × eager fp32 | median of roof |",
"|--:|--:|--:|--:|--:|--:|--:|",
summary,
(. as $all | [.[].results[] | {n, k}] | unique[] | . as $s
 | "", "## \($s.n)×\($s.k)", "",
   "| type | m | threads | ours | ± MAD | from | of roof | ggml | × ggml | × eager fp32 | kernel |",
   "|---|--:|--:|--:|--:|---|--:|--:|--:|--:|---|",
   ($all[].results[] | select(.n == $s.n and .k == $s.k) | row))
