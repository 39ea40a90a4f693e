// Banded attention with hidden frames, and Procrustes alignment, by the kernels and by their formulas in double; prints
// the largest error of each, relative to the largest value.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <vector>

#include "attention/banded.h"
#include "geometry/procrustes.h"

namespace olift {
void banded_forward_baseline(const BandedForward&);
void procrustes_baseline(const Procrustes&);
}  // namespace olift

namespace {

std::mt19937 generator(7);

double worse(double worst, double error) { return std::isnan(worst) || error <= worst ? worst : error; }

std::vector<float> random_values(int64_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(generator);
  return values;
}

olift::Tensor view(void* data, std::initializer_list<int64_t> shape, olift::Dtype dtype) {
  olift::Tensor tensor;
  tensor.data = data;
  tensor.dtype = dtype;
  for (int64_t size : shape) tensor.shape[tensor.axes++] = size;
  int64_t stride = 1;
  for (int axis = tensor.axes; axis-- > 0; stride *= tensor.shape[axis]) tensor.strides[axis] = stride;
  return tensor;
}

double attention_error() {
  constexpr int64_t kBatch = 2, kFrames = 71, kJoints = 3, kHeads = 2, kWidth = 20, kLeft = 9, kRight = 4;
  constexpr int64_t kRow = kHeads * kWidth, kFrame = kJoints * kRow, kAll = kBatch * kFrames * kFrame;
  auto q = random_values(kAll), k = random_values(kAll), v = random_values(kAll);
  std::vector<float> out(kAll, NAN);
  const auto visible = std::make_unique<bool[]>(kBatch * kFrames * kJoints);
  for (int64_t i = 0; i < kBatch * kFrames * kJoints; ++i) {
    visible[i] = generator() % 3 != 0;
    if (visible[i]) continue;
    std::fill_n(k.begin() + i * kRow, kRow, NAN);
    std::fill_n(v.begin() + i * kRow, kRow, NAN);
  }
  olift::BandedForward call{};
  call.q = view(q.data(), {kBatch, kFrames, kJoints, kHeads, kWidth}, olift::Dtype::kFloat32);
  call.k = view(k.data(), {kBatch, kFrames, kJoints, kHeads, kWidth}, olift::Dtype::kFloat32);
  call.v = view(v.data(), {kBatch, kFrames, kJoints, kHeads, kWidth}, olift::Dtype::kFloat32);
  call.out = view(out.data(), {kBatch, kFrames, kJoints, kHeads, kWidth}, olift::Dtype::kFloat32);
  static_cast<olift::Tensor&>(call.visible) = view(visible.get(), {kBatch, kFrames, kJoints}, olift::Dtype::kBool);
  call.scale = 1 / std::sqrt(static_cast<float>(kWidth));
  call.threads = 2;
  call.shape = {kBatch, kFrames, kJoints, kHeads, kWidth};
  call.left = kLeft;
  call.right = kRight;
  olift::banded_forward_baseline(call);

  double worst = 0, largest = 0;
  for (int64_t row = 0; row < kBatch * kFrames * kJoints * kHeads; ++row) {
    const int64_t head = row % kHeads, place = row / kHeads, joint = place % kJoints;
    const int64_t frame = place / kJoints % kFrames, batch = place / kJoints / kFrames;
    double sum = 0, wanted[kWidth] = {};
    for (int64_t s = std::max<int64_t>(frame - kLeft, 0); s <= std::min(frame + kRight, kFrames - 1); ++s) {
      const int64_t other = (batch * kFrames + s) * kJoints + joint;
      if (!visible[other]) continue;
      double logit = 0;
      for (int64_t c = 0; c < kWidth; ++c)
        logit += double(q[row * kWidth + c]) * k[(other * kHeads + head) * kWidth + c];
      const double weight = std::exp(logit / std::sqrt(double(kWidth)));
      sum += weight;
      for (int64_t c = 0; c < kWidth; ++c) wanted[c] += weight * v[(other * kHeads + head) * kWidth + c];
    }
    for (int64_t c = 0; c < kWidth; ++c) {
      const double value = sum > 0 ? wanted[c] / sum : 0, error = std::abs(out[row * kWidth + c] - value);
      largest = std::max(largest, std::abs(value));
      worst = worse(worst, error);
    }
  }
  return worst / largest;
}

// Points turned about an axis, scaled and moved: the alignment must find all of it.
double procrustes_error() {
  constexpr int64_t kCount = 13, kPoints = 9;
  auto source = random_values(kCount * kPoints * 3);
  std::vector<float> target(source.size()), wanted, rotation(kCount * 9, NAN), scale(kCount, NAN);
  std::vector<float> translation(kCount * 3, NAN), conditioning(kCount, NAN);
  for (int64_t n = 0; n < kCount; ++n) {
    const double angle = 0.5 * double(n) - 3, size = 0.3 + 0.2 * double(n), c = std::cos(angle), s = std::sin(angle);
    const double r[3][3] = {{c, -s, 0}, {0.6 * s, 0.6 * c, -0.8}, {0.8 * s, 0.8 * c, 0.6}};
    for (const auto& row : r)
      for (double value : row) wanted.push_back(static_cast<float>(value));
    for (int64_t p = 0; p < kPoints; ++p) {
      const float* x = &source[static_cast<size_t>((n * kPoints + p) * 3)];
      for (int i = 0; i < 3; ++i) {
        const double turned = r[i][0] * x[0] + r[i][1] * x[1] + r[i][2] * x[2];
        target[static_cast<size_t>((n * kPoints + p) * 3 + i)] = static_cast<float>(size * turned + i - 1);
      }
    }
  }
  olift::Procrustes call{};
  call.step = olift::ProcrustesStep::kFit;
  call.kind = olift::Alignment::kSimilarity;
  call.source = source.data();
  call.target = target.data();
  call.rotation = rotation.data();
  call.scale = scale.data();
  call.translation = translation.data();
  call.conditioning = conditioning.data();
  call.count = kCount;
  call.points = kPoints;
  call.dtype = olift::Dtype::kFloat32;
  call.source_strides = call.target_strides = {kPoints * 3, 3};
  call.threads = 2;
  olift::procrustes_baseline(call);

  double worst = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const double error = std::abs(double(rotation[i]) - wanted[i]);
    worst = worse(worst, error);
  }
  for (int64_t n = 0; n < kCount; ++n) {
    const double size = 0.3 + 0.2 * double(n), error = std::abs(double(scale[static_cast<size_t>(n)]) - size) / size;
    worst = worse(worst, error);
  }
  return worst;
}

}  // namespace

int main() {
  const double attention = attention_error(), procrustes = procrustes_error();
  std::printf("attention %.3g procrustes %.3g\n", attention, procrustes);
}
