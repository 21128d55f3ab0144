# Horizontal bars, one a row, coloured by series, with the interval of each and a mark at what the machine
# allows.
# Set by the caller: TERMINAL, KEY, TITLE, SERIES, TOP, FOOT; XLABEL; COLUMN = 1: texts in a column of
# their own on the right, not at the ends of the bars; $data rows: "label" value - series "text" low high
# roof
# Colours are placeholders: the page's style sheet gives #010101 and on their real ones, so that one
# picture serves light and dark.
if (!exists("COLUMN")) { COLUMN = 0 }
rows = |$data|
stats $data using 2 nooutput
xmax = STATS_max > 0 ? STATS_max : 1
stats $data using 7 nooutput
if (STATS_max > xmax) { xmax = STATS_max }
stats $data using 8 nooutput
if (STATS_max > xmax) { xmax = STATS_max }

# Room beside the bars for the texts; tics at one, two or five times a power of ten, below the bars only.
room = COLUMN ? 1.95 : 1.5
decade = 10 ** floor(log10(xmax / 3.5))
step = xmax / 3.5 / decade
step = (step < 2 ? 1 : step < 5 ? 2 : 5) * decade

W = 440
H = rows * 23 + 50 + TOP + FOOT
set encoding utf8
set terminal @TERMINAL
set title TITLE font "sans-serif,10" tc rgb "#010101"
set border 2 lc rgb "#010101"
set tmargin at screen 1 - TOP * 1.0 / H
set bmargin at screen (48.0 + FOOT) / H
set rmargin at screen 0.985
set xrange [0:xmax * room]
set yrange [rows - 0.5:-0.5]
set xtics 0, step, xmax scale 0 tc rgb "#010101" offset 0,0.4
set ytics scale 0 tc rgb "#010101"
set grid xtics lt 1 lc rgb "#020202"
set xlabel XLABEL tc rgb "#010101" offset 0,0.8
set key @KEY tc rgb "#010101"
set errorbars 0.4
set style fill solid 1 noborder

colour(s) = word("#030303 #040404 #050505 #060606 #070707 #080808", s % 6 + 1)
end(x, high) = high > x ? high : x
plot for [s = 0:5] $data using (0):0:(0):($4 == s ? $2 : NaN):($0 - 0.36):($0 + 0.36):ytic(1) \
         with boxxyerror lc rgb colour(s) notitle, \
     $data using ($7 > 0 ? $2 : NaN):0:6:7 with xerrorbars pt 0 lw 1.2 lc rgb "#010101" notitle, \
     $data using ($8 > 0 ? $8 : NaN):($0 - 0.45):(0):(0.9) with vectors nohead lw 2 lc rgb "#090909" notitle, \
     $data using (COLUMN ? xmax * room : NaN):0:5 with labels right tc rgb "#010101" notitle, \
     $data using (COLUMN ? NaN : end($2, $7)):0:5 with labels left offset 0.5,0 tc rgb "#010101" notitle, \
     for [s = 0:5] keyentry with boxes lc rgb colour(s) title SERIES[s + 1]
