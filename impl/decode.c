#include "decode.h"

#include <string.h>

#include "half.h"

/* Indexed by GGUF type number. */
static const assay_decode_fn decoders[] = {
#define ROW(ENUM, name) [ASSAY_TYPE_##ENUM] = assay_decode_##name,
    ASSAY_DECODERS(ROW)
#undef ROW
};

assay_decode_fn assay_decoder(const struct assay_type_traits *t) {
    size_t id = (size_t)t->type;
    return id < sizeof decoders / sizeof decoders[0] ? decoders[id] : NULL;
}

void assay_decode_f32(const void *blocks, size_t nblocks, float *out) {
    memcpy(out, blocks, nblocks * sizeof *out);
}

void assay_decode_f16(const void *blocks, size_t nblocks, float *out) {
    enum { CHUNK = 256 };
    uint16_t h[CHUNK]; /* aligned copy: the file gives no alignment */
    for (size_t i = 0; i < nblocks; i += CHUNK) {
        size_t n = nblocks - i < CHUNK ? nblocks - i : CHUNK;
        memcpy(h, (const uint8_t *)blocks + i * sizeof *h, n * sizeof *h);
        assay_f16_to_f32_n(h, out + i, n);
    }
}

void assay_decode_bf16(const void *blocks, size_t nblocks, float *out) {
    for (size_t i = 0; i < nblocks; i++) {
        uint16_t h;
        memcpy(&h, (const uint8_t *)blocks + i * sizeof h, sizeof h);
        out[i] = assay_float_from_bits((uint32_t)h << 16);
    }
}
