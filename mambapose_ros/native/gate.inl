// What stands before and after the scans of a block: convolution with SiLU, and the gated norm.

inline int64_t convolution_tasks(const Convolution& a) { return a.batch * (a.channels / LANES); }

TARGET inline void convolution(const Convolution& a, int64_t task) {
  const int64_t blocks = a.channels / LANES, tokens = a.frames * a.joints;
  const int64_t channel = task % blocks * LANES, batch = task / blocks;
  const float* x = a.x + batch * tokens * a.row + channel;
  float* with_neighbour = a.y + batch * tokens * a.channels + channel;
  float* without = with_neighbour + a.batch * tokens * a.channels;
  Vec weight[9];
  for (int i = 0; i < 9; ++i) weight[i] = gather(a.weight + channel * 9 + i, 9);
  const Vec bias = load(a.bias + channel);
  for (int64_t frame = 0; frame < a.frames; ++frame) {
    for (int64_t joint = 0; joint < a.joints; ++joint) {
      Vec y = bias;
      for (int64_t f = std::max<int64_t>(frame - 1, 0); f < std::min(frame + 2, a.frames); ++f)
        for (int64_t j = std::max<int64_t>(joint - 1, 0); j < std::min(joint + 2, a.joints); ++j)
          y += load(x + (f * a.joints + j) * a.row) * weight[(f - frame + 1) * 3 + j - joint + 1];
      store(without + (frame * a.joints + joint) * a.channels, silu(y));
    }
    for (int64_t joint = 0; joint < a.joints; ++joint) {
      const int64_t t = frame * a.joints + joint, neighbour = frame * a.joints + a.neighbours[joint];
      store(with_neighbour + t * a.channels,
            load(without + t * a.channels) + load(without + neighbour * a.channels));
    }
  }
}

constexpr int64_t GATE_TOKENS = 32;  // of one task

inline int64_t gate_tasks(const Gate& a) { return (a.tokens + GATE_TOKENS - 1) / GATE_TOKENS; }

TARGET inline void gate(const Gate& a, int64_t task) {
  const int64_t end = std::min((task + 1) * GATE_TOKENS, a.tokens);
  for (int64_t t = task * GATE_TOKENS; t < end; ++t) {
    const float *y = a.y + t * a.channels, *z = a.z + t * a.row;
    Vec total = {}, squares = {};
    for (int64_t c = 0; c < a.channels; c += LANES) total += load(y + c);
    const float mean = sum(total) / a.channels;
    for (int64_t c = 0; c < a.channels; c += LANES) {
      const Vec centred = load(y + c) - mean;
      squares += centred * centred;
    }
    const float scale = 1.0f / std::sqrt(sum(squares) / a.channels + a.epsilon);
    for (int64_t c = 0; c < a.channels; c += LANES) {
      const Vec normal = (load(y + c) - mean) * scale * load(a.weight + c) + load(a.bias + c);
      store(a.out + t * a.channels + c, normal * silu(load(z + c)));
    }
  }
}
