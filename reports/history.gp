# Speed-up per commit: one line a batch size, rings where the level changes.
# Set by the caller: NAME, $data rows: "label" commit value series -; series 8: a ring, its text at it;
# YMAX, the top of the axis: what lies above is drawn at it.
stats $data using 2 nooutput
xmax = STATS_max

set encoding utf8
set terminal svg name NAME dynamic size 440, 240 font "sans-serif,13" noenhanced
set border 3 lc rgb "#010101"
set xrange [-0.7:xmax + 0.7]
set yrange [0:YMAX]
set xtics nomirror scale 0.5 tc rgb "#010101"
set ytics nomirror scale 0 tc rgb "#010101"
set grid ytics lt 1 lc rgb "#020202"
set xlabel "commit, oldest first" tc rgb "#010101" offset 0,0.4
set ylabel "× eager fp32" tc rgb "#010101" offset 1,0
set datafile missing "NaN"
unset key

clip(y) = y > YMAX * 0.97 ? YMAX * 0.97 : y
colour(s) = word("#030303 #040404 #050505 #060606 #070707 #080808", s % 6 + 1)
plot for [s = 0:5] $data using ($4 == s ? $2 : 1/0):(clip($3)) with linespoints pt 7 ps 0.4 lw 1.6 lc rgb colour(s), \
     $data using ($4 == 8 ? $2 : 1/0):(clip($3)) with points pt 6 ps 1.5 lw 2 lc rgb "#090909", \
     $data using ($4 == 8 ? $2 : 1/0):(clip($3)):5 with labels offset 0,1.1 tc rgb "#010101"
