# Roofline: GFLOP/s over floating-point operations a byte of weights, both axes logarithmic.
# Set by the caller: TERMINAL, KEY, TITLE, SERIES, TOP, FOOT; BANDWIDTH (GB/s), PEAK and PEAK_INT8
# (GFLOP/s), 0 where not known; $data rows: "label" flop_per_byte gflops series -
stats $data using 2 nooutput
xlo = STATS_min / 2
xhi = STATS_max * 2
stats $data using 3 nooutput
ylo = STATS_min / 2
yhi = STATS_max * 2
roof(x, peak) = peak > 0 && x * BANDWIDTH > peak ? peak : x * BANDWIDTH
top = roof(xhi, PEAK_INT8 > PEAK ? PEAK_INT8 : PEAK)
if (top * 1.5 > yhi) { yhi = top * 1.5 }

W = 440
H = 292 + TOP + FOOT
set encoding utf8
set terminal @TERMINAL
set title TITLE font "sans-serif,10" tc rgb "#010101"
set border 3 lc rgb "#010101"
set tmargin at screen 1 - TOP * 1.0 / H
set bmargin at screen (56.0 + FOOT) / H
set logscale xy
set xrange [xlo:xhi]
set yrange [ylo:yhi]
set xtics nomirror tc rgb "#010101"
set ytics nomirror tc rgb "#010101"
set grid lt 1 lc rgb "#020202"
set xlabel "FLOP a byte of weights" tc rgb "#010101"
set ylabel "GFLOP/s" tc rgb "#010101"
set samples 400
set key @KEY tc rgb "#010101"

colour(s) = word("#030303 #040404 #050505 #060606 #070707 #080808", s % 6 + 1)
plot BANDWIDTH > 0 && PEAK > 0 ? roof(x, PEAK) : NaN with lines lw 2 lc rgb "#090909" notitle, \
     BANDWIDTH > 0 && PEAK_INT8 > 0 ? roof(x, PEAK_INT8) : NaN with lines lw 2 dt 2 lc rgb "#090909" notitle, \
     for [s = 0:5] $data using 2:($4 == s ? $3 : NaN) with points pt 7 ps 0.8 lc rgb colour(s) notitle, \
     for [s = 0:5] keyentry with points pt 7 ps 1 lc rgb colour(s) title SERIES[s + 1]
