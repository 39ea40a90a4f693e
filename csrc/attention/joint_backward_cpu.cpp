// Joint attention, backward, on the CPU; compiled once for each instruction set (OLIFT_ISA names it).
//
// One frame and head at a time, as in the forward. With s the scores, p = exp(s - lse), dp = dout · v and
// delta = Σ p dp over a query's keys:
//   ds = p (dp - delta),  dq = scale Σ ds k,  dk = scale Σ ds q,  dv = Σ p dout.
// p and ds of all pairs of joints are kept until the keys take theirs.

#include "attention/joint_tiles.h"
#include "common/isa.h"
#include "common/parallel.h"

namespace {

using olift::JointBackward;

// What a thread needs besides the inputs; sizes padded to whole vectors.
template <int L>
struct Scratch {
  explicit Scratch(const JointBackward& args)
      : keys((args.shape.joints + L - 1) / L * L),
        width((args.shape.width + L - 1) / L * L),
        masks(args, keys),
        q(keys * width),
        k(keys * width),
        v(keys * width),
        grad(keys * width),
        k_columns(width * keys),
        v_columns(width * keys),
        p(args.shape.joints * keys),
        ds(args.shape.joints * keys),
        lse(args.shape.joints) {}
  int64_t keys, width;
  Masks masks;
  Floats q, k, v, grad, k_columns, v_columns;
  Floats p, ds;  // (query, key)
  Floats lse;
};

template <int L, class Element>
OLIFT_INLINE void gather(const JointBackward& args, const Place& place, Scratch<L>& s) {
  s.masks.move_to(place.batch, place.frame, place.head);
  const Element* q = rows_at<const Element>(args.q, place);
  const Element* k = rows_at<const Element>(args.k, place);
  const Element* v = rows_at<const Element>(args.v, place);
  const Element* grad = rows_at<const Element>(args.dout, place);
  const int64_t width = args.shape.width;
  const int64_t query = (place.batch * args.shape.frames + place.frame) * args.shape.joints;
  for (int64_t j = 0; j < args.shape.joints; ++j) {
    const float lse = args.lse[(query + j) * args.shape.heads + place.head];
    *s.lse.at(j) = lse;
    if (lse != -kInf) {
      copy_row<L>(s.q.at(j * s.width), q + j * args.q.strides[kJoint], width, args.scale, args.q.strides[kHead]);
      copy_row<L>(s.grad.at(j * s.width), grad + j * args.dout.strides[kJoint], width, 1.0f, args.dout.strides[kHead]);
    } else {
      std::fill(s.q.at(j * s.width), s.q.at((j + 1) * s.width), 0.0f);
      std::fill(s.grad.at(j * s.width), s.grad.at((j + 1) * s.width), 0.0f);
    }
    if (s.masks.reads(j)) {
      copy_row<L>(s.k.at(j * s.width), k + j * args.k.strides[kJoint], width, 1.0f, args.k.strides[kHead]);
      copy_row<L>(s.v.at(j * s.width), v + j * args.v.strides[kJoint], width, 1.0f, args.v.strides[kHead]);
    } else {
      std::fill(s.k.at(j * s.width), s.k.at((j + 1) * s.width), 0.0f);
      std::fill(s.v.at(j * s.width), s.v.at((j + 1) * s.width), 0.0f);
    }
  }
  transpose_rows<L>(s.k.at(0), s.keys, s.width, s.k_columns.at(0));
  transpose_rows<L>(s.v.at(0), s.keys, s.width, s.v_columns.at(0));
}

// p and ds of R queries, and dq from them.
template <int L, int R, class Element>
OLIFT_INLINE void take_queries(const JointBackward& args, const Place& place, int64_t first, Scratch<L>& s) {
  float* p = s.p.at(first * s.keys);
  float* ds = s.ds.at(first * s.keys);
  const int64_t width = args.shape.width;
  multiply<L, R>(s.q.at(first * s.width), s.width, 1, s.k_columns.at(0), s.keys, s.keys, width,
                 [&](int r, int64_t c, Vec<L> x) { store<L>(p + r * s.keys + c, x * kLog2E); });
  multiply<L, R>(s.grad.at(first * s.width), s.width, 1, s.v_columns.at(0), s.keys, s.keys, width,
                 [&](int r, int64_t c, Vec<L> x) { store<L>(ds + r * s.keys + c, x); });

  for (int r = 0; r < R; ++r) {
    const float lse = *s.lse.at(first + r);
    float* p_row = p + r * s.keys;
    float* ds_row = ds + r * s.keys;
    Vec<L> sums{};
    for (int64_t c = 0; c < s.keys; c += L) {
      const IntVec<L> seen = s.masks.template sees<L>(first + r, c);
      const Vec<L> p_i = seen ? exp2_or_zero<L>(load<L>(p_row + c) - lse) : Vec<L>{};
      const Vec<L> dp = seen ? load<L>(ds_row + c) : Vec<L>{};
      store<L>(p_row + c, p_i);
      store<L>(ds_row + c, dp);
      sums += p_i * dp;
    }
    const float delta = sum_of_lanes<L>(sums);
    for (int64_t c = 0; c < s.keys; c += L) {
      const IntVec<L> seen = s.masks.template sees<L>(first + r, c);
      const Vec<L> ds_i = load<L>(p_row + c) * (load<L>(ds_row + c) - delta);
      store<L>(ds_row + c, seen ? ds_i : Vec<L>{});
    }
  }

  Element* dq = rows_at<Element>(args.dq, place);
  multiply<L, R>(ds, s.keys, 1, s.k.at(0), s.width, s.width, args.shape.joints, [&](int r, int64_t c, Vec<L> acc) {
    const Vec<L> row = *s.lse.at(first + r) == -kInf ? Vec<L>{} : acc * args.scale;
    store_up_to<L>(dq + (first + r) * args.dq.strides[kJoint] + c, row, width - c);
  });
}

// dk and dv of R keys.
template <int L, int R, class Element>
OLIFT_INLINE void take_keys(const JointBackward& args, const Place& place, int64_t first, Scratch<L>& s) {
  const auto write = [&](const olift::Tensor& grad, Floats& pairs, Floats& rows) {
    Element* to = rows_at<Element>(grad, place);
    multiply<L, R>(pairs.at(first), 1, s.keys, rows.at(0), s.width, s.width, args.shape.joints,
                   [&](int r, int64_t c, Vec<L> x) {
                     const Vec<L> sum = s.masks.reads(first + r) ? x : Vec<L>{};
                     store_up_to<L>(to + (first + r) * grad.strides[kJoint] + c, sum, args.shape.width - c);
                   });
  };
  write(args.dk, s.ds, s.q);
  write(args.dv, s.p, s.grad);
}

template <class Element>
void backward(const JointBackward& args) {
  constexpr int L = kNativeLanes;
  const int64_t joints = args.shape.joints, heads = args.shape.heads;
  const int64_t grain = std::max<int64_t>(1, (1 << 17) / (joints * joints * args.shape.width));
  olift::parallel_for(
      args.shape.batch * args.shape.frames * heads, grain, args.threads, [&](int64_t begin, int64_t end) {
        Scratch<L> scratch(args);
        for (int64_t item = begin; item < end; ++item) {
          const Place place{item / heads / args.shape.frames, item / heads % args.shape.frames, item % heads};
          gather<L, Element>(args, place, scratch);
          for_tiles(joints, [&](auto rows, int64_t first) {
            take_queries<L, rows.value, Element>(args, place, first, scratch);
          });
          for_tiles(joints,
                    [&](auto rows, int64_t first) { take_keys<L, rows.value, Element>(args, place, first, scratch); });
        }
      });
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(joint_backward)(const JointBackward& args) {
  args.q.dtype == olift::Dtype::kBFloat16 ? backward<BFloat16>(args) : backward<float>(args);
}

}  // namespace olift
