// A step of banded attention on the CPU; compiled once for each instruction set (OLIFT_ISA names it).
//
// One query a joint and head: its scores come for L keys at a time, a key a lane, from rows that are read where they
// lie. The keys of a joint, those that are there and not hidden, are found once for all of its heads.

#include <algorithm>
#include <vector>

#include "attention/banded.h"
#include "attention/joint_tiles.h"
#include "common/isa.h"
#include "common/parallel.h"
#include "common/simd.h"

namespace {

using olift::BandedStep;
using olift::kBatch, olift::kFrame, olift::kHead, olift::kJoint;

constexpr int64_t kGrain = 1 << 17;  // multiply-adds that are worth a thread

template <int L, class Element>
class Step {
 public:
  explicit Step(const BandedStep& arguments)
      : args(arguments),
        slots(args.k.shape[kFrame]),
        heads(args.shape.heads),
        width(args.shape.width),
        keys(static_cast<size_t>(whole_vectors(std::min(slots, args.left + args.right + 1)))),
        weights(keys.size()),
        added(keys.size()) {}

  void run(int64_t batch, int64_t joint) {
    const int64_t frame = args.frames[batch], length = args.lengths[batch];
    Element* out = static_cast<Element*>(args.out.data) + (batch * args.shape.joints + joint) * heads * width;
    const int64_t count = frame >= 0 && frame < length ? find_keys(batch, joint, frame, length) : 0;
    if (count == 0) return std::fill(out, out + heads * width, Element{});
    const Element* q = in_ring(args.q, batch, joint) + frame % args.q.shape[kFrame] * args.q.strides[kFrame];
    for (int64_t head = 0; head < heads; ++head) {
      score(q + head * args.q.strides[kHead], head, count, splat<L>(args.scale * kLog2E));
      weigh(out + head * width, head, count, softmax(count));
    }
  }

 private:
  struct Key {
    const Element *k, *v;  // of head 0
    int64_t offset;        // into the bias of a head
  };

  // Slot 0 of a joint, head 0.
  static const Element* in_ring(const olift::Tensor& ring, int64_t batch, int64_t joint) {
    return static_cast<const Element*>(ring.data) + batch * ring.strides[kBatch] + joint * ring.strides[kJoint];
  }

  static int64_t whole_vectors(int64_t count) { return (count + L - 1) / L * L; }

  // Frames that the ring holds no more are left out: frame s gave its slot to s + slots.
  int64_t find_keys(int64_t batch, int64_t joint, int64_t frame, int64_t length) {
    const int64_t begin = std::max({int64_t{0}, frame - args.left, length - slots});
    const int64_t end = std::min(length, frame + args.right + 1);
    const Element *k = in_ring(args.k, batch, joint), *v = in_ring(args.v, batch, joint);
    const bool* visible =
        args.visible ? args.visible + batch * args.visible.strides[kBatch] + joint * args.visible.strides[kJoint]
                     : nullptr;
    int64_t count = 0;
    for (int64_t s = begin; s < end; ++s) {
      if (visible && !visible[s % args.visible.shape[kFrame] * args.visible.strides[kFrame]]) continue;
      const int64_t slot = s % slots;
      keys[static_cast<size_t>(count++)] = {k + slot * args.k.strides[kFrame], v + slot * args.v.strides[kFrame],
                                            s - frame + args.left};
    }
    // What fills up the last vector is a key once more, at a score that gives it no weight.
    for (int64_t i = count; count && i < whole_vectors(count); ++i) {
      keys[static_cast<size_t>(i)] = keys[0];
      added[static_cast<size_t>(i)] = -kInf;
    }
    return count;
  }

  // The next joint's row, while this one's is computed: rings are larger than the second-level cache.
  void ask_for(const Element* row) const {
    for (int64_t c = 0; c < width; c += 64 / static_cast<int64_t>(sizeof(Element))) __builtin_prefetch(row + c);
  }

  OLIFT_APART void score(const Element* q, int64_t head, int64_t count, Vec<L> factor) {
    const float* bias = args.bias ? args.bias + head * (args.left + args.right + 1) : nullptr;
    for (int64_t i = 0; i < count; ++i)
      added[static_cast<size_t>(i)] = bias ? bias[keys[static_cast<size_t>(i)].offset] * kLog2E : 0.0f;
    for (int64_t first = 0; first < count; first += L) {
      const auto products = [&](int lane) {
        const Key& key = keys[static_cast<size_t>(first + lane)];
        const Element* k = key.k + head * args.k.strides[kHead];
        ask_for(k + args.k.strides[kJoint]);
        ask_for(key.v + head * args.v.strides[kHead] + args.v.strides[kJoint]);
        Vec<L> sums{};
        for (int64_t c = 0; c < width; c += L)
          sums += load_up_to<L>(q + c, width - c) * load_up_to<L>(k + c, width - c);
        return sums;
      };
      store<L>(weights.data() + first, sum_rows<L>(products) * factor + load<L>(added.data() + first));
    }
  }

  // Turns scores into p, not yet divided by their sum l_i; returns 1 / l_i.
  float softmax(int64_t count) {
    Vec<L> row_max = load<L>(weights.data());
    for (int64_t i = L; i < count; i += L) row_max = larger<L>(row_max, load<L>(weights.data() + i));
    const float m_i = largest_lane<L>(row_max);
    Vec<L> l_i{};
    for (int64_t i = 0; i < count; i += L) {
      const Vec<L> p = exp2_or_zero<L>(load<L>(weights.data() + i) - m_i);
      store<L>(weights.data() + i, p);
      l_i += p;
    }
    return 1.0f / sum_of_lanes<L>(l_i);
  }

  OLIFT_APART void weigh(Element* out, int64_t head, int64_t count, float norm) {
    for (int64_t c = 0; c < width; c += 2 * L) {
      const int64_t rest = width - c;
      Vec<L> low{}, high{};
      for (int64_t i = 0; i < count; ++i) {
        const Element* v = keys[static_cast<size_t>(i)].v + head * args.v.strides[kHead] + c;
        const float weight = weights[static_cast<size_t>(i)];
        low += weight * load_up_to<L>(v, rest);
        if (rest > L) high += weight * load_up_to<L>(v + L, rest - L);
      }
      store_up_to<L>(out + c, low * norm, rest);
      if (rest > L) store_up_to<L>(out + c + L, high * norm, rest - L);
    }
  }

  const BandedStep& args;
  int64_t slots, heads, width;
  std::vector<Key> keys;
  std::vector<float> weights, added;
};

template <class Element>
void step(const BandedStep& args) {
  const int64_t joints = args.shape.joints;
  const int64_t work =
      2 * args.shape.heads * args.shape.width * std::min(args.k.shape[kFrame], args.left + args.right + 1);
  const int64_t grain = std::max<int64_t>(1, kGrain / work);
  olift::parallel_for(args.shape.batch * joints, grain, args.threads, [&](int64_t begin, int64_t end) {
    Step<kNativeLanes, Element> one(args);
    for (int64_t row = begin; row < end; ++row) one.run(row / joints, row % joints);
  });
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(banded_step)(const BandedStep& args) {
  args.q.dtype == olift::Dtype::kBFloat16 ? step<BFloat16>(args) : step<float>(args);
}

}  // namespace olift
