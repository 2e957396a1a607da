// The backward pass through time: eq. (7) to (12) of lstm_core::equations, steps from the last to the first, in one
// launch; what the weights get from it are products over all steps, made afterwards.
//
// A block of threads has ROWS units and, with K_PARTS > 1, one part of the sum over the 4H rows of dz; dc of its own
// units stays in registers. dz is what the blocks tell one another: UNWRITTEN on entry.

#define ITEMS ((OWN_ROWS * COLUMNS + THREADS - 1) / THREADS)

struct Layer {
    const float *v;                 // [4H, H]
    const float *gates, *c;         // [T, B, 4H], [T, B, H]
    const float *c0;                // [B, H], null for zeros
    const float *dy;                // [T, B, width], the layer's own columns; null for zeros
    const float *dh_last, *dc_last; // [B, H]; null for zeros
    float *dz;                      // [T, B, 4H]
    float *dz_first, *dz_sum;       // [B, 4H]: of each row's first step, and summed over its steps
    float *dc0, *dh0;               // [B, H]; of rows without steps alone in dh0, zero elsewhere
    u64 *exchange;
    int width, reverse;
};

struct Layers {
    Layer of[2];
};

extern "C" __global__ void __launch_bounds__(THREADS, 1)
backward(const __grid_constant__ Layers layers, const u32 *lengths, int n_steps, int batch, int first_row, int slices,
         int blocks) {
    extern __shared__ float memory[];
    int block = blockIdx.x / K_PARTS % blocks, part = blockIdx.x % K_PARTS;
    int slice = blockIdx.x / (K_PARTS * blocks) % slices;
    const Layer &layer = layers.of[blockIdx.x / (K_PARTS * blocks * slices)];
    const Lane lane(part);
    const Exchange exchange = {layer.exchange, slices * blocks, slice * blocks + block, part};
    const float *v = layer.v;
    const auto row_of = [](int owner, int r) { return owner * OWN_ROWS + r; };
    const auto term = [=](int row, int k) {
        int unit = block * ROWS + row;
        return unit < HIDDEN ? v[k * HIDDEN + unit] : 0.f;
    };
    const Factor<decltype(term)> factor(lane, term);

    float dc[ITEMS], sum[ITEMS][4];
    int unit_of[ITEMS], row_b[ITEMS], length[ITEMS];
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        int item = threadIdx.x + i * THREADS;
        unit_of[i] = block * ROWS + part * OWN_ROWS + item % OWN_ROWS;
        row_b[i] = first_row + slice * COLUMNS + item / OWN_ROWS;
        if (item >= OWN_ROWS * COLUMNS || unit_of[i] >= HIDDEN || row_b[i] >= batch) row_b[i] = -1;
        dc[i] = 0.f;
        length[i] = row_b[i] < 0 ? 0 : lengths ? lengths[row_b[i]] : n_steps;
        if (row_b[i] >= 0) {
            // The state of a row without steps passes through.
            int of_row = row_b[i] * HIDDEN + unit_of[i];
            layer.dh0[of_row] = length[i] == 0 && layer.dh_last ? layer.dh_last[of_row] : 0.f;
            if (length[i] == 0 && layer.dc_last) dc[i] = layer.dc_last[of_row];
        }
#pragma unroll
        for (int g = 0; g < 4; g++) sum[i][g] = 0.f;
    }
    int x_row[N_TILES];
#pragma unroll
    for (int n = 0; n < N_TILES; n++) x_row[n] = first_row + slice * COLUMNS + n * 8 + lane.group;

    for (int step = 0; step < n_steps; step++) {
        int t = layer.reverse ? step : n_steps - 1 - step, after = layer.reverse ? t - 1 : t + 1;
        int before = layer.reverse ? t + 1 : t - 1;
        float gates[ITEMS][4], c[ITEMS], c_before[ITEMS], dh[ITEMS];
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            if (row_b[i] < 0) continue;
            long long at = (long long)t * batch + row_b[i];
            int of_row = row_b[i] * HIDDEN + unit_of[i];
#pragma unroll
            for (int g = 0; g < 4; g++) gates[i][g] = layer.gates[at * 4 * HIDDEN + g * HIDDEN + unit_of[i]];
            c[i] = layer.c[at * HIDDEN + unit_of[i]];
            bool starts = before < 0 || before >= length[i];
            c_before[i] = !starts      ? layer.c[((long long)before * batch + row_b[i]) * HIDDEN + unit_of[i]]
                          : layer.c0   ? layer.c0[of_row]
                                       : 0.f;
            dh[i] = layer.dy ? layer.dy[at * layer.width + unit_of[i]] : 0.f;
            if (length[i] > 0 && t == (layer.reverse ? 0 : length[i] - 1)) {
                if (layer.dh_last) dh[i] += layer.dh_last[of_row];
                if (layer.dc_last) dc[i] += layer.dc_last[of_row];
            }
        }
        float *partial = memory + (step & 1) * (WARPS_K * ROWS * PITCH);
        if (step > 0) {
            Rows rows;
            rows.begins = 0, rows.any_begin = false;
#pragma unroll
            for (int n = 0; n < N_TILES; n++) {
                const float *dz = layer.dz + ((long long)after * batch + x_row[n]) * 4 * HIDDEN;
                rows.awaited[n] = x_row[n] < batch ? dz : nullptr;
            }
            factor.multiply_rows(rows, partial);
            __syncthreads();
            exchange.send(step, partial, row_of);
        }
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            if (row_b[i] < 0) continue;
            int item = threadIdx.x + i * THREADS;
            if (step > 0) {
                float sums[1];
                exchange.whole(sums, step, partial, row_of, item % OWN_ROWS, 1, item / OWN_ROWS);
                dh[i] += sums[0];
            }
            float in = gates[i][0], forget = gates[i][1], candidate = gates[i][2], out = gates[i][3];
            float squashed = tanhf(c[i]);
            float dz[4] = {0.f, 0.f, 0.f, 0.f};
            if (t < length[i]) {
                float of_cell = dc[i] + dh[i] * out * (1.f - squashed * squashed);
                dz[0] = of_cell * candidate * in * (1.f - in);
                dz[1] = of_cell * c_before[i] * forget * (1.f - forget);
                dz[2] = of_cell * in * (1.f - candidate * candidate);
                dz[3] = dh[i] * squashed * out * (1.f - out);
                dc[i] = of_cell * forget;
            }
            float *to = layer.dz + ((long long)t * batch + row_b[i]) * 4 * HIDDEN + unit_of[i];
            bool first = t == (layer.reverse ? length[i] - 1 : 0);
#pragma unroll
            for (int g = 0; g < 4; g++) {
                publish(to + g * HIDDEN, dz[g]);
                sum[i][g] += dz[g];
                if (first) layer.dz_first[row_b[i] * 4 * HIDDEN + g * HIDDEN + unit_of[i]] = dz[g];
            }
        }
    }
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        if (row_b[i] < 0) continue;
        layer.dc0[row_b[i] * HIDDEN + unit_of[i]] = dc[i];
#pragma unroll
        for (int g = 0; g < 4; g++) layer.dz_sum[row_b[i] * 4 * HIDDEN + g * HIDDEN + unit_of[i]] = sum[i][g];
    }
}
