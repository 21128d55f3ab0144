/* Random damage to a small file: a clean error or a consistent model, and never a read outside. The
 * parser gets the image in a heap block of exactly its size, so that the address sanitizer sees a
 * read of even one byte beyond. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/gguf_internal.h"
#include "datasets/rng.h"
#include "gguf_fixture.h"

#define ROUNDS 20000

/* One or a few changes: flipped bits, random bytes, extreme words, cut or grown ends. */
static size_t damage(struct assay_rng *r, uint8_t *image, size_t size) {
    uint32_t changes = 1 + assay_rng_below(r, 3);
    for (uint32_t i = 0; i < changes; i++) {
        size_t at = assay_rng_below(r, (uint32_t)size);
        switch (assay_rng_below(r, 5)) {
        case 0:
            image[at] ^= (uint8_t)(1u << assay_rng_below(r, 8));
            break;
        case 1:
            image[at] = (uint8_t)assay_rng_u64(r);
            break;
        case 2:
            image[at] = assay_rng_below(r, 2) ? 0xff : 0;
            break;
        case 3:
            for (size_t j = at; j < size && j < at + 8; j++)
                image[j] = 0xff;
            break;
        default:
            if (i == 0)
                size = at + 1;
        }
    }
    return size;
}

static void check_model(const struct assay_gguf_part *part) {
    uint64_t end = part->size;
    char text[64];
    for (size_t i = 0; i < part->n_kv; i++) {
        const struct assay_gguf_kv *kv = &part->kv[i];
        uint64_t at = (uint64_t)(kv->value - part->map);
        cr_assert(at <= end && kv->value_bytes <= end - at);
        size_t n = assay_gguf_kv_format(kv, text, sizeof text);
        cr_assert(n < sizeof text && text[n] == '\0');
    }
    for (size_t i = 0; i < part->n_tensors; i++) {
        const struct assay_gguf_tensor *t = &part->tensors[i];
        size_t row;
        cr_assert(t->file_offset <= end && t->bytes <= end - t->file_offset);
        cr_assert_eq(t->data, part->map + t->file_offset);
        cr_assert(assay_row_bytes(t->type, t->dims[0], &row));
        cr_assert_eq(row * t->dims[1] * t->dims[2] * t->dims[3], t->bytes);
        cr_assert_eq(t->file_offset % part->alignment, 0);
    }
}

/* Parses an image of exactly `size` bytes; true if it was accepted. */
static bool parse(const uint8_t *image, size_t size) {
    char err[256] = "";
    uint8_t *exact = malloc(size);
    memcpy(exact, image, size);
    struct assay_gguf_part part = {.path = "F", .map = exact, .size = size};
    bool ok = assay_gguf_parse(&part, (struct assay_gguf_err){err, sizeof err});
    if (ok)
        check_model(&part);
    else
        cr_assert(strncmp(err, "F: offset ", 10) == 0 && strchr(err, '\n') == NULL, "'%s'", err);
    free(part.kv);
    free(part.kv_by_key);
    free(part.tensors);
    free(exact);
    return ok;
}

Test(gguf_mutation, damaged_files_give_an_error_or_a_consistent_model) {
    static const uint8_t nested[] = {8, 0, 0,   0,   1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0,
                                     0, 0, 'x', 'y', 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1};
    struct fixture f = fixture_new("mutant.gguf");
    struct assay_gguf_writer *w = assay_gguf_writer_new(64);
    assay_gguf_writer_kv_str(w, "general.name", "mutant");
    assay_gguf_writer_kv_raw(w, "a.nested", ASSAY_GGUF_ARRAY, ASSAY_GGUF_ARRAY, 2, nested,
                             sizeof nested);
    assay_gguf_writer_kv_bool(w, "a.bool", true);
    assay_gguf_writer_tensor(w, "q", ASSAY_TYPE_Q4_0, 3, (uint64_t[]){32, 2, 2});
    assay_gguf_writer_tensor(w, "f", ASSAY_TYPE_F32, 1, (uint64_t[]){3});
    fixture_write(&f, w, 72 + 12);
    cr_assert(parse(f.image, f.size));

    struct assay_rng r;
    assay_rng_seed(&r, 20240229);
    uint8_t *mutant = malloc(f.size);
    size_t accepted = 0;
    for (int round = 0; round < ROUNDS; round++) {
        memcpy(mutant, f.image, f.size);
        size_t size = damage(&r, mutant, f.size);
        accepted += parse(mutant, size);
    }
    free(mutant);
    /* Both outcomes must have been exercised: damage to tensor data or names is no error. */
    cr_assert(accepted > ROUNDS / 20 && accepted < ROUNDS * 19 / 20, "%zu of %d accepted", accepted,
              ROUNDS);
    fixture_free(&f);
}
