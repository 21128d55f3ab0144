#include "report_html.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/random.h>
#endif

#include "no_memory.h"
#include "report_assets.h"

void assay_html_text(FILE *f, const char *s) {
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        switch (c) {
        case '&':
            fputs("&amp;", f);
            break;
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '"':
            fputs("&quot;", f);
            break;
        case '\'':
            fputs("&#39;", f);
            break;
        default:
            if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
                fputs("\xef\xbf\xbd", f);
            else
                fputc(c, f);
        }
    }
}

void assay_html_textf(FILE *f, const char *fmt, ...) {
    char small[256], *text = small;
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof small && (text = malloc((size_t)n + 1)) != NULL) {
        va_start(ap, fmt);
        vsnprintf(text, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    if (text == NULL)
        assay_no_memory_note();
    assay_html_text(f, text != NULL ? text : small);
    if (text != small)
        free(text);
}

void assay_asset_write(FILE *f, const char *name) {
    for (const struct assay_asset *a = assay_assets; a->name != NULL; a++)
        if (strcmp(a->name, name) == 0)
            for (const char *const *line = a->lines; *line != NULL; line++)
                fputs(*line, f);
}

/* What the page's own script is known by: not to be guessed by one who writes a record. */
static void nonce(char key[33]) {
    unsigned char bytes[16];
    if (getentropy(bytes, sizeof bytes) != 0)
        memset(bytes, 0, sizeof bytes); /* the escaping stands alone then */
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(key + 2 * i, 3, "%02x", bytes[i]);
}

void assay_html_page(FILE *f, const char *title, const char *body) {
    char key[33];

    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" "
          "content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-",
          f);
    nonce(key);
    fprintf(f, "%s'\">\n<title>", key);
    assay_html_text(f, title);
    fputs("</title>\n<style>\n", f);
    assay_asset_write(f, "report.css");
    fputs("</style>\n</head>\n<body>\n<main>\n", f);
    fputs(body, f);
    fprintf(f, "</main>\n<script nonce=\"%s\">\n", key);
    assay_asset_write(f, "report.js");
    fputs("</script>\n</body>\n</html>\n", f);
}

/* ---- Tables ---- */

void assay_html_table_open(struct assay_html_table *t, FILE *f, const char *caption,
                           const char *const *headings, size_t n) {
    *t = (struct assay_html_table){f, headings, n};
    fputs("<div class=\"scroll\" tabindex=\"0\"><table>\n<caption>", f);
    assay_html_text(f, caption);
    fputs("</caption>\n<thead><tr>", f);
    for (size_t i = 0; i < n; i++) {
        bool right = headings[i][0] == '>';
        fputs(right ? "<th scope=\"col\" class=\"num\">" : "<th scope=\"col\">", f);
        assay_html_text(f, headings[i] + right);
        fputs("</th>", f);
    }
    fputs("</tr></thead>\n<tbody>\n", f);
}

void assay_html_table_row(struct assay_html_table *t, const char *class, const char *const *cells) {
    fprintf(t->f, class != NULL ? "<tr class=\"%s\">" : "<tr>", class);
    for (size_t i = 0; i < t->n; i++) {
        fputs(t->headings[i][0] == '>' ? "<td class=\"num\">" : "<td>", t->f);
        assay_html_text(t->f, cells[i]);
        fputs("</td>", t->f);
    }
    fputs("</tr>\n", t->f);
}

void assay_html_table_close(struct assay_html_table *t) {
    fputs("</tbody>\n</table></div>\n", t->f);
}

void assay_html_details_open(FILE *f, const char *summary) {
    fputs("<details><summary>", f);
    assay_html_text(f, summary);
    fputs("</summary>\n", f);
}

void assay_html_details_close(FILE *f) { fputs("</details>\n", f); }
