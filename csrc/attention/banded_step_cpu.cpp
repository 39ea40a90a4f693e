// A step of banded attention on the CPU; compiled once for each instruction set (OLIFT_ISA names it).
//
// One query a joint and head: its scores come for L keys at a time, a key a lane, from rows that are read where they lie.
// The keys of a joint, those that are there and not hidden, are found once for all of its heads.

#include <algorithm>
#include <vector>

#include "attention/banded.h"
#include "attention/joint_tiles.h"
#include "common/isa.h"
#include "common/parallel.h"
#include "common/simd.h"

namespace {

using olift::BandedStep;

constexpr float kLog2E = 1.44269504f;  // scores are in powers of two: exp takes fewer steps then
constexpr int64_t kGrain = 1 << 17;    // multiply-adds that are worth a thread

template <int L, class Element>
class Step {
 public:
  explicit Step(const BandedStep& arguments)
      : p(arguments), keys(static_cast<size_t>(whole_vectors(std::min(p.slots, p.left + p.right + 1)))), weights(keys.size()), added(keys.size()) {}

  void run(int64_t batch, int64_t joint) {
    const int64_t frame = p.frames[batch], length = p.lengths[batch];
    Element* out = static_cast<Element*>(p.out) + (batch * p.joints + joint) * p.heads * p.width;
    const int64_t count = frame >= 0 && frame < length ? find_keys(batch, joint, frame, length) : 0;
    if (count == 0) return std::fill(out, out + p.heads * p.width, Element{});
    const Element* q = static_cast<const Element*>(p.q) + batch * p.q_strides.batch +
                       frame % p.q_slots * p.q_strides.frame + joint * p.q_strides.joint;
    for (int64_t head = 0; head < p.heads; ++head) {
      const Vec<L> share = splat<L>(p.scale * kLog2E);
      score(q + head * p.q_strides.head, head, count, share);
      weigh(out + head * p.width, head, count, normalise(count));
    }
  }

 private:
  struct Key {
    const Element *k, *v;  // of head 0
    int64_t offset;        // into the bias of a head
  };

  static int64_t whole_vectors(int64_t count) { return (count + L - 1) / L * L; }

  // Frames that the ring holds no more are left out: frame s gave its slot to s + slots.
  int64_t find_keys(int64_t batch, int64_t joint, int64_t frame, int64_t length) {
    const int64_t begin = std::max({int64_t{0}, frame - p.left, length - p.slots});
    const int64_t end = std::min(length, frame + p.right + 1);
    const Element* k = static_cast<const Element*>(p.k) + batch * p.k_strides.batch + joint * p.k_strides.joint;
    const Element* v = static_cast<const Element*>(p.v) + batch * p.v_strides.batch + joint * p.v_strides.joint;
    const uint8_t* visible =
        p.visible ? p.visible + batch * p.visible_strides[0] + joint * p.visible_strides[2] : nullptr;
    int64_t count = 0;
    for (int64_t s = begin; s < end; ++s) {
      if (visible && !visible[s % p.visible_slots * p.visible_strides[1]]) continue;
      const int64_t slot = s % p.slots;
      keys[static_cast<size_t>(count++)] = {k + slot * p.k_strides.frame, v + slot * p.v_strides.frame,
                                            s - frame + p.left};
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
    for (int64_t c = 0; c < p.width; c += 64 / static_cast<int64_t>(sizeof(Element))) __builtin_prefetch(row + c);
  }

  OLIFT_APART void score(const Element* q, int64_t head, int64_t count, Vec<L> factor) {
    const float* bias = p.bias ? p.bias + head * (p.left + p.right + 1) : nullptr;
    for (int64_t i = 0; i < count; ++i) added[static_cast<size_t>(i)] = bias ? bias[keys[static_cast<size_t>(i)].offset] * kLog2E : 0.0f;
    for (int64_t first = 0; first < count; first += L) {
      const auto products = [&](int lane) {
        const Key& key = keys[static_cast<size_t>(first + lane)];
        const Element* k = key.k + head * p.k_strides.head;
        ask_for(k + p.k_strides.joint);
        ask_for(key.v + head * p.v_strides.head + p.v_strides.joint);
        Vec<L> sums{};
        for (int64_t c = 0; c < p.width; c += L) sums += load_row<L>(q + c, p.width - c) * load_row<L>(k + c, p.width - c);
        return sums;
      };
      store<L>(weights.data() + first, sum_rows<L>(products) * factor + load<L>(added.data() + first));
    }
  }

  // Turns scores into weights; returns one over their sum.
  float normalise(int64_t count) {
    Vec<L> highest = load<L>(weights.data());
    for (int64_t i = L; i < count; i += L) highest = larger<L>(highest, load<L>(weights.data() + i));
    const float base = largest_lane<L>(highest);
    Vec<L> sums{};
    for (int64_t i = 0; i < count; i += L) {
      const Vec<L> weight = exp2_or_zero<L>(load<L>(weights.data() + i) - base);
      store<L>(weights.data() + i, weight);
      sums += weight;
    }
    return 1.0f / sum_of_lanes<L>(sums);
  }

  OLIFT_APART void weigh(Element* out, int64_t head, int64_t count, float share) {
    for (int64_t c = 0; c < p.width; c += 2 * L) {
      const int64_t rest = p.width - c;
      Vec<L> low{}, high{};
      for (int64_t i = 0; i < count; ++i) {
        const Element* v = keys[static_cast<size_t>(i)].v + head * p.v_strides.head + c;
        const float weight = weights[static_cast<size_t>(i)];
        low += weight * load_row<L>(v, rest);
        if (rest > L) high += weight * load_row<L>(v + L, rest - L);
      }
      store_row<L>(out + c, low * share, rest);
      if (rest > L) store_row<L>(out + c + L, high * share, rest - L);
    }
  }

  const BandedStep& p;
  std::vector<Key> keys;
  std::vector<float> weights, added;
};

template <class Element>
void step(const BandedStep& p) {
  const int64_t work = 2 * p.heads * p.width * std::min(p.slots, p.left + p.right + 1);
  const int64_t grain = std::max<int64_t>(1, kGrain / work);
  olift::parallel_for(p.batch * p.joints, grain, p.threads, [&](int64_t begin, int64_t end) {
    Step<kNativeLanes, Element> one(p);
    for (int64_t row = begin; row < end; ++row) one.run(row / p.joints, row % p.joints);
  });
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(banded_step)(const BandedStep& p) {
  p.element == Element::kBFloat16 ? step<BFloat16>(p) : step<float>(p);
}

}  // namespace olift
