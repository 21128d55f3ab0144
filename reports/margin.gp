# Worst error of a type × backend as a fraction of its bound, on a logarithmic axis: left is better,
# the line at 1 is the bound.
# Set by the caller: TERMINAL, KEY, TITLE, SERIES, TOP, FOOT; $data rows: "label" fraction line series -
stats $data using 3 nooutput
rows = STATS_max + 1
xmin = 1e-4

W = 440
H = rows * 18 + 54 + TOP + FOOT
set encoding utf8
set terminal @TERMINAL
set title TITLE font "sans-serif,10" tc rgb "#010101"
set border 2 lc rgb "#010101"
set tmargin at screen 1 - TOP * 1.0 / H
set bmargin at screen (52.0 + FOOT) / H
set logscale x
set xrange [xmin / 2:*]
set yrange [rows - 0.5:-0.5]
set xtics scale 0 tc rgb "#010101" offset 0,0.4 ("exact" xmin, "0.001" 1e-3, "0.01" 1e-2, "0.1" 1e-1, "bound" 1, "10" 10, "100" 100, "1000" 1000)
set ytics scale 0 tc rgb "#010101"
set grid xtics ytics lt 1 lc rgb "#020202"
set arrow from 1, graph 0 to 1, graph 1 nohead lw 2 lc rgb "#090909" front
set xlabel "worst error / bound" tc rgb "#010101" offset 0,0.6
set key @KEY tc rgb "#010101"

colour(s) = word("#030303 #040404 #050505 #060606 #070707 #080808", s % 6 + 1)
clamp(x) = x < xmin ? xmin : x > 1000 ? 1000 : x
plot for [s = 0:5] $data using ($4 == s ? clamp($2) : NaN):3:ytic(1) \
         with points pt 7 ps 0.6 lc rgb colour(s) notitle, \
     1.5 with lines lc rgb "#020202" lw 0 notitle, \
     for [s = 0:5] keyentry with points pt 7 ps 1 lc rgb colour(s) title SERIES[s + 1]
