// Banded attention, backward, on the CPU; compiled once for each instruction set (OLIFT_ISA names it).
//
// A group of streams (banded_streams.h) walks along time as in the forward. With s the scores, p = exp(s - lse),
// dp = dout · v and delta = Σ p dp over a query's keys:
//   ds = p (dp - delta),  dq = scale Σ ds k,  dk = scale Σ ds q,  dv = Σ p dout,  dbias = Σ ds.
// p and ds of the latest queries are kept: a key's gradients are gathered as soon as the last query that sees it is
// done. A stream also computes the queries around it that see its keys, so streams share nothing. dbias is added up
// for each group in double, then over the groups in order.

#include <algorithm>
#include <vector>

#include "attention/banded_streams.h"
#include "common/isa.h"
#include "common/parallel.h"

namespace {

using olift::BandedBackward;

constexpr int64_t kQueries = 16;

template <int L, int P>
class Backward {
 public:
  Backward(const BandedBackward& arguments, const Plan& cut)
      : args(arguments),
        plan(cut),
        width(args.shape.width),
        panels((width + P - 1) / P),
        reach(2 * kQueries + plan.offsets - 1),
        memory(4 * Frames<L, P>::floats(panels, reach) + Frames<L, 1>::floats(1, reach) +
               2 * Frames<L, 1>::floats(1, reach, plan.offsets) + plan.offsets * L + 2 * width + 3 * Memory::kLine),
        q(memory, panels, reach),
        grad(memory, panels, reach),
        k(memory, panels, reach),
        v(memory, panels, reach),
        held(memory, 1, reach),
        p(memory, 1, reach, plan.offsets),
        ds(memory, 1, reach, plan.offsets),
        bias(memory.take(plan.offsets * L)),
        zeros(memory.take(width)),
        nowhere(memory.take(width)) {
    std::fill(zeros, zeros + width, 0.0f);
  }

  // `bias_sums`, if wanted, gets Σ ds of every offset and lane: (offsets, L).
  // `next` is the group that this thread computes after this one: its rows are prefetched.
  void run(int64_t index, int64_t next, double* bias_sums) {
    const Group<L> group(args, plan, index), later(args, plan, next);
    const Rows<L> q_rows(args.q, group), k_rows(args.k, group), v_rows(args.v, group);
    const Rows<L> grad_rows(args.dout, group);
    const Rows<L> to_q(args.dq, group), to_k(args.dk, group), to_v(args.dv, group);
    take_bias<L>(group, plan, args.bias, args.left, args.left + args.right + 1, kLog2E, bias);

    const int64_t own = std::min(plan.frames, group.after);
    queries = {std::max(-plan.right, -group.before), std::min(plan.frames + plan.left, group.after)};
    keys = {std::max(queries.begin - plan.left, -group.before), std::min(queries.end + plan.right, group.after)};
    for (auto* frames : {&q, &grad}) frames->restart(queries.begin);
    for (auto* frames : {&p, &ds}) frames->restart(queries.begin);
    for (auto* frames : {&k, &v}) frames->restart(keys.begin);
    held.restart(keys.begin);
    gap = -kFar;

    Soon ahead(width * size_of(args.q.dtype), {{{q_rows, Rows<L>(args.q, later), queries.end, 0},
                                                {grad_rows, Rows<L>(args.dout, later), queries.end, 0},
                                                {k_rows, Rows<L>(args.k, later), keys.end, plan.right},
                                                {v_rows, Rows<L>(args.v, later), keys.end, plan.right},
                                                {to_q, Rows<L>(args.dq, later), own, 0},
                                                {to_k, Rows<L>(args.dk, later), own, -plan.left},
                                                {to_v, Rows<L>(args.dv, later), own, -plan.left}}});
    int64_t next_key = 0;
    for (int64_t first = queries.begin; first < queries.end; first += kQueries) {
      const int64_t end = std::min(queries.end, first + kQueries);
      ahead.aim(first + kQueries, end + kQueries);
      const int64_t keep = std::max(queries.begin, next_key - plan.right);
      const int64_t keep_keys = std::max(keys.begin, first - plan.left), seen = std::min(keys.end, end + plan.right);
      find_keys<L>(held, group, keep_keys, seen, gap);
      take_keys<L, P>(k, held, k_rows, keep_keys, seen, args.q.dtype, width, zeros);
      take_keys<L, P>(v, held, v_rows, keep_keys, seen, args.q.dtype, width, zeros);
      take_queries<L, P>(q, group, q_rows, keep, end, args.q.dtype, width, zeros, args.scale * kLog2E);
      take_queries<L, P>(grad, group, grad_rows, keep, end, args.q.dtype, width, zeros, 1.0f);
      p.slide(keep, end);
      ds.slide(keep, end);

      int64_t i = first;
      for (; i + 2 <= end; i += 2) dot<2>(i, ahead);
      if (i < end) dot<1>(i, ahead);
      for (i = first; i < end; ++i) {
        if (gap < first - plan.left && group.all_exist(i)) find_ds<true>(group, i, ahead);
        else find_ds<false>(group, i, ahead);
      }

      const int64_t end_own = std::min(end, own);
      for (i = std::max<int64_t>(0, first); i + 2 <= end_own; i += 2) write_query<2>(group, to_q, i, ahead);
      if (i < end_own) write_query<1>(group, to_q, i, ahead);
      if (bias_sums) add_ds(std::max<int64_t>(0, first), end_own, bias_sums);

      const int64_t end_key = end == queries.end ? own : std::min(own, end - plan.left);
      for (i = next_key; i + 2 <= end_key; i += 2) write_key<2>(group, to_k, to_v, i, ahead);
      if (i < end_key) write_key<1>(group, to_k, to_v, i, ahead);
      next_key = std::max(next_key, end_key);
      ahead.ask_for_the_rest();
    }
  }

 private:
  using Soon = Ahead<L, 7>;

  Span keys_of(int64_t query) const {
    return {std::max(keys.begin, query - plan.left), std::min(keys.end, query + plan.right + 1)};
  }
  Span queries_of(int64_t key) const {
    return {std::max(queries.begin, key - plan.right), std::min(queries.end, key + plan.left + 1)};
  }

  // q · k into the place of p, and dp = dout · v into the place of ds.
  template <int Q>
  OLIFT_APART void dot(int64_t i, Soon& ahead) {
    int64_t begin = plan.offsets, end = 0;
    for (int64_t a = i; a < i + Q; ++a) {
      begin = std::min(begin, keys_of(a).begin - a + plan.left);
      end = std::max(end, keys_of(a).end - a + plan.left);
    }
    const int64_t key = i - plan.left + begin, across = plan.offsets * L;
    for (int64_t panel = 0; panel < panels; ++panel) {
      const int64_t channels = std::min<int64_t>(P, width - panel * P);
      band_dots<L, P * L, Q>(q.at(panel, i), k.at(panel, key), channels, panel > 0, end - begin, p.at(0, i) + begin * L,
                             across);
      ahead.ask(2);
      band_dots<L, P * L, Q>(grad.at(panel, i), v.at(panel, key), channels, panel > 0, end - begin,
                             ds.at(0, i) + begin * L, across);
      ahead.ask(2);
    }
  }

  // `Whole`: the query exists in every lane, and every key of its span is there to be seen.
  template <bool Whole>
  OLIFT_APART void find_ds(const Group<L>& group, int64_t i, Soon& ahead) {
    const Span span = keys_of(i);
    const IntVec<L> existing = Whole ? ~IntVec<L>{} : group.existing(i);
    const Vec<L> lse = group.load_queries(args.shape, args.lse, i, kInf);
    float* p_row = p.at(0, i) + (plan.left - i) * L;
    float* ds_row = ds.at(0, i) + (plan.left - i) * L;
    const float* own_bias = bias + (plan.left - i) * L;
    const auto shown = [&](int64_t key, Vec<L> x) {
      if (Whole) return x;
      IntVec<L> seen;
      std::memcpy(&seen, held.at(0, key), sizeof(seen));
      return (seen & existing) ? x : Vec<L>{};
    };
    Vec<L> delta{};
    for (int64_t key = span.begin; key < span.end; ++key) {
      const Vec<L> score = load<L>(p_row + key * L) + load<L>(own_bias + key * L);
      const Vec<L> p_i = shown(key, exp2_or_zero<L>(score - lse)), dp = load<L>(ds_row + key * L);
      store<L>(p_row + key * L, p_i);
      delta += shown(key, p_i * dp);
    }
    ahead.ask(4);
    for (int64_t key = span.begin; key < span.end; ++key) {
      const Vec<L> dp = load<L>(ds_row + key * L);
      store<L>(ds_row + key * L, shown(key, load<L>(p_row + key * L) * (dp - delta)));
    }
  }

  template <int Q>
  void write_query(const Group<L>& group, const Rows<L>& to, int64_t i, Soon& ahead) {
    const int64_t origin = i - plan.left;
    Span spans[Q];
    Vec<L> norms[Q];
    IntVec<L> alive[Q];
    for (int a = 0; a < Q; ++a) {
      spans[a] = {keys_of(i + a).begin - origin, keys_of(i + a).end - origin};
      norms[a] = splat<L>(args.scale);
      alive[a] = group.existing(i + a);
    }
    write_sums<L, P, Q>(group, to, i, args.q.dtype, width, ds.at(0, i), (plan.offsets - 1) * L, L, k, origin, spans,
                        norms, alive, nowhere, ahead, 1);
  }

  // A key at frame j is seen from query i at offset j - i + left: along the queries, that offset falls by one.
  template <int Q>
  void write_key(const Group<L>& group, const Rows<L>& to_k, const Rows<L>& to_v, int64_t j, Soon& ahead) {
    const int64_t origin = j - plan.right, along = (plan.offsets - 1) * L;
    Span spans[Q];
    Vec<L> back[Q], ones[Q];  // the queries are held times log2(e)
    IntVec<L> alive[Q];
    for (int a = 0; a < Q; ++a) {
      spans[a] = {queries_of(j + a).begin - origin, queries_of(j + a).end - origin};
      back[a] = splat<L>(kLn2);
      ones[a] = splat<L>(1.0f);
      std::memcpy(&alive[a], held.at(0, j + a), sizeof(alive[a]));
    }
    write_sums<L, P, Q>(group, to_k, j, args.q.dtype, width, ds.at(0, origin) + (plan.offsets - 1) * L, L, along, q,
                        origin, spans, back, alive, nowhere, ahead, 1);
    write_sums<L, P, Q>(group, to_v, j, args.q.dtype, width, p.at(0, origin) + (plan.offsets - 1) * L, L, along, grad,
                        origin, spans, ones, alive, nowhere, ahead, 1);
  }

  void add_ds(int64_t begin, int64_t end, double* sums) {
    for (int64_t o = 0; o < plan.offsets; ++o) {
      const int64_t from = std::max(begin, keys.begin + plan.left - o), to = std::min(end, keys.end + plan.left - o);
      Vec<L> sum{};
      for (int64_t i = from; i < to; ++i) sum += load<L>(ds.at(0, i) + o * L);
      for (int l = 0; l < L; ++l) sums[o * L + l] += static_cast<double>(sum[l]);
    }
  }

  const BandedBackward& args;
  const Plan& plan;
  int64_t width, panels, reach;
  Memory memory;
  Frames<L, P> q, grad, k, v;
  Frames<L, 1> held, p, ds;  // p and ds of the offsets of the latest queries
  float *bias, *zeros, *nowhere;
  Span queries{}, keys{};  // the frames computed and read, in some lane
  int64_t gap = 0;         // the latest frame in which some lane has no key
};

template <int L>
void add_bias_gradients(const BandedBackward& args, const Plan& plan, const std::vector<double>& sums) {
  const int64_t window = args.left + args.right + 1;
  std::vector<double> totals(static_cast<size_t>(args.shape.heads * window));
  for (int64_t group = 0; group < plan.groups; ++group) {
    for (int64_t o = 0; o < plan.offsets; ++o) {
      for (int64_t l = 0; l < L; ++l) {
        const int64_t head = (group * L + l) % plan.rows % args.shape.heads;
        totals[static_cast<size_t>(head * window + args.left - plan.left + o)] +=
            sums[static_cast<size_t>((group * plan.offsets + o) * L + l)];
      }
    }
  }
  std::copy(totals.begin(), totals.end(), static_cast<float*>(args.dbias));
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(banded_backward)(const BandedBackward& args) {
  for_width(args.shape.width, [&](auto lanes, auto channels) {
    constexpr int L = decltype(lanes)::value, P = decltype(channels)::value;
    const Plan plan(args.shape, args.left, args.right, L);
    const int64_t each = plan.offsets * L;
    std::vector<double> sums(args.dbias ? static_cast<size_t>(plan.groups * each) : 0);
    olift::parallel_pull(plan.groups, plan.threads(args.shape, args.threads, L), [&](const auto& next) {
      Backward<L, P> backward(args, plan);
      for (int64_t group = next(), later; group < plan.groups; group = later) {
        later = next();
        backward.run(group, later, args.dbias ? sums.data() + group * each : nullptr);
      }
    });
    if (args.dbias) add_bias_gradients<L>(args, plan, sums);
  });
}

}  // namespace olift
