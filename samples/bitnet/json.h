// JSON documents of this program, on cJSON.
#pragma once

#include <cjson/cJSON.h>

#include <memory>
#include <string>
#include <string_view>

#include "io.h"

namespace cli {

struct FreeJson {
  void operator()(cJSON* value) const { cJSON_Delete(value); }
  void operator()(char* text) const { cJSON_free(text); }
};
using Json = std::unique_ptr<cJSON, FreeJson>;

// Numbers up to 2^53 are exact.
template <class Number>
void put(cJSON* object, const char* key, Number number) {
  cJSON_AddNumberToObject(object, key, static_cast<double>(number));
}
inline void put_text(cJSON* object, const char* key, std::string_view text) {
  cJSON_AddStringToObject(object, key, valid_utf8(text).c_str());
}

inline void print_json(const cJSON* value) {
  const std::unique_ptr<char, FreeJson> text(cJSON_Print(value));
  if (!text) throw Failure("there is no memory for the JSON text");
  print(text.get());
  print("\n");
}

}  // namespace cli
