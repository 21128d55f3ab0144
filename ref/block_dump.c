/* A block in print, for reports of what a kernel decoded wrongly. */
#include <string.h>

#include "fields.h"

/* Elements a line: those of one sub-block where a field has them, else a round number. */
static unsigned per_line(const struct assay_field *f) {
    if (f->count <= 16)
        return f->count;
    return f->kind == ASSAY_FIELD_CODE && f->weights == 1 && f->bits <= 6 ? 32 : 16;
}

/* Room for the longest value of the field, less the brackets. */
static int column_width(const struct assay_field *f) {
    char text[32];
    int width = 0;

    for (uint32_t v = 0; v < 1u << f->bits; v++) {
        int n = snprintf(text, sizeof text, "%.0f", assay_field_number(f, v));
        width = n > width ? n : width;
    }
    return width;
}

static void print_floats(FILE *out, const struct assay_field *f, const uint8_t *block, int marked) {
    for (unsigned e = 0; e < f->count; e++) {
        uint32_t value = assay_field_get(f, block, e);
        bool mark = marked == (int)e;
        fprintf(out, "%s%s%.9g (0x%0*x)%s", e != 0 ? "  " : "", mark ? "[" : "",
                assay_field_number(f, value), f->bits / 4, (unsigned)value, mark ? "]" : "");
    }
    fputc('\n', out);
}

static void print_integers(FILE *out, const struct assay_field *f, const uint8_t *block,
                           int marked) {
    unsigned line = per_line(f);
    int width = f->bits <= 11 ? column_width(f) : 6;

    for (unsigned e = 0; e < f->count; e++) {
        /* The brackets take the places of the separators. */
        bool mark = marked == (int)e, after_mark = e % line != 0 && marked == (int)e - 1;
        if (e % line == 0 && e != 0)
            fprintf(out, "%s\n%-8s", marked == (int)e - 1 ? "]" : "", "");
        fprintf(out, "%c%*.0f",
                mark         ? '['
                : after_mark ? ']'
                             : ' ',
                width, assay_field_number(f, assay_field_get(f, block, e)));
    }
    fprintf(out, "%s\n", marked == (int)f->count - 1 ? "]" : "");
}

void assay_block_dump(FILE *out, const struct assay_type_traits *t, const uint8_t *block,
                      const struct assay_field_bit *marked) {
    size_t n;
    const struct assay_field *fields = assay_fields(t, &n);

    for (size_t i = 0; i < n; i++) {
        const struct assay_field *f = &fields[i];
        int element = marked != NULL && marked->field == f ? (int)marked->element : -1;
        bool named = i == 0 || strcmp(f->name, fields[i - 1].name) != 0;

        fprintf(out, "%-8s", named ? f->name : "");
        if (f->kind == ASSAY_FIELD_FLOAT) {
            fputc(' ', out);
            print_floats(out, f, block, element);
        } else {
            print_integers(out, f, block, element);
        }
    }
}
