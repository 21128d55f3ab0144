/* IQ1, IQ2, IQ3: points of a grid. A grid entry holds 8 codes of 2 bits (IQ1, IQ2) or 4 of 3 bits
 * (IQ3); the grids themselves come from ref/iq_grids.c at build time. A chunk is 2 entries of 8, or 4
 * of 4. */
#include "grids.h"

constant float iq2_values[4] = {8, 25, 43, 0};
constant float iq3_xxs_values[8] = {4, 12, 20, 28, 36, 44, 52, 62};

/* The eighth of 8 signs makes the count of minus signs even. */
inline uint eight_signs(uint seven) { return seven | (popcount(seven) & 1) << 7; }

inline float with_sign(uint signs, int i, float value) {
    return (signs >> i & 1) != 0 ? -value : value;
}

inline void iq1_entry(uint index, uint negative, thread float *q) {
    uint entry = iq1_grid[index];
    float shift = negative != 0 ? -0.125f : 0.125f;
#pragma unroll
    for (int i = 0; i < 8; i++)
        q[i] = float(entry >> 2 * i & 3) - 1.0f + shift;
}

inline void iq2_entry(uint entry, uint signs, thread float *q) {
#pragma unroll
    for (int i = 0; i < 8; i++)
        q[i] = with_sign(signs, i, iq2_values[entry >> 2 * i & 3]);
}

struct iq1_s {
    enum { plain = 0, bytes = 50, chunks = 16, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        uint qh = load_u16(p + 34 + 2 * (part / 2));
        scale = load_f16(p) * float(2 * (qh >> 12 & 7) + 1);
#pragma unroll
        for (uint e = 0; e < 2; e++) {
            uint high = qh >> 3 * (2 * (part & 1) + e) & 7;
            iq1_entry(p[2 + 2 * part + e] | high << 8, qh >> 15, q + 8 * e);
        }
    }
};

struct iq1_m {
    enum { plain = 0, bytes = 56, chunks = 16, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        uint bits = 0;
#pragma unroll
        for (int i = 0; i < 4; i++)
            bits |= load_u16(p + 48 + 2 * i) >> 12 << 4 * i;
        uint s = load_u16(p + 48 + 2 * (part / 4)) >> 3 * (part & 3) & 7;
        scale = float(as_type<half>(ushort(bits))) * float(2 * s + 1);
        uint qh = p[32 + part];
#pragma unroll
        for (uint e = 0; e < 2; e++, qh >>= 4)
            iq1_entry(p[2 * part + e] | (qh & 7) << 8, qh & 8, q + 8 * e);
    }
};

struct iq2_xxs {
    enum { plain = 0, bytes = 66, chunks = 16, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        device const uchar *group = p + 2 + 8 * (part / 2);
        uint word = load_u32_halves(group + 4);
        scale = load_f16(p) * (0.5f + float(word >> 28)) * 0.25f;
#pragma unroll
        for (uint e = 0; e < 2; e++) {
            uint at = 2 * (part & 1) + e;
            iq2_entry(iq2_xxs_grid[group[at]], eight_signs(word >> 7 * at & 127), q + 8 * e);
        }
    }
};

/* The scale of 16 weights: a nibble. */
inline float iq2_scale(float d, uint scales, uint part) {
    return d * (0.5f + float(scales >> 4 * (part & 1) & 15)) * 0.25f;
}

struct iq2_xs {
    enum { plain = 0, bytes = 74, chunks = 16, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = iq2_scale(load_f16(p), p[66 + part / 2], part);
#pragma unroll
        for (uint e = 0; e < 2; e++) {
            uint code = load_u16(p + 2 + 2 * (2 * part + e));
            iq2_entry(iq2_xs_grid[code & 511], eight_signs(code >> 9), q + 8 * e);
        }
    }
};

struct iq2_s {
    enum { plain = 0, bytes = 82, chunks = 16, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = iq2_scale(load_f16(p), p[74 + part / 2], part);
        uint high = p[66 + part / 2] >> 4 * (part & 1);
#pragma unroll
        for (uint e = 0; e < 2; e++, high >>= 2)
            iq2_entry(iq2_s_grid[p[2 + 2 * part + e] | (high & 3) << 8], p[34 + 2 * part + e],
                      q + 8 * e);
    }
};

struct iq3_xxs {
    enum { plain = 0, bytes = 98, chunks = 16, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        uint word = load_u32_halves(p + 66 + 4 * (part / 2));
        scale = load_f16(p) * (0.5f + float(word >> 28)) * 0.5f;
#pragma unroll
        for (uint e = 0; e < 4; e++) {
            uint signs = eight_signs(word >> 7 * (2 * (part & 1) + e / 2) & 127) >> 4 * (e & 1);
            uint entry = iq3_xxs_grid[p[2 + 4 * part + e]];
#pragma unroll
            for (int i = 0; i < 4; i++)
                q[4 * e + i] = with_sign(signs, i, iq3_xxs_values[entry >> 3 * i & 7]);
        }
    }
};

struct iq3_s {
    enum { plain = 0, bytes = 110, chunks = 16, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        uint s = p[106 + part / 4] >> 4 * (part / 2 & 1) & 15;
        scale = load_f16(p) * float(2 * s + 1);
        uint high = p[66 + part / 2] >> 4 * (part & 1);
#pragma unroll
        for (uint e = 0; e < 4; e++, high >>= 1) {
            uint entry = iq3_s_grid[p[2 + 4 * part + e] | (high & 1) << 8];
            uint signs = p[74 + 2 * part + e / 2] >> 4 * (e & 1);
#pragma unroll
            for (int i = 0; i < 4; i++)
                q[4 * e + i] = with_sign(signs, i, float(2 * (entry >> 3 * i & 7) + 1));
        }
    }
};
