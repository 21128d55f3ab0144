/* F32, F16, BF16. */

struct f32 {
    enum { plain = 1, bytes = 4, chunks = 1, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = 1.0f;
#pragma unroll
        for (uint i = 0; i < CHUNK; i++)
            q[i] = i < part ? *(device const float *)(p + 4 * i) : 0.0f;
    }
};

struct f16 {
    enum { plain = 1, bytes = 2, chunks = 1, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = 1.0f;
#pragma unroll
        for (uint i = 0; i < CHUNK; i++)
            q[i] = i < part ? load_f16(p + 2 * i) : 0.0f;
    }
};

struct bf16 {
    enum { plain = 1, bytes = 2, chunks = 1, has_offset = 0 };
    static void unpack(device const uchar *p, uint part, thread float *q, thread float &scale,
                       thread float &offset) {
        (void)offset;
        scale = 1.0f;
#pragma unroll
        for (uint i = 0; i < CHUNK; i++)
            q[i] = i < part ? as_type<float>(load_u16(p + 2 * i) << 16) : 0.0f;
    }
};
