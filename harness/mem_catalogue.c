#include "mem_catalogue.h"

#include "datasets/synthetic.h"
#include "mem.h"
#include "term.h"

static uint64_t largest_matrix(const struct assay_model_shape *shape) {
    struct assay_matrix_shape m[16];
    size_t n = assay_model_matrices(shape, m, 16);
    uint64_t largest = 0;

    for (size_t i = 0; i < n && i < 16; i++)
        largest = m[i].n * m[i].k > largest ? m[i].n * m[i].k : largest;
    return largest;
}

struct assay_mem_need assay_mem_need(const struct assay_model_shape *shape,
                                     const struct assay_file_type *type) {
    struct assay_synthetic_params p = {.shape = shape, .file_type = type};
    struct assay_mem_need need = {.quantised = assay_synthetic_bytes(&p)};

    need.transient = need.quantised + 2 * largest_matrix(shape);
    p.file_type = assay_file_type_by_name("F16");
    need.eager_f16 = assay_synthetic_bytes(&p);
    p.file_type = assay_file_type_by_name("F32");
    need.eager_f32 = assay_synthetic_bytes(&p);
    return need;
}

const struct assay_model_shape *assay_mem_largest(const struct assay_file_type *type,
                                                  uint64_t limit) {
    const struct assay_model_shape *best = NULL;
    uint64_t most = 0;

    for (size_t i = 0; i < assay_catalogue_count(); i++) {
        uint64_t bytes = assay_mem_need(assay_catalogue_at(i), type).quantised;
        if (assay_mem_bar((double)bytes) <= (double)limit && bytes > most) {
            best = assay_catalogue_at(i);
            most = bytes;
        }
    }
    return best;
}

void assay_mem_catalogue_print(FILE *out, const struct assay_file_type *type, uint64_t limit) {
    static const char *const headings[] = {"model",      ">quantised GiB", ">transient-f16",
                                           ">eager-f16", ">eager-f32",     "fits the limit"};
    static const char *const fits[] = {"nothing", "quantised", "quantised, transient-f16",
                                       "all but eager-f32", "all"};
    struct assay_table *t = assay_table_new(headings, 6);

    for (size_t i = 0; i < assay_catalogue_count(); i++) {
        struct assay_mem_need need = assay_mem_need(assay_catalogue_at(i), type);
        const uint64_t bytes[] = {need.quantised, need.transient, need.eager_f16, need.eager_f32};
        const char *cells[6] = {assay_catalogue_at(i)->name};
        char text[4][32];
        size_t n = 0;
        for (size_t j = 0; j < 4; j++) {
            snprintf(text[j], sizeof text[j], "%.2f", (double)bytes[j] / 0x1p30);
            cells[j + 1] = text[j];
            if (n == j && assay_mem_bar((double)bytes[j]) <= (double)limit)
                n++;
        }
        cells[5] = fits[n];
        assay_table_row_colour(t, n > 0 ? ASSAY_PLAIN : ASSAY_YELLOW, cells);
    }
    fprintf(out, "The catalogue as %s under a limit of %.2f GiB, computed from the tensors:\n",
            type->name, (double)limit / 0x1p30);
    assay_table_print(t, out);
}
