#!/bin/sh
# Prints C source that holds the kernels' headers as text: embed.sh FILE… (see headers.h)
set -eu
echo '/* Made by impl/metal/soft/embed.sh. */'
echo '#include "impl/metal/soft/headers.h"'
n=0
table=
for file; do
    printf '\nstatic const char text_%s[] = {\n' "$n"
    od -An -v -tu1 "$file" | sed 's/ *\([0-9][0-9]*\)/\1,/g'
    echo '};'
    table="$table    {\"$(basename "$file")\", text_$n, sizeof text_$n},
"
    n=$((n + 1))
done
printf '\nconst struct assay_soft_header assay_soft_headers[] = {\n%s};\n' "$table"
printf 'const size_t assay_soft_n_headers = %s;\n' "$n"
