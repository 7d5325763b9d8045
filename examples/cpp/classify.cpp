// Runs a network on several pictures, on several threads: a model each, and weights held once.
//
//     c++ -std=c++17 -O2 classify.cpp $(pkg-config --cflags --libs larqlite) -pthread -o classify
//     ./classify model.lqflat 2 one.pgm two.pgm three.pgm
//
// The network is a flat file (`lq export MODEL model.lqflat --to flat`) that takes one picture, as
// floats or (`--pixels`) as bytes, and gives scores. The pictures are binary PGM (grey) or PPM
// (colours) files of its size, with pixels from 0 to 255. Returns 0, 1 where something went wrong
// with a picture or with all, 2 where words make no sense.
#include <larqlite.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <future>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Bytes = std::vector<unsigned char>;

// A model that is freed with its owner, and whose errors are exceptions.
class Model {
 public:
  explicit Model(const std::string& path) {
    lq_model* made = nullptr;
    const int code = lq_load_file(path.c_str(), &made);
    model_.reset(made);
    require(code);
    require(lq_input(made, 0, &input_));
    require(lq_output(made, 0, &output_));
    if (lq_input_count(made) != 1 || lq_output_count(made) != 1 || input_.axes != 4 ||
        (input_.shape[3] != 1 && input_.shape[3] != 3) ||
        (input_.type != LQ_FLOAT32 && input_.type != LQ_UINT8) || output_.type != LQ_FLOAT32)
      throw std::runtime_error(
          "the network does not take one picture and give one row of floats: it has " +
          std::to_string(lq_input_count(made)) + " inputs and " +
          std::to_string(lq_output_count(made)) + " outputs,\n  \"" + input_.name + "\" of " +
          std::to_string(input_.axes) + " axes and type " + std::to_string(input_.type) +
          ", \"" + output_.name + "\" of type " + std::to_string(output_.type) +
          "\n  Fix: a program of your own, with memory for each of them; larqlite.h has the types");
  }
  // Another model of the same network, for another thread; this one may not run meanwhile.
  Model copy() const {
    lq_model* made = nullptr;
    const int code = lq_copy(model_.get(), &made);
    Model other(made, input_, output_);
    other.require(code);
    return other;
  }
  const lq_tensor& input() const { return input_; }

  std::vector<float> run(const Bytes& pixels) {
    const std::vector<float> values(pixels.begin(), pixels.end());
    std::vector<float> scores(static_cast<size_t>(output_.image_values));
    const bool takes_bytes = input_.type == LQ_UINT8;
    const void* inputs[] = {takes_bytes ? static_cast<const void*>(pixels.data()) : values.data()};
    void* outputs[] = {scores.data()};
    require(lq_run_model(model_.get(), 1, inputs, outputs));
    return scores;
  }

 private:
  Model(lq_model* model, const lq_tensor& input, const lq_tensor& output)
      : model_(model), input_(input), output_(output) {}
  void require(int code) const {
    if (code != LQ_OK) throw std::runtime_error(lq_error(model_.get()));
  }
  struct Free {
    void operator()(lq_model* model) const { lq_free(model); }
  };
  std::unique_ptr<lq_model, Free> model_;
  lq_tensor input_, output_;
};

// The next number of the head of a picture, behind white space and comments; -1: there is none.
int64_t next_number(std::istream& file) {
  while ((file >> std::ws).peek() == '#')
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  int64_t number = -1;
  return file >> number ? number : -1;
}

Bytes read_picture(const std::string& path, const lq_tensor& input) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(std::strerror(errno));
  const int64_t kind = file.get() == 'P' ? file.get() : 0;
  const int64_t channels = kind == '5' ? 1 : kind == '6' ? 3 : 0;
  const int64_t width = next_number(file), height = next_number(file), most = next_number(file);
  file.get();  // one white space ends the head
  Bytes pixels(static_cast<size_t>(input.image_values));
  file.read(reinterpret_cast<char*>(pixels.data()), static_cast<std::streamsize>(pixels.size()));
  if (!file || channels != input.shape[3] || width != input.shape[2] ||
      height != input.shape[1] || most != 255)
    throw std::runtime_error(
        std::string("no whole binary ") + (input.shape[3] == 1 ? "PGM (P5)" : "PPM (P6)") +
        " of " + std::to_string(input.shape[2]) + " x " + std::to_string(input.shape[1]) +
        " pixels from 0 to 255\n  Fix: scale the picture to that size, and write it as such a file");
  return pixels;
}

// A line for a picture, or what went wrong with it.
struct Answer {
  std::string line;
  bool is_good = false;
};

Answer classify(Model& model, const std::string& path) {
  try {
    const Bytes pixels = read_picture(path, model.input());
    const auto begin = std::chrono::steady_clock::now();
    const std::vector<float> scores = model.run(pixels);
    const std::chrono::duration<double, std::milli> took =
        std::chrono::steady_clock::now() - begin;
    const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
    return {path + ": label " + std::to_string(best) + ", score " +
                std::to_string(scores[static_cast<size_t>(best)]) + ", " +
                std::to_string(took.count()) + " ms",
            true};
  } catch (const std::exception& error) {
    return {path + ": " + error.what()};
  }
}

}  // namespace

int main(int count, char** words) {
  char* end = nullptr;
  const long asked = count < 4 ? 0 : std::strtol(words[2], &end, 10);
  if (asked < 1 || *end != 0) {
    std::fprintf(stderr, "usage: classify MODEL.lqflat THREADS PICTURE.pgm...\n");
    return 2;
  }
  try {
    const Model model(words[1]);
    const std::vector<std::string> paths(words + 3, words + count);
    std::vector<Answer> answers(paths.size());
    std::atomic<size_t> next{0};
    const auto work = [&](Model own) {
      for (size_t i = next++; i < paths.size(); i = next++) answers[i] = classify(own, paths[i]);
    };
    // A thread that cannot be made is an exception; those that were are waited for in any case.
    std::vector<std::future<void>> threads;
    for (size_t i = 0; i < std::min(static_cast<size_t>(asked), paths.size()); ++i)
      threads.push_back(std::async(std::launch::async, work, model.copy()));
    for (std::future<void>& thread : threads) thread.get();
    bool is_good = true;
    for (const Answer& answer : answers) {
      std::fprintf(answer.is_good ? stdout : stderr, "%s\n", answer.line.c_str());
      is_good = is_good && answer.is_good;
    }
    return is_good ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "classify: %s\n", error.what());
    return 1;
  }
}
