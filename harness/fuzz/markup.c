#include "markup.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "fuzz.h"

/* Tags of the body; of those that end in = the value is one or more plain words in quotes. */
static const char *const tags[] = {
    "h2",
    "h2 id=",
    "h3",
    "p",
    "p class=",
    "div class=",
    "dl class=",
    "dt",
    "dd",
    "small",
    "a href=",
    "code",
    "pre",
    "table",
    "table class=",
    "caption",
    "thead",
    "tbody",
    "tr",
    "tr class=",
    "tr id=",
    "th",
    "th scope=\"col\"",
    "th scope=\"row\"",
    "th scope=\"col\" class=",
    "td",
    "td class=",
    "ul",
    "ul class=",
    "ol",
    "ol class=",
    "li",
    "li class=",
    "details",
    "summary",
    "strong",
    "div class=\"scroll\" tabindex=\"0\"",
};

/* True if `tag` (what stands between < and >) is one of the template's. */
static bool known(const char *tag, size_t len) {
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        size_t n = strlen(tags[i]);
        if (len < n || memcmp(tag, tags[i], n) != 0)
            continue;
        if (len == n && tags[i][n - 1] != '=')
            return true;
        if (tags[i][n - 1] == '=' && tag[n] == '"' &&
            n + 1 + strspn(tag + n + 1, "abcdefghijklmnopqrstuvwxyz0123456789 #-") == len - 1 &&
            tag[len - 1] == '"')
            return true;
    }
    return false;
}

void fuzz_check_markup(const char *page) {
    const char *open[64];
    size_t depth = 0;

    for (const char *c = page; *c != '\0'; c++) {
        FUZZ_REQUIRE((unsigned char)*c >= 0x20 || *c == '\n' || *c == '\t', "byte %d", *c);
        FUZZ_REQUIRE(*c != '>', "a bare > at: %.60s", c);
        if (*c == '&') {
            size_t n = strcspn(c, ";");
            FUZZ_REQUIRE(strncmp(c, "&amp", n) == 0 || strncmp(c, "&lt", n) == 0 ||
                             strncmp(c, "&gt", n) == 0 || strncmp(c, "&quot", n) == 0 ||
                             strncmp(c, "&#39", n) == 0,
                         "reference %.8s", c);
        }
        if (*c != '<')
            continue;
        const char *end = strchr(c, '>');
        FUZZ_REQUIRE(end != NULL, "unclosed %.60s", c);
        size_t len = (size_t)(end - c - 1);
        if (c[1] == '/') {
            size_t n = depth > 0 ? strcspn(open[depth - 1], " >") : 0;
            FUZZ_REQUIRE(depth > 0 && len == n + 1 && memcmp(c + 2, open[depth - 1], n) == 0,
                         "%.*s closes %.20s", (int)len, c, depth > 0 ? open[depth - 1] : "nothing");
            depth--;
        } else if (strncmp(c, "<br>", 4) != 0) {
            const char *tag = c + 1;
            FUZZ_REQUIRE(known(tag, len), "unknown tag %.*s", (int)len + 2, c);
            FUZZ_REQUIRE(depth < sizeof open / sizeof open[0], "deep");
            open[depth++] = tag;
        }
        c = end;
    }
    FUZZ_REQUIRE(depth == 0, "%zu tags are open at the end", depth);
}
