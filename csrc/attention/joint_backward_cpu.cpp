// Joint attention, backward, on the CPU; compiled once for each instruction set (OLIFT_ISA names it).
//
// One frame and head at a time, as in the forward. With s the scores, p = exp(s - lse), dp = grad_out · v and
// delta = Σ p dp over a query's keys:
//   ds = p (dp - delta),  grad_q = scale Σ ds k,  grad_k = scale Σ ds q,  grad_v = Σ p grad_out.
// p and ds of all pairs of joints are kept until the keys take theirs.

#include "attention/joint_tiles.h"
#include "common/isa.h"
#include "common/parallel.h"

namespace {

using olift::JointBackward;

// What a thread needs besides the inputs; sizes padded to whole vectors.
template <int L>
struct Scratch {
  explicit Scratch(const JointBackward& p)
      : keys((p.shape.joints + L - 1) / L * L),
        width((p.shape.width + L - 1) / L * L),
        masks(p, keys),
        q(keys * width),
        k(keys * width),
        v(keys * width),
        grad(keys * width),
        k_columns(width * keys),
        v_columns(width * keys),
        weights(p.shape.joints * keys),
        slopes(p.shape.joints * keys),
        lse(p.shape.joints) {}
  int64_t keys, width;
  Masks<JointBackward> masks;
  Floats q, k, v, grad, k_columns, v_columns;
  Floats weights, slopes;  // p and ds, (query, key)
  Floats lse;
};

template <int L, class Element>
OLIFT_INLINE void gather(const JointBackward& p, const Place& place, Scratch<L>& s) {
  s.masks.move_to(place.batch, place.frame, place.head);
  const Element* q = rows_at(static_cast<const Element*>(p.q), p.q_strides, place);
  const Element* k = rows_at(static_cast<const Element*>(p.k), p.k_strides, place);
  const Element* v = rows_at(static_cast<const Element*>(p.v), p.v_strides, place);
  const Element* grad = rows_at(static_cast<const Element*>(p.grad_out), p.grad_out_strides, place);
  const int64_t width = p.shape.width;
  const int64_t query = (place.batch * p.shape.frames + place.frame) * p.shape.joints;
  for (int64_t j = 0; j < p.shape.joints; ++j) {
    const float lse = p.lse[(query + j) * p.shape.heads + place.head];
    *s.lse.at(j) = lse;
    if (lse != -kInf) {
      copy_row<L>(s.q.at(j * s.width), q + j * p.q_strides.joint, width, p.scale, p.q_strides.head);
      copy_row<L>(s.grad.at(j * s.width), grad + j * p.grad_out_strides.joint, width, 1.0f, p.grad_out_strides.head);
    } else {
      std::fill(s.q.at(j * s.width), s.q.at((j + 1) * s.width), 0.0f);
      std::fill(s.grad.at(j * s.width), s.grad.at((j + 1) * s.width), 0.0f);
    }
    if (s.masks.reads(j)) {
      copy_row<L>(s.k.at(j * s.width), k + j * p.k_strides.joint, width, 1.0f, p.k_strides.head);
      copy_row<L>(s.v.at(j * s.width), v + j * p.v_strides.joint, width, 1.0f, p.v_strides.head);
    } else {
      std::fill(s.k.at(j * s.width), s.k.at((j + 1) * s.width), 0.0f);
      std::fill(s.v.at(j * s.width), s.v.at((j + 1) * s.width), 0.0f);
    }
  }
  transpose_rows<L>(s.k.at(0), s.keys, s.width, s.k_columns.at(0));
  transpose_rows<L>(s.v.at(0), s.keys, s.width, s.v_columns.at(0));
}

// p and ds of R queries, and grad_q from them.
template <int L, int R, class Element>
OLIFT_INLINE void take_queries(const JointBackward& p, const Place& place, int64_t first, Scratch<L>& s) {
  float* weights = s.weights.at(first * s.keys);
  float* slopes = s.slopes.at(first * s.keys);
  const int64_t width = p.shape.width;
  multiply<L, R>(s.q.at(first * s.width), s.width, 1, s.k_columns.at(0), s.keys, s.keys, width,
                 [&](int r, int64_t c, Vec<L> x) { store<L>(weights + r * s.keys + c, x); });
  multiply<L, R>(s.grad.at(first * s.width), s.width, 1, s.v_columns.at(0), s.keys, s.keys, width,
                 [&](int r, int64_t c, Vec<L> x) { store<L>(slopes + r * s.keys + c, x); });

  for (int r = 0; r < R; ++r) {
    const float lse = *s.lse.at(first + r);
    float* weight_row = weights + r * s.keys;
    float* slope_row = slopes + r * s.keys;
    Vec<L> sums{};
    for (int64_t c = 0; c < s.keys; c += L) {
      const IntVec<L> seen = s.masks.template sees<L>(first + r, c);
      const Vec<L> weight = seen ? exp_nonpositive<L>(load<L>(weight_row + c) - lse) : Vec<L>{};
      const Vec<L> pull = seen ? load<L>(slope_row + c) : Vec<L>{};
      store<L>(weight_row + c, weight);
      store<L>(slope_row + c, pull);
      sums += weight * pull;
    }
    const float delta = sum_of_lanes<L>(sums);
    for (int64_t c = 0; c < s.keys; c += L) {
      const IntVec<L> seen = s.masks.template sees<L>(first + r, c);
      const Vec<L> slope = load<L>(weight_row + c) * (load<L>(slope_row + c) - delta);
      store<L>(slope_row + c, seen ? slope : Vec<L>{});
    }
  }

  Element* grad_q = rows_at(static_cast<Element*>(p.grad_q), p.grad_q_strides, place);
  multiply<L, R>(slopes, s.keys, 1, s.k.at(0), s.width, s.width, p.shape.joints, [&](int r, int64_t c, Vec<L> x) {
    const Vec<L> slope = *s.lse.at(first + r) == -kInf ? Vec<L>{} : x * p.scale;
    store_row<L>(grad_q + (first + r) * p.grad_q_strides.joint + c, slope, width - c);
  });
}

// grad_k and grad_v of R keys.
template <int L, int R, class Element>
OLIFT_INLINE void take_keys(const JointBackward& p, const Place& place, int64_t first, Scratch<L>& s) {
  const auto write = [&](Element* to, const Strides4& strides, Floats& pairs, Floats& rows) {
    multiply<L, R>(pairs.at(first), 1, s.keys, rows.at(0), s.width, s.width, p.shape.joints,
                   [&](int r, int64_t c, Vec<L> x) {
                     const Vec<L> sum = s.masks.reads(first + r) ? x : Vec<L>{};
                     store_row<L>(to + (first + r) * strides.joint + c, sum, p.shape.width - c);
                   });
  };
  write(rows_at(static_cast<Element*>(p.grad_k), p.grad_k_strides, place), p.grad_k_strides, s.slopes, s.q);
  write(rows_at(static_cast<Element*>(p.grad_v), p.grad_v_strides, place), p.grad_v_strides, s.weights, s.grad);
}

template <class Element>
void backward(const JointBackward& p) {
  constexpr int L = kNativeLanes;
  const int64_t joints = p.shape.joints, heads = p.shape.heads;
  const int64_t grain = std::max<int64_t>(1, (1 << 17) / (joints * joints * p.shape.width));
  olift::parallel_for(p.shape.batch * p.shape.frames * heads, grain, p.threads, [&](int64_t begin, int64_t end) {
    Scratch<L> scratch(p);
    for (int64_t item = begin; item < end; ++item) {
      const Place place{item / heads / p.shape.frames, item / heads % p.shape.frames, item % heads};
      gather<L, Element>(p, place, scratch);
      for_tiles(joints, [&](auto rows, int64_t first) { take_queries<L, rows.value, Element>(p, place, first, scratch); });
      for_tiles(joints, [&](auto rows, int64_t first) { take_keys<L, rows.value, Element>(p, place, first, scratch); });
    }
  });
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(joint_backward)(const JointBackward& p) { p.bfloat16 ? backward<BFloat16>(p) : backward<float>(p); }

}  // namespace olift
