// What every fuzz target begins with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

// A property that must hold for every input; the input that breaks it is kept by libFuzzer.
#define FUZZ_MUST(condition, what)                                                           \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      const std::string fuzz_text = absl::StrCat(what);                                      \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, fuzz_text.c_str()); \
      abort();                                                                               \
    }                                                                                        \
  } while (false)

namespace drover::testing {

inline absl::string_view TextOf(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The input's parts, as seeds can be written by hand: at most `count`, divided by lines of their
// own that say "--"; what is missing is empty.
inline std::vector<absl::string_view> PartsOf(absl::string_view text, size_t count) {
  std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits("\n--\n", count - 1));
  parts.resize(count);
  return parts;
}

}  // namespace drover::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
