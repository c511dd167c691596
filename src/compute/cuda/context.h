// A context's memory on a device, and the forward pass of a batch over it.
#pragma once

#include "compute/cuda/attention.h"
#include "compute/cuda/model.h"
#include "compute/cuda/rows.h"
#include "compute/cuda/select.h"

namespace bitnet::cuda {

// Where a batch's numbers lie in the memory they are sent up in, in 32-bit words: first what
// depends on the number of tokens, the page lists at the end.
struct BatchPlaces {
  int64_t position, page_list, wanted, blocks, pages;  // token ids at 0
  explicit BatchPlaces(int64_t tokens) noexcept;
};

// What a pass consists of besides the numbers sent up: passes of equal shape are equal launches.
struct PassShape {
  int64_t tokens = 0, blocks = 0, groups = 0, group_pages = 0;
  int64_t words = 0;  // sent up
  int64_t wanted = 0, first_row = 0;
  // Bit i: of the i-th wanted token all logits, or what it is sampled by. Of more than 64 tokens
  // all have what one has; a token may have both.
  uint64_t logits = 0, samples = 0;
  int64_t vocabulary = 0;  // of the selection that comes along; 0: none does
  int32_t first = 0;
  bool operator==(const PassShape&) const = default;
};

}  // namespace bitnet::cuda

namespace bitnet {

struct DeviceContext {
 public:
  static uint64_t bytes_of(const DeviceModelParts& shape,
                           const DeviceContextOptions& options) noexcept;
  // All on the current device, the model's. May throw std::bad_alloc.
  static Result<Ptr<DeviceContext>> open(DeviceModel& model, const DeviceContextOptions& options);
  ~DeviceContext();

  Status reserve_rows(int64_t rows);
  Status forward(const DeviceBatch& batch);
  Status read_hidden(int64_t row, float* hidden);
  Status read_logits(int64_t row, float* logits);
  Status select(int64_t row, const DeviceSelection& selection, DeviceSelected* selected);
  Status copy_page(int32_t from, int32_t to);
  Status read_page(int32_t page, uint16_t* numbers);
  Status write_page(int32_t page, const uint16_t* numbers);

  const DeviceModel& model() const noexcept { return model_; }
  DeviceCounts counts() const noexcept {
    DeviceCounts counts = counts_;
    counts.launches = stream_.launches;
    return counts;
  }

  // Use open().
  DeviceContext(DeviceModel& model, const DeviceContextOptions& options) noexcept;

 private:
  struct Sizes;
  // A shape of pass that was met before; from the second time on it has a graph.
  struct Graph {
    cuda::PassShape shape;
    cudaGraphExec_t graph = nullptr;
    uint64_t launches = 0;  // of kernels, that it consists of
    uint64_t used = 0;      // when, by passes
  };
  struct Output {
    float* y;
    int64_t stride;
  };

  Status allocate();
  Status check(cudaError_t error, const char* what);
  Status make_room_for_words(int64_t words);
  Status send(const DeviceBatch& batch, cuda::PassShape* shape);
  Status run(const cuda::PassShape& shape, const DeviceBatch& batch);
  Graph* known(const cuda::PassShape& shape) noexcept;
  Status record(Graph* pass);
  cudaError_t try_to_record(Graph* pass);
  void enqueue(const cuda::PassShape& shape);
  Status synchronize(const char* what);
  Status read_row(const float* from, int64_t count, float* to, const char* what);
  void forget_graphs() noexcept;
  void count(const DeviceBatch& batch, const cuda::PassShape& shape) noexcept;

  void enqueue_begin(const cuda::PassShape& shape);
  void enqueue_layer(const cuda::PassShape& shape, int64_t layer);
  void enqueue_results(const cuda::PassShape& shape);
  void enqueue_logits(int64_t row, int64_t count);
  void enqueue_bounds(int64_t row, int64_t count);
  void enqueue_selection(int64_t row, int64_t count, bool bounds, const DeviceSelection& selection);
  bool computes_bounds() const noexcept { return model_.shape.screened; }
  void attend(const cuda::PassShape& shape, int64_t layer);
  void multiply(int64_t tokens,
                std::initializer_list<std::pair<const cuda::DeviceMap*, Output>> maps,
                const cuda::Normed& input, int64_t input_stride, cuda::Then then);

  const int32_t* words(int64_t place) const noexcept { return batch_.as<int32_t>() + place; }

  DeviceModel& model_;
  const DeviceContextOptions options_;
  const int device_;
  cuda::Stream stream_;
  cuda::DeviceBytes memory_, batch_, rows_;
  cuda::HostBytes sent_, read_, selected_host_;
  // In memory_.
  float *x_, *q_, *k_, *v_, *attended_, *gate_, *up_, *normed_, *cosine_, *sine_, *parts_;
  int8_t* quantized_;
  float* quantized_scale_;
  int32_t* quantized_sum_;
  uint16_t* cache_;
  uint32_t* arrived_;
  cuda::ScreenInput screen_input_;
  int64_t part_groups_;
  // In rows_: of each row its hidden state; its logits, or from low_ to high_ bounds of them; what
  // is selected of these.
  struct Row {
    enum Holds : uint8_t { kNothing, kBounds, kLogits } holds = kNothing;
    bool selected = false;  // selected_host_ has this row's, by selection_
  };
  int64_t row_count_ = 0;
  float *hidden_ = nullptr, *low_ = nullptr, *high_ = nullptr;
  cuda::SelectRoom* select_room_ = nullptr;
  cuda::Selected* selected_ = nullptr;
  Vec<Row> row_;                    // [row_count_]
  DeviceSelection selection_ = {};  // the last of the `first` largest: passes bring it along
  Vec<cuda::QueryBlock> blocks_;    // of the batch
  Vec<Graph> graphs_;
  uint64_t passes_ = 0;
  Status failed_;             // what made the context unusable
  DeviceCounts counts_ = {};  // without launches
};

}  // namespace bitnet
