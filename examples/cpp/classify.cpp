// Runs a network on several pictures, on several threads: a model each, and weights held once.
//
//     c++ -std=c++17 -O2 classify.cpp $(pkg-config --cflags --libs larqlite) -pthread -o classify
//     ./classify model.lqflat 2 one.pgm two.pgm three.pgm
//
// The network is a flat file (`lq export MODEL model.lqflat --to flat`), the pictures are binary
// PGM (grey) or PPM (colours) files of the size that it takes, with pixels from 0 to 255.
#include <larqlite.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

// A model that is freed with its owner, and whose errors are exceptions.
class Model {
 public:
  explicit Model(const std::string& path) {
    lq_model* made = nullptr;
    const int code = lq_load_file(path.c_str(), &made);
    model_.reset(made);
    require(code);
  }
  // Another model of the same network, for another thread.
  Model copy() const {
    lq_model* made = nullptr;
    const int code = lq_copy(model_.get(), &made);
    Model other(made);
    other.require(code);
    return other;
  }
  lq_tensor input() const {
    lq_tensor tensor;
    require(lq_input(model_.get(), 0, &tensor));
    return tensor;
  }
  lq_tensor output() const {
    lq_tensor tensor;
    require(lq_output(model_.get(), 0, &tensor));
    return tensor;
  }
  std::vector<float> run(const std::vector<float>& image) {
    std::vector<float> scores(static_cast<size_t>(output().image_values));
    const void* inputs[] = {image.data()};
    void* outputs[] = {scores.data()};
    require(lq_run_model(model_.get(), 1, inputs, outputs));
    return scores;
  }

 private:
  explicit Model(lq_model* model) : model_(model) {}
  void require(int code) const {
    if (code != LQ_OK) throw std::runtime_error(lq_error(model_.get()));
  }
  struct Free {
    void operator()(lq_model* model) const { lq_free(model); }
  };
  std::unique_ptr<lq_model, Free> model_;
};

std::vector<float> read_picture(const std::string& path, const lq_tensor& input) {
  std::ifstream file(path, std::ios::binary);
  std::string kind;
  int64_t width = 0, height = 0, most = 0;
  file >> kind >> width >> height >> most;
  file.get();  // one white space ends the head
  const int64_t channels = kind == "P5" ? 1 : kind == "P6" ? 3 : 0;
  std::string bytes(static_cast<size_t>(input.image_values), 0);
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file || most != 255 || input.axes != 4 || height != input.shape[1] ||
      width != input.shape[2] || channels != input.shape[3])
    throw std::runtime_error("no picture of the size that the network takes");
  std::vector<float> pixels;
  for (const char byte : bytes) pixels.push_back(static_cast<unsigned char>(byte));
  return pixels;
}

// A line for a picture; what went wrong with it, if anything.
std::string classify(Model& model, const std::string& path) {
  try {
    const std::vector<float> pixels = read_picture(path, model.input());
    const auto begin = std::chrono::steady_clock::now();
    const std::vector<float> scores = model.run(pixels);
    const std::chrono::duration<double, std::milli> took =
        std::chrono::steady_clock::now() - begin;
    const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
    return path + ": label " + std::to_string(best) + ", score " +
           std::to_string(scores[static_cast<size_t>(best)]) + ", " +
           std::to_string(took.count()) + " ms";
  } catch (const std::exception& error) {
    return path + ": " + error.what();
  }
}

}  // namespace

int main(int count, char** words) {
  if (count < 4) {
    std::fprintf(stderr, "usage: classify MODEL.lqflat THREADS PICTURE.pgm...\n");
    return 2;
  }
  try {
    const Model model(words[1]);
    const std::vector<std::string> paths(words + 3, words + count);
    std::vector<std::string> lines(paths.size());
    std::atomic<size_t> next{0};
    const auto work = [&](Model own) {
      for (size_t i = next++; i < paths.size(); i = next++) lines[i] = classify(own, paths[i]);
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < std::max(1, std::atoi(words[2])); ++i)
      threads.emplace_back(work, model.copy());
    for (std::thread& thread : threads) thread.join();
    for (const std::string& line : lines) std::printf("%s\n", line.c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "classify: %s\n", error.what());
    return 1;
  }
  return 0;
}
