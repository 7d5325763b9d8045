// Texts of errors, put together in memory of their own: no locale, no exception, no stream.
#ifndef LARQLITE_TEXT_H
#define LARQLITE_TEXT_H

#include <stdint.h>

namespace larqlite {

class Text {
 public:
  const char* get() const { return text_; }
  void clear() { length_ = 0, text_[0] = 0; }

  Text& add(const char* words) {
    while (*words != 0) put(*words++);
    return *this;
  }
  // A name out of a file: of printable letters, cut where it is long.
  Text& quote(const char* name) {
    constexpr int kShown = 60;
    put('"');
    int shown = 0;
    for (; *name != 0 && shown < kShown; ++name, ++shown)
      put(static_cast<unsigned char>(*name) < 32 || *name == 127 ? '?' : *name);
    if (*name != 0) add("...");
    put('"');
    return *this;
  }
  Text& add(int64_t number) {
    char digits[20];
    int count = 0;
    uint64_t left = number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    do digits[count++] = static_cast<char>('0' + left % 10);
    while ((left /= 10) != 0);
    if (number < 0) put('-');
    while (count > 0) put(digits[--count]);
    return *this;
  }

 private:
  static constexpr int kRoom = 512;

  void put(char letter) {
    if (length_ + 1 >= kRoom) return;
    text_[length_++] = letter;
    text_[length_] = 0;
  }

  char text_[kRoom] = {0};
  int length_ = 0;
};

}  // namespace larqlite
#endif
