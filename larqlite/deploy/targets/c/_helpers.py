"""Functions of C that generated steps call; a file holds those that it needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from larqlite.deploy.targets.c._bit_helpers import BIT_HELPERS


class Helper(NamedTuple):
    """A function of C, and the helpers that it calls."""

    text: str
    calls: tuple[str, ...] = ()


HELPERS: dict[str, Helper] = {
    "real_of": Helper(
        """\
/* The float whose bits a word of the arena holds. */
static inline float real_of(uint32_t word) {
  float real;
  memcpy(&real, &word, sizeof real);
  return real;
}
"""
    ),
    "word_of": Helper(
        """\
/* The bits of a float. */
static inline uint32_t word_of(float real) {
  uint32_t word;
  memcpy(&word, &real, sizeof word);
  return word;
}
"""
    ),
    "ones_of": Helper(
        """\
/* How many bits of a word are 1. */
static inline int32_t ones_of(uint32_t word) {
  word -= (word >> 1) & 0x55555555U;
  word = (word & 0x33333333U) + ((word >> 2) & 0x33333333U);
  word = (word + (word >> 4)) & 0x0f0f0f0fU;
  return (int32_t)((word * 0x01010101U) >> 24);
}
"""
    ),
    "halved": Helper(
        """\
/* value / 2^count, rounded down; a negative number is never shifted. */
static inline int32_t halved(int32_t value, int32_t count) {
  return value < 0 ? ~(~value >> count) : value >> count;
}
"""
    ),
    "rounded": Helper(
        """\
/* The nearest whole number, ties to even, of |real| < 2^22: 1.5 * 2^23 leaves no bits below 1. */
static inline float rounded(float real) {
  const float shifted = real + 12582912.0F;
  return shifted - 12582912.0F;
}
"""
    ),
    "code_within": Helper(
        """\
/* The number of the step that is nearest to a float between two others; NaN is the lowest. */
static inline uint32_t code_within(float real, float low, float high, float steps) {
  const float inside = real > low ? (real < high ? real : high) : low;
  return (uint32_t)(rounded(inside * steps) - low);
}
""",
        ("rounded",),
    ),
    "sign_of": Helper(
        """\
/* -1, 0 or 1; 0 of NaN. */
static inline int32_t sign_of(float real) { return (real > 0.0F) - (real < 0.0F); }
"""
    ),
    "power_of": Helper(
        """\
/* e^real of real <= 0 as scale * (less_one + 1), by products and sums alone. */
typedef struct {
  float scale, less_one;
} power;

static inline power power_of(float real) {
  const float shifted = real * 1.44269502F + 12582912.0F;
  const float n = shifted - 12582912.0F;
  const float r = (real - n * 0.693359375F) - n * -2.12194442e-4F;
  power found;
  float e = 1.98412701e-4F;
  e = e * r + 1.38888892e-3F;
  e = e * r + 8.33333377e-3F;
  e = e * r + 4.16666679e-2F;
  e = e * r + 1.66666672e-1F;
  e = e * r + 0.5F;
  e = e * r + 1.0F;
  found.scale = real_of((word_of(shifted) + 127U) << 23);
  found.less_one = e * r;
  return found;
}
""",
        ("real_of", "word_of"),
    ),
    "power_of_e": Helper(
        """\
/* e^real of real <= 0; what float has no normal number for is 0. */
static inline float power_of_e(float real) {
  const power found = power_of(real);
  return real < -87.0F ? 0.0F : (found.less_one + 1.0F) * found.scale;
}
""",
        ("power_of",),
    ),
    "power_of_e_less_one": Helper(
        """\
/* e^real - 1 of real <= 0. */
static inline float power_of_e_less_one(float real) {
  const power found = power_of(real);
  return real < -87.0F ? -1.0F : found.scale * found.less_one + (found.scale - 1.0F);
}
""",
        ("power_of",),
    ),
    "softmax": Helper(
        """\
/* e^x over the sum of all of them, of numbers side by side; summed in sixteen lanes. */
static void softmax(float *reals, int32_t count) {
  float most = real_of(0xff800000U), total;
  double sum = 0.0;
  for (int32_t i = 0; i < count; ++i) most = most < reals[i] ? reals[i] : most;
  for (int32_t i = 0; i < count; ++i) reals[i] = power_of_e(reals[i] - most);
  for (int32_t lane = 0; lane < 16 && lane < count; ++lane) {
    double of_lane = 0.0;
    for (int32_t i = lane; i < count; i += 16) of_lane += (double)reals[i];
    sum += of_lane;
  }
  total = (float)sum;
  for (int32_t i = 0; i < count; ++i) reals[i] = reals[i] / total;
}
""",
        ("power_of_e",),
    ),
    "floor_of": Helper(
        """\
/* The largest whole number that is not above a real; from 2^23 on all are whole. */
static inline float floor_of(float real) {
  float whole;
  if (real == 0.0F || !(real > -8388608.0F && real < 8388608.0F)) return real;
  whole = (float)(int32_t)real;
  return whole > real ? whole - 1.0F : whole;
}
"""
    ),
    "square_root": Helper(
        """\
/* The float nearest to the square root: two bits of the number for each bit of the root. */
static inline float square_root(float real) {
  const uint32_t bits = word_of(real);
  uint32_t number = bits & 0x7fffffU, root = 0U, rest = 0U;
  int32_t exponent = (int32_t)(bits >> 23);
  if (!(real > 0.0F)) return real == 0.0F ? real : (real - real) / (real - real);
  if (exponent == 255) return real;
  if (exponent == 0) {
    for (exponent = 1; number < 0x800000U; --exponent) number <<= 1;
  } else {
    number |= 0x800000U;
  }
  exponent -= 127;
  if (exponent % 2 != 0) {
    number <<= 1;
    exponent -= 1;
  }
  number <<= 7;
  for (int32_t i = 0; i < 25; ++i) {
    const uint32_t trial = (root << 2) | 1U;
    rest = (rest << 2) | (number >> 30);
    number <<= 2;
    root <<= 1;
    if (rest >= trial) {
      rest -= trial;
      root |= 1U;
    }
  }
  root = ((root + 1U) >> 1) - 0x800000U;
  return real_of(((uint32_t)(exponent / 2 + 127) << 23) + root);
}
""",
        ("real_of", "word_of"),
    ),
    "sigmoid": Helper(
        """\
/* 1 / (1 + e^-real). */
static inline float sigmoid(float real) {
  const float e = power_of_e(real < 0.0F ? real : -real);
  return (real < 0.0F ? e : 1.0F) / (1.0F + e);
}
""",
        ("power_of_e",),
    ),
    "hyperbolic_tangent": Helper(
        """\
static inline float hyperbolic_tangent(float real) {
  const float below = real < 0.0F ? real : -real;
  const float e = power_of_e_less_one(below + below);
  const float half = e / (e + 2.0F);
  return real > 0.0F ? -half : half;
}
""",
        ("power_of_e_less_one",),
    ),
    "elu": Helper(
        """\
/* factor * (e^real - 1) below 0. */
static inline float elu(float real, float factor) {
  const float e = power_of_e_less_one(real < 0.0F ? real : 0.0F);
  return real < 0.0F ? factor * e : real;
}
""",
        ("power_of_e_less_one",),
    ),
}

HELPERS |= {name: Helper(*made) for name, made in BIT_HELPERS.items()}


def helpers_text(names: Iterable[str]) -> tuple[str, str]:
    """The text of some helpers and of those that they call, each before its callers.

    Returns:
        Of those that know no floats, and of the others.
    """
    found: dict[str, None] = {}

    def add(name: str) -> None:
        for called in HELPERS[name].calls:
            add(called)
        found[name] = None

    for name in sorted(names):
        add(name)
    texts = [HELPERS[name].text for name in found]
    return (
        "\n".join(text for text in texts if "float" not in text),
        "\n".join(text for text in texts if "float" in text),
    )
