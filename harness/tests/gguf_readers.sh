#!/bin/sh
# The GGUF reader beside @huggingface/gguf, where node and the package are installed: the same
# tensor tables and metadata of every file of the corpus that assay accepts, and of real models.
set -eu
assay=$1
module=${ASSAY_HUGGINGFACE_GGUF:-node_modules/@huggingface/gguf/dist/index.mjs}

if ! command -v node >/dev/null || [ ! -e "$module" ]; then
    echo "SKIP gguf_readers: no node, or no $module (ci/install-deps.sh installs it)"
    exit 0
fi
node "$(dirname "$0")/gguf_huggingface.mjs" "$module" "$assay" \
    harness/fuzz/corpus/gguf/*.gguf datasets/*/*.gguf
