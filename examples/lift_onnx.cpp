// Lifts a table of keypoints by a file that `olift export` wrote, with ONNX Runtime and nothing of olift-fast.
//
//   olift export small -o small.onnx
//   c++ -std=c++17 -O2 examples/lift_onnx.cpp -o lift_onnx $(pkg-config --cflags --libs libonnxruntime)
//   ./lift_onnx small.onnx mouse.csv nose:neck,neck:tail > joints.csv
//
// The table has a row of names, as nose_x,nose_y,tail_x,tail_y, and a row of pixels for each frame. Cells that are
// empty or nan are not seen. The third argument has the bones; "" where they are not known. The answer has x, y and z
// of each joint in the model's units, up to one rotation; docs/export.md tells how it is laid over the picture.
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <limits>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kFrames = 512;  // that are lifted at once: memory grows with their square

struct Clip {
  std::vector<std::string> joints;
  std::vector<std::pair<int64_t, int64_t>> bones;
  std::vector<float> keypoints;  // (T, J, 2), NaN where not seen
  int64_t frames = 0;

  int64_t width() const { return static_cast<int64_t>(joints.size()); }
};

std::vector<std::string> split(const std::string& line, char mark) {
  std::vector<std::string> parts;
  std::istringstream stream(line);
  for (std::string part; std::getline(stream, part, mark);) {
    while (!part.empty() && (part.back() == '\r' || part.back() == ' ')) part.pop_back();
    parts.push_back(part);
  }
  return parts;
}

float number(const std::string& cell) {
  if (cell.empty()) return kUnknown;
  char* end = nullptr;
  const float value = std::strtof(cell.c_str(), &end);
  if (*end != '\0') throw std::runtime_error("not a number: " + cell);
  return value;
}

Clip read_clip(const std::string& path, const std::string& bones) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) throw std::runtime_error("can't read " + path);
  const auto columns = split(line, ',');
  Clip clip;
  for (size_t i = 0; i + 1 < columns.size(); i += 2) {
    const std::string name = columns[i].substr(0, columns[i].rfind("_x"));
    if (columns[i] != name + "_x" || columns[i + 1] != name + "_y") {
      throw std::runtime_error("wanted NAME_x,NAME_y, got " + columns[i] + "," + columns[i + 1]);
    }
    clip.joints.push_back(name);
  }
  if (clip.joints.empty() || columns.size() % 2 != 0) throw std::runtime_error("wanted NAME_x,NAME_y of each joint");
  while (std::getline(file, line)) {
    auto cells = split(line, ',');
    cells.resize(std::max(cells.size(), columns.size()));  // an empty cell at the end is not split off
    if (cells.size() != columns.size()) throw std::runtime_error("a row has more cells than the first: " + line);
    for (const auto& cell : cells) clip.keypoints.push_back(number(cell));
    ++clip.frames;
  }
  if (clip.frames == 0) throw std::runtime_error("no frames in " + path);

  const auto index = [&clip](const std::string& name) {
    const auto found = std::find(clip.joints.begin(), clip.joints.end(), name);
    if (found == clip.joints.end()) throw std::runtime_error("a bone's joint is not in the table: " + name);
    return static_cast<int64_t>(found - clip.joints.begin());
  };
  for (const auto& bone : split(bones, ',')) {
    const auto ends = split(bone, ':');
    if (ends.size() != 2) throw std::runtime_error("wanted FROM:TO, got " + bone);
    clip.bones.emplace_back(index(ends[0]), index(ends[1]));
  }
  return clip;
}

// Each joint's side, by its name: 1 left, -1 right, 0 neither.
std::vector<float> sides_of(const Clip& clip) {
  std::vector<float> sides;
  for (const auto& name : clip.joints) sides.push_back(name.rfind("left", 0) == 0 ? 1 : -(name.rfind("right", 0) == 0));
  return sides;
}

// (J, J), true where two joints are at most so many bones apart; everywhere where no bones are known.
std::unique_ptr<bool[]> graph_of(const Clip& clip, int64_t hops) {
  const int64_t J = clip.width();
  std::vector<int64_t> apart(J * J, J);  // farther than any two that are connected
  for (int64_t i = 0; i < J; ++i) apart[i * J + i] = 0;
  for (const auto& [a, b] : clip.bones) apart[a * J + b] = apart[b * J + a] = 1;
  for (int64_t via = 0; via < J; ++via) {
    for (int64_t a = 0; a < J; ++a) {
      for (int64_t b = 0; b < J; ++b) {
        apart[a * J + b] = std::min(apart[a * J + b], apart[a * J + via] + apart[via * J + b]);
      }
    }
  }
  auto graph = std::make_unique<bool[]>(J * J);
  for (int64_t i = 0; i < J * J; ++i) graph[i] = clip.bones.empty() || (apart[i] < J && apart[i] <= hops);
  return graph;
}

// Takes the mean of each frame's keypoints away, and divides all by the root mean square of what is left. Which are
// visible, (T, J).
std::unique_ptr<bool[]> normalize(Clip& clip) {
  const int64_t J = clip.width();
  auto visible = std::make_unique<bool[]>(clip.frames * J);
  double squares = 0;
  int64_t seen = 0;
  for (int64_t t = 0; t < clip.frames; ++t) {
    float* points = &clip.keypoints[2 * J * t];
    double mean[2] = {0, 0};
    int64_t count = 0;
    for (int64_t j = 0; j < J; ++j) {
      const bool is_seen = std::isfinite(points[2 * j]) && std::isfinite(points[2 * j + 1]);
      visible[t * J + j] = is_seen;
      count += is_seen;
      for (int axis = 0; axis < 2; ++axis) mean[axis] += is_seen ? points[2 * j + axis] : 0;
    }
    for (int64_t j = 0; j < J; ++j) {
      for (int axis = 0; axis < 2; ++axis) {
        float& value = points[2 * j + axis];
        value = visible[t * J + j] ? static_cast<float>(value - mean[axis] / count) : 0;
        squares += static_cast<double>(value) * value;
      }
    }
    seen += count;
  }
  const double scale = seen > 0 && squares > 0 ? std::sqrt(squares / seen) : 1;
  for (float& value : clip.keypoints) value = static_cast<float>(value / scale);
  return visible;
}

class Lifter {
 public:
  explicit Lifter(const std::string& path) : session_(environment_, path.c_str(), Ort::SessionOptions()) {
    const size_t count = session_.GetInputCount();
    for (size_t i = 0; i < count; ++i) names_.emplace_back(session_.GetInputNameAllocated(i, allocator_).get());
    hops_ = told("olift.hops");
    before_ = told("olift.frames_before");
    after_ = told("olift.frames_after");
  }

  // (T, J, 3). Parts that overlap by as much as a frame's result depends on give what the whole would give.
  std::vector<float> lift(Clip& clip) {
    const int64_t J = clip.width();
    const auto visible = normalize(clip);
    const auto graph = graph_of(clip, hops_);
    auto sides = sides_of(clip);
    std::vector<float> joints;
    for (int64_t start = 0; start < clip.frames; start += kFrames) {
      const int64_t stop = std::min(start + kFrames, clip.frames);
      const int64_t first = std::max<int64_t>(start - before_, 0), last = std::min(stop + after_, clip.frames);
      const auto part =
          run(J, last - first, &clip.keypoints[2 * J * first], &visible[J * first], graph.get(), sides.data());
      joints.insert(joints.end(), part.begin() + 3 * J * (start - first), part.begin() + 3 * J * (stop - first));
    }
    return joints;
  }

 private:
  int64_t told(const char* key) {
    const auto value = session_.GetModelMetadata().LookupCustomMetadataMapAllocated(key, allocator_);
    if (value == nullptr) throw std::runtime_error(std::string("not a file of olift export: it lacks ") + key);
    return std::strtoll(value.get(), nullptr, 10);
  }

  std::vector<float> run(int64_t J, int64_t T, float* keypoints, bool* visible, bool* graph, float* sides) {
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    std::vector<int64_t> kinds(J, 0);
    float pitch = kUnknown;
    const std::array<int64_t, 4> points{1, T, J, 2}, frames{1, T, J}, square{1, J, J}, each{1, J}, one{1};
    std::vector<const char*> names;
    std::vector<Ort::Value> given;
    const auto give = [&](auto* data, size_t count, const std::array<int64_t, 4>& shape, size_t axes) {
      given.push_back(Ort::Value::CreateTensor(memory, data, count, shape.data(), axes));
    };
    for (const auto& name : names_) {
      names.push_back(name.c_str());
      if (name == "keypoints") give(keypoints, 2 * T * J, points, 4);
      else if (name == "visible") give(visible, T * J, frames, 3);
      else if (name == "graph") give(graph, J * J, square, 3);
      else if (name == "sides") give(sides, J, each, 2);
      else if (name == "kinds") give(kinds.data(), J, each, 2);
      else if (name == "pitch") give(&pitch, 1, one, 1);
      else throw std::runtime_error("an input that is not known here (made with --stream?): " + name);
    }
    const char* wanted = "joints";
    const auto answers = session_.Run(Ort::RunOptions(), names.data(), given.data(), given.size(), &wanted, 1);
    const float* joints = answers.front().GetTensorData<float>();
    return {joints, joints + 3 * T * J};
  }

  Ort::Env environment_{ORT_LOGGING_LEVEL_WARNING, "olift"};
  Ort::AllocatorWithDefaultOptions allocator_;
  Ort::Session session_;
  std::vector<std::string> names_;
  int64_t hops_ = 0, before_ = 0, after_ = 0;
};

void print(const Clip& clip, const std::vector<float>& joints) {
  const char* comma = "";
  for (const auto& name : clip.joints) {
    std::printf("%s%s_x,%s_y,%s_z", comma, name.c_str(), name.c_str(), name.c_str());
    comma = ",";
  }
  const size_t row = 3 * clip.joints.size();
  for (size_t i = 0; i < joints.size(); ++i) std::printf("%c%.6g", i % row == 0 ? '\n' : ',', joints[i]);
  std::printf("\n");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::cerr << "usage: lift_onnx MODEL.onnx KEYPOINTS.csv FROM:TO,FROM:TO,...\n";
    return 2;
  }
  try {
    Clip clip = read_clip(arguments[2], arguments[3]);
    print(clip, Lifter(arguments[1]).lift(clip));
  } catch (const std::exception& error) {
    std::cerr << "lift_onnx: " << error.what() << "\n";
    return 2;
  }
  return 0;
}
