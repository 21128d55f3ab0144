# Memory over time: resident, anonymous, file-backed, page tables.
# Set by the caller: NAME, $data rows: "label" seconds MiB series -; series 8: the end of a phase,
# its name as text.
stats $data using 3 nooutput
ymax = (STATS_max > 0 ? STATS_max : 1) * 1.22
stats $data using 2 nooutput
xmax = STATS_max > 0 ? STATS_max : 1

set encoding utf8
set terminal svg name NAME dynamic size 440, 240 font "sans-serif,13" noenhanced
set border 3 lc rgb "#010101"
set xrange [0:xmax]
set yrange [0:ymax]
set xtics nomirror scale 0.5 tc rgb "#010101"
set ytics nomirror scale 0 tc rgb "#010101"
set grid ytics lt 1 lc rgb "#020202"
set xlabel "seconds" tc rgb "#010101" offset 0,0.4
set ylabel "MiB" tc rgb "#010101" offset 1,0
unset key

colour(s) = word("#030303 #040404 #050505 #060606 #070707 #080808", s % 6 + 1)
plot $data using ($4 == 8 ? $2 : 1/0):(ymax) with impulses lt 1 lc rgb "#020202", \
     $data using ($4 == 8 ? $2 : 1/0):(ymax):5 with labels rotate by 90 right offset 0.7,-0.4 font "sans-serif,10" tc rgb "#010101", \
     for [s = 0:5] $data using ($4 == s ? $2 : 1/0):3 with lines lw 1.8 lc rgb colour(s)
