"""Functions of C that count for 32 channels at once: a word is one binary place of 32 numbers."""

from __future__ import annotations

_ADD = """\
/* a + b + c of 32 lanes: sum + 2 * carry. */
#define ADD_THREE(carry, sum, a, b, c)              \\
  do {                                              \\
    const uint32_t a_ = (a), b_ = (b), c_ = (c);    \\
    const uint32_t either_ = a_ ^ b_;               \\
    (carry) = (a_ & b_) | (either_ & c_);           \\
    (sum) = either_ ^ c_;                           \\
  } while (0)
/* Add four or eight words WORD(k) and up to `ones`, `twos` and `fours`, with what is left over. */
#define ADD_FOUR(four, WORD, k)                             \\
  do {                                                      \\
    uint32_t two_;                                          \\
    ADD_THREE(four, ones, ones, WORD(k), WORD(k + 1));      \\
    ADD_THREE(two_, ones, ones, WORD(k + 2), WORD(k + 3));  \\
    ADD_THREE(four, twos, twos, four, two_);                \\
  } while (0)
#define ADD_EIGHT(eight, WORD, k)                    \\
  do {                                               \\
    uint32_t four_;                                  \\
    ADD_FOUR(eight, WORD, k);                        \\
    ADD_FOUR(four_, WORD, k + 4);                    \\
    ADD_THREE(eight, fours, fours, eight, four_);    \\
  } while (0)
"""

_PLACE = """\
/* A binary place of 32 numbers, and a word that waits to be added to it. */
struct place {
  uint32_t bits, waits;
};

/* Functions with loops that registers are for: one of each, apart from those that call it. */
#if defined(__clang__)
#define APART static __attribute__((noinline))
#elif defined(__GNUC__)
#define APART static __attribute__((noinline, noclone))
#else
#define APART static
#endif
"""

_CARRY = """\
/* Adds a word to numbers from a place on: the number `adds` counts from 0 which addition it is. */
static inline void carry_on(struct place *at, uint32_t adds, uint32_t carry) {
  for (; (adds & 1U) != 0; adds >>= 1, ++at)
    ADD_THREE(carry, at->bits, at->bits, at->waits, carry);
  at->waits = carry;
}

/* Adds what waits after so many additions. */
APART void settle(struct place *at, uint32_t adds, int32_t count) {
  uint32_t carry = 0;
  for (; count > 0; --count, ++at, adds >>= 1) {
    const uint32_t waits = (adds & 1U) != 0 ? at->waits : 0U;
    ADD_THREE(carry, at->bits, at->bits, waits, carry);
  }
}
"""

_BEGIN = """\
/* All 32 numbers the same. */
static inline void begin_at(struct place *at, uint32_t number, int32_t count) {
  for (; count > 0; --count, ++at, number >>= 1) at->bits = 0U - (number & 1U);
}
"""

_AT_LEAST = """\
/* The lanes whose number is at least that of a table. */
static inline uint32_t at_least(const struct place *at, const uint32_t *table, int32_t count) {
  uint32_t below = 0;
  for (; count > 0; --count, ++at, ++table) below ^= (at->bits ^ *table) & (below ^ *table);
  return ~below;
}
"""

_NUMBERS = """\
/* Turns eight words, each a bit of 32 numbers, to bytes: byte b of word k is number 8 * b + k. */
#define SWAP(a, b, by, mask)                             \\
  do {                                                   \\
    const uint32_t differ_ = ((a) >> by ^ (b)) & mask;   \\
    (b) ^= differ_;                                      \\
    (a) ^= differ_ << by;                                \\
  } while (0)
APART void bytes_of_places(uint32_t *w) {
  for (int32_t k = 0; k < 4; ++k) SWAP(w[k], w[k + 4], 4, 0x0f0f0f0fU);
  for (int32_t k = 0; k < 8; k += 4, w += 4) {
    SWAP(w[0], w[2], 2, 0x33333333U);
    SWAP(w[1], w[3], 2, 0x33333333U);
    SWAP(w[0], w[1], 1, 0x55555555U);
    SWAP(w[2], w[3], 1, 0x55555555U);
  }
}

/* The first `count` of 32 numbers of up to 16 places; there is room for a multiple of 8. */
APART void numbers_of(const struct place *at, int32_t places, int32_t *numbers, int32_t count) {
  uint32_t w[16];
  for (int32_t k = 0; k < 16; ++k, ++at) w[k] = k < places ? at->bits : 0U;
  bytes_of_places(w);
  if (places > 8) bytes_of_places(w + 8);
  for (int32_t lane = 0; lane < count; lane += 8)
    for (int32_t k = 0; k < 8; ++k)
      *numbers++ = (int32_t)(((w[k] >> lane) & 255U) | ((w[k + 8] >> lane) & 255U) << 8);
}
"""

_WIDE_NUMBERS = """\
/* The first `count` of 32 numbers of up to 32 places. */
APART void wide_numbers_of(const struct place *at, int32_t places, int32_t *numbers,
                           int32_t count) {
  numbers_of(at, 16, numbers, count);
  for (int32_t lane = 0; lane < count; ++lane)
    for (int32_t k = 16; k < places; ++k)
      numbers[lane] |= (int32_t)(((at[k].bits >> lane) & 1U) << k);
}
"""

_PUT_BITS = """\
/* Adds bits of channels from `channel` on to words that were 0; groups begin at words. */
APART void put_bits(uint32_t *to, uint32_t bits, int32_t channel, int32_t count, int32_t group) {
  while (count > 0) {
    const int32_t within = channel % group, shift = within & 31;
    int32_t some = group - within < count ? group - within : count;
    if (some > 32 - shift) some = 32 - shift;
    const uint32_t part = some < 32 ? bits & ((1U << some) - 1U) : bits;
    to[channel / group * ((group + 31) / 32) + (within >> 5)] |= part << shift;
    bits = some < 32 ? bits >> some : 0U;
    channel += some;
    count -= some;
  }
}
"""


def _count(
    name: str, said: str, taken: str, start: str, word: str, after: str, each: str = ""
) -> str:
    """A function that adds words to numbers, in steps of sixteen, eight, four, or fewer.

    Args:
        name: of it.
        said: what it does.
        taken: its further parameters.
        start: of a loop over runs, each of `left` words.
        word: the k-th word.
        after: what `{}` words further on means.
        each: statements before words are read.
    """
    return f"""\
/* {said} */
APART void {name}(struct place *at, int32_t places, {taken}) {{
#define WORD(k) ({word})
  uint32_t ones = at[0].bits, twos = at[1].bits, fours = at[2].bits, eights = at[3].bits;
  uint32_t adds = 0;
  {start}
    while (left > 0) {{
      uint32_t two, four, eight, carry;
      {each}
      if (left >= 16) {{
        ADD_EIGHT(eight, WORD, 0);
        ADD_EIGHT(carry, WORD, 8);
        ADD_THREE(carry, eights, eights, eight, carry);
        {after.format(16)}
        left -= 16;
      }} else {{
        if (left >= 8) {{
          ADD_EIGHT(eight, WORD, 0);
          {after.format(8)}
          left -= 8;
        }} else {{
          if (left >= 4) {{
            ADD_FOUR(four, WORD, 0);
            {after.format(4)}
            left -= 4;
          }} else {{
            const uint32_t second = left >= 2 ? WORD(1) : 0U, third = left == 3 ? WORD(2) : 0U;
            ADD_THREE(two, ones, ones, WORD(0), second);
            carry = ones & third;
            ones ^= third;
            ADD_THREE(four, twos, twos, two, carry);
            left = 0;
          }}
          eight = fours & four;
          fours ^= four;
        }}
        carry = eights & eight;
        eights ^= eight;
      }}
      carry_on(at + 4, adds++, carry);
    }}
  }}
  at[0].bits = ones;
  at[1].bits = twos;
  at[2].bits = fours;
  at[3].bits = eights;
  settle(at + 4, adds, places - 4);
#undef WORD
}}
"""


_LISTS = """\
/* Where the input of a row of windows is listed, and the byte of its weights. */
struct listed_row {
  const uint16_t *starts;
  int32_t byte;
};
/* Part of a list, and the byte of the weights that its number 0 stands for. */
struct run {
  const uint16_t *list;
  int32_t count, byte;
};

/* 4 * k, where the k-th bit alone times 0x077cb531 leaves 27 bits behind. */
static const uint8_t bytes_of_bits[32] = {
  0, 4, 112, 8, 116, 56, 96, 12, 120, 88, 80, 60, 100, 68, 16, 32,
  124, 108, 52, 92, 84, 76, 64, 28, 104, 48, 72, 24, 44, 20, 40, 36
};

/* The parts of lists that columns from `first` to before `last` of some rows are in; the lists
   lie so many numbers behind those that the rows name. Returns how many bits are 1. */
APART int32_t runs_of(const struct listed_row *row, int32_t rows, int32_t behind, int32_t width,
                      int32_t first, int32_t last, int32_t byte, struct run **runs) {
  struct run *run = *runs;
  int32_t found = 0;
  if (first < 0) first = 0;
  if (last > width) last = width;
  if (first >= last) return 0;
  for (; rows > 0; --rows, ++row) {
    const uint16_t *starts = row->starts + behind;
    const int32_t begin = starts[first], count = starts[last] - begin;
    run->list = starts + width + 1 + begin;
    run->count = count;
    run->byte = row->byte + byte;
    found += count;
    if (count > 0) ++run;
  }
  *runs = run;
  return found;
}
"""


def _list_row(name: str, which: str, take: str) -> str:
    """A function that lists bits of a row.

    Args:
        name: of it.
        which: bits.
        take: statements that leave 1 for these alone in `bits`.
    """
    return f"""\
/* Lists the bits of a row of pixels that are {which}, as bytes of weights of a word for each bit.
   Before the numbers stand where those of each pixel begin, and where the last ones end. */
APART void {name}(const uint32_t *in, int32_t width, int32_t pixel, int32_t channels,
                  int32_t copies, uint16_t *starts) {{
  uint16_t *const first = starts + width + 1;
  uint16_t *list = first;
  uint32_t number = 0;
  for (; width > 0; --width, in += pixel) {{
    const uint32_t *words = in;
    *starts++ = (uint16_t)(list - first);
    for (int32_t copy = copies; copy > 0; --copy) {{
      for (int32_t left = channels; left > 0; left -= 32, ++words) {{
        uint32_t bits = *words;
        {take}
        for (; bits != 0; bits &= bits - 1U)
          *list++ = (uint16_t)(number + bytes_of_bits[((bits & (0U - bits)) * 0x077cb531U) >> 27]);
        number += left < 32 ? 4U * (uint32_t)left : 128U;
      }}
    }}
  }}
  *starts = (uint16_t)(list - first);
}}
"""


_ZEROS = "bits = ~bits;\n        if (left < 32) bits &= (1U << left) - 1U;"

_APART = """\
/* How many bits of two rows of words differ. */
APART int32_t ones_apart(const uint32_t *x, const uint32_t *w, int32_t count) {
#define WORD(k) (x[k] ^ w[k])
  uint32_t ones = 0, twos = 0, fours = 0, eight;
  int32_t eights = 0;
  for (; count >= 8; count -= 8, x += 8, w += 8) {
    ADD_EIGHT(eight, WORD, 0);
    eights += ones_of(eight);
  }
  if (count >= 4) {
    uint32_t four;
    ADD_FOUR(four, WORD, 0);
    eights += ones_of(fours & four);
    fours ^= four;
    count -= 4;
    x += 4;
    w += 4;
  }
  if (count > 0) {
    const uint32_t second = count > 1 ? WORD(1) : 0U, third = count > 2 ? WORD(2) : 0U;
    uint32_t two, four, one;
    ADD_THREE(two, ones, ones, WORD(0), second);
    one = ones & third;
    ones ^= third;
    ADD_THREE(four, twos, twos, two, one);
    eights += ones_of(fours & four);
    fours ^= four;
  }
#undef WORD
  return 8 * eights + 4 * ones_of(fours) + 2 * ones_of(twos) + ones_of(ones);
}
"""

_APPEND = """\
/* Puts bits behind the first `at` of some words; returns how many there are then. */
APART int32_t append_bits(uint32_t *to, int32_t at, const uint32_t *from, int32_t count) {
  for (; count > 0; count -= 32, ++from) {
    const int32_t some = count < 32 ? count : 32, shift = at & 31;
    uint32_t *const word = to + (at >> 5);
    *word = shift == 0 ? *from : *word | *from << shift;
    if (shift + some > 32) word[1] = *from >> (32 - shift);
    at += some;
  }
  return at;
}
"""

_DENSE = """\
/* Bits of the input side by side, and which of the weights is that of the first of them. */
struct tap {
  const uint32_t *in;
  int32_t first, count;
};
"""

BIT_HELPERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "add_three": (_ADD, ()),
    "place": (_PLACE, ()),
    "carry_on": (_CARRY, ("add_three", "place")),
    "begin_at": (_BEGIN, ("place",)),
    "at_least": (_AT_LEAST, ("place",)),
    "numbers_of": (_NUMBERS, ("place",)),
    "wide_numbers_of": (_WIDE_NUMBERS, ("numbers_of",)),
    "put_bits": (_PUT_BITS, ("place",)),
    "append_bits": (_APPEND, ("place",)),
    "ones_apart": (_APART, ("add_three", "ones_of", "place")),
    "lists": (_LISTS, ("place",)),
    "list_row": (_list_row("list_row", "1", ""), ("lists",)),
    "list_zeros": (_list_row("list_zeros", "0", _ZEROS), ("lists",)),
    "tap": (_DENSE, ()),
    "count_inputs": (
        _count(
            "count_inputs",
            "Adds 1 for every input that differs from its weight.",
            "const struct tap *tap, const struct tap *end,\n"
            "                        int32_t behind, const uint32_t *weights",
            "for (; tap < end; ++tap) {\n"
            "    const uint32_t *in = tap->in + behind, *words = weights + tap->first;\n"
            "    int32_t left = tap->count, at_bit = 0;",
            "words[k] ^ (0U - ((bits >> (k)) & 1U))",
            "words += {0};\n        at_bit += {0};",
            "const uint32_t bits = in[at_bit >> 5] >> (at_bit & 31);",
        ),
        ("carry_on", "tap"),
    ),
    "count_taps": (
        _count(
            "count_taps",
            "Adds 1 for every channel of a tap that differs from its weight.",
            "const uint32_t *in, const int32_t *taps,\n"
            "                        int32_t left, const uint32_t *words, int32_t stride",
            "{",
            "in[taps[k]] ^ words[(k) * stride]",
            "taps += {0};\n        words += {0} * stride;",
        ),
        ("carry_on",),
    ),
    "count_listed": (
        _count(
            "count_listed",
            "Adds the weights that lists name.",
            "const struct run *run, const struct run *end,\n"
            "                        const uint32_t *weights",
            "for (; run < end; ++run) {\n"
            "    const uint16_t *list = run->list;\n"
            "    const uintptr_t bytes = (uintptr_t)weights + (uintptr_t)(intptr_t)run->byte;\n"
            "    int32_t left = run->count;",
            "*(const uint32_t *)(bytes + list[k])",
            "list += {};",
        ),
        ("carry_on", "lists"),
    ),
}
