// Joint attention, forward, on the CPU; compiled once for each instruction set (OLIFT_ISA names it).
//
// One frame and head at a time: its q and v are copied next to each other and k is transposed, all of it in L1 for the
// skeletons there are. A tile of up to 6 queries then meets all keys: scores, softmax and the weighted sum of the values.

#include <cmath>

#include "attention/joint_tiles.h"
#include "common/isa.h"
#include "common/parallel.h"

namespace {

using olift::JointForward;

// What a thread needs besides the inputs; sizes padded to whole vectors.
template <int L>
struct Scratch {
  explicit Scratch(const JointForward& p)
      : keys((p.shape.joints + L - 1) / L * L),
        width((p.shape.width + L - 1) / L * L),
        masks(p, keys),
        q(keys * width),
        k(keys * width),
        v(keys * width),
        k_columns(width * keys),
        scores(kTileRows * keys) {}
  int64_t keys, width;
  Masks<JointForward> masks;
  Floats q, k, v, k_columns, scores;
};

template <int L, class Element>
OLIFT_INLINE void gather(const JointForward& p, const Place& place, Scratch<L>& s) {
  s.masks.move_to(place.batch, place.frame, place.head);
  const Element* q = rows_at(static_cast<const Element*>(p.q), p.q_strides, place);
  const Element* k = rows_at(static_cast<const Element*>(p.k), p.k_strides, place);
  const Element* v = rows_at(static_cast<const Element*>(p.v), p.v_strides, place);
  for (int64_t j = 0; j < p.shape.joints; ++j) {
    copy_row<L>(s.q.at(j * s.width), q + j * p.q_strides.joint, p.shape.width, p.scale, p.q_strides.head);
    if (s.masks.reads(j)) {
      copy_row<L>(s.k.at(j * s.width), k + j * p.k_strides.joint, p.shape.width, 1.0f, p.k_strides.head);
      copy_row<L>(s.v.at(j * s.width), v + j * p.v_strides.joint, p.shape.width, 1.0f, p.v_strides.head);
    } else {
      std::fill(s.k.at(j * s.width), s.k.at((j + 1) * s.width), 0.0f);
      std::fill(s.v.at(j * s.width), s.v.at((j + 1) * s.width), 0.0f);
    }
  }
  transpose_rows<L>(s.k.at(0), s.keys, s.width, s.k_columns.at(0));
}

template <int L, int R, class Element>
OLIFT_INLINE void attend(const JointForward& p, const Place& place, int64_t first, Scratch<L>& s) {
  float* scores = s.scores.at(0);
  multiply<L, R>(s.q.at(first * s.width), s.width, 1, s.k_columns.at(0), s.keys, s.keys, p.shape.width,
                 [&](int r, int64_t c, Vec<L> x) {
                   const Vec<L> seen = s.masks.template sees<L>(first + r, c) ? x : splat<L>(-kInf);
                   store<L>(scores + r * s.keys + c, seen);
                 });

  float share[R];
  for (int r = 0; r < R; ++r) {
    float* row = scores + r * s.keys;
    Vec<L> highest = splat<L>(-kInf);
    for (int64_t c = 0; c < s.keys; c += L) highest = larger<L>(load<L>(row + c), highest);
    const float top = largest_lane<L>(highest);
    const float base = top > -kInf ? top : 0.0f;
    Vec<L> sums{};
    for (int64_t c = 0; c < s.keys; c += L) {
      const Vec<L> weight = exp_nonpositive<L>(load<L>(row + c) - base);
      store<L>(row + c, weight);
      sums += weight;
    }
    const float total = sum_of_lanes<L>(sums);
    share[r] = total == 0.0f ? 0.0f : 1.0f / total;
    if (p.lse) {
      const int64_t query = (place.batch * p.shape.frames + place.frame) * p.shape.joints + first + r;
      p.lse[query * p.shape.heads + place.head] = total == 0.0f ? -kInf : base + std::log(total);
    }
  }

  Element* out = rows_at(static_cast<Element*>(p.out), p.out_strides, place) + first * p.out_strides.joint;
  multiply<L, R>(scores, s.keys, 1, s.v.at(0), s.width, s.width, p.shape.joints, [&](int r, int64_t c, Vec<L> x) {
    const Vec<L> mean = share[r] == 0.0f ? Vec<L>{} : x * share[r];
    store_row<L>(out + r * p.out_strides.joint + c, mean, p.shape.width - c);
  });
}

template <class Element>
void forward(const JointForward& p) {
  constexpr int L = kNativeLanes;
  const int64_t joints = p.shape.joints, heads = p.shape.heads;
  const int64_t grain = std::max<int64_t>(1, (1 << 18) / (joints * joints * p.shape.width));
  olift::parallel_for(p.shape.batch * p.shape.frames * heads, grain, p.threads, [&](int64_t begin, int64_t end) {
    Scratch<L> scratch(p);
    for (int64_t item = begin; item < end; ++item) {
      const Place place{item / heads / p.shape.frames, item / heads % p.shape.frames, item % heads};
      gather<L, Element>(p, place, scratch);
      for_tiles(joints, [&](auto rows, int64_t first) { attend<L, rows.value, Element>(p, place, first, scratch); });
    }
  });
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(joint_forward)(const JointForward& p) { p.bfloat16 ? forward<BFloat16>(p) : forward<float>(p); }

}  // namespace olift
