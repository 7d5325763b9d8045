// Whole numbers for addresses and sizes that a step claims: past 64 bits they stay that large.
#ifndef LARQLITE_WIDE_H
#define LARQLITE_WIDE_H

#include <stdint.h>

namespace larqlite {

// Sums and products of numbers of 64 bits, as the checks need them: what is out of reach of
// int64 is kept as "more than any" or "less than any", and compares as such, so that the answer
// to whether something fits is the one of numbers without end. A product with 0 is 0. Numbers
// beyond the range are never made small again, by a sum with one on the other side or by a
// division: nothing here subtracts what may be that large.
//
// Many compilers have no type of 128 bits for processors of 32; and of those that have the
// builtins for overflow, some call functions for them that not every library holds.
class Wide {
 public:
  constexpr Wide(int64_t value = 0) : value_(value), beyond_(0) {}  // NOLINT: as a number

  friend constexpr Wide operator+(Wide a, Wide b) {
    if (a.beyond_ != 0) return a;
    if (b.beyond_ != 0) return b;
    if (b.value_ > 0 && a.value_ > INT64_MAX - b.value_) return past(1);
    if (b.value_ < 0 && a.value_ < INT64_MIN - b.value_) return past(-1);
    return Wide(a.value_ + b.value_);
  }
  friend constexpr Wide operator-(Wide a, int64_t b) {
    return b == INT64_MIN ? a + INT64_MAX + 1 : a + -b;
  }
  friend constexpr Wide operator*(Wide a, Wide b) {
    const int sign = a.sign() * b.sign();
    if (sign == 0) return Wide(0);
    if (a.beyond_ != 0 || b.beyond_ != 0) return past(sign);
    const uint64_t x = magnitude(a.value_), y = magnitude(b.value_);
    const uint64_t most = sign > 0 ? uint64_t{INT64_MAX} : uint64_t{INT64_MAX} + 1;
    if (x > most / y) return past(sign);
    const uint64_t product = x * y;
    return Wide(sign > 0 ? static_cast<int64_t>(product) : static_cast<int64_t>(0 - product));
  }
  // Of what is there, by a number above 0.
  friend constexpr Wide operator/(Wide a, int64_t b) {
    return a.beyond_ != 0 ? a : Wide(a.value_ / b);
  }
  Wide& operator+=(Wide b) { return *this = *this + b; }
  Wide& operator*=(Wide b) { return *this = *this * b; }

  friend constexpr bool operator<(Wide a, Wide b) {
    return a.beyond_ != b.beyond_ ? a.beyond_ < b.beyond_ : a.beyond_ == 0 && a.value_ < b.value_;
  }
  friend constexpr bool operator>(Wide a, Wide b) { return b < a; }
  friend constexpr bool operator<=(Wide a, Wide b) { return !(b < a); }
  friend constexpr bool operator>=(Wide a, Wide b) { return !(a < b); }
  // Two that are out of reach are never called equal.
  friend constexpr bool operator==(Wide a, Wide b) {
    return a.beyond_ == 0 && b.beyond_ == 0 && a.value_ == b.value_;
  }
  friend constexpr bool operator!=(Wide a, Wide b) { return !(a == b); }

  // The number, where it fits; who asks has compared it.
  explicit constexpr operator int64_t() const { return value_; }

 private:
  static constexpr Wide past(int sign) {
    Wide wide(sign > 0 ? INT64_MAX : INT64_MIN);
    wide.beyond_ = sign;
    return wide;
  }
  static constexpr uint64_t magnitude(int64_t v) {
    return v < 0 ? 0 - static_cast<uint64_t>(v) : static_cast<uint64_t>(v);
  }
  constexpr int sign() const {
    return beyond_ != 0 ? beyond_ : value_ > 0 ? 1 : value_ < 0 ? -1 : 0;
  }

  int64_t value_;
  int beyond_;  // 1: more than any of 64 bits, -1: less, 0: it is `value_`
};

}  // namespace larqlite
#endif
