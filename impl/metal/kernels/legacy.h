/* Q1_0 … Q8_0: a scale, perhaps an offset, and a short block of codes. */

struct q1_0 {
    enum { plain = 0, bytes = 18, chunks = 8, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = load_f16(p);
        uint bits = load_u16(p + 2 + 2 * part);
#pragma unroll
        for (int i = 0; i < CHUNK; i++)
            q[i] = (bits >> i & 1) != 0 ? 1.0f : -1.0f;
    }
};

struct q2_0 {
    enum { plain = 0, bytes = 18, chunks = 4, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = load_f16(p);
        uint word = load_u32_halves(p + 2 + 4 * part);
#pragma unroll
        for (int i = 0; i < CHUNK; i++)
            q[i] = float(word >> 2 * i & 3) - 1.0f;
    }
};

/* Weights 0…15 of 32 are low, the others high nibbles of the same bytes. */
struct q4_0 {
    enum { plain = 0, bytes = 18, chunks = 2, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = load_f16(p);
        codes16_halves(p + 2, 4 * part, 15, q);
#pragma unroll
        for (int i = 0; i < CHUNK; i++)
            q[i] -= 8.0f;
    }
};

struct q4_1 {
    enum { plain = 0, bytes = 20, chunks = 2, has_offset = 1 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        scale = load_f16(p);
        offset = load_f16(p + 2);
        codes16(p + 4, 4 * part, 15, q);
    }
};

/* Adds the fifth bits, one a weight, and `base`. */
inline void fifth_bits(uint bits, float base, thread float *q) {
#pragma unroll
    for (int i = 0; i < CHUNK; i++)
        q[i] += ((bits >> i & 1) != 0 ? 16.0f : 0.0f) + base;
}

struct q5_0 {
    enum { plain = 0, bytes = 22, chunks = 2, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = load_f16(p);
        codes16_halves(p + 6, 4 * part, 15, q);
        fifth_bits(load_u16(p + 2 + 2 * part), -16.0f, q);
    }
};

struct q5_1 {
    enum { plain = 0, bytes = 24, chunks = 2, has_offset = 1 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        scale = load_f16(p);
        offset = load_f16(p + 2);
        codes16(p + 8, 4 * part, 15, q);
        fifth_bits(load_u16(p + 4 + 2 * part), 0.0f, q);
    }
};

struct q8_0 {
    enum { plain = 0, bytes = 34, chunks = 2, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = load_f16(p);
        signed16(p + 2 + 16 * part, q);
    }
};
