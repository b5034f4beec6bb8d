// What the CPU kernels compute, as plain C: tensors come as pointers to contiguous float32 unless a
// row length is given, so that the library depends on no version of torch. `channels` and `states`
// are multiples of 16. Tensors are token-major: channels lie side by side, ready for vectors.
#pragma once

#include <cstdint>

// y = scan(u) for `groups` groups of `channels` channels.
//   u, delta, y: [batch x length x groups * channels]; delta is the step as used
//   A: [groups * channels x states]; B, C: [batch x length x groups x states]
struct Scan {
  const float *u, *delta, *A, *B, *C;
  float* y;
  int64_t batch, length, groups, channels, states;
};

// Gradients of Scan from dy, the gradient of y; each is shaped like its tensor, and dA has the batch
// in front.
struct ScanGradient {
  const float *u, *delta, *A, *B, *C, *dy;
  float *du, *ddelta, *dA, *dB, *dC;
  int64_t batch, length, groups, channels, states;
};

// Depthwise 3x3 convolution over (frame, joint), then SiLU; and the sum of each joint with its
// neighbour.
//   x: [batch x frames x joints x channels] in rows of `row` floats
//   weight: [channels x 3 x 3]; bias: [channels]; neighbours: [joints]
//   y: [2 x batch x frames x joints x channels]: with neighbour, without
struct Convolution {
  const float *x, *weight, *bias;
  const int32_t* neighbours;
  float* y;
  int64_t batch, frames, joints, channels, row;
};

// The sum of `directions` scans that visit the tokens in their own orders, with step sizes of low
// rank: delta = softplus(dt_weight . dt + dt_bias).
//   u: [sources x batch x length x channels]; direction k reads source k % sources
//   projected: [sources x batch x length x (directions / sources) x (rank + 2 states)]: dt, B, C of
//   the directions that read that source, in their order
//   orders: [directions x length]; dt_weight: [directions x channels x rank]
//   dt_bias, D: [directions x channels]; A: [directions x channels x states]
//   y: [batch x length x channels]
struct CrossScan {
  const float *u, *projected;
  const int32_t* orders;
  const float *dt_weight, *dt_bias, *A, *D;
  float* y;
  int64_t batch, length, channels, states, rank, directions, sources;
};

// Gradients of CrossScan from dy, the gradient of y; each is shaped like its tensor, and those of
// parameters, ddt_weight to dD, have the batch in front.
struct CrossScanGradient {
  const float *u, *projected;
  const int32_t* orders;
  const float *dt_weight, *dt_bias, *A, *D, *dy;
  float *du, *dprojected, *ddt_weight, *ddt_bias, *dA, *dD;
  int64_t batch, length, channels, states, rank, directions, sources;
};

// LayerNorm of y, then times SiLU(z).
//   y, out: [tokens x channels]; z: [tokens x channels] in rows of `row` floats
struct Gate {
  const float *y, *z, *weight, *bias;
  float* out;
  int64_t tokens, channels, row;
  float epsilon;
};
