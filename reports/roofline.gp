# Roofline: GFLOP/s over floating-point operations a byte of weights, both axes logarithmic.
# Set by the caller: NAME, BANDWIDTH (GB/s), PEAK and PEAK_INT8 (GFLOP/s), 0 where not known,
# $data rows: "label" flop_per_byte gflops series -
stats $data using 2 nooutput
xlo = STATS_min / 2
xhi = STATS_max * 2
stats $data using 3 nooutput
ylo = STATS_min / 2
yhi = STATS_max * 2
roof(x, peak) = peak > 0 && x * BANDWIDTH > peak ? peak : x * BANDWIDTH
top = roof(xhi, PEAK_INT8 > PEAK ? PEAK_INT8 : PEAK)
if (top * 1.5 > yhi) { yhi = top * 1.5 }

set encoding utf8
set terminal svg name NAME dynamic size 440, 300 font "sans-serif,13" noenhanced
set border 3 lc rgb "#010101"
set logscale xy
set xrange [xlo:xhi]
set yrange [ylo:yhi]
set xtics nomirror tc rgb "#010101"
set ytics nomirror tc rgb "#010101"
set grid lt 1 lc rgb "#020202"
set xlabel "FLOP a byte of weights" tc rgb "#010101"
set ylabel "GFLOP/s" tc rgb "#010101"
set samples 400
unset key

colour(s) = word("#030303 #040404 #050505 #060606 #070707 #080808", s % 6 + 1)
plot BANDWIDTH > 0 && PEAK > 0 ? roof(x, PEAK) : NaN with lines lw 2 lc rgb "#090909", \
     BANDWIDTH > 0 && PEAK_INT8 > 0 ? roof(x, PEAK_INT8) : NaN with lines lw 2 dt 2 lc rgb "#090909", \
     for [s = 0:5] $data using 2:($4 == s ? $3 : NaN) with points pt 7 ps 0.8 lc rgb colour(s)
