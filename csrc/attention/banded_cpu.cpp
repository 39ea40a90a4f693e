// Banded attention, forward, on the CPU; compiled once for each instruction set (OLIFT_ISA names it).
//
// A group of streams (banded_streams.h) walks along time, kQueries queries at a time. Keys and values are transposed
// into a sliding stretch of frames before they are multiplied, with zeros where a key is hidden or does not exist, so
// that NaN stays out. For these queries it computes
//   the scores, of two queries at a time against six offsets (banded_tiles.h);
//   the softmax over the offsets, one stream in each lane;
//   the weighted sums of the values, for two queries and four channels at a time, transposed back as they are written.

#include "attention/banded.h"

#include <algorithm>
#include <vector>

#include "attention/banded_streams.h"
#include "attention/banded_tiles.h"
#include "common/isa.h"
#include "common/parallel.h"

namespace {

using olift::BandedForward;

constexpr int64_t kQueries = 16;

template <int L, int P>
class Forward {
 public:
  Forward(const BandedForward& arguments, const Plan& cut)
      : args(arguments),
        plan(cut),
        width(args.shape.width),
        panels((width + P - 1) / P),
        reach(std::min(plan.frames, 2 * kQueries) + plan.left + plan.right),
        memory(Frames<L, P>::floats(panels, kQueries) + 2 * Frames<L, P>::floats(panels, reach) +
               Frames<L, 1>::floats(1, reach) + (kQueries + 1) * plan.offsets * L + 2 * width + 4 * Memory::kLine),
        q(memory, panels, kQueries),
        k(memory, panels, reach),
        v(memory, panels, reach),
        held(memory, 1, reach),
        scores(memory.take(kQueries * plan.offsets * L)),
        bias(memory.take(plan.offsets * L)),
        zeros(memory.take(width)),
        nowhere(memory.take(width)) {
    std::fill(zeros, zeros + width, 0.0f);
  }

  // `next` is the group that this thread computes after this one: its rows are prefetched.
  void run(int64_t index, int64_t next) {
    const Group<L> group(args, plan, index), later(args, plan, next);
    const Rows<L> q_rows(args.q, group), k_rows(args.k, group), v_rows(args.v, group), out_rows(args.out, group);
    take_bias<L>(group, plan, args.bias, args.left, args.left + args.right + 1, kLog2E, bias);
    first_key = std::max(-plan.left, -group.before);
    end_key = std::min(plan.frames + plan.right, group.after);
    k.restart(first_key);
    v.restart(first_key);
    held.restart(first_key);
    gap = -kFar;

    const int64_t queries = std::min(plan.frames, group.after);
    Soon ahead(width * size_of(args.q.dtype), {{{q_rows, Rows<L>(args.q, later), queries, 0},
                                                {k_rows, Rows<L>(args.k, later), end_key, plan.right},
                                                {v_rows, Rows<L>(args.v, later), end_key, plan.right},
                                                {out_rows, Rows<L>(args.out, later), queries, 0}}});
    for (int64_t first = 0; first < queries; first += kQueries) {
      const int64_t end = std::min(queries, first + kQueries);
      ahead.aim(first + kQueries, end + kQueries);
      const int64_t seen = std::min(end_key, end + plan.right), keep = std::max(first_key, first - plan.left);
      find_keys<L>(held, group, keep, seen, gap);
      take_keys<L, P>(k, held, k_rows, keep, seen, args.q.dtype, width, zeros);
      q.restart(first);
      take_queries<L, P>(q, group, q_rows, first, end, args.q.dtype, width, zeros, args.scale * kLog2E);

      scores_of = scores - first * plan.offsets * L;
      int64_t i = first;
      for (; i + 2 <= end; i += 2) score<2>(i, ahead);
      if (i < end) score<1>(i, ahead);
      for (i = first; i < end; ++i) {
        if (gap < first - plan.left) softmax<true>(group, first, i, ahead);
        else softmax<false>(group, first, i, ahead);
      }
      take_keys<L, P>(v, held, v_rows, keep, seen, args.q.dtype, width, zeros);
      for (i = first; i + 2 <= end; i += 2) weigh<2>(group, out_rows, first, i, ahead);
      if (i < end) weigh<1>(group, out_rows, first, i, ahead);
      ahead.ask_for_the_rest();
    }
  }

 private:
  using Soon = Ahead<L, 4>;

  Span keys_of(int64_t query) const {
    return {std::max(first_key, query - plan.left), std::min(end_key, query + plan.right + 1)};
  }

  template <int Q>
  OLIFT_APART void score(int64_t i, Soon& ahead) {
    int64_t begin = plan.offsets, end = 0;
    for (int64_t a = i; a < i + Q; ++a) {
      begin = std::min(begin, keys_of(a).begin - a + plan.left);
      end = std::max(end, keys_of(a).end - a + plan.left);
    }
    for (int64_t panel = 0; panel < panels; ++panel) {
      band_dots<L, P * L, Q>(q.at(panel, i), k.at(panel, i - plan.left + begin),
                             std::min<int64_t>(P, width - panel * P), panel > 0, end - begin,
                             scores_of + (i * plan.offsets + begin) * L, plan.offsets * L);
      ahead.ask(4);
    }
  }

  // `Whole`: every key of the span is there to be seen in every lane.
  template <bool Whole>
  OLIFT_APART void softmax(const Group<L>& group, int64_t first, int64_t i, Soon& ahead) {
    const Span keys = keys_of(i);
    float* row = scores_of + (i * plan.offsets + plan.left - i) * L;
    const float* own_bias = bias + (plan.left - i) * L;
    const auto score_of = [&](int64_t key) { return load<L>(row + key * L) + load<L>(own_bias + key * L); };
    Vec<L> row_max = splat<L>(-kInf);
    IntVec<L> any{};
    for (int64_t key = keys.begin; key < keys.end; ++key) {
      Vec<L> score = score_of(key);
      if constexpr (!Whole) {
        IntVec<L> mask;
        std::memcpy(&mask, held.at(0, key), sizeof(mask));
        any |= mask;
        score = mask ? score : splat<L>(-kInf);
        store<L>(row + key * L, score);
      }
      row_max = larger<L>(score, row_max);
    }
    if (Whole) any = ~IntVec<L>{};
    ahead.ask(4);
    const Vec<L> m_i = any ? row_max : Vec<L>{};
    Vec<L> l_i{};
    for (int64_t key = keys.begin; key < keys.end; ++key) {
      const Vec<L> p = exp2_or_zero<L>((Whole ? score_of(key) : load<L>(row + key * L)) - m_i);
      store<L>(row + key * L, p);
      l_i += p;
    }
    any &= group.existing(i);
    live[i - first] = any;
    norms[i - first] = any ? 1.0f / l_i : Vec<L>{};
    if (args.lse) {
      const Vec<L> lse = any ? m_i + log_positive<L>(l_i) * kLog2E : splat<L>(-kInf);
      group.store_queries(args.shape, args.lse, i, lse);
    }
  }

  template <int Q>
  void weigh(const Group<L>& group, const Rows<L>& out_rows, int64_t first, int64_t i, Soon& ahead) {
    const int64_t origin = i - plan.left;
    Span spans[Q];
    for (int a = 0; a < Q; ++a) spans[a] = {keys_of(i + a).begin - origin, keys_of(i + a).end - origin};
    write_sums<L, P, Q>(group, out_rows, i, args.q.dtype, width, scores_of + i * plan.offsets * L,
                        (plan.offsets - 1) * L, L, v, origin, spans, norms + (i - first), live + (i - first), nowhere,
                        ahead, 2);
  }

  const BandedForward& args;
  const Plan& plan;
  int64_t width, panels, reach;
  Memory memory;
  Frames<L, P> q, k, v;
  Frames<L, 1> held;
  float *scores, *bias, *zeros, *nowhere;
  float* scores_of = nullptr;                   // of query 0, were it held
  int64_t first_key = 0, end_key = 0, gap = 0;  // gap: the latest frame in which some lane has no key
  Vec<L> norms[kQueries];                       // 1 / l_i
  IntVec<L> live[kQueries];
};

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(banded_forward)(const BandedForward& args) {
  for_width(args.shape.width, [&](auto lanes, auto channels) {
    constexpr int L = decltype(lanes)::value, P = decltype(channels)::value;
    const Plan plan(args.shape, args.left, args.right, L);
    olift::parallel_pull(plan.groups, plan.threads(args.shape, args.threads, L), [&](const auto& next) {
      Forward<L, P> forward(args, plan);
      for (int64_t group = next(), later; group < plan.groups; group = later) {
        later = next();
        forward.run(group, later);
      }
    });
  });
}

}  // namespace olift
