// A vector of LANES floats and the elementary functions on it, written once for every instruction
// set: the file that includes this one defines LANES and TARGET. The compiler splits or fills the
// vectors with whatever the set offers.

// Aligned by name: for vectors that the base instruction set lacks, GCC aligns the type to less than
// its own code then expects.
typedef float Vec __attribute__((vector_size(LANES * 4), aligned(LANES * 4)));
typedef int32_t Ints __attribute__((vector_size(LANES * 4), aligned(LANES * 4)));

// For std::vector, which forgets the alignment of a bare Vec.
struct Lanes {
  Vec v;
};

#define INLINE TARGET static inline __attribute__((always_inline))

INLINE Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

INLINE void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

// Lane i from p[i * stride].
INLINE Vec gather(const float* p, int64_t stride) {
  Vec v;
  for (int i = 0; i < LANES; ++i) v[i] = p[i * stride];
  return v;
}

INLINE void scatter(float* p, int64_t stride, Vec v) {
  for (int i = 0; i < LANES; ++i) p[i * stride] = v[i];
}

INLINE Vec broadcast(float x) { return Vec{} + x; }

// The sums of neighbouring lanes of a, then those of b.
INLINE Vec pair_sums(Vec a, Vec b) {
  Ints even;
  for (int i = 0; i < LANES; ++i) even[i] = 2 * i;
  return __builtin_shuffle(a, b, even) + __builtin_shuffle(a, b, even + 1);
}

INLINE float sum(Vec v) {
#pragma GCC unroll 4
  for (int width = LANES / 2; width > 0; width /= 2) v = pair_sums(v, v);
  return v[0];
}

// 2^x to 1e-7, 1 at 0.
#if LANES == 16
// By a table of 2^(i/16), one register, and a cubic on [-1/32, 1/32].
INLINE Vec exp2(Vec x) {
  const Vec table = {1.0f,        1.04427378f, 1.09050773f, 1.13878863f, 1.18920712f, 1.24185781f,
                     1.29683955f, 1.35425555f, 1.41421356f, 1.47682615f, 1.54221083f, 1.61049033f,
                     1.68179283f, 1.75625216f, 1.83400809f, 1.91520656f};
  const Vec shift = broadcast(786432.0f);  // 1.5 * 2^19: adding it rounds to sixteenths
  const Vec shifted = x + shift;
  const Vec whole = shifted - shift;
  const Vec f = x - whole;
  const Vec power = _mm512_permutexvar_ps((__m512i)shifted, table);  // by the lowest 4 bits
  Vec p = broadcast(5.5504109e-2f);
  p = p * f + 2.4022651e-1f;
  p = p * f + 6.9314718e-1f;
  return _mm512_scalef_ps(p * f * power + power, whole);  // scales by 2^floor(whole)
}
#else
// By a minimax polynomial on [-1/2, 1/2].
INLINE Vec exp2(Vec x) {
  // Limits of the exponent; written so that a NaN stays one.
  x = x < broadcast(-126.0f) ? broadcast(-126.0f) : x;
  x = x > broadcast(127.0f) ? broadcast(127.0f) : x;
  const Vec shift = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec shifted = x + shift;
  const Vec f = x - (shifted - shift);
  Vec p = broadcast(1.5356374e-4f);
  p = p * f + 1.3398919e-3f;
  p = p * f + 9.6184257e-3f;
  p = p * f + 5.5503324e-2f;
  p = p * f + 2.4022648e-1f;
  p = p * f + 6.9314718e-1f;
  p = p * f + 1.0f;
  const Ints exponent = ((Ints)shifted - (Ints)shift + 127) << 23;
  return p * (Vec)exponent;
}
#endif

constexpr float LOG2_E = 1.44269504f;

INLINE Vec silu(Vec x) { return x / (1.0f + exp2(x * -LOG2_E)); }

// log(1 + exp(x)), relatively exact for large negative x too: with s = e / (2 + e),
// log(1 + e) = 2 atanh(s), and s is at most 1/3.
INLINE Vec softplus(Vec x) {
  const Vec zero = {};
  const Vec magnitude = x < zero ? -x : x;
  const Vec e = exp2(magnitude * -LOG2_E);
  const Vec s = e / (2.0f + e);
  const Vec q = s * s;
  Vec p = broadcast(1.4007562e-1f);
  p = p * q + 1.4000423e-1f;
  p = p * q + 2.0010810e-1f;
  p = p * q + 3.3333206e-1f;
  return (x > zero ? x : zero) + 2.0f * s * (1.0f + q * p);
}
