// What @huggingface/gguf makes of GGUF files, beside what assay makes of them; for gguf_readers.sh.
//
//   node gguf_huggingface.mjs MODULE ASSAY FILE…     MODULE: path of the package's index.mjs
//
// Where both accept, the tensor tables and all scalar metadata must be equal. The package checks
// little (it accepts files that are cut, overlap or repeat a name), so that it is a witness of what
// valid files say, not of what is invalid: only its refusal of what assay accepts is a difference.
import { execFileSync } from "node:child_process";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";

const [, , module, assay, ...files] = process.argv;
const { gguf } = await import(pathToFileURL(module).href);

// It reads arrays nested 4 deep at most; assay 8, the specification sets no limit.
const refusedThere = ["odd-arrays-nested-to-the-limit.gguf"];

const run = (args) =>
  JSON.parse(
    execFileSync(assay, [...args, "--json", "-"], {
      stdio: ["ignore", "pipe", "ignore"],
      maxBuffer: 1 << 28,
    }),
  ).results;
const number = Object.fromEntries(run(["types"]).map((t) => [t.type, t.number]));

// A scalar as both can write it; undefined for arrays and for strings that assay escapes.
function plain(v) {
  if (typeof v === "bigint") return String(Number(v));
  if (typeof v === "number") {
    if (Number.isNaN(v)) return "nan";
    return v === Infinity ? "inf" : v === -Infinity ? "-inf" : String(v);
  }
  if (typeof v === "boolean") return String(v);
  return typeof v === "string" && /^[ -~]*$/.test(v) && !/["\\]/.test(v) ? v : undefined;
}

let failures = 0;
let compared = 0;
function differ(file, what) {
  console.log(`${file}: ${what}`);
  failures++;
}

for (const file of files) {
  let ours, theirs;
  try {
    ours = run(["inspect", file])[0];
  } catch {
    continue; // refused; harness/tests/test_gguf_corpus.c says which files are to be
  }
  try {
    theirs = await gguf(file, { allowLocalFile: true });
  } catch (e) {
    if (!refusedThere.includes(basename(file))) differ(file, `refused there: ${e.message}`);
    continue;
  }
  compared++;
  const a = ours.tensors.map((t) => [t.name, number[t.type], t.dims.join("x"), t.offset].join(" "));
  const b = theirs.tensorInfos.map((t) =>
    [t.name, t.dtype, t.shape.join("x"), theirs.tensorDataOffset + t.offset].join(" "),
  );
  if (a.length !== b.length) differ(file, `${a.length} tensors here, ${b.length} there`);
  a.forEach((t, i) => t === b[i] || differ(file, `tensor "${t}" here, "${b[i]}" there`));
  for (const { key, value } of ours.metadata) {
    const there = plain(theirs.metadata[key]);
    if (!(key in theirs.metadata)) differ(file, `key ${key} is missing there`);
    else if (there !== undefined && there !== plain(value))
      differ(file, `key ${key} is ${plain(value)} here, ${there} there`);
  }
}
console.log(`${compared} files read by both, ${failures} differences`);
process.exit(failures > 0 || compared === 0 ? 1 : 0);
