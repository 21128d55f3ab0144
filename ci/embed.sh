#!/bin/sh
# Prints C source that holds text files as arrays of lines: ci/embed.sh FILE…
# (harness/report_assets.h declares the table.)
set -eu
echo '/* Made by ci/embed.sh. */'
echo '#include <stddef.h>'
echo
echo '#include "harness/report_assets.h"'
n=0
table=
for file; do
    echo
    echo "static const char *const lines_$n[] = {"
    sed 's/\\/\\\\/g; s/"/\\"/g; s/^/    "/; s/$/\\n",/' "$file"
    echo '    NULL,'
    echo '};'
    table="$table    {\"$(basename "$file")\", lines_$n},
"
    n=$((n + 1))
done
printf '\nconst struct assay_asset assay_assets[] = {\n%s    {NULL, NULL},\n};\n' "$table"
