# Speed-up per commit: one line a batch size with the 95 % interval of each value, rings where the level
# changes.
# Set by the caller: TERMINAL, KEY, TITLE, SERIES, TOP, FOOT; YMAX, the top of the axis: what lies above is
# drawn at it; $data rows: "label" commit value series - low high; series 8: a ring, its text at it
stats $data using 2 nooutput
xmax = STATS_max

W = 440
H = 232 + TOP + FOOT
set encoding utf8
set terminal @TERMINAL
set title TITLE font "sans-serif,10" tc rgb "#010101"
set border 3 lc rgb "#010101"
set tmargin at screen 1 - TOP * 1.0 / H
set bmargin at screen (48.0 + FOOT) / H
set xrange [-0.7:xmax + 0.7]
set yrange [0:YMAX]
set xtics nomirror scale 0.5 tc rgb "#010101"
set ytics nomirror scale 0 tc rgb "#010101"
set grid ytics lt 1 lc rgb "#020202"
set xlabel "commit, oldest first" tc rgb "#010101" offset 0,0.4
set ylabel "× eager fp32" tc rgb "#010101" offset 1,0
set datafile missing "NaN"
set key @KEY tc rgb "#010101"

clip(y) = y > YMAX * 0.97 ? YMAX * 0.97 : y
colour(s) = word("#030303 #040404 #050505 #060606 #070707 #080808", s % 6 + 1)
plot for [s = 0:5] $data using ($4 == s && $7 > 0 ? $2 : 1/0):(clip($6)):(0):(clip($7) - clip($6)) \
         with vectors nohead lw 1 lc rgb colour(s) notitle, \
     for [s = 0:5] $data using ($4 == s ? $2 : 1/0):(clip($3)) with linespoints pt 7 ps 0.4 lw 1.6 lc rgb colour(s) notitle, \
     $data using ($4 == 8 ? $2 : 1/0):(clip($3)) with points pt 6 ps 1.5 lw 2 lc rgb "#090909" notitle, \
     $data using ($4 == 8 ? $2 : 1/0):(clip($3)):5 with labels offset 0,1.1 tc rgb "#010101" notitle, \
     for [s = 0:5] keyentry with lines lw 3 lc rgb colour(s) title SERIES[s + 1]
