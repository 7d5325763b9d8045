// Softmax over the channels of pixels, the same for every instruction set: few values pass through
// it, and each would be more code than it saves time.
#include "kernels.h"

namespace larqlite {

namespace {

// e^v of v <= 0; what float32 has no normal number for is 0.
inline float power_of_e(float v) {
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
  e = e * r + 1.0f;
  uint32_t power;  // 2^n: the low bits of `shifted` are n
  __builtin_memcpy(&power, &shifted, sizeof power);
  power = (power + 127u) << 23;
  float scale;
  __builtin_memcpy(&scale, &power, sizeof scale);
  return v < -87.0f ? 0.0f : e * scale;
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

}  // namespace larqlite
