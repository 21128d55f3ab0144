# Horizontal bars, one a row, coloured by series.
# Set by the caller: NAME, XLABEL, $data rows: "label" value - series "text at the bar's end"
# Colours are placeholders: the page's style sheet gives #010101 and on their real ones, so that one
# picture serves light and dark.
rows = |$data|
stats $data using 2 nooutput
xmax = STATS_max > 0 ? STATS_max : 1

set encoding utf8
set terminal svg name NAME dynamic size 440, rows * 23 + 58 font "sans-serif,13" noenhanced
set border 2 lc rgb "#010101"
set tmargin at screen 1 - 8.0 / (rows * 23 + 58)
set bmargin at screen 48.0 / (rows * 23 + 58)
set xrange [0:xmax * 1.36]
set yrange [rows - 0.5:-0.5]
set xtics scale 0 tc rgb "#010101" offset 0,0.4
set ytics scale 0 tc rgb "#010101"
set grid xtics lt 1 lc rgb "#020202"
set xlabel XLABEL tc rgb "#010101" offset 0,0.8
unset key
set style fill solid 1 noborder

colour(s) = word("#030303 #040404 #050505 #060606 #070707 #080808", s % 6 + 1)
plot for [s = 0:5] $data using (0):0:(0):($4 == s ? $2 : NaN):($0 - 0.36):($0 + 0.36):ytic(1) \
         with boxxyerror lc rgb colour(s), \
     $data using 2:0:5 with labels left offset 0.5,0 tc rgb "#010101"
