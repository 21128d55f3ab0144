#!/bin/sh
# Correct kernels are not accused: the short form of `make false-alarms`. A hundred runs let every
# runner have its turn; sanitizers make them slow.
#   harness/tests/false_alarms.sh BUILD/assay
set -eu

case $1 in
*-address*) runs=15 ;;
*) runs=100 ;;
esac
out=$("$1" false-alarms --runs $runs) || { echo "$out"; exit 1; }
case $out in
*"$runs runs from seed 1 "*"No false alarm"*) ;;
*)
    echo "FAIL false alarms: unexpected output:"
    echo "$out"
    exit 1
    ;;
esac
