// Joint attention, forward, on the CPU; compiled once for each instruction set (OLIFT_ISA names it).
//
// One frame and head at a time: its q and v are copied next to each other and k is transposed, all of it in L1 for the
// skeletons there are. A tile of up to 6 queries then meets all keys: scores, softmax and the weighted sum of the
// values.

#include <cmath>

#include "attention/joint_tiles.h"
#include "common/isa.h"
#include "common/parallel.h"

namespace {

using olift::JointForward;

// What a thread needs besides the inputs; sizes padded to whole vectors.
template <int L>
struct Scratch {
  explicit Scratch(const JointForward& args)
      : keys((args.shape.joints + L - 1) / L * L),
        width((args.shape.width + L - 1) / L * L),
        masks(args, keys),
        q(keys * width),
        k(keys * width),
        v(keys * width),
        k_columns(width * keys),
        scores(kTileRows * keys) {}
  int64_t keys, width;
  Masks masks;
  Floats q, k, v, k_columns, scores;
};

template <int L, class Element>
OLIFT_INLINE void gather(const JointForward& args, const Place& place, Scratch<L>& s) {
  s.masks.move_to(place.batch, place.frame, place.head);
  const Element* q = rows_at<const Element>(args.q, place);
  const Element* k = rows_at<const Element>(args.k, place);
  const Element* v = rows_at<const Element>(args.v, place);
  for (int64_t j = 0; j < args.shape.joints; ++j) {
    copy_row<L>(s.q.at(j * s.width), q + j * args.q.strides[kJoint], args.shape.width, args.scale,
                args.q.strides[kHead]);
    if (s.masks.reads(j)) {
      copy_row<L>(s.k.at(j * s.width), k + j * args.k.strides[kJoint], args.shape.width, 1.0f, args.k.strides[kHead]);
      copy_row<L>(s.v.at(j * s.width), v + j * args.v.strides[kJoint], args.shape.width, 1.0f, args.v.strides[kHead]);
    } else {
      std::fill(s.k.at(j * s.width), s.k.at((j + 1) * s.width), 0.0f);
      std::fill(s.v.at(j * s.width), s.v.at((j + 1) * s.width), 0.0f);
    }
  }
  transpose_rows<L>(s.k.at(0), s.keys, s.width, s.k_columns.at(0));
}

template <int L, int R, class Element>
OLIFT_INLINE void attend(const JointForward& args, const Place& place, int64_t first, Scratch<L>& s) {
  float* scores = s.scores.at(0);
  multiply<L, R>(s.q.at(first * s.width), s.width, 1, s.k_columns.at(0), s.keys, s.keys, args.shape.width,
                 [&](int r, int64_t c, Vec<L> x) {
                   const Vec<L> seen = s.masks.template sees<L>(first + r, c) ? x * kLog2E : splat<L>(-kInf);
                   store<L>(scores + r * s.keys + c, seen);
                 });

  float norms[R];  // 1 / l_i
  for (int r = 0; r < R; ++r) {
    float* row = scores + r * s.keys;
    Vec<L> row_max = splat<L>(-kInf);
    for (int64_t c = 0; c < s.keys; c += L) row_max = larger<L>(load<L>(row + c), row_max);
    const float highest = largest_lane<L>(row_max);
    const float m_i = highest > -kInf ? highest : 0.0f;
    Vec<L> sums{};
    for (int64_t c = 0; c < s.keys; c += L) {
      const Vec<L> p = exp2_or_zero<L>(load<L>(row + c) - m_i);
      store<L>(row + c, p);
      sums += p;
    }
    const float l_i = sum_of_lanes<L>(sums);
    norms[r] = l_i == 0.0f ? 0.0f : 1.0f / l_i;
    if (args.lse) {
      const int64_t query = (place.batch * args.shape.frames + place.frame) * args.shape.joints + first + r;
      args.lse[query * args.shape.heads + place.head] = l_i == 0.0f ? -kInf : m_i + std::log2(l_i);
    }
  }

  Element* out = rows_at<Element>(args.out, place) + first * args.out.strides[kJoint];
  multiply<L, R>(scores, s.keys, 1, s.v.at(0), s.width, s.width, args.shape.joints, [&](int r, int64_t c, Vec<L> acc) {
    const Vec<L> mean = norms[r] == 0.0f ? Vec<L>{} : acc * norms[r];
    store_up_to<L>(out + r * args.out.strides[kJoint] + c, mean, args.shape.width - c);
  });
}

template <class Element>
void forward(const JointForward& args) {
  constexpr int L = kNativeLanes;
  const int64_t joints = args.shape.joints, heads = args.shape.heads;
  const int64_t grain = std::max<int64_t>(1, (1 << 18) / (joints * joints * args.shape.width));
  olift::parallel_for(
      args.shape.batch * args.shape.frames * heads, grain, args.threads, [&](int64_t begin, int64_t end) {
        Scratch<L> scratch(args);
        for (int64_t item = begin; item < end; ++item) {
          const Place place{item / heads / args.shape.frames, item / heads % args.shape.frames, item % heads};
          gather<L, Element>(args, place, scratch);
          for_tiles(joints,
                    [&](auto rows, int64_t first) { attend<L, rows.value, Element>(args, place, first, scratch); });
        }
      });
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(joint_forward)(const JointForward& args) {
  args.q.dtype == olift::Dtype::kBFloat16 ? forward<BFloat16>(args) : forward<float>(args);
}

}  // namespace olift
