// json_value FILE PATH: prints what a JSON document has at a path such as memory.total_bytes or
// results.0.test; of arrays and objects how many elements. Exit 1: no such place; 2: not JSON.
#include <cjson/cJSON.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>

namespace {

struct Free {
  void operator()(cJSON* value) const { cJSON_Delete(value); }
};

const cJSON* at(const cJSON* value, const std::string& path) {
  std::istringstream steps(path);
  std::string step;
  while (value != nullptr && std::getline(steps, step, '.')) {
    value = cJSON_IsArray(value) ? cJSON_GetArrayItem(value, std::atoi(step.c_str()))
                                 : cJSON_GetObjectItemCaseSensitive(value, step.c_str());
  }
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::ifstream file(argv[1], std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const bool nothing_behind = true;
  const std::unique_ptr<cJSON, Free> root(
      cJSON_ParseWithOpts(text.c_str(), nullptr, nothing_behind));
  if (!root) return 2;
  const cJSON* value = at(root.get(), argv[2]);
  if (value == nullptr) return 1;
  if (cJSON_IsString(value)) {
    std::puts(value->valuestring);
  } else if (cJSON_IsNumber(value)) {
    std::printf("%.17g\n", value->valuedouble);
  } else {
    std::printf("%d\n", cJSON_GetArraySize(value));
  }
  return 0;
}
