// Functions of floats by products and sums alone, the same bits for every instruction set: few
// values pass through them, and each set's own would be more code than it saves time.
#include "kernels.h"

namespace larqlite {

namespace {

// e^v of v <= 0 as 2^n e^r, and e^r - 1 = r (1 + r / 2! + ... + r^6 / 7!).
struct Power {
  float scale, less_one;
};

inline Power power_of(float v) {
  const float shifted = v * 1.44269502f + 12582912.0f;  // leaves no bits below one
  const float n = shifted - 12582912.0f;
  const float r = (v - n * 0.693359375f) - n * -2.12194442e-4f;  // n ln 2 in two parts
  float e = 1.98412701e-4f;  // 1 / 7!, 1 / 6!, ...
  e = e * r + 1.38888892e-3f;
  e = e * r + 8.33333377e-3f;
  e = e * r + 4.16666679e-2f;
  e = e * r + 1.66666672e-1f;
  e = e * r + 0.5f;
  e = e * r + 1.0f;
  uint32_t power;  // 2^n: the low bits of `shifted` are n
  __builtin_memcpy(&power, &shifted, sizeof power);
  power = (power + 127u) << 23;
  Power found;
  __builtin_memcpy(&found.scale, &power, sizeof power);
  found.less_one = e * r;
  return found;
}

// e^v of v <= 0; what float32 has no normal number for is 0.
inline float power_of_e(float v) {
  const Power found = power_of(v);
  return v < -87.0f ? 0.0f : (found.less_one + 1.0f) * found.scale;
}

// e^v - 1 of v <= 0.
inline float power_of_e_less_one(float v) {
  const Power found = power_of(v);
  return v < -87.0f ? -1.0f : found.scale * found.less_one + (found.scale - 1.0f);
}

}  // namespace

void softmax(float* v, int64_t pixels, int32_t count) {
  constexpr int32_t kWide = 16;  // lanes, one behind another
  const int32_t whole = count / kWide * kWide;
  for (int64_t p = 0; p < pixels; ++p, v += count) {
    float most[kWide];
    for (int32_t i = 0; i < kWide; ++i) most[i] = -__builtin_inff();
    for (int32_t c = 0; c < whole; c += kWide)
      for (int32_t i = 0; i < kWide; ++i) most[i] = most[i] < v[c + i] ? v[c + i] : most[i];
    for (int32_t c = whole; c < count; ++c) most[0] = most[0] < v[c] ? v[c] : most[0];
    for (int32_t i = 1; i < kWide; ++i) most[0] = most[0] < most[i] ? most[i] : most[0];
    const float largest = most[0];
    for (int32_t c = 0; c < count; ++c) v[c] = power_of_e(v[c] - largest);
    double sums[kWide] = {};
    for (int32_t c = 0; c < whole; c += kWide)
      for (int32_t i = 0; i < kWide; ++i) sums[i] += static_cast<double>(v[c + i]);
    for (int32_t c = whole; c < count; ++c) sums[c - whole] += static_cast<double>(v[c]);
    for (int32_t i = 1; i < kWide; ++i) sums[0] += sums[i];
    const float sum = static_cast<float>(sums[0]);
    for (int32_t c = 0; c < count; ++c) v[c] /= sum;
  }
}

void sigmoid(float* v, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float e = power_of_e(v[i] < 0.0f ? v[i] : -v[i]);
    v[i] = (v[i] < 0.0f ? e : 1.0f) / (1.0f + e);
  }
}

void hyperbolic_tangent(float* v, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float below = v[i] < 0.0f ? v[i] : -v[i];
    const float e = power_of_e_less_one(below + below);
    const float t = e / (e + 2.0f);
    v[i] = v[i] > 0.0f ? -t : t;
  }
}

void elu(float* v, int64_t count, float factor) {
  for (int64_t i = 0; i < count; ++i) {
    const float e = power_of_e_less_one(v[i] < 0.0f ? v[i] : 0.0f);
    v[i] = v[i] < 0.0f ? factor * e : v[i];
  }
}

void square_root(float* v, int64_t count) {
  for (int64_t i = 0; i < count; ++i) v[i] = __builtin_sqrtf(v[i]);
}

namespace {

// Sums of products over the taps, of kCount channels that have one filter each.
template <int kCount>
inline void depthwise_channels(const float* in, const int64_t* taps, int64_t tap_count,
                               const float* w, int64_t next, float* v) {
  float sums[kCount] = {};
  for (int64_t t = 0; t < tap_count; ++t, w += next)
    for (int c = 0; c < kCount; ++c) sums[c] += w[c] * in[taps[t] + c];
  for (int c = 0; c < kCount; ++c) v[c] = sums[c];
}

}  // namespace

void depthwise_float(const Block& block, Value* values) {
  const lq_step& s = *block.step;
  const int64_t taps = static_cast<int64_t>(s.kernel_d) * s.kernel_h * s.kernel_w;
  const float* input = data<float>(block, s.input.buffer) + address(s.input, block);
  const float* weights = data<float>(block, s.weights);
  const int64_t next = s.in_channels;
  const int32_t count = block.count;
  float* v = &values->real;
  for (int64_t p = 0; p < block.pixels; ++p, v += count, input += s.input.pixel) {
    if (s.multiplier == 1) {
      const float *in = input + block.channel, *w = weights + block.channel;
      int32_t c = 0;
      for (; c + 32 <= count; c += 32)
        depthwise_channels<32>(in + c, block.taps, taps, w + c, next, v + c);
      for (; c + 8 <= count; c += 8)
        depthwise_channels<8>(in + c, block.taps, taps, w + c, next, v + c);
      for (; c < count; ++c)
        depthwise_channels<1>(in + c, block.taps, taps, w + c, next, v + c);
      continue;
    }
    for (int32_t c = 0; c < count; ++c) {
      const int32_t channel = block.channel + c, in = channel / s.multiplier;
      const float* w = weights + channel % s.multiplier * taps * next + in;
      depthwise_channels<1>(input + in, block.taps, taps, w, next, v + c);
    }
  }
}

}  // namespace larqlite
