#include <criterion/criterion.h>

#include "golden.h"

Test(golden, every_decoder_reproduces_its_vectors) {
    for (size_t i = 0; i < golden_count; i++) {
        int weight = golden_mismatch(i);
        cr_expect_eq(weight, -1, "%s, %s: weight %d differs",
                     assay_type_traits(golden_vectors[i].type)->name, golden_vectors[i].what,
                     weight);
    }
}

Test(golden, vectors_cover_every_decodable_type) {
    for (size_t i = 0; i < assay_type_count(); i++) {
        const struct assay_type_traits *t = assay_type_at(i);
        size_t vectors = 0;
        for (size_t j = 0; j < golden_count; j++)
            vectors += golden_vectors[j].type == t->type;
        cr_expect_eq(vectors, t->dequant ? 8 : 0, "%s has %zu vectors", t->name, vectors);
    }
}
