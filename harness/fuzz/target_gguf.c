/* Invariant: of any bytes the GGUF parser makes either a refusal, one line "FILE: offset N: REASON",
 * or a model whose every part lies inside the file, at the place and of the size that its own fields
 * say, without two tensors that share a byte or two keys or names that are equal. It reads nothing
 * beyond the bytes, and what it keeps is bounded by a multiple of their number. */
#include <stdlib.h>
#include <string.h>

#include "datasets/gguf_internal.h"
#include "fuzz.h"

static void check_kv(const struct assay_gguf_part *part) {
    uint64_t at = 24;
    char text[200];

    for (size_t i = 0; i < part->n_kv; i++) {
        const struct assay_gguf_kv *kv = &part->kv[i];
        uint64_t value = (uint64_t)(kv->value - part->map);
        uint64_t u;
        double d;

        /* One follows the other without a gap: length, key, kind, and of arrays kind and count. */
        FUZZ_REQUIRE((const uint8_t *)kv->key.data == part->map + at + 8, "key %zu", i);
        FUZZ_REQUIRE(value == at + 8 + kv->key.len + (kv->kind == ASSAY_GGUF_ARRAY ? 16 : 4),
                     "key %zu", i);
        FUZZ_REQUIRE(value <= part->size && kv->value_bytes <= part->size - value, "key %zu", i);
        at = value + kv->value_bytes;

        for (size_t size = 0; size <= sizeof text; size += size < 32 ? 1 : 24) {
            size_t n = assay_gguf_kv_format(kv, text, size);
            FUZZ_REQUIRE(size == 0 ? n == 0 : n < size && text[n] == '\0', "%zu of %zu", n, size);
            FUZZ_REQUIRE(n == 0 || fuzz_is_line(text), "'%s'", text);
        }
        if (assay_gguf_kv_u64(kv, &u)) {
            FUZZ_REQUIRE(assay_gguf_kv_f64(kv, &d), "an integer is a number");
            FUZZ_REQUIRE(d == (double)u, "%g", d);
        } else {
            (void)assay_gguf_kv_f64(kv, &d);
        }
    }
    for (size_t i = 1; i < part->n_kv; i++)
        FUZZ_REQUIRE(
            assay_gguf_str_cmp(part->kv_by_key[i - 1]->key, part->kv_by_key[i]->key) < 0,
            "keys in order, none twice");
    for (size_t i = 0; i < part->n_kv; i++) {
        char *key = malloc(part->kv[i].key.len + 2);
        FUZZ_REQUIRE(key != NULL, "memory");
        memcpy(key, part->kv[i].key.data, part->kv[i].key.len);
        key[part->kv[i].key.len] = '\0';
        FUZZ_REQUIRE(assay_gguf_part_find(part, key) == &part->kv[i], "'%s'", key);
        memcpy(key + part->kv[i].key.len, "\x01", 2); /* no file's key: one byte more */
        const struct assay_gguf_kv *other = assay_gguf_part_find(part, key);
        FUZZ_REQUIRE(other != &part->kv[i], "'%s'", key);
        free(key);
    }
}

static void check_tensors(const struct assay_gguf_part *part) {
    for (size_t i = 0; i < part->n_tensors; i++) {
        const struct assay_gguf_tensor *t = &part->tensors[i];
        size_t row;

        FUZZ_REQUIRE(t->name.len >= 1 && t->name.len <= ASSAY_GGUF_NAME_MAX, "tensor %zu", i);
        FUZZ_REQUIRE(t->n_dims >= 1 && t->n_dims <= 4, "tensor %zu", i);
        FUZZ_REQUIRE(t->file_offset <= part->size && t->bytes <= part->size - t->file_offset,
                     "tensor %zu", i);
        FUZZ_REQUIRE(t->data == part->map + t->file_offset, "tensor %zu", i);
        FUZZ_REQUIRE(t->file_offset % part->alignment == 0, "tensor %zu", i);
        FUZZ_REQUIRE(t->rows == t->dims[1] * t->dims[2] * t->dims[3] && t->rows > 0, "tensor %zu",
                     i);
        FUZZ_REQUIRE(assay_row_bytes(t->type, t->dims[0], &row) && t->bytes == row * t->rows,
                     "tensor %zu", i);
        FUZZ_REQUIRE(t->data[0] + t->data[t->bytes - 1] >= 0, "can be read");
        for (size_t j = 0; j < i && i < 64; j++) {
            const struct assay_gguf_tensor *u = &part->tensors[j];
            FUZZ_REQUIRE(t->file_offset + t->bytes <= u->file_offset ||
                             u->file_offset + u->bytes <= t->file_offset,
                         "tensors %zu and %zu overlap", j, i);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* The reason is cut to the buffer whatever its size; the first byte of the input, G in a good
     * file, varies it. */
    static char room[1024];
    size_t err_size = size > 0 && data[0] != 'G' ? data[0] : sizeof room;
    char *err = room + sizeof room - err_size;
    uint8_t *exact = fuzz_exact_copy(data, size);
    struct assay_gguf_part part = {.path = (char *)"FILE", .map = exact, .size = size};

    memset(room, 'x', sizeof room);
    if (assay_gguf_parse(&part, (struct assay_gguf_err){err, err_size})) {
        /* A pair takes 14 bytes of the file at least, a tensor 33. */
        FUZZ_REQUIRE(part.n_kv <= size / 14 && part.n_tensors <= size / 33, "%zu, %zu", part.n_kv,
                     part.n_tensors);
        FUZZ_REQUIRE(part.version == 2 || part.version == 3, "%u", part.version);
        check_kv(&part);
        check_tensors(&part);
    } else if (err_size > 0) {
        FUZZ_REQUIRE(memchr(err, '\0', err_size) != NULL, "terminated");
        FUZZ_REQUIRE(err_size == 1 || fuzz_is_line(err), "'%s'", err);
        FUZZ_REQUIRE(err_size < sizeof room || strncmp(err, "FILE: offset ", 13) == 0, "'%s'", err);
    }
    for (size_t i = 0; i < sizeof room - err_size; i++)
        FUZZ_REQUIRE(room[i] == 'x', "wrote before the buffer");
    free(part.kv);
    free(part.kv_by_key);
    free(part.tensors);
    free(exact);
    return 0;
}
