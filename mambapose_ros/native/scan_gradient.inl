// The gradients of the selective scan. The states are not kept by the forward pass: they are
// computed again, first to know where each chunk starts, then chunk by chunk from the last to the
// first, each just before the reverse pass goes through it.

// One task takes all channels of a group, so that no two tasks add to the same dB and dC.
inline int64_t scan_gradient_tasks(const ScanGradient& a) { return a.batch * a.groups; }

// Rows of the (batch, group) of a task.
struct Rows {
  const float *u, *delta, *B, *C, *dy;
  float *du, *ddelta;
  int64_t row, matrix_row;
};

// What the reverse pass of LANES channels carries from token to token.
struct Reverse {
  States A, gradient, dA;
};

// The states after token t, from those before it.
INLINE States next(const States& h, const States& A, const Rows& rows, int64_t channel, int64_t t) {
  const int64_t place = t * rows.row + channel;
  const Vec step = load(rows.delta + place), input = step * load(rows.u + place);
  const float* B = rows.B + t * rows.matrix_row;
  States out;
  for (int n = 0; n < STATES; ++n)
    out.v[n] = exp2(step * A.v[n] * LOG2_E) * h.v[n] + input * B[n];
  return out;
}

// Goes back through tokens [begin, end), given the states before each and after the last; adds to
// du, ddelta and r.dA, and, lane by lane, to dB and dC of the chunk.
INLINE void retreat(Reverse& r, const States* states, States* dB, States* dC, const Rows& rows,
                    int64_t channel, int64_t begin, int64_t end) {
  for (int64_t t = end - 1; t >= begin; --t) {
    const int64_t place = t * rows.row + channel, s = t - begin;
    const Vec u = load(rows.u + place), step = load(rows.delta + place), dy = load(rows.dy + place);
    const float *B = rows.B + t * rows.matrix_row, *C = rows.C + t * rows.matrix_row;
    const Vec input = step * u;
    Vec dinput = {}, dstep = {};
    for (int n = 0; n < STATES; ++n) {
      const Vec gradient = r.gradient.v[n] + dy * C[n];
      const Vec decay = exp2(step * r.A.v[n] * LOG2_E);
      const Vec dlog_decay = gradient * decay * states[s].v[n];
      dB[s].v[n] += gradient * input;
      dC[s].v[n] += dy * states[s + 1].v[n];
      dinput += gradient * B[n];
      dstep += dlog_decay * r.A.v[n];
      r.dA.v[n] += dlog_decay * step;
      r.gradient.v[n] = gradient * decay;
    }
    store(rows.du + place, load(rows.du + place) + dinput * step);
    store(rows.ddelta + place, load(rows.ddelta + place) + dinput * u + dstep);
  }
}

TARGET inline void scan_gradient(const ScanGradient& a, int64_t task) {
  const int64_t batch = task / a.groups, group = task % a.groups;
  const int64_t row = a.groups * a.channels, matrix_row = a.groups * a.states;
  const int64_t place = batch * a.length * row + group * a.channels;
  const int64_t matrix_place = batch * a.length * matrix_row + group * a.states;
  const int64_t parameter = group * a.channels * a.states;
  const int64_t blocks = a.channels / LANES, chunks = (a.length + CHUNK - 1) / CHUNK;
  std::vector<Reverse> reverse(blocks);
  std::vector<States> starts(chunks * blocks), states(CHUNK + 1), dB(CHUNK), dC(CHUNK);
  for (int64_t t = 0; t < a.length; ++t) {
    std::fill_n(a.du + place + t * row, a.channels, 0.0f);
    std::fill_n(a.ddelta + place + t * row, a.channels, 0.0f);
  }
  for (int64_t n = 0; n < a.states; n += STATES) {
    const Rows rows{a.u + place,        a.delta + place, a.B + matrix_place + n,
                    a.C + matrix_place + n, a.dy + place,    a.du + place,
                    a.ddelta + place,   row,             matrix_row};
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t channel = block * LANES;
      Reverse& r = reverse[block] = {};
      r.A = load_states(a.A + parameter + channel * a.states + n, a.states, 1.0f);
      States h = {};
      for (int64_t t = 0; t < a.length; ++t) {
        if (t % CHUNK == 0) starts[t / CHUNK * blocks + block] = h;
        h = next(h, r.A, rows, channel, t);
      }
    }
    for (int64_t chunk = chunks - 1; chunk >= 0; --chunk) {
      const int64_t begin = chunk * CHUNK, end = std::min(begin + CHUNK, a.length);
      std::fill(dB.begin(), dB.end(), States{});
      std::fill(dC.begin(), dC.end(), States{});
      for (int64_t block = 0; block < blocks; ++block) {
        Reverse& r = reverse[block];
        states[0] = starts[chunk * blocks + block];
        for (int64_t t = begin; t < end; ++t)
          states[t - begin + 1] = next(states[t - begin], r.A, rows, block * LANES, t);
        retreat(r, states.data(), dB.data(), dC.data(), rows, block * LANES, begin, end);
      }
      for (int64_t t = begin; t < end; ++t) {
        for (int i = 0; i < STATES; ++i) {
          a.dB[matrix_place + t * matrix_row + n + i] = sum(dB[t - begin].v[i]);
          a.dC[matrix_place + t * matrix_row + n + i] = sum(dC[t - begin].v[i]);
        }
      }
    }
    for (int64_t block = 0; block < blocks; ++block) {
      float* dA = a.dA + batch * row * a.states + parameter + block * LANES * a.states + n;
      for (int i = 0; i < STATES; ++i) scatter(dA + i, a.states, reverse[block].dA.v[i]);
    }
  }
}
