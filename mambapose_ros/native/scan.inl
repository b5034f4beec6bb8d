// The selective scan of LANES neighbouring channels: h = exp(delta A) h + delta B u, y = C h + D u.
// The states are taken STATES at a time, so that a block of them stays in registers.

constexpr int STATES = 16;
constexpr int64_t CHUNK = 64;  // tokens whose step sizes, or states, are held at a time

// A block of states, or of anything that there is one of for each, of LANES channels.
struct States {
  Vec v[STATES];
};

// The tokens that a scan visits: their rows in the tensors, and the order.
struct Tokens {
  const float *u, *B, *C;
  float* y;
  int64_t u_row, matrix_row, y_row;
  const int32_t* order;  // null: as they lie
};

// Rows of A of LANES channels and one block of states, times `scale`.
INLINE States load_states(const float* A, int64_t states, float scale) {
  States out;
  for (int n = 0; n < STATES; ++n) out.v[n] = gather(A + n, states) * scale;
  return out;
}

// Takes the state h through tokens [begin, end) and adds C h to y. A is in units of log 2.
INLINE void advance(States& h, const States& A, const Tokens& tokens, const Vec* delta,
                    int64_t begin, int64_t end) {
  States state = h;
  for (int64_t s = begin; s < end; ++s) {
    const int64_t t = tokens.order ? tokens.order[s] : s;
    const Vec step = delta[s - begin];
    const Vec input = step * load(tokens.u + t * tokens.u_row);
    const float* B = tokens.B + t * tokens.matrix_row;
    const float* C = tokens.C + t * tokens.matrix_row;
    float* y = tokens.y + t * tokens.y_row;
    Vec even = load(y), odd = {};  // two sums, for shorter chains of additions
#pragma GCC unroll 16
    for (int n = 0; n < STATES; n += 2) {
      state.v[n] = exp2(step * A.v[n]) * state.v[n] + input * B[n];
      state.v[n + 1] = exp2(step * A.v[n + 1]) * state.v[n + 1] + input * B[n + 1];
      even += state.v[n] * C[n];
      odd += state.v[n + 1] * C[n + 1];
    }
    store(y, even + odd);
  }
  h = state;
}

// The number of tasks that the following functions split their work into.
inline int64_t scan_tasks(const Scan& a) { return a.batch * a.groups * (a.channels / LANES); }

TARGET inline void scan(const Scan& a, int64_t task) {
  const int64_t width = a.groups * a.channels, matrix_row = a.groups * a.states;
  const int64_t block = task % (width / LANES), batch = task / (width / LANES);
  const int64_t channel = block * LANES, group = channel / a.channels;
  const int64_t first = batch * a.length;
  const float* delta = a.delta + first * width + channel;
  Tokens tokens{a.u + first * width + channel,
                a.B + first * matrix_row + group * a.states,
                a.C + first * matrix_row + group * a.states,
                a.y + first * width + channel,
                width,
                matrix_row,
                width,
                nullptr};
  for (int64_t t = 0; t < a.length; ++t) store(tokens.y + t * width, Vec{});
  for (int64_t n = 0; n < a.states; n += STATES) {
    const States A = load_states(a.A + channel * a.states + n, a.states, LOG2_E);
    States h = {};
    Vec steps[CHUNK];
    for (int64_t begin = 0; begin < a.length; begin += CHUNK) {
      const int64_t end = std::min(begin + CHUNK, a.length);
      for (int64_t t = begin; t < end; ++t) steps[t - begin] = load(delta + t * width);
      advance(h, A, tokens, steps, begin, end);
    }
    tokens.B += STATES;
    tokens.C += STATES;
  }
}

inline int64_t cross_scan_tasks(const CrossScan& a) { return a.batch * (a.channels / LANES); }

// One task takes all directions of a block of channels, so that no two tasks add to the same y.
TARGET inline void cross_scan(const CrossScan& a, int64_t task) {
  const int64_t blocks = a.channels / LANES;
  const int64_t channel = task % blocks * LANES, batch = task / blocks;
  const int64_t features = a.rank + 2 * a.states, row = a.directions / a.sources * features;
  float* y = a.y + batch * a.length * a.channels + channel;
  std::vector<Lanes> dt_weight(a.rank);
  std::vector<States> A(a.states / STATES), h(a.states / STATES);
  for (int64_t t = 0; t < a.length; ++t) store(y + t * a.channels, Vec{});
  for (int64_t k = 0; k < a.directions; ++k) {
    const int64_t first = (k % a.sources * a.batch + batch) * a.length;
    const int64_t parameter = k * a.channels + channel;
    const float* dt = a.projected + first * row + k / a.sources * features;
    Tokens tokens{a.u + first * a.channels + channel,
                  dt + a.rank,
                  dt + a.rank + a.states,
                  y,
                  a.channels,
                  row,
                  a.channels,
                  a.orders + k * a.length};
    const Vec dt_bias = load(a.dt_bias + parameter), D = load(a.D + parameter);
    for (int64_t r = 0; r < a.rank; ++r)
      dt_weight[r].v = gather(a.dt_weight + parameter * a.rank + r, a.rank);
    for (size_t n = 0; n < A.size(); ++n)
      A[n] = load_states(a.A + parameter * a.states + n * STATES, a.states, LOG2_E);
    std::fill(h.begin(), h.end(), States{});
    for (int64_t begin = 0; begin < a.length; begin += CHUNK) {
      const int64_t end = std::min(begin + CHUNK, a.length);
      Vec steps[CHUNK];
      for (int64_t s = begin; s < end; ++s) {
        const int64_t t = tokens.order[s];
        Vec step = dt_bias;
        for (int64_t r = 0; r < a.rank; ++r) step += dt_weight[r].v * dt[t * row + r];
        steps[s - begin] = softplus(step);
        float* skip = y + t * a.channels;
        store(skip, load(skip) + D * load(tokens.u + t * a.channels));
      }
      for (size_t n = 0; n < A.size(); ++n) {
        Tokens block = tokens;
        block.B += n * STATES;
        block.C += n * STATES;
        advance(h[n], A[n], block, steps, begin, end);
      }
    }
  }
}

