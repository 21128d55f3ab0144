#!/bin/sh
# Every line of harness/faults/source.tsv still finds its text, exactly once, in its file: a kernel
# that is rewritten must not take its faults out of `make faults` unnoticed.
set -eu

LC_ALL=C awk -F '\t' '
    /^#/ { next }
    {
        lines++
        problem = ""
        if (NF != 8)
            problem = NF " fields, not 8"
        else {
            if (!($5 in text)) {
                text[$5] = ""
                while ((getline line < $5) > 0)
                    text[$5] = text[$5] line "\n"
                close($5)
            }
            at = index(text[$5], $6)
            if (!at)
                problem = "not in " $5 ": " $6
            else if (index(substr(text[$5], at + length($6)), $6))
                problem = "more than once in " $5 ": " $6
        }
        if (problem != "") {
            printf "FAIL %s:%d: %s: %s\n", FILENAME, FNR, $1, problem
            failed++
        }
    }
    END {
        printf "faults_list.sh: %d faults, %d without their place\n", lines, failed
        exit failed > 0 || lines < 90
    }' harness/faults/source.tsv
