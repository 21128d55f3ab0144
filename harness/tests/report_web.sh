#!/bin/sh
# The report's page in headless Chromium: report_web.sh PATH/TO/assay. SKIP where there is none.
set -u
case $1 in /*) assay=$1 ;; *) assay=$PWD/$1 ;; esac
browser=
for b in chromium-headless-shell chromium chromium-browser google-chrome; do
    if command -v $b >/dev/null 2>&1; then browser=$b; break; fi
done
if [ -z "$browser" ]; then echo "SKIP report_web: no chromium here (ci/install-deps.sh --browser installs it)"; exit 0; fi
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 2
failed=0
fail() { failed=1; echo "FAIL report_web: $1"; }

# Names in the record that would run as scripts, ten rows to sort and filter.
jq -n '{schema: 1, command: "bench", machine: {cpu: "<script>document.title=\"run\"</script>"},
  results: [range(12) | {type: (if . == 0 then "<img src=x onerror=\"document.title=1\">" else "q4_k" end),
    matrix: "", m: 1, n: 64, k: 256, threads: 1, contenders: [{contender: "cpu-\(.)", status: "measured",
      ns: {median: ([3e3, 2e6, 5e4][. % 3] + .), mad: 1}, weight_gb_s: 1, gflop_s: 1, resident_bytes: 9,
      speedup: {median: 1, low95: 1, high95: 1}}]}]}' >r.json
"$assay" report r.json -o page.html >/dev/null || exit 1

# A probe that clicks and types, put in with the page's own nonce, and what it saw as text.
nonce=$(sed -n "s/.*nonce-\([0-9a-f]*\)'.*/\1/p" page.html | head -n 1)
cat >probe.js <<'JS'
addEventListener('load', function () {
  var seen = [], say = function (name, ok) { seen.push((ok ? 'ok ' : 'NOT ') + name); };
  var find = function (word) { return Array.from(document.querySelectorAll('table')).find(function (t) { return t.caption.textContent.indexOf(word) === 0; }); };
  var t = find('Latency'), rows = function () { return Array.from(t.tBodies[0].rows); };
  var column = Array.from(t.tHead.rows[0].cells).findIndex(function (c) { return c.textContent === 'median'; });
  var button = t.tHead.rows[0].cells[column].querySelector('button');
  button.click();
  say('sorted by time across units', rows()[0].cells[column].textContent.indexOf('µs') > 0 && rows()[11].cells[column].textContent.indexOf('ms') > 0 && button.parentNode.getAttribute('aria-sort') === 'ascending');
  button.click();
  say('and back', rows()[0].cells[column].textContent.indexOf('ms') > 0);
  var input = document.querySelector('.filter input');
  input.value = 'cpu-11'; input.dispatchEvent(new Event('input'));
  say('filtered to one row', rows().filter(function (r) { return !r.hidden; }).length === 1);
  say('every link of the page has its place', Array.from(document.querySelectorAll('a[href^="#"]')).every(function (a) { return document.getElementById(a.getAttribute('href').slice(1)); }));
  say('every plot has a text', Array.from(document.querySelectorAll('svg')).every(function (s) { return s.getAttribute('aria-label').length > 20; }));
  say('no name became an element', !document.querySelector('img') && document.title === 'assay report');
  say('no wider than the window', document.documentElement.scrollWidth <= innerWidth);
  document.body.setAttribute('data-seen', seen.join('; '));
});
JS
{ sed '/<\/body>/,$d' page.html; printf '<script nonce="%s">\n' "$nonce"; cat probe.js; echo '</script></body></html>'; } >probed.html
for size in 1280,900 500,900; do
    timeout 60 $browser --headless --no-sandbox --disable-gpu --enable-logging=stderr --user-data-dir="$dir/profile" \
        --window-size=$size --dump-dom "file://$dir/probed.html" >dom.html 2>log || fail "the browser failed at $size"
    seen=$(sed -n 's/.*data-seen="\([^"]*\)".*/\1/p' dom.html)
    case $seen in
    *NOT*) fail "$size: $(printf '%s' "$seen" | tr ';' '\n' | grep NOT)" ;;
    *wider*) ;;
    *) fail "$size: the probe did not run" ;;
    esac
    if grep CONSOLE log; then fail "$size: messages on the console"; fi
done
[ $failed = 0 ] && echo "report_web: passed ($browser)"
exit $failed
