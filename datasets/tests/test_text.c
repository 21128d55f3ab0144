#include <criterion/criterion.h>
#include <string.h>

#include "datasets/text.h"

static void expect_escaped(const char *data, size_t n, const char *want) {
    char buf[128];
    struct assay_text t = assay_text_init(buf, sizeof buf);
    assay_text_escape(&t, data, n);
    cr_assert_str_eq(buf, want);
    cr_assert_eq(t.len, strlen(want));
}

Test(text, escapes_control_characters_and_quotes) {
    expect_escaped("a\n\t\"\\\x1b[0m\x7f", 10, "a\\n\\t\\\"\\\\\\x1b[0m\\x7f");
    expect_escaped("\0z", 2, "\\x00z");
}

Test(text, keeps_utf8_and_escapes_what_is_not) {
    expect_escaped("é€😀", 9, "é€😀");
    expect_escaped("\xc3", 1, "\\xc3");                            /* cut short */
    expect_escaped("\xe2\x82", 2, "\\xe2\\x82");                   /* cut short */
    expect_escaped("\xc0\xaf", 2, "\\xc0\\xaf");                   /* overlong */
    expect_escaped("\xe0\x9f\xbf", 3, "\\xe0\\x9f\\xbf");          /* overlong */
    expect_escaped("\xed\xa0\x80", 3, "\\xed\\xa0\\x80");          /* surrogate */
    expect_escaped("\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
    expect_escaped("\xc2\x9b", 2, "\\xc2\\x9b");                   /* a control code, U+009B */
}

Test(text, printable_text_keeps_quotes_and_escapes_the_rest) {
    static const char data[] = "'a\"\\n'\n\x1b[2J\x7f\xff";
    char buf[64];
    struct assay_text t = assay_text_init(buf, sizeof buf);
    assay_text_printable(&t, data, sizeof data - 1);
    cr_assert_str_eq(buf, "'a\"\\n'\\n\\x1b[2J\\x7f\\xff");
}

Test(text, adds_whole_pieces_or_nothing) {
    char buf[6];
    struct assay_text t = assay_text_init(buf, sizeof buf);
    assay_text_add(&t, "abc", 3);
    assay_text_add(&t, "def", 3);
    assay_text_add(&t, "g", 1);
    cr_assert_str_eq(buf, "abc", "nothing may follow a gap");
    assay_text_mark_cut(&t);
    cr_assert_str_eq(buf, "ab…");
}
