/* Sorting by a click on a heading, filtering by a word; the page works without. */
(function () {
  'use strict';
  var units = { ns: 1e-9, 'µs': 1e-6, ms: 1e-3, s: 1, KiB: 1024, MiB: 1048576, GiB: 1073741824 };
  function value(cell) {
    var text = cell ? cell.textContent.trim() : '';
    var m = /^[✓✗]?\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)\s*(ns|µs|ms|s|KiB|MiB|GiB)?(?![a-z])/.exec(text);
    return m ? [0, m[1] * (units[m[2]] || 1), text] : [text === '–' ? 2 : 1, 0, text];
  }
  function compare(a, b) { return a[0] - b[0] || a[1] - b[1] || a[2].localeCompare(b[2]); }
  function sort(table, index, th) {
    var up = th.getAttribute('aria-sort') !== 'ascending';
    var body = table.tBodies[0];
    var rows = Array.prototype.slice.call(body.rows).map(function (row) { return [value(row.cells[index]), row]; });
    rows.sort(function (a, b) { return (up ? 1 : -1) * compare(a[0], b[0]); });
    rows.forEach(function (r) { body.appendChild(r[1]); });
    Array.prototype.forEach.call(th.parentNode.cells, function (c) { c.removeAttribute('aria-sort'); });
    th.setAttribute('aria-sort', up ? 'ascending' : 'descending');
  }
  function filter(table, text) {
    var words = text.toLowerCase().split(/\s+/);
    var shown = 0;
    Array.prototype.forEach.call(table.tBodies[0].rows, function (row) {
      var content = row.textContent.toLowerCase();
      row.hidden = !words.every(function (w) { return content.indexOf(w) >= 0; });
      shown += !row.hidden;
    });
    return shown;
  }
  Array.prototype.forEach.call(document.querySelectorAll('main table'), function (table, n) {
    var head = table.tHead.rows[0];
    Array.prototype.forEach.call(head.cells, function (th, i) {
      var button = document.createElement('button');
      button.type = 'button';
      while (th.firstChild) button.appendChild(th.firstChild);
      th.appendChild(button);
      button.addEventListener('click', function () { sort(table, i, th); });
    });
    var rows = table.tBodies[0].rows.length;
    if (rows < 9) return;
    var label = document.createElement('label');
    var input = document.createElement('input');
    var count = document.createElement('output');
    label.className = 'filter';
    label.textContent = 'Filter ';
    input.type = 'search';
    input.id = 'filter-' + n;
    input.placeholder = 'words that a row holds';
    input.addEventListener('input', function () {
      count.textContent = ' ' + filter(table, input.value) + ' of ' + rows;
    });
    label.appendChild(input);
    label.appendChild(count);
    table.parentNode.parentNode.insertBefore(label, table.parentNode);
  });
})();
