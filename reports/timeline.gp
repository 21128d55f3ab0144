# Memory over time: resident, anonymous, file-backed, page tables.
# Set by the caller: TERMINAL, KEY, TITLE, SERIES, TOP, FOOT; $data rows: "label" seconds MiB series -;
# series 8: the end of a phase, its name as text, written upright above the lines
stats $data using 3 nooutput
ymax = (STATS_max > 0 ? STATS_max : 1) * 1.6
stats $data using 2 nooutput
xmax = STATS_max > 0 ? STATS_max : 1

W = 440
H = 252 + TOP + FOOT
set encoding utf8
set terminal @TERMINAL
set title TITLE font "sans-serif,10" tc rgb "#010101"
set border 3 lc rgb "#010101"
set tmargin at screen 1 - TOP * 1.0 / H
set bmargin at screen (48.0 + FOOT) / H
set xrange [0:xmax * 1.04]
set yrange [0:ymax]
set xtics nomirror scale 0.5 tc rgb "#010101"
set ytics nomirror scale 0 tc rgb "#010101"
set grid ytics lt 1 lc rgb "#020202"
set xlabel "seconds" tc rgb "#010101" offset 0,0.4
set ylabel "MiB" tc rgb "#010101" offset 1,0
set key @KEY tc rgb "#010101"

colour(s) = word("#030303 #040404 #050505 #060606 #070707 #080808", s % 6 + 1)
plot $data using ($4 == 8 ? $2 : 1/0):(ymax) with impulses lt 1 lc rgb "#020202" notitle, \
     $data using ($4 == 8 ? $2 : 1/0):(ymax):5 with labels rotate by 90 right offset 0.7,-0.4 font "sans-serif,10" tc rgb "#010101" notitle, \
     for [s = 0:5] $data using ($4 == s ? $2 : 1/0):3 with lines lw 1.8 lc rgb colour(s) notitle, \
     for [s = 0:5] keyentry with lines lw 3 lc rgb colour(s) title SERIES[s + 1]
