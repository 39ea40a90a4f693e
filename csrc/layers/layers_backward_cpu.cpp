// Norm, linear layers and GELU, backward, for training on the CPU; compiled once for each instruction set.
//
// With g the gradient of the output and n the normed rows, of two layers:
//   dh = (g · second) gelu'(h),  dn = dh · first,  dfirst = dhᵀ · n,  dsecond = gᵀ · gelu(h)
// and of one dh = g. Then, of a norm with ẑ = (x - mean) / std and s = dn · weight:
//   dweight = Σ dn ẑ,  dbias = Σ dn,  dx = (s - mean(s) - ẑ mean(s ẑ)) / std.
// A few rows at a time go through all of this, ẑ and n computed again. Sums over rows are made in two stages, over runs
// of rows that do not depend on the number of threads.

#include "layers/layers.h"

#include <memory>

#include "common/isa.h"
#include "common/parallel.h"
#include "layers/rows.h"

namespace {

using olift::Layer;
using olift::LayersBackward;

constexpr int64_t kMostRuns = 64;
constexpr int64_t kFewRuns = 16;
constexpr int64_t kRunRows = 512;
constexpr int64_t kMostSums = int64_t{1} << 23;  // numbers; more only for the sake of kFewRuns

// gelu(x) = x Φ(x), and its slope Φ(x) + x φ(x) with the density φ.
template <int L>
struct Gelu {
  explicit Gelu(Vec<L> x) {
    const Vec<L> below = normal_below<L>(x);
    value = x * below;
    slope = below + x * (0.39894228f * exp_nonpositive<L>(-0.5f * x * x));
  }
  Vec<L> value, slope;
};

// Where one run's sums lie in a row of floats; a weight's rows are padded to whole tiles, its columns to whole panels.
struct Sums {
  explicit Sums(const LayersBackward& p) {
    const auto weight = [&](const float* wanted, const Layer& layer) {
      return take(wanted ? round_up(layer.out, kTileRows) * columns_of(layer) : 0);
    };
    first = weight(p.dweight, p.first);
    first_bias = take(p.dbias ? p.first.out : 0);
    second = weight(p.dsecond_weight, p.second);
    second_bias = take(p.dsecond_bias ? p.second.out : 0);
    norm_weight = take(p.dnorm_weight ? p.first.in : 0);
    norm_bias = take(p.dnorm_bias ? p.first.in : 0);
  }
  static int64_t columns_of(const Layer& layer) { return round_up(layer.in, 2 * kNativeLanes); }
  int64_t first, first_bias, second, second_bias, norm_weight, norm_bias, size = 0;

 private:
  int64_t take(int64_t count) {
    const int64_t place = size;
    size += round_up(count, 16);
    return place;
  }
};

// A few rows as they are summed over: kStep of them in a row of lanes. Zeros beyond the last column, and where none was
// put.
template <int L>
class Sheet {
 public:
  explicit Sheet(int64_t width) : stride(row_stride(width)), held_(kRows / kStep * stride) {}

  // Columns d … of row and, where kStep is 2, of the one after it; zeros where there is no such row.
  void put(int64_t row, int64_t d, Vec<L> first, Vec<L> second) {
#if defined(__AVX512BF16__)
    store_lanes<L>(held_.at(row / kStep * stride + d), first, second);
#else
    store<L>(held_.at(row * stride + d), first);
    store<L>(held_.at(row * stride + stride + d), second);
#endif
  }
  const Lane* at(int64_t d) const { return held_.at(d); }
  int64_t stride;

 private:
  Lines<Lane> held_;
};

// Columns d … of a row; zeros beyond the last column, and in a row that there is not.
template <int L, class From>
OLIFT_INLINE Vec<L> part_of(const From* rows, int64_t width, int64_t row, int64_t count, int64_t d) {
  if (row >= count) return Vec<L>{};
  return load_up_to<L>(rows + row * width + d, width - d);
}

// to += sum, of up to L columns; = where it is `fresh`.
template <int L>
OLIFT_INLINE void add_part(float* to, Vec<L> sum, int64_t columns, bool fresh) {
  store_up_to<L>(to, fresh ? sum : load_up_to<L>(to, columns) + sum, columns);
}

// to += each of `count` rows; to = their sum where it is `fresh`.
template <int L, class From>
OLIFT_APART void add_rows(const From* rows, int64_t stride, int64_t count, int64_t width, bool fresh, float* to) {
  for (int64_t d = 0; d < width; d += L) {
    Vec<L> sum{};
    for (int64_t row = 0; row < count; ++row) sum += load_up_to<L>(rows + row * stride + d, L);
    add_part<L>(to + d, sum, width - d, fresh);
  }
}

// to (out, columns) += aᵀ · b of `count` rows; = where it is `fresh`.
template <int L>
OLIFT_APART void add_products(const Sheet<L>& a, int64_t out, const Sheet<L>& b, int64_t columns, int64_t count,
                              bool fresh, float* to) {
  const int64_t steps = (count + kStep - 1) / kStep;
  for (int64_t column = 0; column < columns; column += 2 * L) {
    for (int64_t d = 0; d < out; d += kTileRows) {
      Tile<L> sums;
      for (auto& sum : sums) sum[0] = sum[1] = Vec<L>{};
      multiply_lanes<L>(a.at(d), a.stride, b.at(column), b.stride, steps, sums);
      for (int i = 0; i < kTileRows; ++i) {
        float* row = to + (d + i) * columns + column;
        store<L>(row, fresh ? sums[i][0] : load<L>(row) + sums[i][0]);
        store<L>(row + L, fresh ? sums[i][1] : load<L>(row + L) + sums[i][1]);
      }
    }
  }
}

// finish(row, column, vector, vector of the row after it) gets rows · layer, of whole tiles.
template <int L, class Finish>
OLIFT_INLINE void multiply_rows(const Element* rows, int64_t stride, int64_t count, const Linear& layer,
                                const Finish& finish) {
  for (int64_t column = 0; column < layer.out; column += 2 * L) {
    const Element* panel = static_cast<const Element*>(layer.weight) + column * whole_steps(layer.in);
    for (int64_t row = 0; row < count; row += kTileRows) {
      Tile<L> sums;
      for (auto& sum : sums) sum[0] = sum[1] = Vec<L>{};
      multiply_panel<L>(rows + row * stride, stride, panel, layer.in, sums);
      for (int i = 0; i < kTileRows; i += 2) {
        finish(row + i, column, sums[i][0], sums[i + 1][0]);
        if (column + L < layer.out) finish(row + i, column + L, sums[i][1], sums[i + 1][1]);
      }
    }
  }
}

// What goes into a product with a weight, and, in its sheet, into the gradient of one. Floats lie in both alike.
template <int L>
class Slopes {
 public:
  explicit Slopes(int64_t width) : stride(row_stride(width)), sheet(width), rows_(kStep > 1 ? kRows * stride : 0) {}

  void put(int64_t row, int64_t d, Vec<L> first, Vec<L> second) {
    sheet.put(row, d, first, second);
    if constexpr (kStep == 1) return;
    store_up_to<L>(rows_.at(row * stride + d), first, L);
    store_up_to<L>(rows_.at(row * stride + stride + d), second, L);
  }
  const Element* rows() const {
    if constexpr (kStep == 1) return reinterpret_cast<const Element*>(sheet.at(0));
    return rows_.at(0);
  }
  int64_t stride;
  Sheet<L> sheet;

 private:
  Lines<Element> rows_;
};

template <int L>
class Block {
 public:
  Block(const LayersBackward& backward, const Sums& places, const Linear& first_layer, const Linear& second_layer)
      : p(backward),
        at(places),
        first(first_layer),
        second(second_layer),
        in(p.first.in),
        inner(p.first.out),
        out(p.second.weight ? p.second.out : inner),
        stride(row_stride(in)),
        grad(out),
        inner_grad(p.second.weight ? inner : 0),
        activated(p.second.weight ? inner : 0),
        normed(in),
        standard(kRows * stride),
        normed_grad(kRows * stride),
        scales(kRows) {}

  // Rows begin … begin + count - 1, at most kRows; `sums` are those of a run, and not yet written where they are
  // `fresh`.
  void run(int64_t begin, int64_t count, bool fresh, float* sums) {
    if (elements_out()) take(static_cast<const Element*>(p.grad.data) + begin * out, out, count, grad);
    else take(static_cast<const float*>(p.grad.data) + begin * out, out, count, grad);
    if (p.norm.weight) standardize(static_cast<const float*>(p.x.data) + begin * in, count);
    else if (p.dweight) take(static_cast<const Element*>(p.x.data) + begin * in, in, count, normed);
    if (p.second.weight) {
      through_gelu(static_cast<const Element*>(p.hidden.data) + begin * inner, count);
      if (p.dsecond_weight) {
        add_products<L>(grad.sheet, out, activated, Sums::columns_of(p.second), count, fresh, sums + at.second);
      }
      if (p.dsecond_bias) add_rows<L>(grad.rows(), grad.stride, count, out, fresh, sums + at.second_bias);
    }
    const Slopes<L>& slope = p.second.weight ? inner_grad : grad;
    if (p.dbias) add_rows<L>(slope.rows(), slope.stride, count, inner, fresh, sums + at.first_bias);
    const bool norms = p.norm.weight && (p.dx || p.dnorm_weight || p.dnorm_bias);
    if (norms || p.dx) to_normed(slope, count);
    if (norms) through_norm(begin, count, fresh, sums);
    else if (p.dx) write_dx(begin, count);
    if (p.dweight) {
      if (p.norm.weight) scale_and_shift(count);
      add_products<L>(slope.sheet, inner, normed, Sums::columns_of(p.first), count, fresh, sums + at.first);
    }
  }

 private:
  bool elements_out() const { return p.norm.weight && !p.second.weight; }

  template <class From, class To>
  OLIFT_APART static void take(const From* from, int64_t width, int64_t count, To& to) {
    for (int64_t row = 0; row < count; row += 2) {
      for (int64_t d = 0; d < width; d += L) {
        to.put(row, d, part_of<L>(from, width, row, count, d), part_of<L>(from, width, row + 1, count, d));
      }
    }
  }

  // standard = ẑ, scales = 1 / std.
  OLIFT_APART void standardize(const float* x, int64_t count) {
    for (int64_t row = 0; row < count; ++row, x += in) {
      const auto [mean, scale] = moments<L>(x, in, p.norm.epsilon);
      for (int64_t d = 0; d < in; d += L) {
        store_up_to<L>(standard.at(row * stride + d), (load_up_to<L>(x + d, in - d) - mean) * scale, in - d);
      }
      *scales.at(row) = scale;
    }
  }

  // normed = ẑ · weight + bias.
  OLIFT_APART void scale_and_shift(int64_t count) {
    for (int64_t d = 0; d < in; d += L) {
      const Vec<L> weight = load_up_to<L>(p.norm.weight + d, in - d), bias = load_up_to<L>(p.norm.bias + d, in - d);
      for (int64_t row = 0; row < count; row += 2) {
        const float* z = standard.at(row * stride + d);
        const Vec<L> second = row + 1 < count ? load<L>(z + stride) * weight + bias : Vec<L>{};
        normed.put(row, d, load<L>(z) * weight + bias, second);
      }
    }
  }

  // activated = gelu(h), inner_grad = (grad · second) gelu'(h).
  OLIFT_APART void through_gelu(const Element* hidden, int64_t count) {
    multiply_rows<L>(grad.rows(), grad.stride, count, second, [&](int64_t row, int64_t d, Vec<L> a, Vec<L> b) {
      if (row >= count) return;
      const Gelu<L> own(part_of<L>(hidden, inner, row, count, d)), next(part_of<L>(hidden, inner, row + 1, count, d));
      activated.put(row, d, own.value, next.value);
      inner_grad.put(row, d, a * own.slope, row + 1 < count ? b * next.slope : Vec<L>{});
    });
  }

  // normed_grad = slope · first.
  OLIFT_APART void to_normed(const Slopes<L>& slope, int64_t count) {
    multiply_rows<L>(slope.rows(), slope.stride, count, first, [&](int64_t row, int64_t d, Vec<L> a, Vec<L> b) {
      store<L>(normed_grad.at(row * stride + d), a);
      store<L>(normed_grad.at(row * stride + stride + d), b);
    });
  }

  OLIFT_APART void through_norm(int64_t begin, int64_t count, bool fresh, float* sums) {
    float* weight_sums = p.dnorm_weight ? sums + at.norm_weight : nullptr;
    if (p.dnorm_bias) add_rows<L>(normed_grad.at(0), stride, count, in, fresh, sums + at.norm_bias);
    for (int64_t d = 0; weight_sums && d < in; d += L) {
      Vec<L> sum{};
      for (int64_t row = 0; row < count; ++row) {
        sum += load<L>(normed_grad.at(row * stride + d)) * load<L>(standard.at(row * stride + d));
      }
      add_part<L>(weight_sums + d, sum, in - d, fresh);
    }
    for (int64_t row = 0; p.dx && row < count; ++row) {
      const float *z = standard.at(row * stride), *slope = normed_grad.at(row * stride);
      const float* more = static_cast<const float*>(p.grad.data) + (begin + row) * in;
      float* to = static_cast<float*>(p.dx.data) + (begin + row) * in;
      Vec<L> plain{}, along{};
      for (int64_t d = 0; d < in; d += L) {
        const Vec<L> s = load<L>(slope + d) * load_up_to<L>(p.norm.weight + d, in - d);
        plain += s;
        along += s * load<L>(z + d);
      }
      const float mean = sum_of_lanes<L>(plain) / static_cast<float>(in);
      const float mean_along = sum_of_lanes<L>(along) / static_cast<float>(in), scale = *scales.at(row);
      for (int64_t d = 0; d < in; d += L) {
        const Vec<L> s = load<L>(slope + d) * load_up_to<L>(p.norm.weight + d, in - d);
        Vec<L> found = (s - mean - load<L>(z + d) * mean_along) * scale;
        if (p.residual) found += load_up_to<L>(more + d, in - d);
        store_up_to<L>(to + d, found, in - d);
      }
    }
  }

  OLIFT_APART void write_dx(int64_t begin, int64_t count) {
    Element* to = static_cast<Element*>(p.dx.data) + begin * in;
    for (int64_t row = 0; row < count; ++row, to += in) {
      for (int64_t d = 0; d < in; d += L) store_up_to<L>(to + d, load<L>(normed_grad.at(row * stride + d)), in - d);
    }
  }

  const LayersBackward& p;
  const Sums& at;
  const Linear &first, &second;  // transposed
  int64_t in, inner, out, stride;
  Slopes<L> grad, inner_grad;
  Sheet<L> activated, normed;
  Floats standard, normed_grad, scales;
};

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(layers_backward)(const LayersBackward& p) {
  constexpr int L = kNativeLanes;
  const Sums at(p);
  const Packed first(p.first, true), second(p.second, true);
  const int64_t room = std::max(kFewRuns, kMostSums / std::max(at.size, int64_t{1}));
  const int64_t runs = std::min({kMostRuns, room, (p.rows + kRunRows - 1) / kRunRows});
  const std::unique_ptr<float[]> partial(new float[static_cast<size_t>(runs * at.size)]);

  olift::parallel_for(runs, 1, p.threads, [&](int64_t first_run, int64_t end_run) {
    Block<L> block(p, at, first.linear, second.linear);
    for (int64_t run = first_run; run < end_run; ++run) {
      const int64_t start = p.rows * run / runs, end = p.rows * (run + 1) / runs;
      for (int64_t row = start; row < end; row += kRows) {
        block.run(row, std::min(kRows, end - row), row == start, partial.get() + run * at.size);
      }
    }
  });

  const auto total = [&](int64_t place, int64_t count, float* to) {
    for (int64_t d = 0; to && d < count; d += L) {
      Vec<L> sum{};
      for (int64_t run = 0; run < runs; ++run)
        sum += load_up_to<L>(partial.get() + run * at.size + place + d, count - d);
      store_up_to<L>(to + d, sum, count - d);
    }
  };
  const auto total_weight = [&](int64_t place, const Layer& layer, float* to) {
    olift::parallel_for(to ? layer.out : 0, 16, p.threads, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        total(place + row * Sums::columns_of(layer), layer.in, to + row * layer.in);
    });
  };
  total_weight(at.first, p.first, p.dweight);
  total_weight(at.second, p.second, p.dsecond_weight);
  total(at.first_bias, p.first.out, p.dbias);
  total(at.second_bias, p.second.out, p.dsecond_bias);
  total(at.norm_weight, p.first.in, p.dnorm_weight);
  total(at.norm_bias, p.first.in, p.dnorm_bias);
}

}  // namespace olift
