/* Q2_K … Q8_K: super-blocks of 256, chunk number `part` is sub-block part of 16, or half of sub-block
 * part/2 of 32. */

/* Two-bit codes: a half of 128 weights takes 32 bytes, weight 32j + i of it bits 2j of byte i. */
inline uint two_bit_at(uint part) { return 32 * (part / 8) + 16 * (part & 1); }

inline uint two_bit_shift(uint part) { return 2 * (part / 2 & 3); }

struct q2_k {
    enum { plain = 0, bytes = 84, chunks = 16, has_offset = 1 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        uint scales = p[part];
        scale = load_f16(p + 80) * float(scales & 15);
        offset = -(load_f16(p + 82) * float(scales >> 4));
        codes16(p + 16 + two_bit_at(part), two_bit_shift(part), 3, q);
    }
};

struct q3_k {
    enum { plain = 0, bytes = 110, chunks = 16, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        uint low = p[96 + (part & 7)] >> 4 * (part / 8) & 15;
        uint high = p[104 + (part & 3)] >> 2 * (part / 4) & 3;
        scale = load_f16(p + 108) * (float(low | high << 4) - 32.0f);
        codes16_halves(p + 32 + two_bit_at(part), two_bit_shift(part), 3, q);
        float third[CHUNK]; /* bit part/2 of byte i is the third bit of weight i of the chunk */
        codes16_halves(p + 16 * (part & 1), part / 2, 1, third);
#pragma unroll
        for (int i = 0; i < CHUNK; i++)
            q[i] += 4.0f * third[i] - 4.0f;
    }
};

/* Scale and min of sub-block j of 8, 6 bits each: below 4 they are in bytes j and 4 + j; from 4 on
 * the nibbles of byte 4 + j, with the top two bits of bytes j - 4 and j. */
inline void k4_scales(device const uchar *p, uint j, thread float &scale, thread float &offset) {
    uint s, m;
    if (j < 4) {
        s = p[4 + j] & 63;
        m = p[8 + j] & 63;
    } else {
        s = (p[8 + j] & 15) | (p[j] >> 6) << 4;
        m = p[8 + j] >> 4 | (p[4 + j] >> 6) << 4;
    }
    scale = load_f16(p) * float(s);
    offset = -(load_f16(p + 2) * float(m));
}

struct q4_k {
    enum { plain = 0, bytes = 144, chunks = 16, has_offset = 1 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        k4_scales(p, part / 2, scale, offset);
        codes16(p + 16 + 32 * (part / 4) + 16 * (part & 1), 4 * (part / 2 & 1), 15, q);
    }
};

struct q5_k {
    enum { plain = 0, bytes = 176, chunks = 16, has_offset = 1 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        k4_scales(p, part / 2, scale, offset);
        codes16(p + 48 + 32 * (part / 4) + 16 * (part & 1), 4 * (part / 2 & 1), 15, q);
        float fifth[CHUNK];
        codes16(p + 16 + 16 * (part & 1), part / 2, 1, fifth);
#pragma unroll
        for (int i = 0; i < CHUNK; i++)
            q[i] += 16.0f * fifth[i];
    }
};

/* In a half of 128, weight 32j + i has its low bits in byte 32(j & 1) + i, nibble j/2, and two high
 * bits at 2j of byte i. */
struct q6_k {
    enum { plain = 0, bytes = 210, chunks = 16, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        uint j = part / 2 & 3, at = 16 * (part & 1);
        scale = load_f16(p + 208) * float(char(p[192 + part]));
        codes16_halves(p + 64 * (part / 8) + 32 * (j & 1) + at, 4 * (j / 2), 15, q);
        float high[CHUNK];
        codes16_halves(p + 128 + 32 * (part / 8) + at, 2 * j, 3, high);
#pragma unroll
        for (int i = 0; i < CHUNK; i++)
            q[i] += 16.0f * high[i] - 32.0f;
    }
};

struct q8_k {
    enum { plain = 0, bytes = 292, chunks = 16, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = *(device const float *)p;
        signed16(p + 4 + 16 * part, q);
    }
};
