/* IQ4, MXFP4, NVFP4: nibbles that number the values of a table; TQ: ternary digits. */

constant float iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                 1,    13,   25,  38,  53,  69,  89,  113};

/* Twice the E2M1 numbers; code 8 is +0. */
constant float fp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

inline void iq4_chunk(device const uchar *bytes, uint shift, thread float *q) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
        uint pair = load_u16(bytes + 2 * i) >> shift;
        q[2 * i] = iq4_values[pair & 15];
        q[2 * i + 1] = iq4_values[pair >> 8 & 15];
    }
}

struct iq4_nl {
    enum { plain = 0, bytes = 18, chunks = 2, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = load_f16(p);
        iq4_chunk(p + 2, 4 * part, q);
    }
};

struct iq4_xs {
    enum { plain = 0, bytes = 136, chunks = 16, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        uint j = part / 2;
        uint low = p[4 + j / 2] >> 4 * (j & 1) & 15;
        uint high = load_u16(p + 2) >> 2 * j & 3;
        scale = load_f16(p) * (float(low | high << 4) - 32.0f);
        iq4_chunk(p + 8 + 16 * j, 4 * (part & 1), q);
    }
};

/* 2^(e-128): a subnormal number for e < 2. */
inline float half_e8m0(uint e) {
    return as_type<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23);
}

/* 17 bytes: nothing in it is aligned. */
struct mxfp4 {
    enum { plain = 0, bytes = 17, chunks = 2, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = half_e8m0(p[0]);
#pragma unroll
        for (int i = 0; i < CHUNK; i++)
            q[i] = fp4_values[p[1 + i] >> 4 * part & 15];
    }
};

/* Half the value of an E4M3 number without sign; the NaN code counts as 0. */
inline float half_ue4m3(uint v) {
    uint exponent = v >> 3 & 15;
    if (v == 0x7f)
        return 0.0f;
    if (exponent == 0)
        return float(v & 7) * as_type<float>(0x3a800000u); /* 2^-10 */
    return as_type<float>((exponent + 119) << 23 | (v & 7) << 20);
}

struct nvfp4 {
    enum { plain = 0, bytes = 36, chunks = 4, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = half_ue4m3(p[part]);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            uint byte = p[4 + 8 * part + i];
            q[i] = fp4_values[byte & 15];
            q[8 + i] = fp4_values[byte >> 4];
        }
    }
};

/* Digit `power` = 3^n of a byte that is a fraction in base 3, less 1. */
inline float ternary_digit(uint byte, uint power) {
    return float((byte * power & 255) * 3 >> 8) - 1.0f;
}

/* Chunks 0…9: digit part/2 of 32 bytes; 10…14: digit part-10 of the next 16; 15: four digits of the
 * last 4. */
struct tq1_0 {
    enum { plain = 0, bytes = 54, chunks = 16, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = load_f16(p + 52);
        uint digit = part < 10 ? part / 2 : part - 10, power = 1;
        for (uint n = 0; n < digit && part < 15; n++)
            power *= 3;
        uint at = part < 10 ? 16 * (part & 1) : 32;
#pragma unroll
        for (int i = 0; i < CHUNK; i++) {
            q[i] = part < 15 ? ternary_digit(p[at + i], power)
                             : ternary_digit(p[48 + (i & 3)], power);
            if (part == 15 && (i & 3) == 3)
                power *= 3;
        }
    }
};

struct tq2_0 {
    enum { plain = 0, bytes = 66, chunks = 16, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = load_f16(p + 64);
        codes16_halves(p + two_bit_at(part), two_bit_shift(part), 3, q);
#pragma unroll
        for (int i = 0; i < CHUNK; i++)
            q[i] -= 1.0f;
    }
};
