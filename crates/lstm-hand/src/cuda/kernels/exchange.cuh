// The sums of a block's warps, and of blocks with other parts of k, put together.

// The block's own sum.
__device__ __forceinline__ float own_sum(const float *partial, int row, int column) {
    float sum = 0.f;
#pragma unroll
    for (int w = 0; w < WARPS_K; w++) sum += partial[(w * ROWS + row) * PITCH + column];
    return sum;
}

// The rows of a block are shared out to the blocks with the other parts of k: each is `Own` to one of them.
#define OWN_ROWS (ROWS / K_PARTS)

// Sums over parts of k travel between the blocks that share rows, each with the number of its step: a reader takes what
// has the step's, so nothing has to be cleared on the way, and two rooms in turns suffice: who writes step s + 2 has
// read something computed from sums of step s + 1 over all of k, and these from what every block computed with step s.
// No part of k may be empty. Zero before the run.
struct Exchange {
    u64 *memory;  // [2][blocks][owner][from][COLUMNS][OWN_ROWS]
    int blocks, block, part;

    __device__ __forceinline__ u64 *room(int step, int owner, int from) const {
        u64 rooms = (((u64)(step & 1) * blocks + block) * K_PARTS + owner) * K_PARTS + from;
        return memory + rooms * (OWN_ROWS * COLUMNS);
    }

    // `row_of(owner, r)`: the block's row that is row `r` of `owner`.
    template <class RowOf>
    __device__ __forceinline__ void send(int step, const float *partial, RowOf row_of) const {
#if K_PARTS > 1
        // Four or eight rows of a few columns by a warp: neither banks nor sectors are hit more than twice.
        const int wide = OWN_ROWS % 8 ? 4 : 8, tall = 32 / wide, tiles = OWN_ROWS / wide;
        for (int k = threadIdx.x; k < (K_PARTS - 1) * OWN_ROWS * COLUMNS; k += THREADS) {
            int owner = k / (OWN_ROWS * COLUMNS), tile = k % (OWN_ROWS * COLUMNS) / 32, in_tile = k % 32;
            owner += owner >= part;
            int row = tile % tiles * wide + in_tile % wide, column = tile / tiles * tall + in_tile / wide;
            u64 value = (u64)(step + 1) << 32 | __float_as_uint(own_sum(partial, row_of(owner, row), column));
            u64 *to = room(step, owner, part) + column * OWN_ROWS + row;
            asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(to), "l"(value) : "memory");
        }
#endif
    }

    // The sums over all of k, in the order of its parts, of N of the block's own rows, `apart` from one another.
    template <int N, class RowOf>
    __device__ __forceinline__ void whole(float (&sums)[N], int step, const float *partial, RowOf row_of, int row,
                                          int apart, int column) const {
#if K_PARTS > 1
        u64 values[K_PARTS][N];
        bool all;
        u32 asked = 0;
        do {
            lose_patience(asked);
            all = true;
#pragma unroll
            for (int from = 0; from < K_PARTS; from++)
#pragma unroll
                for (int n = 0; n < N; n++) {
                    const u64 *at = room(step, part, from) + column * OWN_ROWS + row + n * apart;
                    values[from][n] = (u64)(step + 1) << 32;
                    if (from != part)
                        asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];"
                                     : "=l"(values[from][n]) : "l"(at) : "memory");
                }
#pragma unroll
            for (int from = 0; from < K_PARTS; from++)
#pragma unroll
                for (int n = 0; n < N; n++) all = all && (u32)(values[from][n] >> 32) == (u32)(step + 1);
        } while (!all);
#pragma unroll
        for (int n = 0; n < N; n++) {
            float own = own_sum(partial, row_of(part, row + n * apart), column);
            sums[n] = 0.f;
#pragma unroll
            for (int from = 0; from < K_PARTS; from++)
                sums[n] += from == part ? own : __uint_as_float((u32)values[from][n]);
        }
#else
#pragma unroll
        for (int n = 0; n < N; n++) sums[n] = own_sum(partial, row_of(0, row + n * apart), column);
#endif
    }
};
