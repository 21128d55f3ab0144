/* Writes ref/tests/golden.inc: blocks of every type and the numbers that ggml decodes them to.
 *
 *   cc -std=c11 -D_GNU_SOURCE -I. -o /tmp/make_golden ref/tests/tools/make_golden.c \
 *      ref/tests/ggml_oracle.c ref/tests/scale_classes.c ref/[dhit]*.c -ldl
 *   /tmp/make_golden > ref/tests/golden.inc
 *
 * Only ggml's answers are written, never the reference's own, so the file stays a witness. The
 * seed is fixed: the same ggml gives the same file. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../ggml_oracle.h"
#include "../random.h"
#include "../scale_classes.h"

enum { CHARS_PER_LINE = 88 };

/* Prints text in C string literals of at most CHARS_PER_LINE characters, one a line. */
static void print_literals(const char *text) {
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i += CHARS_PER_LINE)
        printf("\n     \"%.*s\"", CHARS_PER_LINE, text + i);
}

/* "3c000000 7fc00000*31 …": fp32 bit patterns, runs shortened, every NaN as 7fc00000. */
static void format_floats(const float *v, size_t n, char *text) {
    for (size_t i = 0; i < n;) {
        uint32_t bits, next;
        size_t run = 0;
        memcpy(&bits, &v[i], sizeof bits);
        do {
            run++;
            if (i + run < n)
                memcpy(&next, &v[i + run], sizeof next);
        } while (i + run < n && (next == bits || (v[i] != v[i] && v[i + run] != v[i + run])));
        if (v[i] != v[i])
            bits = 0x7fc00000;
        text += sprintf(text, run > 1 ? "%s%08" PRIx32 "*%zu" : "%s%08" PRIx32, i ? " " : "", bits,
                        run);
        i += run;
    }
}

static void print_row(const struct assay_type_traits *t, const char *what, const uint8_t *block,
                      ggml_dequant_fn dequant) {
    _Alignas(8) uint8_t aligned[512];
    float out[ASSAY_MAX_BLOCK_LEN];
    char text[ASSAY_MAX_BLOCK_LEN * 16 + 1];

    memcpy(aligned, block, t->block_bytes);
    if (dequant)
        dequant(aligned, out, t->block_len);
    else /* F32 is not decoded */
        memcpy(out, aligned, sizeof *out);

    printf("    {ASSAY_TYPE_%s, \"%s\",", t->display, what);
    for (size_t i = 0; i < t->block_bytes; i++)
        sprintf(text + 2 * i, "%02x", block[i]);
    print_literals(text);
    printf(",");
    format_floats(out, t->block_len, text);
    print_literals(text);
    printf("},\n");
}

int main(void) {
    printf("/* Made by ref/tests/tools/make_golden.c with ggml as the witness. */\n"
           "/* clang-format off */\n");
    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        uint64_t random_state = (uint64_t)t->type;
        uint8_t block[512];
        const char *why;
        ggml_dequant_fn dequant = NULL;

        if (!t->dequant)
            continue;
        if (t->type != ASSAY_TYPE_F32 && !(dequant = ggml_dequantiser(t, &why))) {
            fprintf(stderr, "make_golden: %s: %s\n", t->name, why);
            return 1;
        }
        memset(block, 0x00, sizeof block);
        print_row(t, "all bits clear", block, dequant);
        memset(block, 0xff, sizeof block);
        print_row(t, "all bits set", block, dequant);
        for (int c = 0; c < SCALE_CLASSES; c++) {
            random_bytes(&random_state, block, sizeof block);
            for (size_t f = 0; f < scale_fields(t); f++)
                set_scale(t, block, f, (enum scale_class)c, &random_state);
            print_row(t, scale_class_names[c], block, dequant);
        }
    }
    printf("/* clang-format on */\n");
    return 0;
}
