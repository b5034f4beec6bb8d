// The gradients of the selective scan. The forward pass does not keep its states: they are computed
// again, first to know where each chunk starts, then chunk by chunk from the last to the first, each
// just before the reverse pass goes through it.

// Tokens of one chunk; its states and their gradients stay in the first-level cache.
constexpr int64_t REVERSE_CHUNK = 8;

// A scan in reverse: of `blocks` times LANES neighbouring channels that share B and C, and of one
// block of states. Steps and their gradients are [blocks x length], in the order of the scan; what is
// written to du and dsteps is added.
struct Reversal {
  const float *u, *B, *C, *dy;
  float *du, *dB, *dC;
  int64_t u_row, matrix_row, dy_row;
  const int32_t* order;  // null: as they lie
  const Lanes* steps;
  Lanes* dsteps;
  int64_t blocks, length;

  int64_t token(int64_t s) const { return order ? order[s] : s; }
};

// What the reverse pass of LANES channels carries from token to token.
struct Carried {
  States A, gradient, dA;
};

struct ChunkStates {
  States decay[REVERSE_CHUNK], after[REVERSE_CHUNK + 1];  // after[0]: before the first token
  States dB[REVERSE_CHUNK], dC[REVERSE_CHUNK];
};

// The states after the token at place s, from those before it, and by how much these decayed.
INLINE void next(States& h, States& decay, const States& A, const Reversal& r, int64_t block, int64_t s) {
  const int64_t t = r.token(s);
  const Vec step = r.steps[block * r.length + s].v;
  const Vec input = step * load(r.u + t * r.u_row + block * LANES);
  const float* B = r.B + t * r.matrix_row;
#pragma GCC unroll 16
  for (int n = 0; n < STATES; ++n) {
    decay.v[n] = exp2(step * A.v[n]);
    h.v[n] = decay.v[n] * h.v[n] + input * B[n];
  }
}

// Goes back through the token at place s, the i-th of its chunk.
INLINE void back(Carried& c, ChunkStates& chunk, const Reversal& r, int64_t block, int64_t s, int64_t i) {
  const int64_t t = r.token(s);
  const Vec u = load(r.u + t * r.u_row + block * LANES), dy = load(r.dy + t * r.dy_row + block * LANES);
  const Vec step = r.steps[block * r.length + s].v;
  const float *B = r.B + t * r.matrix_row, *C = r.C + t * r.matrix_row;
  const Vec input = step * u;
  Vec dinput = {}, dstep = {};
#pragma GCC unroll 16
  for (int n = 0; n < STATES; ++n) {
    const Vec gradient = c.gradient.v[n] + dy * C[n];
    const Vec onward = gradient * chunk.decay[i].v[n];
    const Vec dlog_decay = onward * chunk.after[i].v[n];
    chunk.dB[i].v[n] += gradient * input;
    chunk.dC[i].v[n] += dy * chunk.after[i + 1].v[n];
    dinput += gradient * B[n];
    dstep += dlog_decay * c.A.v[n];
    c.dA.v[n] += dlog_decay * step;
    c.gradient.v[n] = onward;
  }
  float* du = r.du + t * r.u_row + block * LANES;
  store(du, load(du) + dinput * step);
  // A is in units of log 2.
  r.dsteps[block * r.length + s].v += dinput * u + dstep * (1.0f / LOG2_E);
}

// p[n] = the sum over the channels of s.v[n].
INLINE void store_sums(float* p, const States& s) {
  for (int first = 0; first < STATES; first += LANES) {
    Vec v[LANES];
    for (int i = 0; i < LANES; ++i) v[i] = s.v[first + i];
#pragma GCC unroll 4
    for (int width = LANES / 2; width > 0; width /= 2)
#pragma GCC unroll 8
      for (int i = 0; i < width; ++i) v[i] = pair_sums(v[2 * i], v[2 * i + 1]);
    store(p + first, v[0]);
  }
}

// Goes back through a whole scan. A and dA are rows of `states` of the first channel.
TARGET inline void reverse(const Reversal& r, const float* A, float* dA, int64_t states) {
  const int64_t chunks = (r.length + REVERSE_CHUNK - 1) / REVERSE_CHUNK;
  std::vector<Carried> carried(r.blocks);
  std::vector<States> starts(chunks * r.blocks);
  std::vector<ChunkStates> workspace(1);
  ChunkStates& chunk = workspace[0];
  for (int64_t block = 0; block < r.blocks; ++block) {
    Carried& c = carried[block];
    c.A = load_states(A + block * LANES * states, states, LOG2_E);
    c.gradient = c.dA = {};
    States h = {}, decay;
    for (int64_t s = 0; s < r.length; ++s) {
      if (s % REVERSE_CHUNK == 0) starts[s / REVERSE_CHUNK * r.blocks + block] = h;
      next(h, decay, c.A, r, block, s);
    }
  }
  for (int64_t number = chunks - 1; number >= 0; --number) {
    const int64_t begin = number * REVERSE_CHUNK, count = std::min(REVERSE_CHUNK, r.length - begin);
    for (int64_t i = 0; i < count; ++i) chunk.dB[i] = chunk.dC[i] = {};
    for (int64_t block = 0; block < r.blocks; ++block) {
      States h = chunk.after[0] = starts[number * r.blocks + block];
      for (int64_t i = 0; i < count; ++i) {
        next(h, chunk.decay[i], carried[block].A, r, block, begin + i);
        chunk.after[i + 1] = h;
      }
      Carried c = carried[block];
      for (int64_t i = count - 1; i >= 0; --i) back(c, chunk, r, block, begin + i, i);
      carried[block] = c;
    }
    for (int64_t i = 0; i < count; ++i) {
      const int64_t place = r.token(begin + i) * r.matrix_row;
      store_sums(r.dB + place, chunk.dB[i]);
      store_sums(r.dC + place, chunk.dC[i]);
    }
  }
  for (int64_t block = 0; block < r.blocks; ++block)
    for (int n = 0; n < STATES; ++n) scatter(dA + block * LANES * states + n, states, carried[block].dA.v[n]);
}

// One task takes all channels of a group, so that no two tasks write the same dB and dC.
inline int64_t scan_gradient_tasks(const ScanGradient& a) { return a.batch * a.groups; }

TARGET inline void scan_gradient(const ScanGradient& a, int64_t task) {
  const int64_t batch = task / a.groups, group = task % a.groups;
  const int64_t row = a.groups * a.channels, matrix_row = a.groups * a.states;
  const int64_t place = batch * a.length * row + group * a.channels;
  const int64_t matrix_place = batch * a.length * matrix_row + group * a.states;
  const int64_t parameter = group * a.channels * a.states, blocks = a.channels / LANES;
  std::vector<Lanes> steps(blocks * a.length), dsteps(blocks * a.length);
  for (int64_t t = 0; t < a.length; ++t) {
    std::fill_n(a.du + place + t * row, a.channels, 0.0f);
    for (int64_t block = 0; block < blocks; ++block)
      steps[block * a.length + t].v = load(a.delta + place + t * row + block * LANES);
  }
  for (int64_t n = 0; n < a.states; n += STATES) {
    const int64_t matrix = matrix_place + n;
    reverse({a.u + place, a.B + matrix, a.C + matrix, a.dy + place, a.du + place, a.dB + matrix, a.dC + matrix, row,
             matrix_row, row, nullptr, steps.data(), dsteps.data(), blocks, a.length},
            a.A + parameter + n, a.dA + batch * row * a.states + parameter + n, a.states);
  }
  for (int64_t block = 0; block < blocks; ++block)
    for (int64_t t = 0; t < a.length; ++t)
      store(a.ddelta + place + t * row + block * LANES, dsteps[block * a.length + t].v);
}

inline int64_t cross_scan_gradient_tasks(const CrossScanGradient& a) { return a.batch; }

// The steps of one direction, [blocks x length] in its order, and what they come from.
struct Steps {
  const float *dt, *weight, *bias;  // of the direction
  int64_t dt_row, rank, length;
  const int32_t* order;
};

INLINE void make_steps(const Steps& a, Lanes* steps, int64_t block) {
  std::vector<Lanes> weight(a.rank);
  for (int64_t r = 0; r < a.rank; ++r) weight[r].v = gather(a.weight + block * LANES * a.rank + r, a.rank);
  const Vec bias = load(a.bias + block * LANES);
  for (int64_t s = 0; s < a.length; ++s) {
    Vec step = bias;
    for (int64_t r = 0; r < a.rank; ++r) step += weight[r].v * a.dt[a.order[s] * a.dt_row + r];
    steps[block * a.length + s].v = softplus(step);
  }
}

// The gradients of dt (added), of the weight and of the bias (written), from those of the steps.
INLINE void return_steps(const Steps& a, const Lanes* steps, const Lanes* dsteps, int64_t block, float* ddt,
                         float* dweight, float* dbias) {
  std::vector<Lanes> weight(a.rank), weight_sum(a.rank);
  for (int64_t r = 0; r < a.rank; ++r) weight[r].v = gather(a.weight + block * LANES * a.rank + r, a.rank);
  Vec bias_sum = {};
  for (int64_t s = 0; s < a.length; ++s) {
    const int64_t place = a.order[s] * a.dt_row;
    // The slope of softplus is 1 - exp(-softplus).
    const Vec slope = 1.0f - exp2(steps[block * a.length + s].v * -LOG2_E);
    const Vec gradient = dsteps[block * a.length + s].v * slope;
    bias_sum += gradient;
    for (int64_t r = 0; r < a.rank; ++r) {
      weight_sum[r].v += gradient * a.dt[place + r];
      ddt[place + r] += sum(gradient * weight[r].v);
    }
  }
  for (int64_t r = 0; r < a.rank; ++r) scatter(dweight + block * LANES * a.rank + r, a.rank, weight_sum[r].v);
  store(dbias + block * LANES, bias_sum);
}

// One task takes a whole window, so that no two tasks add to the same gradient.
TARGET inline void cross_scan_gradient(const CrossScanGradient& a, int64_t batch) {
  const int64_t features = a.rank + 2 * a.states, row = a.directions / a.sources * features;
  const int64_t blocks = a.channels / LANES, width = a.directions * a.channels;
  const float* dy = a.dy + batch * a.length * a.channels;
  std::vector<Lanes> steps(blocks * a.length), dsteps(blocks * a.length);
  for (int64_t source = 0; source < a.sources; ++source) {
    const int64_t first = (source * a.batch + batch) * a.length;
    std::fill_n(a.du + first * a.channels, a.length * a.channels, 0.0f);
    std::fill_n(a.dprojected + first * row, a.length * row, 0.0f);
  }
  for (int64_t k = 0; k < a.directions; ++k) {
    const int64_t first = (k % a.sources * a.batch + batch) * a.length, parameter = k * a.channels;
    const int64_t dt = first * row + k / a.sources * features;
    const float* u = a.u + first * a.channels;
    float* du = a.du + first * a.channels;
    const Steps direction{a.projected + dt, a.dt_weight + parameter * a.rank, a.dt_bias + parameter, row, a.rank,
                          a.length, a.orders + k * a.length};
    std::fill(dsteps.begin(), dsteps.end(), Lanes{});
    for (int64_t block = 0; block < blocks; ++block) make_steps(direction, steps.data(), block);
    for (int64_t n = 0; n < a.states; n += STATES) {
      const int64_t B = dt + a.rank + n, C = B + a.states;
      reverse({u, a.projected + B, a.projected + C, dy, du, a.dprojected + B, a.dprojected + C, a.channels, row,
               a.channels, direction.order, steps.data(), dsteps.data(), blocks, a.length},
              a.A + parameter * a.states + n, a.dA + (batch * width + parameter) * a.states + n, a.states);
    }
    for (int64_t block = 0; block < blocks; ++block) {
      return_steps(direction, steps.data(), dsteps.data(), block, a.dprojected + dt,
                   a.ddt_weight + (batch * width + parameter) * a.rank, a.ddt_bias + batch * width + parameter);
      const Vec D = load(a.D + parameter + block * LANES);
      Vec dD = {};
      for (int64_t t = 0; t < a.length; ++t) {
        const int64_t place = t * a.channels + block * LANES;
        const Vec gradient = load(dy + place);
        dD += gradient * load(u + place);
        store(du + place, load(du + place) + gradient * D);
      }
      store(a.dD + batch * width + parameter + block * LANES, dD);
    }
  }
}
