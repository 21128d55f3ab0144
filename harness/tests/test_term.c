#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/term.h"

/* A table printed to memory, which is no terminal. The caller frees the text. */
static char *printed(enum assay_colour colour) {
    struct assay_table *t = assay_table_new((const char *const[]){"NAME", ">COUNT"}, 2);
    char *text = NULL;
    size_t size;
    FILE *f = tmpfile();
    long end;

    assay_table_row(t, (const char *const[]){"a", "1"});
    assay_table_row_colour(t, colour, (const char *const[]){"a-much-longer-name", "12345678"});
    assay_table_row(t, (const char *const[]){"über", "3"});
    assay_table_print(t, f);
    end = ftell(f);
    rewind(f);
    size = (size_t)end;
    text = calloc(1, size + 1);
    cr_assert_eq(fread(text, 1, size, f), size);
    fclose(f);
    return text;
}

Test(term, table_is_aligned_and_plain_off_the_terminal) {
    char *text = printed(ASSAY_RED);
    cr_assert_str_eq(text, "NAME                   COUNT\n"
                           "a                          1\n"
                           "a-much-longer-name  12345678\n"
                           "über                       3\n");
    free(text);
}

Test(term, long_rows_are_not_cut) {
    char name[301];
    struct assay_table *t = assay_table_new((const char *const[]){"NAME", "X"}, 2);
    FILE *f = tmpfile();
    memset(name, 'n', 300);
    name[300] = '\0';
    assay_table_row(t, (const char *const[]){name, "end"});
    assay_table_print(t, f);
    cr_assert_gt(ftell(f), 600, "heading and row are both as wide as the row");
    fclose(f);
}

Test(term, no_colour_off_the_terminal) {
    FILE *f = tmpfile();
    cr_assert_str_empty(assay_colour_start(f, ASSAY_RED));
    cr_assert_str_empty(assay_colour_end(f));
    fclose(f);
}

Test(term, no_progress_off_the_terminal, .init = cr_redirect_stderr) {
    assay_progress("verify", 1, 2, "x");
    assay_progress_clear();
    fflush(stderr);
    cr_assert_stderr_eq_str("");
}

Test(term, what_a_file_chose_is_no_command_to_the_terminal) {
    char *shown = assay_printable("a\033[31m\n\x7f\xff über \"\\");
    cr_assert_str_eq(shown, "a\\x1b[31m\\n\\x7f\\xff über \"\\");
    free(shown);

    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    assay_print_line(f, "%s: %d", "x\ny", 7);
    struct assay_table *t = assay_table_new((const char *const[]){"NAME"}, 1);
    assay_table_row(t, (const char *const[]){"\033[2J"});
    assay_table_print(t, f);
    fclose(f);
    cr_assert_str_eq(text, "x\\ny: 7\nNAME\n\\x1b[2J\n");
    free(text);
}
