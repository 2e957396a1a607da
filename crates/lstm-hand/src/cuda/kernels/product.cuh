// The product of a step: a matrix that stays in registers, and rows that other blocks have just written.
//
// P[m, n] = Σ_k A[m, k] X[n, k]. A block of threads has ROWS rows of A and one of K_PARTS parts of k; its warps share
// these, WARPS_M by rows and WARPS_K by k. Every row of X is a sequence of the batch. Sizes are compiled in:
//
//   K           terms of a sum                  RESIDENT    whether registers hold A (read at every step where not)
//   ROW_TILES   tiles of 16 rows of a warp      K_BLOCKS    blocks of 16 terms of a warp
//   N_TILES     tiles of 8 sequences            VECTOR      numbers of X that lie aligned
//   PRECISION   0: f32 (three products of TF32, terms below 2^-22 left out), 1: TF32, 2: bf16; sums are f32
//
// Blocks tell one another nothing but the numbers: memory holds UNWRITTEN until a number is there, and readers ask
// until it is. One trip through the second-level cache takes the place of a barrier's two. The blocks of a launch have
// to run at the same time (a cooperative launch), and each has to wait for something at every step but the first.

#define THREADS 256
#define WARPS_K (8 / WARPS_M)
#define ROWS (WARPS_M * ROW_TILES * 16)
#define COLUMNS (N_TILES * 8)
// The warps' sums lie in shared memory, [WARPS_K][ROWS][PITCH]; their rows begin eight banks apart.
#define PITCH (N_TILES % 2 ? COLUMNS : COLUMNS + 8)
#define MIN(a, b) ((a) < (b) ? (a) : (b))
// Tiles of sequences that a warp multiplies at the same time, and blocks of k whose loads are under way together; the
// loads of one such chunk wait while those of another are multiplied.
#define ABREAST MIN(N_TILES, ROW_TILES >= 8 ? 1 : 8 / ROW_TILES)
#define TOGETHER MIN(K_BLOCKS, ABREAST >= IN_FLIGHT ? 1 : IN_FLIGHT / ABREAST)
#define CHUNKS_K ((K_BLOCKS + TOGETHER - 1) / TOGETHER)
#define BUFFERS (RESIDENT ? 2 : 1)
#define IN_FLIGHT (PRECISION == 0 ? 4 : 8)
#define UNWRITTEN 0xffffffffu
#define WORDS (PRECISION == 2 ? 4 : 8)

// Times that a reader asks before it gives up, seconds after any step can have taken: an error, not a hanging device.
#define PATIENCE (1 << 24)

// Registers have no index at run time.
constexpr int UNROLLED = RESIDENT ? K_BLOCKS : 1;

typedef unsigned int u32;
typedef unsigned long long u64;

// A NaN that is none of UNWRITTEN and stays one when it is rounded.
__device__ __forceinline__ u32 canonical(float value) { return value == value ? __float_as_uint(value) : 0x7fc00000u; }

// A number that no reader takes for UNWRITTEN.
__device__ __forceinline__ void publish(float *to, float value) {
    u32 bits = canonical(value);
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(to), "r"(bits) : "memory");
}

__device__ __forceinline__ void lose_patience(u32 &asked) {
    if (++asked == PATIENCE) __trap();
}

__device__ __forceinline__ u32 read1(const float *from) {
    u32 v;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(from) : "memory");
    return v;
}

// Terms k to k + 3 of a row, zero from K on.
__device__ __forceinline__ uint4 read_terms(const float *row, int k) {
    uint4 v = make_uint4(0, 0, 0, 0);
#if VECTOR == 4
    if (k < K)
        asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(row + k) : "memory");
#elif VECTOR == 2
    if (k < K)
        asm volatile("ld.relaxed.gpu.global.v2.u32 {%0, %1}, [%2];"
                     : "=r"(v.x), "=r"(v.y) : "l"(row + k) : "memory");
    if (k + 2 < K)
        asm volatile("ld.relaxed.gpu.global.v2.u32 {%0, %1}, [%2];"
                     : "=r"(v.z), "=r"(v.w) : "l"(row + k + 2) : "memory");
#else
    if (k < K) v.x = read1(row + k);
    if (k + 1 < K) v.y = read1(row + k + 1);
    if (k + 2 < K) v.z = read1(row + k + 2);
    if (k + 3 < K) v.w = read1(row + k + 3);
#endif
    return v;
}

__device__ __forceinline__ bool written(uint4 v) {
    return v.x != UNWRITTEN && v.y != UNWRITTEN && v.z != UNWRITTEN && v.w != UNWRITTEN;
}

// The nearest number of TF32, in the bits that the matrix units look at: they leave out the last thirteen. The
// instruction that rounds is slower than they are.
__device__ __forceinline__ u32 tf32(u32 x) { return x + 0x1000u; }

// That number and what it leaves.
__device__ __forceinline__ void split(u32 x, u32 &high, u32 &low) {
    high = tf32(x) & 0xffffe000u;
    low = __float_as_uint(__uint_as_float(x) - __uint_as_float(high));
}

__device__ __forceinline__ u32 bf16x2(float low, float high) {
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

__device__ __forceinline__ void mma_tf32(float (&c)[4], const u32 *a, const u32 *b) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void mma_bf16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Where a thread stands in its warp's tiles, and its warp in the block.
struct Lane {
    int group, member;  // row of a tile (and column of the other factor); which four of sixteen terms
    int warp_m, warp_k;
    int first_k;  // of the thread's terms

    __device__ Lane(int part) {
        int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
        group = lane >> 2;
        member = lane & 3;
        warp_m = warp / WARPS_K;
        warp_k = warp % WARPS_K;
        first_k = (part * WARPS_K + warp_k) * K_BLOCKS * 16 + 4 * member;
    }
};

// The terms of a thread's rows `m` and `m + 8` of a tile, as the matrix units take them.
__device__ __forceinline__ void pack(u32 (&a)[WORDS], const float (&one)[4], const float (&two)[4]) {
#if PRECISION == 2
    a[0] = bf16x2(one[0], one[1]);
    a[1] = bf16x2(two[0], two[1]);
    a[2] = bf16x2(one[2], one[3]);
    a[3] = bf16x2(two[2], two[3]);
#else
    const float numbers[8] = {one[0], two[0], one[1], two[1], one[2], two[2], one[3], two[3]};
#pragma unroll
    for (int w = 0; w < 8; w++) a[w] = PRECISION == 1 ? tf32(canonical(numbers[w])) : canonical(numbers[w]);
#endif
}

// Words of both factors as they are multiplied, `N` of them a block of 16 terms: in f32 each in two parts.
template <int N>
struct Parts {
    u32 high[N];
#if PRECISION == 0
    u32 low[N];
#endif
};

__device__ __forceinline__ Parts<WORDS> parts_of_weights(const u32 (&a)[WORDS]) {
    Parts<WORDS> parts;
#pragma unroll
    for (int w = 0; w < WORDS; w++) {
#if PRECISION == 0
        u32 word = a[w];
        // Not seen through, lest the parts of all weights be kept in registers that are not there.
        asm volatile("" : "+r"(word));
        split(word, parts.high[w], parts.low[w]);
#else
        parts.high[w] = a[w];
#endif
    }
    return parts;
}

__device__ __forceinline__ Parts<WORDS / 2> parts_of_terms(uint4 x) {
    Parts<WORDS / 2> parts;
#if PRECISION == 2
    parts.high[0] = bf16x2(__uint_as_float(x.x), __uint_as_float(x.y));
    parts.high[1] = bf16x2(__uint_as_float(x.z), __uint_as_float(x.w));
#else
    const u32 words[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
    for (int w = 0; w < 4; w++)
#if PRECISION == 1
        parts.high[w] = tf32(words[w]);
#else
        split(words[w], parts.high[w], parts.low[w]);
#endif
#endif
    return parts;
}

// c += a · x over a block of 16 terms.
__device__ __forceinline__ void multiply(float (&c)[4], const Parts<WORDS> &a, const Parts<WORDS / 2> &x) {
#if PRECISION == 2
    mma_bf16(c, a.high, x.high[0], x.high[1]);
#else
#pragma unroll
    for (int half = 0; half < 2; half++) {
#if PRECISION == 0
        mma_tf32(c, a.low + 4 * half, x.high + 2 * half);
        mma_tf32(c, a.high + 4 * half, x.low + 2 * half);
#endif
        mma_tf32(c, a.high + 4 * half, x.high + 2 * half);
    }
#endif
}

// The thread's rows of X at a step: row n · 8 + group of tile n.
struct Rows {
    const float *awaited[N_TILES];  // written by other blocks; null where nothing is
    const float *initial[N_TILES];  // given before the run; null for zeros
    u32 begins;                     // bit n: the row is the initial one, once the awaited one is there
    bool any_begin;

    __device__ __forceinline__ uint4 begin(int n, int k) const {
        // One at a time: a state may be a part of a larger tensor, and lie anywhere.
        u32 x[4];
#pragma unroll
        for (int j = 0; j < 4; j++)
            x[j] = initial[n] && k + j < K ? canonical(__uint_as_float(read1(initial[n] + k + j))) : 0;
        return make_uint4(x[0], x[1], x[2], x[3]);
    }
};

// A thread's part of A; `term(row, k)` reads a number of it, with row < ROWS of the block.
template <class Term>
struct Factor {
    const Lane &lane;
    const Term term;
#if RESIDENT
    u32 a[ROW_TILES][K_BLOCKS][WORDS];
#endif

    __device__ __forceinline__ Factor(const Lane &lane, Term term) : lane(lane), term(term) {
#if RESIDENT
#pragma unroll
        for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
            for (int b = 0; b < K_BLOCKS; b++) read(a[m][b], m, b);
#endif
    }

    __device__ __forceinline__ void read(u32 (&block)[WORDS], int m, int b) const {
        int row = (lane.warp_m * ROW_TILES + m) * 16 + lane.group, k = lane.first_k + 16 * b;
        float one[4], two[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            one[j] = k + j < K ? term(row, k + j) : 0.f;
            two[j] = k + j < K ? term(row + 8, k + j) : 0.f;
        }
        pack(block, one, two);
    }

    // The warp's sums into `partial`: chunk by chunk, some tiles of sequences and some blocks of k, the next one's
    // loads under way while one is multiplied.
    __device__ __forceinline__ void multiply_rows(const Rows &rows, float *partial) const {
        uint4 x[BUFFERS][TOGETHER][ABREAST];
        if (BUFFERS == 2) ask(x[0], 0, 0, rows);
#pragma unroll
        for (int n0 = 0; n0 < N_TILES; n0 += ABREAST) {
            float c[ROW_TILES][ABREAST][4] = {};
#pragma unroll UNROLLED
            for (int first = 0; first < K_BLOCKS; first += TOGETHER) {
                const int chunk = n0 / ABREAST * CHUNKS_K + first / TOGETHER;
                const int next_n0 = first + TOGETHER < K_BLOCKS ? n0 : n0 + ABREAST;
                const int next_first = first + TOGETHER < K_BLOCKS ? first + TOGETHER : 0;
                uint4(&now)[TOGETHER][ABREAST] = x[BUFFERS == 2 ? chunk % 2 : 0];
                if (BUFFERS == 1) ask(now, n0, first, rows);
                wait(now, n0, first, rows);
                if (BUFFERS == 2 && next_n0 < N_TILES) ask(x[(chunk + 1) % BUFFERS], next_n0, next_first, rows);
                multiply_chunk(c, now, first);
            }
            store(c, n0, partial);
        }
    }

    // Loads a chunk, whether it is written or not.
    __device__ __forceinline__ void ask(uint4 (&x)[TOGETHER][ABREAST], int n0, int first, const Rows &rows) const {
#pragma unroll
        for (int b = 0; b < TOGETHER; b++)
#pragma unroll
            for (int n = 0; n < ABREAST; n++) {
                x[b][n] = make_uint4(0, 0, 0, 0);
                if (first + b < K_BLOCKS && n0 + n < N_TILES && rows.awaited[n0 + n])
                    x[b][n] = read_terms(rows.awaited[n0 + n], lane.first_k + 16 * (first + b));
            }
    }

    // Asks again until the chunk is written, then puts the initial rows in their places.
    __device__ __forceinline__ void wait(uint4 (&x)[TOGETHER][ABREAST], int n0, int first, const Rows &rows) const {
        for (u32 asked = 0;; lose_patience(asked)) {
            bool all = true;
#pragma unroll
            for (int b = 0; b < TOGETHER; b++)
#pragma unroll
                for (int n = 0; n < ABREAST; n++) all = all && written(x[b][n]);
            if (all) break;
            ask(x, n0, first, rows);
        }
        if (rows.any_begin)
#pragma unroll
            for (int b = 0; b < TOGETHER; b++)
#pragma unroll
                for (int n = 0; n < ABREAST; n++)
                    if (first + b < K_BLOCKS && n0 + n < N_TILES && rows.begins >> (n0 + n) & 1)
                        x[b][n] = rows.begin(n0 + n, lane.first_k + 16 * (first + b));
        // The matrix units take a warp as a whole.
        __syncwarp();
    }

    __device__ __forceinline__ void multiply_chunk(float (&c)[ROW_TILES][ABREAST][4],
                                                   const uint4 (&x)[TOGETHER][ABREAST], int first) const {
#pragma unroll
        for (int b = 0; b < TOGETHER; b++) {
            if (first + b >= K_BLOCKS) continue;
            Parts<WORDS / 2> terms[ABREAST];
#pragma unroll
            for (int n = 0; n < ABREAST; n++) terms[n] = parts_of_terms(x[b][n]);
#pragma unroll
            for (int m = 0; m < ROW_TILES; m++) {
#if RESIDENT
                const Parts<WORDS> weights = parts_of_weights(a[m][first + b]);
#else
                u32 block[WORDS];
                read(block, m, first + b);
                const Parts<WORDS> weights = parts_of_weights(block);
#endif
#pragma unroll
                for (int n = 0; n < ABREAST; n++) multiply(c[m][n], weights, terms[n]);
            }
        }
    }

    // The sums of the tiles from `n0` on.
    __device__ __forceinline__ void store(const float (&c)[ROW_TILES][ABREAST][4], int n0, float *partial) const {
        float *own = partial + lane.warp_k * ROWS * PITCH;
#pragma unroll
        for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
            for (int n = 0; n < ABREAST; n++) {
                if (n0 + n >= N_TILES) continue;
                int row = (lane.warp_m * ROW_TILES + m) * 16 + lane.group, column = 8 * (n0 + n) + 2 * lane.member;
                *(float2 *)(own + row * PITCH + column) = make_float2(c[m][n][0], c[m][n][1]);
                *(float2 *)(own + (row + 8) * PITCH + column) = make_float2(c[m][n][2], c[m][n][3]);
            }
    }
};
