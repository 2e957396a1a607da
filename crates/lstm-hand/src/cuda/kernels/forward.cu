// The forward pass through time: eq. (1) to (6) of lstm_core::equations, steps in order, in one launch.
//
// z[t] holds U x[t] on entry. A block of threads has the four gates of ROWS / 4 units and, with K_PARTS > 1, one part
// of the sum over h; c of its own units stays in registers. y is what the blocks tell one another: UNWRITTEN on entry.
//
//   HIDDEN   units                KEEP   whether gates and c are kept for the way back

#define UNITS (ROWS / 4)
#define OWN_UNITS (UNITS / K_PARTS)
#define ITEMS ((OWN_UNITS * COLUMNS + THREADS - 1) / THREADS)

struct Layer {
    const float *v, *b_ih, *b_hh;  // [4H, H], [4H], [4H]; the biases may be null
    const float *h0, *c0;          // [B, H], null for zeros
    float *z;                      // [T, B, 4H]; the activated gates on return, with KEEP
    float *y;                      // [T, B, width], the layer's own columns
    float *c;                      // [T, B, H], with KEEP
    float *h_last, *c_last;        // [B, H]
    u64 *exchange;
    int width, reverse;
};

struct Layers {
    Layer of[2];
};

__device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

extern "C" __global__ void __launch_bounds__(THREADS, 1)
forward(const __grid_constant__ Layers layers, const u32 *lengths, int n_steps, int batch, int first_row, int slices,
        int blocks) {
    extern __shared__ float memory[];
    int block = blockIdx.x / K_PARTS % blocks, part = blockIdx.x % K_PARTS;
    int slice = blockIdx.x / (K_PARTS * blocks) % slices;
    const Layer &layer = layers.of[blockIdx.x / (K_PARTS * blocks * slices)];
    const Lane lane(part);
    const Exchange exchange = {layer.exchange, slices * blocks, slice * blocks + block, part};
    const float *v = layer.v;
    const auto row_of = [](int owner, int r) { return r / OWN_UNITS * UNITS + owner * OWN_UNITS + r % OWN_UNITS; };
    const auto term = [=](int row, int k) {
        int unit = block * UNITS + row % UNITS;
        return unit < HIDDEN ? v[(row / UNITS * HIDDEN + unit) * HIDDEN + k] : 0.f;
    };
    const Factor<decltype(term)> factor(lane, term);

    float cell[ITEMS], bias[ITEMS][4];
    int unit_of[ITEMS], row_b[ITEMS], length[ITEMS];
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        int item = threadIdx.x + i * THREADS;
        unit_of[i] = block * UNITS + part * OWN_UNITS + item % OWN_UNITS;
        row_b[i] = first_row + slice * COLUMNS + item / OWN_UNITS;
        if (item >= OWN_UNITS * COLUMNS || unit_of[i] >= HIDDEN || row_b[i] >= batch) row_b[i] = -1;
        if (row_b[i] < 0) continue;
        cell[i] = layer.c0 ? layer.c0[row_b[i] * HIDDEN + unit_of[i]] : 0.f;
        length[i] = lengths ? lengths[row_b[i]] : n_steps;
#pragma unroll
        for (int g = 0; g < 4; g++) {
            bias[i][g] = layer.b_ih ? layer.b_ih[g * HIDDEN + unit_of[i]] : 0.f;
            if (layer.b_hh) bias[i][g] += layer.b_hh[g * HIDDEN + unit_of[i]];
        }
        if (length[i] == 0) {
            layer.h_last[row_b[i] * HIDDEN + unit_of[i]] = layer.h0 ? layer.h0[row_b[i] * HIDDEN + unit_of[i]] : 0.f;
            layer.c_last[row_b[i] * HIDDEN + unit_of[i]] = cell[i];
        }
    }
    int x_row[N_TILES], x_length[N_TILES];
    Rows rows;
#pragma unroll
    for (int n = 0; n < N_TILES; n++) {
        x_row[n] = first_row + slice * COLUMNS + n * 8 + lane.group;
        rows.initial[n] = layer.h0 && x_row[n] < batch ? layer.h0 + x_row[n] * HIDDEN : nullptr;
        x_length[n] = lengths && x_row[n] < batch ? lengths[x_row[n]] : n_steps;
    }

    for (int step = 0; step < n_steps; step++) {
        int t = layer.reverse ? n_steps - 1 - step : step, before = layer.reverse ? t + 1 : t - 1;
        float z[ITEMS][4];
#pragma unroll
        for (int i = 0; i < ITEMS; i++)
#pragma unroll
            for (int g = 0; g < 4; g++)
                z[i][g] = row_b[i] < 0
                              ? 0.f
                              : layer.z[((long long)t * batch + row_b[i]) * 4 * HIDDEN + g * HIDDEN + unit_of[i]];

        rows.begins = 0;
#pragma unroll
        for (int n = 0; n < N_TILES; n++) {
            bool present = x_row[n] < batch, begins = step == 0 || (layer.reverse && before >= x_length[n]);
            const float *y = layer.y + ((long long)before * batch + x_row[n]) * layer.width;
            rows.awaited[n] = present && step > 0 ? y : nullptr;
            rows.begins |= (u32)(present && begins) << n;
        }
        rows.any_begin = rows.begins != 0;
        float *partial = memory + (step & 1) * (WARPS_K * ROWS * PITCH);
        factor.multiply_rows(rows, partial);
        __syncthreads();
        exchange.send(step, partial, row_of);
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            if (row_b[i] < 0) continue;
            int item = threadIdx.x + i * THREADS;
            float sums[4];
            exchange.whole(sums, step, partial, row_of, item % OWN_UNITS, OWN_UNITS, item / OWN_UNITS);
#pragma unroll
            for (int g = 0; g < 4; g++) z[i][g] += bias[i][g] + sums[g];
            float in = sigmoid(z[i][0]), forget = sigmoid(z[i][1]), candidate = tanhf(z[i][2]), out = sigmoid(z[i][3]);
            bool valid = t < length[i];
            if (valid) cell[i] = forget * cell[i] + in * candidate;
            float h = valid ? out * tanhf(cell[i]) : 0.f;
            long long at = (long long)t * batch + row_b[i];
            publish(layer.y + at * layer.width + unit_of[i], h);
#if KEEP
            float *gates = layer.z + at * 4 * HIDDEN + unit_of[i];
            gates[0] = in, gates[HIDDEN] = forget, gates[2 * HIDDEN] = candidate, gates[3 * HIDDEN] = out;
            layer.c[at * HIDDEN + unit_of[i]] = cell[i];
#endif
            if (valid && t == (layer.reverse ? 0 : length[i] - 1)) {
                layer.h_last[row_b[i] * HIDDEN + unit_of[i]] = h;
                layer.c_last[row_b[i] * HIDDEN + unit_of[i]] = cell[i];
            }
        }
    }
}
